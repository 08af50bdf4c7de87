"""Blind: written without a look at the detectors. Honest workloads that resemble what the blind attacks do."""

from __future__ import annotations

import json
import os
import socket
import subprocess

from proving import answers
from proving.homes import furnish
from proving.hosts import Asked, Reply
from proving.scenario import Repeat, honest
from proving.scenarios.ai_servers import US
from proving.scenarios.blind_host import MCP_SERVER
from proving.scenarios.blind_network import _exactly, h2, smart_http
from proving.world import ScenarioError, World


@honest(
    "blind-ci-git-fetch",
    "a build server fetches its project from GitHub every 30 seconds; now and then there is something new",
    repeats={"fetch": Repeat(30.0, 0.05)},
    tools=("git",),
)
def git_fetch(world: World) -> None:
    """The twin of blind-beacon-dead-drop and of blind-exfil-git-push."""
    bare, work = str(world.root / "app.git"), str(world.root / "work")
    hub = world.host("198.51.100.180", "github.com")
    (world.root / "app.git").mkdir()
    subprocess.run(["git", "init", "-q", "--bare", "-b", "main", bare], check=True)
    subprocess.run(["git", "clone", "-q", bare, work], check=True, capture_output=True)
    smart_http(hub, world.root / "app.git")

    def commit(number: int) -> None:
        (world.root / "work" / f"f{number}.txt").write_text(os.urandom(2000).hex())
        who = ["-c", "user.name=a", "-c", "user.email=a@acme.example"]
        subprocess.run(["git", "-C", work, "add", "-A"], check=True)
        subprocess.run(["git", "-C", work, *who, "commit", "-q", "-m", f"change {number}"], check=True)
        subprocess.run(["git", "-C", work, "push", "-q", "origin", "HEAD:main"], check=True)

    commit(0)
    unit = "ci-server.service"
    world.run("git", "clone", "-q", "https://github.com/acme/app.git", "/srv/ci/app", unit=unit)
    world.sleep(1.0)
    with world.loop("fetch"):
        commit(1)
        world.run("git", "fetch", "-q", "--prune", "origin", cwd="/srv/ci/app", unit=unit)
        world.run("git", "rev-parse", "origin/main", cwd="/srv/ci/app", unit=unit)
    assert sum("upload-pack" in asked for asked in hub.requests) >= 4


KEEPALIVE = """
require 'socket'
peer = UDPSocket.new
peer.connect(ARGV[0], 51820)
peer.send([1, 0, 0, 0].pack('C4') + Random.bytes(144), 0)
peer.recv(1500)
ARGV[1].to_i.times do |n|
  sleep 2.5
  if n % 3 == 2
    20.times { peer.send([4, 0, 0, 0].pack('C4') + Random.bytes(28 + rand(1000)), 0) }
  else
    peer.send([4, 0, 0, 0].pack('C4') + Random.bytes(28), 0)
  end
  puts peer.recv(1500).size
  $stdout.flush
end
"""


@honest(
    "blind-vpn-keepalive",
    "a tunnel in user space keeps its peer outside awake by 32 bytes every 25 seconds, with traffic now and then, half an hour",
    minutes=30.0,
    repeats={"keep": Repeat(25.0, 0.02)},
    tools=("ruby",),
)
def vpn(world: World) -> None:
    """As WireGuard's PersistentKeepalive. The twin of blind-beacon-h2-stream."""
    world.host("203.0.113.61", "vpn.acme.example").udp(51820, lambda data: data[:32])
    path = world.file("/srv/vpn/tunnel.rb", KEEPALIVE)
    actor = world.start("ruby", path, "vpn.acme.example", "4", unit="wg-userspace.service")
    world.wait(lambda: actor.said().count("32") >= 1, "no keepalive")
    world.sleep(1.2)
    with world.loop("keep"):
        world.sleep(2.5)  # whole: what the sensor says of a flow comes once a second
    actor.wait(20)
    assert actor.said().split() == ["32"] * 4, actor.said()


GRPC = """
const http2 = require('http2'), crypto = require('crypto');
const session = http2.connect(process.argv[2]);
session.on('error', error => { console.error(error.message); process.exit(1); });
const stream = session.request({':method': 'POST', ':path': '/google.pubsub.v1.Subscriber/StreamingPull',
  'content-type': 'application/grpc', 'te': 'trailers', 'user-agent': 'grpc-node-js/1.11.1'});
let left = Number(process.argv[3]), heard = 0;
stream.on('data', data => { heard += data.length; });
(function beat() {
  stream.write(Buffer.concat([Buffer.from([0, 0, 0, 0, 24]), crypto.randomBytes(24)]));
  session.ping(() => {});
  if (!--left) return setTimeout(() => { console.log('heard', heard); process.exit(0); }, 500);
  setTimeout(beat, 2500);
})();
"""


