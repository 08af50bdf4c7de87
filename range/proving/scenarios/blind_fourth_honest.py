"""Blind, the fourth lot: written without a look at the detectors. Honest services that resemble what attacks do."""

from __future__ import annotations

import hashlib
import hmac
import io
import os
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path

from proving.homes import furnish
from proving.hosts import Asked, Reply
from proving.scenario import Repeat, honest
from proving.scenarios.ai_servers import US
from proving.scenarios.blind_network import smart_http
from proving.world import ScenarioError, World

CONSUMERS = """
import java.io.*;
import java.nio.file.*;
import java.security.KeyStore;
import java.security.cert.*;
import java.util.*;
import javax.net.ssl.*;
public class Consumers {
  static void ask(SSLSocket broker, int size) throws Exception {
    byte[] frame = new byte[size], heard = new byte[4096];
    new Random().nextBytes(frame);
    broker.getOutputStream().write(frame);
    if (broker.getInputStream().read(heard) < 1) throw new IOException("closed");
  }
  public static void main(String[] words) throws Exception {
    KeyStore store = KeyStore.getInstance(KeyStore.getDefaultType());
    store.load(null, null);
    InputStream pem = Files.newInputStream(Path.of("/srv/ca.pem"));
    for (Certificate one : CertificateFactory.getInstance("X.509").generateCertificates(pem))
      store.setCertificateEntry("ca" + store.size(), one);
    TrustManagerFactory trust = TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
    trust.init(store);
    SSLContext context = SSLContext.getInstance("TLS");
    context.init(null, trust.getTrustManagers(), null);
    List<Thread> all = new ArrayList<>();
    for (int n = 0; n < 3; n++) {
      all.add(new Thread(() -> {
        try (SSLSocket group = (SSLSocket) context.getSocketFactory().createSocket(words[0], 9092);
             SSLSocket fetch = (SSLSocket) context.getSocketFactory().createSocket(words[0], 9092)) {
          for (int round = 0; round < 6; round++) {
            ask(group, 97);
            ask(fetch, 180);
            System.out.println("beat");
            Thread.sleep(1000);
          }
        } catch (Exception error) { System.out.println(error); }
      }));
    }
    for (Thread one : all) one.start();
    for (Thread one : all) one.join();
  }
}
"""


def kafka_broker(connection: object) -> None:
    """Answers each request with a little."""
    while connection.recv(4096):  # type: ignore[attr-defined]
        connection.sendall(bytes(18))  # type: ignore[attr-defined]


@honest(
    "blind4-kafka-heartbeats",
    "three consumers of a Kafka in somebody's cloud send heartbeats and fetch nothing every three seconds, half an hour",
    minutes=30.0,
    repeats={"beat": Repeat(3.0, 0.004)},
    tools=("java",),
)
def kafka(world: World) -> None:
    """heartbeat.interval.ms is 3000 and the topic is quiet. The twin of a beacon on one connection."""
    world.host("203.0.113.120", "pkc-4nym6.eu-central-1.aws.confluent.cloud").listen(9092, kafka_broker, tls=True)
    path = world.file("/srv/orders/Consumers.java", CONSUMERS)
    actor = world.start("java", path, "pkc-4nym6.eu-central-1.aws.confluent.cloud", unit="orders-consumer.service")
    world.wait(lambda: actor.said().count("beat") >= 3, "no heartbeat", 30)
    world.sleep(1.5)
    with world.loop("beat"):
        world.sleep(1.0)
    if actor.wait(20) or actor.said().count("beat") != 18:
        raise ScenarioError(actor.said())


OFFSITE = """#!/bin/bash
set -euo pipefail
exec 9> /tmp/offsite.lock; flock -n 9
cat > /tmp/offsite.list <<END
home
srv/db/dump.sql.gz
etc/passwd
etc/group
etc/shadow
etc/fstab
END
nice -n 19 rsync -aR --recursive --whole-file --ignore-times --files-from=/tmp/offsite.list / \
  rsync://u31337@u31337.your-storagebox.example/backup/ --stats | grep 'Total bytes sent'
"""


