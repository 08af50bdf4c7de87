"""Blind, the third lot: written without a look at the detectors. Honest infrastructure that resembles what attacks do."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
import zipfile
from pathlib import Path

from proving import bundles
from proving.homes import furnish
from proving.hosts import Asked, Reply
from proving.scenario import Repeat, honest
from proving.scenarios.movement import talk
from proving.world import ScenarioError, World

PATRONI = """
require 'net/http'
require 'json'
rounds, etcd, peers = ARGV[0].to_i, ARGV[1].split(','), ARGV[2].split(',')
leader = peers[0]
rounds.times do
  at = etcd.sample
  Net::HTTP.post(URI("http://#{at}:2379/v3/lease/keepalive"), {ID: '7587871'}.to_json).body
  Net::HTTP.post(URI("http://#{at}:2379/v3/kv/range"), {key: 'L3NlcnZpY2U='}.to_json).body
  gone = peers.reject do |peer|
    begin
      Net::HTTP.get(URI("http://#{peer}:8008/patroni"))
    rescue SystemCallError
      nil
    end
  end
  system('sh', '-c', '/srv/postgres/bin/pg_controldata /srv/postgres/data > /dev/null')
  if gone.include?(leader)
    Net::HTTP.post(URI("http://#{at}:2379/v3/kv/txn"), {key: 'leader', value: 'db3'}.to_json).body
    system('sh', '-c', '/srv/postgres/bin/pg_ctl promote -D /srv/postgres/data')
    (peers - gone).each { |peer| TCPSocket.open(peer, 5432) { |s| s.write('START_REPLICATION'); s.recv(64) } }
    leader = 'db3.internal'
    puts 'promoted'
  end
  puts 'round'
  $stdout.flush
  sleep 1
end
"""


@honest(
    "blind3-patroni-failover",
    "the manager of a database asks etcd and its peers every ten seconds; the leader goes and it promotes its own",
    minutes=30.0,
    repeats={"round": Repeat(10.0, 0.05)},
    tools=("ruby",),
)
def patroni(world: World) -> None:
    """As Patroni does. Resembles movement inside: many hosts and ports, refused ones, shells, a database's peers."""
    for number in range(3):
        world.host(f"10.77.41.{number + 1}", f"etcd{number}.internal").http(2379, lambda asked: Reply({"result": {}}))
    peers = [world.host(f"10.77.41.{number + 11}", f"db{number + 1}.internal") for number in range(2)]
    for peer in peers:
        peer.http(8008, lambda asked: Reply({"state": "running", "role": "replica"}))
        peer.listen(5432, talk)
    world.file("/srv/postgres/bin/pg_controldata", "#!/bin/sh\necho 'cluster state: in production'\n", 0o755)
    world.file("/srv/postgres/bin/pg_ctl", "#!/bin/sh\nid -un; touch /tmp/promoted; echo server promoted\n", 0o755)
    path = world.file("/srv/patroni/patroni.rb", PATRONI)
    etcd = ",".join(f"etcd{number}.internal" for number in range(3))
    actor = world.start("ruby", path, "7", etcd, "db1.internal,db2.internal", uid=65534, unit="patroni.service")
    world.wait(lambda: "round" in actor.said(), "no round")
    world.sleep(0.5)
    with world.loop("round"):
        world.sleep(2.0)
    peers[0].close()
    if actor.wait(30) or actor.said().count("promoted\n") != 2:
        raise ScenarioError(actor.said())


GOSSIP = r"""
use IO::Socket::INET; use List::Util 'shuffle'; $| = 1;
my ($rounds, @members) = @ARGV;
for (1 .. $rounds) {
  my ($up, $down) = (0, 0);
  for my $host (shuffle @members) {
    my $peer = IO::Socket::INET->new(Proto => 'udp', PeerAddr => $host, PeerPort => 8301) or die;
    $peer->send(pack('CN', 0, rand 2**31) . 'x' x 60);
    my ($said, $bits) = ('', '');
    vec($bits, fileno($peer), 1) = 1;
    if (select($bits, undef, undef, 0.1) > 0 and defined $peer->recv($said, 512)) { $up++ }
    elsif (my $tcp = IO::Socket::INET->new(PeerAddr => $host, PeerPort => 8301, Timeout => 1)) { $up++ }
    else { $down++ }
    select(undef, undef, undef, 0.06);
  }
  for my $host ((shuffle(@members))[0 .. 1]) {
    my $tcp = IO::Socket::INET->new(PeerAddr => $host, PeerPort => 8301, Timeout => 1) or next;
    print $tcp 'push-pull' x 300; $tcp->flush; sysread($tcp, my $all, 4096);
  }
  print "round $up $down\n";
  select(undef, undef, undef, 1);
}
"""