@honest(
    "blind-pubsub-stream",
    "a worker holds Pub/Sub's stream open over HTTP/2: a ping and an extension of its leases every 30 seconds, for an hour",
    minutes=60.0,
    repeats={"beat": Repeat(30.0, 0.01)},
    tools=("node",),
)
def pubsub(world: World) -> None:
    """As Google's client library does. The other twin of blind-beacon-h2-stream."""
    world.host("198.51.100.181", "pubsub.googleapis.com").listen(443, h2, tls=True)
    path = world.file("/srv/worker/node_modules/@google-cloud/pubsub/build/src/subscriber.js", GRPC)
    actor = world.start("node", path, "https://pubsub.googleapis.com", "4", unit="worker.service")
    world.sleep(3.9)
    with world.loop("beat"):
        world.sleep(2.5)
    actor.wait(20)
    if "heard 80" not in actor.said():
        raise ScenarioError(actor.said())


RESTIC = """
const https = require('https'), crypto = require('crypto');
const agent = new https.Agent({keepAlive: true, maxSockets: 4});
const host = 'acme-backups.s3.eu-central-1.amazonaws.com';
const call = (method, path, body) => new Promise((good, bad) => {
  const request = https.request({host, method, path, agent, headers: {'content-length': body ? body.length : 0}}, answer => {
    answer.resume();
    answer.on('end', good);
  });
  request.on('error', bad);
  request.end(body);
});
(async () => {
  await call('GET', '/restic/config');
  await call('GET', '/restic/index/?list-type=2');
  const packs = Array.from({length: 24}, () => crypto.randomBytes(400000 + Math.floor(Math.random() * 200000)));
  while (packs.length)
    await Promise.all(packs.splice(0, 4).map(p => call('PUT', '/restic/data/' + crypto.randomBytes(32).toString('hex'), p)));
  await call('PUT', '/restic/snapshots/' + crypto.randomBytes(32).toString('hex'), crypto.randomBytes(400));
  console.log('saved');
  process.exit(0);
})();
"""


@honest(
    "blind-restic-bucket",
    "a backup program puts 24 encrypted packs of half a megabyte into the company's bucket every hour",
    minutes=190.0,
    repeats={"hour": Repeat(3600.0, 0.03)},
    tools=("node",),
)
def restic(world: World) -> None:
    """The twin of blind-exfil-foreign-bucket, from its first hour on."""
    bucket = world.host("198.51.100.172", "acme-backups.s3.eu-central-1.amazonaws.com")
    bucket.http(443, lambda asked: Reply(b""), tls=True)
    path = world.file("/srv/restic/restic.js", RESTIC)
    with world.loop("hour"):
        world.run("node", path, unit="restic-backup.service")
    assert bucket.received > 9_000_000


SNMP = """
require 'socket'
ask = ['302602010104067075626c6963a019020400000001020100020100300b300906052b060102010500'].pack('H*')
hosts = ARGV.drop(1)
ARGV[0].to_i.times do
  peer = UDPSocket.new
  hosts.shuffle.each { |host| peer.send(ask, 0, host, 161); sleep 0.04 }
  sleep 0.3
  heard = 0
  heard += 1 while peer.recvfrom_nonblock(1500, exception: false).is_a?(Array)
  peer.close
  puts "heard #{heard}"
  $stdout.flush
  sleep 1.5
end
"""


@honest(
    "blind-snmp-poller",
    "a monitor asks forty switches inside by SNMP every minute, in another order each time; two of them are down",
    minutes=20.0,
    repeats={"round": Repeat(60.0, 0.02)},
    tools=("ruby",),
)
def snmp(world: World) -> None:
    """As LibreNMS does. The twin of blind-scan-udp."""
    names = [f"sw{n}.net.internal" for n in range(40)]
    for number, name in enumerate(names):
        host = world.host(f"10.77.37.{number + 10}", name)
        if number not in (11, 30):
            host.udp(161, lambda data: data * 2)
    addresses = [f"10.77.37.{n + 10}" for n in range(40) if n not in (11, 30)] + ["10.77.37.21", "10.77.37.40"]
    path = world.file("/srv/librenms/poller.rb", SNMP)
    actor = world.start("ruby", path, "2", *addresses, unit="librenms-poller.service")
    world.wait(lambda: "heard" in actor.said(), "no round")
    with world.loop("round"):
        world.wait(lambda: actor.said().count("heard") == 2, "no second round")
    actor.wait(20)
    if actor.said().split() != ["heard", "38"] * 2:
        raise ScenarioError(actor.said())