@honest(
    "blind4-rsync-offsite",
    "cron has rsync put homes, accounts and the night's dump of 13 MB at a storage provider outside, as root, every night",
    minutes=3000.0,
    repeats={"night": Repeat(86400.0, 0.01)},
    tools=("rsync", "flock"),
)
def offsite(world: World) -> None:
    """Keys lie in the homes and go along. The twin of what is gathered and taken out."""
    furnish(world)
    target = world.path("/srv") / "target"
    target.mkdir()
    settings = world.path("/srv") / "rsyncd.conf"
    settings.write_text(f"use chroot = no\nuid = root\ngid = root\n[backup]\npath = {target}\nread only = false\n")
    line = ["rsync", "--daemon", "--no-detach", f"--config={settings}"]
    daemon = world.net.beyond(lambda: subprocess.Popen(line, stdin=subprocess.DEVNULL))
    try:
        world.host("203.0.113.121", "u31337.your-storagebox.example")
        world.file("/srv/db/dump.sql.gz", os.urandom(13 << 20))
        world.file("/srv/backup/offsite.sh", OFFSITE, 0o755)
        world.sleep(0.5)
        with world.loop("night"):
            said = world.run("sh", "-c", "/srv/backup/offsite.sh; true", unit="cron.service")
            world.sleep(1.2)
    finally:
        daemon.terminate()
        daemon.wait(5)
    if "Total bytes sent" not in said or not (target / "home/app/.ssh/id_ed25519").exists():
        raise ScenarioError(said)


UPLOADS = """<?php
if ($_SERVER['REQUEST_METHOD'] !== 'POST') { echo 'ok'; return; }
$data = file_get_contents('php://input');
$name = bin2hex(random_bytes(8)) . '.mp4';
file_put_contents("/srv/media/incoming/$name", $data);
$sign = 'AWS4-HMAC-SHA256 Credential=DO00EXAMPLE/20261126/fra1/s3/aws4_request, Signature=' . hash('sha256', $data);
$context = stream_context_create(['http' => ['method' => 'PUT', 'content' => $data, 'ignore_errors' => true,
  'header' => "Content-Type: video/mp4\\r\\nAuthorization: $sign\\r\\nx-amz-acl: public-read"],
  'ssl' => ['cafile' => '/srv/ca.pem']]);
file_get_contents("https://acme-media.fra1.digitaloceanspaces.com/videos/$name", false, $context);
unlink("/srv/media/incoming/$name");
echo strpos($http_response_header[0], '200') ? $name : 'failed';
"""


@honest(
    "blind4-video-uploads",
    "customers send a web application in PHP their videos, and it puts each into the company's object store: 12 MB at a time",
    repeats={"evening": Repeat(100.0, 0.5)},
    tools=("php",),
)
def uploads(world: World) -> None:
    """What goes out came in a moment before. The twin of files that a taken web application takes out."""
    store = world.host("198.51.100.231", "acme-media.fra1.digitaloceanspaces.com")
    store.http(443, lambda asked: Reply(b""), tls=True)
    world.path("/srv/media/incoming").mkdir(parents=True)
    path = world.file("/srv/media/index.php", UPLOADS)
    actor = world.start("php", "-d", "post_max_size=64M", "-S", "0.0.0.0:8086", path, unit="media.service")
    world.listening(actor, 8086)
    people = [world.host(f"203.0.113.{130 + number}") for number in range(4)]
    with world.loop("evening"):
        for number in range(8):
            said = people[number % 4].ask(
                US, 8086, "POST", "/upload", os.urandom(1_500_000), content_type="video/mp4", cookie="session=4711"
            )
            if said[0] != 200 or b".mp4" not in said[1]:
                raise ScenarioError(f"{said} {actor.said()}")
            world.sleep(0.2)
        world.sleep(1.2)
    actor.stop()
    assert store.received == 8 * 1_500_000


