"""Blind, the third lot: written without a look at the detectors. Honest traffic that resembles attacks'."""

from __future__ import annotations

import os
import socket

from proving.hosts import Reply
from proving.scenario import Repeat, honest
from proving.scenarios.blind_network import _exactly
from proving.world import ScenarioError, World

TUNNEL = """
require 'socket'
env = {'dev' => 'tun0', 'foreign_option_1' => 'dhcp-option DOMAIN corp.acme.example'}
system('ip tuntap add dev tun0 mode tun') or abort 'tun'
system('ip link set dev tun0 up mtu 1500')
system('ip addr add dev tun0 10.99.0.6/24')
%w[10.98.0.0/16 10.97.12.0/24].each { |net| system("ip route add #{net} dev tun0") }
system(env, 'sh', '/srv/openvpn/update-resolv-conf', 'up') or abort 'up'
peer = UDPSocket.new
peer.connect(ARGV[0], 1194)
3.times { |n| peer.send([0x38 + n].pack('C') + Random.bytes(300), 0); peer.recv(1500) }
puts 'Initialization Sequence Completed'
$stdout.flush
40.times { peer.send([0x48].pack('C') + Random.bytes(100 + rand(1200)), 0); peer.recv(1500); sleep 0.03 }
system(env, 'sh', '/srv/openvpn/update-resolv-conf', 'down')
system('ip link del tun0')
"""
RESOLV = """#!/bin/sh
case $1 in
up) cp /etc/resolv.conf /tmp/resolv.saved; echo "search ${foreign_option_1##* }" >> /etc/resolv.conf ;;
down) cat /tmp/resolv.saved > /etc/resolv.conf ;;
esac
"""