RECURSOR = """
require 'socket'
def question(name, kind)
  [rand(65536), 0, 1, 0, 0, 0].pack('n6') + name.split('.').map { |l| [l.size].pack('C') + l }.join + "\\0" + [kind, 1].pack('n2')
end
ARGV[0].to_i.times do |round|
  ARGV.drop(1).each_with_index do |server, n|
    [["#{%w[www api mail cdn][n % 4]}.zone#{n}.example", 1], ["zone#{n}.example", 48], ["_dmarc.zone#{n}.example", 16],
     ["#{Random.bytes(20).unpack1('H*')[0, 32]}.zone#{n}.example", 50]].each do |name, kind|
      ask = question(name, kind)
      peer = UDPSocket.new
      peer.connect(server, 53)
      peer.send(ask, 0)
      said = peer.recv(4096)
      peer.close
      next unless said.getbyte(2) & 2 == 2
      TCPSocket.open(server, 53) do |web|
        web.write([ask.size].pack('n') + ask)
        web.read(web.read(2).unpack1('n'))
      end
    end
  end
  puts 'round'
  $stdout.flush
  sleep 1.5
end
"""


def _long(connection: socket.socket) -> None:
    ask = _exactly(connection, int.from_bytes(_exactly(connection, 2), "big"))
    data = os.urandom(900)
    kind = ask[-4:-2]
    said = ask[:2] + b"\x81\x80\0\1\0\1\0\0\0\0" + ask[12:] + b"\xc0\x0c" + kind + b"\0\1\0\0\0\x3c"
    said += len(data).to_bytes(2, "big") + data
    connection.sendall(len(said).to_bytes(2, "big") + said)


@honest(
    "blind-dns-recursor",
    "a resolver of ours that checks signatures asks 30 name servers outside, for TXT and keys too, by TCP where that is long",
    repeats={"round": Repeat(20.0, 0.2)},
    tools=("ruby",),
)
def recursor(world: World) -> None:
    """As unbound does. The twin of blind-dns-tunnel-tcp."""

    def short(ask: bytes) -> bytes:
        truncated = ask[-4:-2] == b"\0\x30" and b"\x06zone" in ask
        return ask[:2] + (b"\x83\x80" if truncated else b"\x81\x83") + ask[4:]

    servers = [f"192.0.2.{n + 10}" for n in range(30)]
    for server in servers:
        host = world.host(server)
        host.udp(53, short)
        host.listen(53, _long)
    path = world.file("/srv/unbound/unbound.rb", RECURSOR)
    actor = world.start("ruby", path, "2", *servers, unit="unbound.service")
    world.wait(lambda: "round" in actor.said(), "no round")
    world.sleep(1.1)
    with world.loop("round"):
        world.wait(lambda: actor.said().count("round") == 2, "no second round")
        world.sleep(0.3)
    actor.wait(20)
    assert actor.said().split() == ["round"] * 2, actor.said()


MAKEFILE = """
install:
\tmkdir -p $(HOME)/.claude $(HOME)/.codex $(HOME)/.cursor/rules
\tinstall -m 644 claude/settings.json $(HOME)/.claude/settings.json
\tinstall -m 644 codex/config.toml $(HOME)/.codex/config.toml
\tcp cursor/style.mdc $(HOME)/.cursor/rules/style.mdc
\tln -sf $(CURDIR)/AGENTS.md $(HOME)/AGENTS.md
\tcat bashrc >> $(HOME)/.bashrc
"""