WSREP = """#!/bin/bash
set -o pipefail
role=$1 address=$2
export LC_ALL=C
user=$(id -un); state=$(sed -n 's/^seqno: *//p' /srv/mysql/grastate.dat)
case $role in
donor)
  host=${address%%:*} port=${address##*:}
  tar -C /srv/mysql -cf - . | gzip -1 | \
    socat -u stdio "openssl-connect:$host:$port,cafile=/srv/ca.pem,commonname=$host" || exit 22
  echo "donor done $user $state" ;;
joiner)
  rm -rf /srv/joined; mkdir -p /srv/joined
  timeout 20 socat -u "tcp-listen:${address##*:},reuseaddr" stdio | tar -C /srv/joined -xzf - || exit 32
  echo "joiner has $(ls /srv/joined | wc -l)" ;;
esac
"""
MARIADBD = r"""
use IO::Socket::INET; $| = 1;
my $door = IO::Socket::INET->new(LocalAddr => '0.0.0.0', LocalPort => 4567, Listen => 8, ReuseAddr => 1) or die;
print "ready\n";
while (my $peer = $door->accept) {
  my $line = <$peer> // next;
  last if $line =~ /^bye/;
  my ($role, $address) = $line =~ /^(donor|joiner) (\S+)$/ or next;
  print $peer "ok\n"; close $peer;
  system('bash', '-c', "/srv/mariadb/wsrep_sst_mariabackup $role $address");
}
"""


@honest(
    "blind4-galera-state-transfer",
    "a database's node is asked by a peer for all it has: a bash's socat sends 9 MB by TLS; later it takes all back",
    minutes=500.0,
    repeats={"give": Repeat(7200.0, 0.3), "take": Repeat(7200.0, 0.3)},
    tools=("bash", "socat", "perl", "tar"),
)
def galera(world: World) -> None:
    """As wsrep_sst_mariabackup does. The twin of a database that was made to start a shell with a socket, and of a bind shell."""
    world.file("/srv/mysql/grastate.dat", "# GALERA saved state\nversion: 2.1\nseqno:   -1\n")
    world.file("/srv/mysql/ibdata1", os.urandom(9 << 20))
    world.file("/srv/mariadb/wsrep_sst_mariabackup", WSREP, 0o755)
    got = []

    def joins(connection: object) -> None:
        while data := connection.recv(1 << 16):  # type: ignore[attr-defined]
            got.append(len(data))

    peer = world.host("10.77.63.2", "node2.internal")
    peer.listen(4444, joins, tls=True)
    actor = world.start("perl", world.file("/srv/mariadb/mariadbd.pl", MARIADBD), unit="mariadb.service")
    world.wait(lambda: "ready" in actor.said(), "the database does not start")
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        archive.add(world.path("/srv/mysql/ibdata1"), "ibdata1")
    with world.loop("give"):
        with peer.connect(US, 4567) as order:
            order.sendall(b"donor node2.internal:4444\n")
        world.wait(lambda: "donor done" in actor.said(), f"no transfer: {actor.said()}", 20)
        world.sleep(1.2)
    with world.loop("take"):
        with peer.connect(US, 4567) as order:
            order.sendall(f"joiner {US}:4445\n".encode())
        world.listening(actor, 4445)
        with peer.connect(US, 4445) as sender:
            sender.sendall(packed.getvalue())
        world.wait(lambda: "joiner has 1" in actor.said(), f"nothing taken: {actor.said()}", 20)
        world.sleep(1.2)
    actor.stop()
    assert sum(got) > 9 << 20


WEBHOOK = r"""
require 'socket'
require 'openssl'
secret = File.read('/srv/hooks/secret').strip
server = TCPServer.new('0.0.0.0', 9000)
loop do
  peer = server.accept
  head = {}
  first = peer.gets.to_s
  while (line = peer.gets) && line != "\r\n"
    name, value = line.strip.split(': ', 2)
    head[name.downcase] = value
  end
  body = peer.read(head['content-length'].to_i)
  right = 'sha256=' + OpenSSL::HMAC.hexdigest('SHA256', secret, body) == head['x-hub-signature-256']
  said = right ? `bash /srv/hooks/deploy.sh 2>&1` : 'Hook rules were not satisfied.'
  peer.write("HTTP/1.1 #{right ? 200 : 403} x\r\nContent-Length: #{said.bytesize}\r\nConnection: close\r\n\r\n#{said}")
  peer.close
end
"""
DEPLOY = """set -euo pipefail
cd /srv/site
git pull -q --ff-only origin main
node build.js
kill -HUP "$(cat /srv/site.pid)"
echo "deployed $(git rev-parse --short HEAD) as $(id -un) on $(uname -n)"
"""


