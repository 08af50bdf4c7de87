"""DNS over TCP: what a program asks is told whatever way its messages are written, and a tunnel in it is found."""

from __future__ import annotations

import json
import socketserver
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest
from live_run import LEEWARD

HOST = "127.0.0.53"
TRANSFER = (1000, 20_000)  # bytes and number of answers; the kernel shows 4 MiB of them
ASKER = """
import random, socket, struct, sys
rng = random.Random(1)
def question():
    labels = ["".join(rng.choices("abcdefghijklmnopqrstuvwxyz234567", k=50)) for _ in range(3)] + ["evil-zone", "com"]
    name = b"".join(bytes([len(label)]) + label.encode() for label in labels)
    message = struct.pack(">6H", 7, 0x100, 1, 0, 0, 0) + name + b"\\0\\0\\x01\\0\\x01"
    return len(message).to_bytes(2) + message
def answered(count):
    for _ in range(count):
        size = int.from_bytes(answers.read(2))
        assert len(answers.read(size)) == size
way, size, count = sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
with socket.create_connection((sys.argv[1], 53)) as asker, asker.makefile("rb") as answers:
    asker.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if way == "after a zone transfer":
        asker.sendall(b"\\0\\x0c" + struct.pack(">6H", size, count, 0, 0, 0, 0))
        assert len(answers.read(count * (size + 2))) == count * (size + 2)
    if way == "pipelined":
        asker.sendall(b"".join(question() for _ in range(300)))
        answered(300)
    for _ in range(0 if way == "pipelined" else 300):
        one = question()
        for part in (one[:2], one[2:]) if way == "length apart" else (one,):
            asker.send(part)
        answered(1)
"""


class Answerer(socketserver.StreamRequestHandler):
    """Says of every name that it does not exist. A message of its head only: size and number of the answers that are wanted, each
    of which lacks its records."""

    def handle(self) -> None:
        while size := int.from_bytes(self.rfile.read(2)):
            message = self.rfile.read(size)
            if size == 12:
                much, count = struct.unpack_from(">2H", message)
                head = much.to_bytes(2) + struct.pack(">6H", 7, 0x8180, 0, 1, 0, 0)
                self.wfile.write((head + b"\xff" * (much - 12)) * count)
                continue
            self.wfile.write(size.to_bytes(2) + message[:2] + b"\x81\x83" + message[4:])


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True


@pytest.fixture
def resolver() -> Iterator[str]:
    with Server((HOST, 53), Answerer) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield HOST
        server.shutdown()


@pytest.mark.kernel
@pytest.mark.parametrize("way", ["one write", "length apart", "pipelined", "after a zone transfer"])
def test_a_tunnel_over_tcp(resolver: str, way: str) -> None:
    command = [LEEWARD, "exec", "--no-model", "--json", "--", sys.executable, "-c", ASKER, resolver, way]
    command += [str(number) for number in TRANSFER]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    records = [json.loads(line) for line in done.stdout.splitlines()]
    flow = [r for r in records if r["type"] == "flow" and r["dst"] == f"{resolver}:53"][-1]
    assert (flow["proto"], flow["l7"], flow["direction"]) == ("tcp", "dns", "outbound")
    found = [r for r in records if r["type"] == "finding" and r["rule"] == "dns-tunnel"][-1]
    assert found["subject"]["destination"] == "evil-zone.com"
    assert found["evidence"][-1]["server"] == f"{resolver}:53"
    (stats,) = [r for r in records if r["type"] == "stats"]
    assert {name: stats["counters"].get(name, 0) for name in ("bad_dns", "dns_gaps", "dns_ended")} == {
        "bad_dns": 0, "dns_gaps": 0, "dns_ended": 0,
    }  # fmt: skip
    read = stats["counters"].get("bad_dns_answers", 0)
    assert 3900 <= read <= 4200 if way == "after a zone transfer" else read == 0