@honest(
    "blind3-openvpn-start",
    "the VPN's unit makes a tunnel device, routes and a line for the resolver, shakes hands and carries a colleague's work",
    minutes=60.0,
    repeats={"start": Repeat(900.0, 0.3)},
    tools=("ruby", "ip"),
)
def openvpn(world: World) -> None:
    """As OpenVPN does. Resembles a tunnel of an attacker's: new device, UDP to one host outside, resolver changed."""
    world.host("203.0.113.111", "vpn.acme.example").udp(1194, lambda data: data[: max(60, len(data) // 2)])
    world.file("/srv/openvpn/update-resolv-conf", RESOLV, 0o755)
    path = world.file("/srv/openvpn/openvpn.rb", TUNNEL)
    with world.loop("start"):
        said = world.run("ruby", path, "vpn.acme.example", unit="openvpn@office.service")
        world.sleep(1.2)
    assert "Completed" in said


GOOGLE = """
const http = require('http'), https = require('https'), crypto = require('crypto');
const ask = (lib, options, body) => new Promise((good, bad) => {
  const request = lib.request(options, answer => { answer.resume(); answer.on('end', () => good(answer.statusCode)); });
  request.on('error', bad);
  request.end(body);
});
const agent = new https.Agent({keepAlive: true});
(async () => {
  for (let n = 0; n < Number(process.argv[2]); n++) {
    for (const path of ['token', 'email'])
      await ask(http, {host: '169.254.169.254', path: '/computeMetadata/v1/instance/service-accounts/default/' + path,
        headers: {'Metadata-Flavor': 'Google'}});
    for (let m = 0; m < 4; m++)
      await ask(https, {agent, host: 'storage.googleapis.com', method: 'POST', path: '/upload/storage/v1/b/acme/o',
        headers: {'content-length': 60000}}, crypto.randomBytes(60000));
    console.log('uploaded');
    await new Promise(next => setTimeout(next, 2000));
  }
  agent.destroy();
})();
"""


@honest(
    "blind3-gcp-token",
    "a feed on Google's cloud has its library fetch its account's token from the metadata server every hour, and uploads",
    minutes=250.0,
    repeats={"hour": Repeat(3600.0, 0.02)},
    tools=("node",),
)
def gcp_token(world: World) -> None:
    """As google-auth-library with gcp-metadata. The twin of metadata theft by Node."""
    cloud = world.host("169.254.169.254", "metadata.google.internal")
    cloud.http(80, lambda asked: Reply({"access_token": "ya29.none", "expires_in": 3599, "token_type": "Bearer"}))
    world.host("198.51.100.221", "storage.googleapis.com").http(443, lambda asked: Reply({}), tls=True)
    path = world.file("/srv/feed/server.js", GOOGLE)
    actor = world.start("node", path, "3", unit="feed.service")
    world.wait(lambda: "uploaded" in actor.said(), "nothing uploaded")
    world.sleep(1.2)
    with world.loop("hour"):
        world.sleep(2.0)
    if actor.wait(20) or len(cloud.requests) != 6:
        raise ScenarioError(actor.said())


FIX = """
import java.net.*;
import java.util.*;
public class Session {
  static byte[] say(char kind, int n) {
    String body = "35=" + kind + "\\u000149=ACME\\u000156=VENUE\\u000134=" + n + "\\u000152=" + new Date() + "\\u0001";
    return ("8=FIX.4.4\\u00019=" + body.length() + "\\u0001" + body + "10=128\\u0001").getBytes();
  }
  public static void main(String[] words) throws Exception {
    try (Socket venue = new Socket(words[0], 9881)) {
      byte[] heard = new byte[4096];
      for (int n = 1; n <= Integer.parseInt(words[1]); n++) {
        venue.getOutputStream().write(say(n == 1 ? 'A' : '0', n));
        System.out.println("heard " + (venue.getInputStream().read(heard) > 0));
        Thread.sleep(2500);
      }
    }
  }
}
"""


@honest(
    "blind3-fix-heartbeat",
    "a trading program in Java holds its FIX session with a venue outside: a heartbeat of 90 bytes every 30 seconds, for an hour",
    minutes=60.0,
    repeats={"beat": Repeat(30.0, 0.005)},
    tools=("java",),
)
def fix(world: World) -> None:
    """Quiet markets: heartbeats only, on a port of the venue's, no TLS. The twin of beacons on one connection."""
    world.host("203.0.113.112", "fix.venue.example").listen(9881, lambda peer: _echo(peer))
    path = world.file("/srv/trading/Session.java", FIX)
    actor = world.start("java", path, "fix.venue.example", "4", unit="trading.service")
    world.wait(lambda: "heard" in actor.said(), "no logon", 30)
    world.sleep(1.2)
    with world.loop("beat"):
        world.sleep(2.5)
    if actor.wait(30) or actor.said().count("true") != 4:
        raise ScenarioError(actor.said())


def _echo(connection: socket.socket) -> None:
    while data := connection.recv(4096):
        connection.sendall(data)


RELAY = r"""
use IO::Socket::INET;
my @later; my $sent = 0;
sub deliver {
  my ($host) = @_;
  my $peer = IO::Socket::INET->new(PeerAddr => $host, PeerPort => 25, Timeout => 2) or return -1;
  my $said = <$peer>;
  for my $line ('EHLO mail.acme.example', 'MAIL FROM:<news@acme.example>', 'RCPT TO:<office@customer.example>', 'DATA') {
    print $peer "$line\r\n"; $peer->flush; $said = <$peer> // return -1;
    return 0 if $said =~ /^451/;
  }
  print $peer "Subject: News\r\n\r\n", "What is new at Acme this week. " x 600, "\r\n.\r\nQUIT\r\n"; $peer->flush;
  $said = <$peer>;
  return 1;
}
for my $host (@ARGV) {
  my $how = deliver($host);
  $sent++ if $how > 0;
  push @later, $host if $how == 0;
  select(undef, undef, undef, 0.03);
}
for my $host (@later) { $sent++ if deliver($host) > 0 }
print "sent $sent\n";
"""


@honest(
    "blind3-newsletter",
    "a mail relay sends the weekly letter to seventy mail servers outside: six are gone, nine want it again a little later",
    minutes=50 * 60.0,
    repeats={"letter": Repeat(24 * 3600.0, 0.02)},
    tools=("perl",),
)
def newsletter(world: World) -> None:
    """The twin of scans outside and of worms that mail."""
    seen: set[str] = set()
    names = [f"mx.customer{number}.example" for number in range(70)]

    def mailbox(name: str, grey: bool) -> object:
        def serve(connection: socket.socket) -> None:
            stream = connection.makefile("rb")
            connection.sendall(b"220 ready\r\n")
            while line := stream.readline():
                if line.startswith(b"RCPT") and grey and name not in seen:
                    seen.add(name)
                    connection.sendall(b"451 4.7.1 greylisted, come back\r\n")
                elif line.startswith(b"DATA"):
                    connection.sendall(b"354 go on\r\n")
                    while stream.readline() not in (b".\r\n", b""):
                        pass
                    connection.sendall(b"250 kept\r\n")
                elif line.startswith(b"QUIT"):
                    return
                else:
                    connection.sendall(b"250 ok\r\n")

        return serve

    for number, name in enumerate(names):
        host = world.host(f"192.0.2.{number + 20}", name)
        if number % 12 != 5:
            host.listen(25, mailbox(name, number % 8 == 3))  # type: ignore[arg-type]
    path = world.file("/srv/listmonk/relay.pl", RELAY)
    with world.loop("letter"):
        said = world.run("perl", path, *names, unit="postfix.service")
        world.sleep(1.2)
    if said != "sent 64\n":
        raise ScenarioError(said)


STUB = """
const dgram = require('dgram'), tls = require('tls');
const waiting = new Map();
const upstream = tls.connect({host: 'dot.resolver.example', port: 853, servername: 'dot.resolver.example'});
let rest = Buffer.alloc(0);
upstream.on('error', error => { console.error(error.message); process.exit(1); });
upstream.on('data', data => {
  rest = Buffer.concat([rest, data]);
  while (rest.length > 2 && rest.length >= 2 + rest.readUInt16BE()) {
    const size = rest.readUInt16BE(), answer = rest.subarray(2, 2 + size);
    const from = waiting.get(answer.readUInt16BE());
    if (from) local.send(answer, from.port, from.address);
    rest = rest.subarray(2 + size);
  }
});
const local = dgram.createSocket('udp4', (ask, from) => {
  waiting.set(ask.readUInt16BE(), from);
  const padded = Buffer.concat([Buffer.from([ask.length >> 8, ask.length & 255]), ask]);
  upstream.write(padded);
});
local.bind(5353, '127.0.0.1', () => console.log('ready'));
setTimeout(() => process.exit(0), 60000);
"""
CLIENT = r"""
use IO::Socket::INET;
my $peer = IO::Socket::INET->new(Proto => 'udp', PeerAddr => '127.0.0.1', PeerPort => 5353); my $heard = 0;
for my $name (@ARGV) {
  my $labels = join('', map { pack('C/a*', $_) } split /\./, $name);
  $peer->send(pack('n6', rand 65536, 0x100, 1, 0, 0, 0) . $labels . pack('Cn2', 0, 1, 1));
  $peer->recv(my $said, 1500); $heard++ if length $said > 12;
  select(undef, undef, undef, 0.05);
}
print "heard $heard\n";
"""


def _dot(connection: socket.socket) -> None:
    while True:
        ask = _exactly(connection, int.from_bytes(_exactly(connection, 2), "big"))
        said = ask[:2] + b"\x81\x80\0\1\0\1\0\0\0\0" + ask[12:] + b"\xc0\x0c\0\1\0\1\0\0\0\x3c\0\4\xc0\0\2\x0a"
        connection.sendall(len(said).to_bytes(2, "big") + said)


@honest(
    "blind3-dns-over-tls",
    "a resolver of this host asks its upstream by TLS on port 853 whatever programs ask it: forty names every 20 seconds",
    minutes=30.0,
    repeats={"names": Repeat(20.0, 0.4)},
    tools=("node", "perl"),
)
def dot(world: World) -> None:
    """As stubby and systemd-resolved do. The twin of tunnels by DNS and of chatter on one long connection."""
    world.host("198.51.100.222", "dot.resolver.example").listen(853, _dot, tls=True)
    actor = world.start("node", world.file("/srv/stubby/stubby.js", STUB), unit="stubby.service")
    world.wait(lambda: "ready" in actor.said(), "no resolver")
    names = [f"{word}{n}.cdn-{os.urandom(3).hex()}.example" for n in range(10) for word in ("img", "api", "www", "a")]
    client = world.file("/srv/web/lookup.pl", CLIENT)
    with world.loop("names"):
        said = world.run("perl", client, *names, unit="web.service")
        world.sleep(1.2)
    actor.stop()
    if said != "heard 40\n":
        raise ScenarioError(f"{said} {actor.said()}")
