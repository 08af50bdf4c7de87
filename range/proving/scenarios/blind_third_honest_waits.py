"""Blind, the third lot, written when the others had been run (no detector was looked at): honest programs that wait for news."""

from __future__ import annotations

import time
from socket import socket

from proving.hosts import Asked, Reply
from proving.scenario import Repeat, honest
from proving.world import ScenarioError, World

FLAGS = """
require 'net/http'
web = Net::HTTP.new('client.flags.example', 443)
web.use_ssl = true
web.start
etag = ''
ARGV[0].to_i.times do
  said = web.get('/api/client/features?wait=30', {'If-None-Match' => etag, 'Unleash-Appname' => 'shop'})
  etag = said['ETag'] || etag
  puts "flags #{said.code}"
  $stdout.flush
end
"""


@honest(
    "blind3-flags-long-poll",
    "a feature flags' SDK asks for changes and waits up to half a minute for them, again and again, for two hours; few come",
    minutes=120.0,
    repeats={"wait": Repeat(30.0, 0.02)},
    tools=("ruby",),
)
def flags(world: World) -> None:
    """As Unleash's and LaunchDarkly's polling SDKs do. The twin of an implant that waits for orders."""
    count: list[str] = []

    def serve(asked: Asked) -> Reply:
        count.append(asked.path)
        time.sleep(2.5)
        return Reply(b"", 304) if len(count) % 4 else Reply({"features": [{"name": "a"}] * 30}, headers={"ETag": "b"})

    world.host("198.51.100.227", "client.flags.example").http(443, serve, tls=True)
    actor = world.start("ruby", world.file("/srv/shop/flags.rb", FLAGS), "5", unit="shop.service")
    world.wait(lambda: "flags" in actor.said(), "no flags")
    world.sleep(1.2)
    with world.loop("wait"):
        world.sleep(2.5)
    if actor.wait(30) or actor.said().count("flags 304") != 4:
        raise ScenarioError(actor.said())


def _events(connection: socket) -> None:
    stream = connection.makefile("rb")
    while stream.readline().strip():
        pass
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
    for number in range(6):
        data = b": keep-alive\n\n" if number % 3 else b'event: deploy\ndata: {"environment": "production", "id": 7}\n\n'
        connection.sendall(b"%x\r\n%s\r\n" % (len(data), data))
        time.sleep(2)
    connection.sendall(b"0\r\n\r\n")


@honest(
    "blind3-sse-events",
    "a bot of the company's has curl hold one stream of events from its Git host open: a comment every 15 seconds, an hour",
    minutes=60.0,
    repeats={"event": Repeat(15.0, 0.02)},
    tools=("curl",),
)
def events(world: World) -> None:
    """Nothing but acknowledgements leaves. The twin of a channel that only waits for orders."""
    world.host("198.51.100.228", "events.githost.example").listen(443, _events, tls=True)
    actor = world.start("curl", "-sSN", "https://events.githost.example/stream", unit="deploy-bot.service")
    world.wait(lambda: "deploy" in actor.said(), "no event")
    world.sleep(1.5)
    with world.loop("event"):
        world.sleep(2.0)
    if actor.wait(30) or actor.said().count("keep-alive") != 4:
        raise ScenarioError(actor.said())


PING = """
require 'socket'
raw = Socket.new(Socket::AF_INET, Socket::SOCK_RAW, Socket::IPPROTO_ICMP)
def sum(data)
  total = data.unpack('n*').sum
  total = (total & 0xffff) + (total >> 16) while total > 0xffff
  ~total & 0xffff
end
ARGV[0].to_i.times do |round|
  ARGV.drop(1).each_with_index do |host, n|
    body = [0x4c50, round * 256 + n].pack('n2') + [Time.now.to_f].pack('G') + 'x' * 48
    head = [8, 0, sum([8, 0, 0].pack('CCn') + body)].pack('CCn')
    raw.send(head + body, 0, Socket.sockaddr_in(0, host))
    sleep 0.02
  end
  sleep 0.3
  heard = 0
  heard += 1 while raw.recv_nonblock(2000, exception: false).is_a?(String)
  puts "heard #{heard}"
  $stdout.flush
  sleep 1
end
"""


@honest(
    "blind3-icmp-switches",
    "a monitor pings seventy switches inside every 20 seconds from a raw socket, and draws how long they took",
    minutes=30.0,
    repeats={"round": Repeat(20.0, 0.01)},
    tools=("ruby",),
)
def pings(world: World) -> None:
    """As SmokePing with fping does. The twin of sweeps and of tunnels by ICMP."""
    path = world.file("/srv/smokeping/fping.rb", PING)
    hosts = [f"10.77.48.{number + 10}" for number in range(70)]
    actor = world.start("ruby", path, "2", *hosts, unit="smokeping.service")
    world.wait(lambda: "heard" in actor.said(), "no round")
    with world.loop("round"):
        world.wait(lambda: actor.said().count("heard") == 2, "no second round")
        world.sleep(0.5)
    if actor.wait(20) or actor.said().count("heard 70") != 2:
        raise ScenarioError(actor.said())