@honest(
    "blind3-consul-gossip",
    "a member of Consul's gossip probes 26 others inside in random order, three of which are gone, and swaps its state",
    minutes=20.0,
    repeats={"round": Repeat(26.0, 0.1)},
    tools=("perl",),
)
def gossip(world: World) -> None:
    """As Serf's SWIM does: UDP, TCP where nothing comes. Resembles a scan and movement."""
    addresses = [f"10.77.42.{number + 5}" for number in range(26)]
    for number, address in enumerate(addresses):
        if number % 9 != 4:
            host = world.host(address)
            host.udp(8301, lambda data: data[:20])
            host.listen(8301, talk)
    path = world.file("/srv/consul/consul.pl", GOSSIP)
    actor = world.start("perl", path, "2", *addresses, unit="consul.service")
    world.wait(lambda: "round" in actor.said(), "no round", 20)
    with world.loop("round"):
        world.wait(lambda: actor.said().count("round") == 2, "no second round", 20)
    actor.wait(20)
    if actor.said().split("\n")[:2] != ["round 23 3"] * 2:
        raise ScenarioError(actor.said())


CACHE = """
import socket, threading
server = socket.create_server(('127.0.0.1', 6379))
print('ready', flush=True)
while True:
    peer, _ = server.accept()
    with peer:
        peer.recv(64)
        peer.sendall(b'+PONG\\r\\n')
"""


@honest(
    "blind3-probe-dev-tcp",
    "a container's health is asked every ten seconds by an exec of bash, which opens its own port by /dev/tcp",
    repeats={"probe": Repeat(10.0, 0.02)},
    tools=("runc", "bash"),
)
def dev_tcp(world: World) -> None:
    """As Kubernetes' exec probes where an image has no client. Resembles a reverse shell's line of bash."""
    world.file("/srv/cache/server.py", CACHE)
    container = bundles.start(world, "python3", "/opt/server.py", binds=[("/srv/cache", "/opt")])
    probe = "exec 3<>/dev/tcp/127.0.0.1/6379 && printf 'PING\\r\\n' >&3 && head -n 1 <&3 | grep PONG"
    try:
        world.wait(lambda: "ready" in container.said(), "the cache does not start", 20)
        with world.loop("probe"):
            assert "PONG" in container.execute("bash", "-c", f"timeout 3 bash -c {json.dumps(probe)}")
            container.execute("sh", "-c", "test -d /opt && cat /proc/loadavg")
            world.sleep(0.5)
    finally:
        container.end()


SERVE = """
from http.server import BaseHTTPRequestHandler, HTTPServer
class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header('Content-Length', '2')
        self.end_headers()
        self.wfile.write(b'{}')
server = HTTPServer(('127.0.0.1', 8000), Handler)
print('serving', flush=True)
server.serve_forever()
"""


@honest(
    "blind3-probe-model-server",
    "a model server's container is asked for its health by an exec of sh and curl every ten seconds, and warmed up once",
    repeats={"probe": Repeat(10.0, 0.02)},
    tools=("runc", "curl"),
)
def model_probe(world: World) -> None:
    """As vLLM's charts do. The twin of shells in model servers: nobody is behind these."""
    world.file("/srv/models/chat/config.json", "{}")
    world.file("/srv/venv/vllm", SERVE)
    binds = [("/srv/models", "/models"), ("/srv/venv", "/opt")]
    container = bundles.start(world, "sh", "-c", "exec python3 /opt/vllm serve /models/chat", binds=binds)
    try:
        world.wait(lambda: "serving" in container.said(), "the server does not start", 20)
        warm = "for n in 1 2 3; do curl -sf http://127.0.0.1:8000/health && break; sleep 1; done; echo warm"
        container.execute("bash", "-c", warm)
        with world.loop("probe"):
            container.execute("sh", "-c", "curl -sf -m 2 http://127.0.0.1:8000/health > /dev/null || exit 1")
            world.sleep(0.5)
    finally:
        container.end()