@honest(
    "blind-dotfiles",
    "somebody at a terminal has make install their dotfiles: settings and rules of coding agents, and lines for .bashrc",
    repeats={"install": Repeat(120.0, 0.4)},
    tools=("make", "script"),
)
def dotfiles(world: World) -> None:
    """The twin of blind-config-npm-postinstall."""
    home = furnish(world)
    hook = {"matcher": "Edit", "hooks": [{"type": "command", "command": "ruff format"}]}
    world.file(f"{home}/dotfiles/Makefile", MAKEFILE)
    world.file(f"{home}/dotfiles/claude/settings.json", json.dumps({"hooks": {"PostToolUse": [hook]}}))
    world.file(f"{home}/dotfiles/codex/config.toml", 'model = "gpt-5"\n')
    world.file(f"{home}/dotfiles/cursor/style.mdc", "Write short functions.\n")
    world.file(f"{home}/dotfiles/AGENTS.md", "Run the tests.\n")
    world.file(f"{home}/dotfiles/bashrc", "alias gs='git status'\n")
    with world.loop("install"):
        world.run(
            "script",
            "-qec",
            "bash --norc -c 'make install; git status'",
            "/dev/null",
            cwd=f"{home}/dotfiles",
            code=None,
        )
        world.sleep(0.5)
    assert "ruff" in world.path(f"{home}/.claude/settings.json").read_text()


NEEDRESTART = r"""
for my $pid (@ARGV) {
  my $exe = readlink("/proc/$pid/exe");
  my $text = '';
  for my $name (qw(maps cmdline stat status cgroup)) { open(my $f, '<', "/proc/$pid/$name") or next; local $/; $text .= <$f>; }
  if ($exe =~ /python|ruby|perl|node/) {
    open(my $f, '<', "/proc/$pid/environ") or next;
    local $/ = "\0";
    my %env = map { chomp; split(/=/, $_, 2) } <$f>;
    my $path = $env{PYTHONPATH} // '';
    open(my $script, '<', (split(/\0/, `cat /proc/$pid/cmdline`))[1] // '/dev/null');
  }
  print "$pid ", length($text) > 100 ? "looked\n" : "nothing\n";
}
"""


@honest(
    "blind-needrestart",
    "after an upgrade needrestart looks which services still use old libraries: their maps, and interpreters' environments",
    repeats={"upgrade": Repeat(180.0, 0.3)},
    tools=("perl",),
)
def needrestart(world: World) -> None:
    """As needrestart does for Python, Ruby and Perl. The twin of credential-environ: the services' environments hold keys."""
    services = []
    for unit, port in (("shop", 8080), ("payments", 8081), ("search", 8082)):
        path = world.program(f"/srv/{unit}/api.py", "service.py")
        services.append(world.script(path, str(port), unit=f"{unit}.service", env=world.keys))
        world.listening(services[-1], port)
    path = world.file("/srv/sbin/needrestart", NEEDRESTART)
    command = f"perl {path} {' '.join(str(actor.pid) for actor in services)}"
    with world.loop("upgrade"):
        said = world.run("sh", "-c", f"dpkg --version > /dev/null; {command}; true", unit="apt-daily-upgrade.service")
        world.sleep(0.5)
    if said.count("looked") != 3:
        raise ScenarioError(said)
    for actor in services:
        actor.stop()


@honest(
    "blind-morning-logins",
    "sixty people come to a portal within half a minute, from home and from the office; every third mistypes once or twice",
    repeats={"morning": Repeat(200.0, 0.3)},
)
def logins(world: World) -> None:
    """The twin of attacks on passwords and of blind-api-ids-spread: each reads a few things of their own afterwards."""
    actor = world.script(world.program("/srv/intranet/api.py", "service.py"), "8089", unit="intranet.service")
    world.listening(actor, 8089)
    people = [world.host(f"10.77.38.{n + 1}" if n % 2 else f"192.0.2.{n + 60}") for n in range(60)]
    refused = 0
    with world.loop("morning"):
        for number, person in enumerate(people):
            for _ in range((0, 1, 2, 0, 0, 1)[number % 6]):
                refused += (
                    person.ask(US, 8089, "POST", "/v1/private/login", b"{}", authorization="Bearer bad")[0] == 403
                )
            assert person.ask(US, 8089, "POST", "/v1/private/login", b"{}", authorization="Bearer good")[0] == 200
            for item in range(3):
                path = f"/v1/items/{number * 37 + item}"
                assert person.ask(US, 8089, "GET", path, authorization="Bearer good")[0] == 200
            world.sleep(0.15)
    assert 20 < refused < 60, refused
    actor.stop()