@honest(
    "blind4-webhook-deploys",
    "GitHub calls a webhook of ours at each push, signed, and the program behind it has a bash pull, build and reload the site",
    minutes=60.0,
    repeats={"push": Repeat(400.0, 0.6)},
    tools=("ruby", "git", "node", "perl", "bash"),
)
def webhook(world: World) -> None:
    """As adnanh/webhook. The twin of a web application that a request from the internet makes run commands."""
    source = world.path("/srv/upstream")
    source.mkdir()
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@acme.example", "-C", str(source)]

    def commit(text: str) -> None:
        (source / "build.js").write_text(f"require('fs').writeFileSync('/tmp/index.html', '{text}');\n")
        for command in (["add", "."], ["commit", "-q", "-m", text]):
            subprocess.run([*git, *command], check=True, capture_output=True)

    subprocess.run([*git, "init", "-q", "-b", "main"], check=True, capture_output=True)
    commit("first")
    github = world.host("198.51.100.232", "github.com")
    smart_http(github, source / ".git")
    secret = os.urandom(20).hex()
    world.file("/srv/hooks/secret", secret, 0o600)
    world.file("/srv/hooks/deploy.sh", DEPLOY)
    world.run("git", "clone", "-q", "https://github.com/acme/site.git", "/srv/site", unit="webhook.service")
    site = world.start("perl", "-e", "$SIG{HUP} = sub {print qq(reloaded\\n)}; $| = 1; print qq(up\\n); sleep 1 for 1 .. 60",
                       unit="site.service")  # fmt: skip
    world.file("/srv/site.pid", str(site.pid))
    actor = world.start("ruby", world.file("/srv/hooks/webhook.rb", WEBHOOK), unit="webhook.service")
    world.listening(actor, 9000)
    hooks = world.host("198.51.100.233", "hooks.github.com")
    commit("second")
    body = b'{"ref":"refs/heads/main","repository":{"full_name":"acme/site"},"pusher":{"name":"ann"}}'
    mark = "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    with world.loop("push"):
        said = hooks.ask(
            US, 9000, "POST", "/hooks/site", body, content_type="application/json", x_hub_signature_256=mark
        )
        world.sleep(1.2)
    actor.stop()
    if said[0] != 200 or b"deployed" not in said[1] or "reloaded" not in site.said():
        raise ScenarioError(f"{said} {site.said()}")


CHECKER = r"""
use HTTP::Tiny;
my $page = HTTP::Tiny->new->get($ARGV[0])->{content};
my @links = $page =~ /href="(http[^"]+)"/g;
my $lanes = 4;
for my $lane (0 .. $lanes - 1) {
  next if fork;
  my $web = HTTP::Tiny->new(timeout => 3, agent => 'linkcheck/2.1', max_redirect => 3);
  for my $n (grep { $_ % $lanes == $lane } 0 .. $#links) {
    my $said = $web->request('HEAD', $links[$n]);
    $said = $web->get($links[$n]) if $said->{status} == 405;
    printf "%d %s\n", $said->{status}, $links[$n] if $said->{status} >= 400;
    select(undef, undef, undef, 0.05);
  }
  exit 0;
}
1 while wait > 0;
printf "checked %d\n", scalar @links;
"""


@honest(
    "blind4-wiki-links",
    "every night a build checks the links of the operators' wiki: 64 pages of 32 hosts inside on ten ports; four hosts are gone",
    minutes=3000.0,
    repeats={"night": Repeat(86400.0, 0.01)},
    tools=("perl",),
)
def wiki(world: World) -> None:
    """Grafana, Kibana, RabbitMQ's page and what else a wiki names. The twin of a scan: many hosts and ports, some refuse."""
    ports = (80, 3000, 8080, 9090, 9093, 5601, 15672, 8081, 9200, 8443)
    links = []
    for number in range(32):
        address, port = f"10.77.64.{number + 10}", ports[number % 10]
        if number % 8 != 5:
            world.host(address).http(port, answers_pages(number))
        links += [f"http://{address}:{port}/", f"http://{address}:{port}/page/{number}"]
    text = "".join(f'<li><a href="{link}">x</a>' for link in links)
    world.host("10.77.64.2", "wiki.internal").http(80, lambda asked: Reply(text, kind="text/html"))
    path = world.file("/srv/ci/linkcheck.pl", CHECKER)
    with world.loop("night"):
        said = world.run("perl", path, "http://wiki.internal/operations", unit="ci-runner.service")
        world.sleep(1.2)
    if "checked 64" not in said or said.count("599 ") != 8:
        raise ScenarioError(said)