BUILD = """set -e
get() { curl -fsSL --cacert /certs/ca.pem "$@"; }
mkdir -p /srv/build /srv/tools && cd /srv/build
for name in NAMES; do get -o "$name.out" "https://$name/v1/index"; done
get -o /srv/tools/yq https://release-assets.githubusercontent.com/yq_linux_amd64
echo "SUM  /srv/tools/yq" | sha256sum -c -
chmod +x /srv/tools/yq && /srv/tools/yq --version
echo 'int main(void){return 0;}' > app.c && gcc -o app app.c && ./app
find . -name '*.out' -size +0 | wc -l
rm -rf /srv/build/*.out
"""
INDEXES = (
    "pypi.org", "files.pythonhosted.org", "registry.npmjs.org", "static.crates.io", "index.crates.io", "proxy.golang.org",
    "sum.golang.org", "nodejs.org", "get.helm.sh", "dl.k8s.io", "apt.postgresql.org", "packages.microsoft.com",
)  # fmt: skip


@honest(
    "blind3-docker-build",
    "a build in a container fetches from a dozen package hosts, and a tool as a binary, checks its sum and runs it",
    minutes=30.0,
    repeats={"build": Repeat(240.0, 0.4)},
    tools=("runc", "curl", "gcc", "jq"),
)
def docker_build(world: World) -> None:
    """As the RUN lines of a Dockerfile. Resembles a dropper: download, chmod, run."""
    tool = Path("/usr/bin/jq").read_bytes()
    for number, name in enumerate(INDEXES):
        world.host(f"198.51.100.{200 + number}", name).http(443, lambda asked: Reply(os.urandom(30_000)), tls=True)
    world.host("198.51.100.220", "release-assets.githubusercontent.com").http(443, lambda asked: Reply(tool), tls=True)
    script = BUILD.replace("NAMES", " ".join(INDEXES)).replace("SUM", hashlib.sha256(tool).hexdigest())
    world.file("/srv/certs/ca.pem", world.path("/srv/ca.pem").read_text())
    world.file("/srv/context/build.sh", script)
    with world.loop("build"):
        binds = [("/srv/certs", "/certs"), ("/srv/context", "/mnt")]
        container = bundles.start(world, "sh", "-c", "sh -e /mnt/build.sh && echo built || echo failed", binds=binds)
        try:
            world.wait(lambda: "built" in container.said() or "failed" in container.said(), "the build goes on", 40)
            if "built" not in container.said():
                raise ScenarioError(container.said())
            world.sleep(1.2)
        finally:
            container.end()


FACTS = """
import glob, json, os, platform, subprocess, urllib.request
facts = {'system': platform.system(), 'env': dict(os.environ)}
for path in ['/etc/os-release', '/proc/cpuinfo', '/proc/meminfo', '/proc/mounts', '/proc/cmdline', '/etc/passwd', '/etc/group',
             *glob.glob('/etc/ssh/ssh_host_*_key.pub'), *glob.glob('/sys/class/net/*/address')]:
    try:
        facts[path] = open(path, errors='replace').read()
    except OSError:
        pass
for line in ('uname -a', 'ip -4 addr show', 'ip route', 'ps -e', 'getent passwd root', 'df -P', 'lsof -v', 'ss -tln'):
    done = subprocess.run(line.split(), capture_output=True, text=True)
    facts[line] = done.stdout
locked = [line.split(':')[0] for line in open('/etc/shadow') if line.split(':')[1:2] and line.split(':')[1][:1] in '!*']
print(json.dumps({'ansible_facts': sorted(facts), 'locked': len(locked)}))
"""
ANSIBALLZ = """
import base64, os, runpy, shutil, sys, tempfile
temp = tempfile.mkdtemp(prefix='ansible_setup_payload_')
path = os.path.join(temp, 'ansible_setup_payload.zip')
with open(path, 'wb') as file:
    file.write(base64.b64decode(ZIPDATA))
sys.path.insert(0, path)
try:
    runpy.run_module('ansible_setup', run_name='__main__')
finally:
    shutil.rmtree(temp)
"""