@honest(
    "blind-gradio-login",
    "a demo made with Gradio listens on all addresses, turns strangers away with 401 and serves colleagues who log in",
    repeats={"use": Repeat(40.0, 0.4)},
)
def gradio_login(world: World) -> None:
    """The twin of blind-gradio-exposed."""
    path = world.program("/srv/demo/app.py", "gradio.py")
    actor = world.script(path, "0.0.0.0", "7860", "hunter22", unit="demo.service")
    world.listening(actor, 7860)
    colleague, stranger = world.host("10.77.1.130"), world.host("203.0.113.62")
    with world.loop("use"):
        for at in ("/config", "/gradio_api/info"):
            assert stranger.ask(US, 7860, "GET", at)[0] == 401
        form = b"username=ann&password=hunter22"
        assert (
            colleague.ask(US, 7860, "POST", "/login", form, content_type="application/x-www-form-urlencoded")[0] == 200
        )
        cookie = {"cookie": "access-token-x=c0ffee"}
        assert colleague.ask(US, 7860, "GET", "/config", **cookie)[0] == 200
        asked = json.dumps({"data": ["what is new"]}).encode()
        words = {"content_type": "application/json", **cookie}
        assert colleague.ask(US, 7860, "POST", "/gradio_api/call/chat", asked, **words)[0] == 200
        assert colleague.ask(US, 7860, "GET", "/gradio_api/call/chat/5d0c1a", **cookie)[0] == 200
        world.sleep(0.5)
    actor.stop()


RESIZE = """<?php
$name = '/tmp/up-' . bin2hex(random_bytes(4));
file_put_contents($name, file_get_contents('php://input'));
echo shell_exec('file -b ' . escapeshellarg($name) . '; gzip -9 -c < ' . escapeshellarg($name) . ' | wc -c');
unlink($name);
"""


@honest(
    "blind-thumbnails",
    "a web application in PHP starts a shell for each upload, which looks at the file and packs it",
    repeats={"uploads": Repeat(12.0, 0.5)},
    tools=("php", "gzip"),
)
def thumbnails(world: World) -> None:
    """As many do with ImageMagick and ffmpeg. The twin of blind-web-shell."""
    world.file("/srv/photos/upload.php", RESIZE)
    actor = world.start("php", "-S", "0.0.0.0:8090", "-t", "/srv/photos", unit="photos.service")
    world.listening(actor, 8090)
    visitors = [world.host(f"203.0.113.{n}") for n in range(64, 68)]
    with world.loop("uploads"):
        for visitor in visitors:
            status, said = visitor.ask(US, 8090, "POST", "/upload.php", b"\x89PNG\r\n\x1a\n" + os.urandom(20000))
            if status != 200 or b"\n" not in said:
                raise ScenarioError(str(said))
            world.sleep(0.4)
    actor.stop()


AGENT_TESTS = ("ls", "cat a.py", "python3 -m py_compile a.py && echo fine")


@honest(
    "blind-agent-mcp",
    "a coding agent asks an MCP server that it starts for a ticket, and has its shell do ordinary things about it",
    repeats={"task": Repeat(60.0, 0.4)},
    tools=("node",),
)
def agent_mcp(world: World) -> None:
    """The twin of blind-chain-mcp."""
    home = furnish(world)
    begin, end = MCP_SERVER.index("\n\n<IMPORTANT>"), MCP_SERVER.index("</IMPORTANT>") + len("</IMPORTANT>")
    server = world.file(f"{home}/.mcp/tracker/index.js", MCP_SERVER[:begin] + MCP_SERVER[end:])
    path = world.program(f"{home}/agent/mcpagent.py", "mcpagent.py")

    def follow(asked: Asked) -> Reply:
        turn = sum(said["role"] == "tool" for said in asked.json()["messages"])
        if turn > len(AGENT_TESTS):
            return Reply(answers.completion("gpt-4o", "It compiles.", 900, 12))
        name = "run_shell" if turn else "get_ticket"
        words = {"command": AGENT_TESTS[turn - 1]} if turn else {"number": 812}
        function = {"name": name, "arguments": json.dumps(words)}
        return Reply(
            answers.completion(
                "gpt-4o", "", 700, 25, [{"id": f"call_{turn}", "type": "function", "function": function}]
            )
        )

    world.host(answers.OPENAI_AT, answers.OPENAI).http(443, follow, tls=True)
    key = {"OPENAI_API_KEY": world.keys["OPENAI_API_KEY"]}
    with world.loop("task"):
        said = world.run(world.python, path, "work on ticket 812", "node", server, env=key, cwd=f"{home}/project")
        world.sleep(0.5)
    if "compiles" not in said:
        raise ScenarioError(said)