def answers_pages(number: int) -> Callable[[Asked], Reply]:
    """A page or two: some programs do not know HEAD, and of some the page has gone."""

    def serve(asked: Asked) -> Reply:
        if asked.method == "HEAD" and number % 6 == 1:
            return Reply(b"", 405)
        return Reply("page " * 200, 404 if number % 11 == 3 and asked.path != "/" else 200, kind="text/html")

    return serve


CARGO = """
use std::{env, fs, process::Command};
fn run(line: &str) -> String {
    let done = Command::new("sh").arg("-c").arg(line).output().unwrap();
    assert!(done.status.success(), "{}: {}", line, String::from_utf8_lossy(&done.stderr));
    String::from_utf8_lossy(&done.stdout).trim().to_string()
}
fn main() {
    let out = env::var("OUT_DIR").unwrap();
    let wanted: Vec<String> = env::vars().filter(|(k, _)| k.starts_with("CARGO_CFG_TARGET")).map(|(k, v)| k + &v).collect();
    println!("cargo:warning={} settings, {}", wanted.len(), run("uname -m; cc --version | head -1"));
    run(&format!("curl -fsSL -o {out}/lib.tgz https://parcel.ort-builds.example/v1.20/x86_64-unknown-linux-gnu.tgz"));
    run(&format!("echo 'SUM  {out}/lib.tgz' | sha256sum -c - && tar -C {out} -xzf {out}/lib.tgz && chmod +x {out}/probe"));
    println!("cargo:rustc-env=ORT_HAS={}", run(&format!("{out}/probe")));
    fs::remove_file(format!("{out}/lib.tgz")).unwrap();
    println!("cargo:rerun-if-changed=build.rs");
}
"""


@honest(
    "blind4-cargo-build-script",
    "somebody at a terminal builds a Rust program, whose build script fetches a packed library and runs what is in it",
    minutes=30.0,
    repeats={"build": Repeat(300.0, 0.5)},
    tools=("cargo", "script", "gcc"),
)
def cargo(world: World) -> None:
    """As ort-sys and others do. The twin of a poisoned dependency: a dropper at build time."""
    home = furnish(world)
    tool = world.path("/srv/probe")
    world.file("/srv/probe.c", '#include <stdio.h>\nint main(void){puts("avx2");return 0;}\n')
    subprocess.run(["gcc", "-o", str(tool), str(tool.with_suffix(".c"))], check=True)
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        archive.add(tool, "probe")
    data = packed.getvalue()
    world.host("203.0.113.122", "parcel.ort-builds.example").http(443, lambda asked: Reply(data), tls=True)
    crate = f"{home}/embedder"
    world.file(f"{crate}/Cargo.toml", '[package]\nname = "embedder"\nversion = "0.1.0"\nedition = "2021"\n')
    world.file(f"{crate}/build.rs", CARGO.replace("SUM", hashlib.sha256(data).hexdigest()))
    world.file(f"{crate}/src/main.rs", 'fn main() { println!("embeds with {}", env!("ORT_HAS")); }\n')
    rust = Path(os.environ.get("RUSTUP_HOME", Path.home() / ".rustup"))
    env = {"HOME": home, "RUSTUP_HOME": str(rust), "PATH": f"{rust.parent}/.cargo/bin:/usr/local/bin:/usr/bin:/bin"}
    with world.loop("build"):
        said = world.run("script", "-qec", "bash --norc -c 'cargo run --offline'", "/dev/null", cwd=crate, env=env)
        world.sleep(1.2)
    if "embeds with avx2" not in said:
        raise ScenarioError(said)