@honest(
    "blind3-ansible-facts",
    "ansible comes by SSH as root every half an hour: a packed module in Base64 gathers facts and looks who is locked in shadow",
    minutes=130.0,
    repeats={"play": Repeat(1800.0, 0.05)},
    tools=("ip", "ps", "ss", "dd"),
)
def ansible(world: World) -> None:
    """As the managed side sees setup and user. Resembles a dropped Python payload that takes stock and reads hashes."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("ansible_setup.py", FACTS)
    (world.path("/home") / "deploy").mkdir()
    code = f"ZIPDATA = {base64.b64encode(packed.getvalue()).decode()!r}\n{ANSIBALLZ}"
    sent = world.file("/srv/sent/AnsiballZ_setup.py", code)
    folder, unit = "/home/deploy/.ansible/tmp/ansible-tmp-1764191100.41-2211-98731", "ssh.service"
    with world.loop("play"):
        world.run("sh", "-c", f"umask 77 && mkdir -p {folder} && echo {folder}", unit=unit)
        world.run("sh", "-c", f"dd of={folder}/AnsiballZ_setup.py bs=65536", stdin=str(world.path(sent)), unit=unit)
        world.run("sh", "-c", f"chmod u+rwx {folder} {folder}/AnsiballZ_setup.py && sleep 0", unit=unit)
        line = f"echo BECOME-SUCCESS-xkqzvw ; /usr/bin/python3 {folder}/AnsiballZ_setup.py"
        said = world.run("sh", "-c", f"/bin/sh -c '{line}' && sleep 0", unit=unit)
        world.run("sh", "-c", f"rm -f -r {folder} > /dev/null 2>&1 && sleep 0", unit=unit)
        world.sleep(0.5)
    if "locked" not in said:
        raise ScenarioError(said)


VAULT_AGENT = """
require 'net/http'
require 'json'
token = File.read('/srv/vault/role_id').strip
web = Net::HTTP.new('vault.internal', 8200)
web.use_ssl = true
web.start
ARGV[0].to_i.times do
  ask = {'X-Vault-Token' => token}
  token = JSON.parse(web.post('/v1/auth/token/renew-self', '{"increment":"30s"}', ask).body)['auth']['client_token']
  File.write('/home/app/.vault-token', token, perm: 0600)
  said = JSON.parse(web.get('/v1/aws/creds/uploader', ask).body)['data']
  [['/home/app/.aws/credentials', "[default]\\naws_access_key_id=%s\\naws_secret_access_key=%s\\n"],
   ['/srv/app/.env', "AWS_ACCESS_KEY_ID=%s\\nAWS_SECRET_ACCESS_KEY=%s\\n"]].each do |path, form|
    File.write(path + '.tmp', form % said.values_at('access_key', 'secret_key'), perm: 0600)
    File.rename(path + '.tmp', path)
  end
  system('sh', '-c', 'kill -HUP $(cat /srv/app/app.pid)')
  puts 'rendered'
  $stdout.flush
  sleep 2
end
"""
RELOADS = r"""
$| = 1;
open(my $f, '>', '/srv/app/app.pid'); print $f $$; close $f;
$SIG{HUP} = sub { open(my $e, '<', '/srv/app/.env') or die; my @all = <$e>; print "reloaded ", scalar(@all), "\n" };
print "ready\n";
sleep 1 for 1 .. 60;
"""


@honest(
    "blind3-vault-agent",
    "Vault's agent renews its token, writes credentials for a program into .env and .aws, and has a shell tell it to read them",
    minutes=30.0,
    repeats={"renew": Repeat(20.0, 0.1)},
    tools=("ruby", "perl"),
)
def vault_agent(world: World) -> None:
    """As Vault Agent's templates do. Resembles theft and planting of credentials, and a beacon inside."""

    def serve(asked: Asked) -> Reply:
        if asked.path.endswith("renew-self"):
            return Reply({"auth": {"client_token": "hvs." + os.urandom(36).hex(), "lease_duration": 30}})
        return Reply({"data": {"access_key": "AKIA" + os.urandom(8).hex().upper(), "secret_key": os.urandom(20).hex()}})

    furnish(world)
    vault = world.host("10.77.1.66", "vault.internal")
    vault.http(8200, serve, tls=True)
    world.file("/srv/vault/role_id", "hvs." + os.urandom(36).hex(), 0o600)
    world.file("/srv/app/.env", "AWS_ACCESS_KEY_ID=old\n", 0o600)
    app = world.start("perl", world.file("/srv/app/app.pl", RELOADS), unit="app.service")
    world.wait(lambda: "ready" in app.said(), "the program does not start")
    agent = world.start("ruby", world.file("/srv/vault/agent.rb", VAULT_AGENT), "3", unit="vault-agent.service")
    world.wait(lambda: "rendered" in agent.said(), "nothing rendered")
    world.sleep(1.2)
    with world.loop("renew"):
        world.sleep(2.0)
    agent.wait(20)
    if app.said().count("reloaded 2") != 3:
        raise ScenarioError(f"{agent.said()} {app.said()}")
    app.stop()
