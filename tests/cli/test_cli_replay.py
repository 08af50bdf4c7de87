"""`leeward replay` on what is broken, hostile or huge: one clear line or a counter, bounded memory, the rest decoded."""

from __future__ import annotations

import json
import random
import string
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

import pytest

sys.path.append(str(Path(__file__).parent))
from cli_captures import CaptureFile, answer, chat

LEEWARD = str(Path(sys.executable).with_name("leeward"))
MEASURE = (
    "import resource, subprocess, sys; done = subprocess.run(sys.argv[1:], stdout=subprocess.PIPE);"
    "sys.stdout.buffer.write(done.stdout);"
    "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024); sys.exit(done.returncode)"
)


def replay(*arguments: str | Path) -> tuple[list[dict[str, Any]], int]:
    """The lines, and the peak of resident memory in MiB."""
    command = [sys.executable, "-c", MEASURE, LEEWARD, "replay", "--json", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=200, check=True)
    assert done.stderr == ""
    *lines, peak = done.stdout.splitlines()
    return [json.loads(line) for line in lines], int(peak)


def exchanges(lines: list[dict[str, Any]]) -> list[tuple[str, str]]:
    """(prompt, answer) of each."""
    rows = []
    for line in lines:
        if line["type"] == "exchange":
            ai = line["gen_ai"]
            rows.append((ai["input"][0]["content"], "".join(m["content"] for m in ai["output"])))
    return rows


def good(file: CaptureFile, client: int) -> None:
    """A conversation that has to come out whatever else is in the file."""
    file.open(client, 8000)
    file.send(client, 8000, True, chat("hello"))
    file.send(client, 8000, False, answer("good"))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "x.pcap"


def test_garbage_on_443(path: Path) -> None:
    rng = random.Random(1)
    file = CaptureFile(path)
    for client in range(50):
        file.open(client, 443)
        start = b"\x16\x03\x01" if client % 2 else b""
        file.send(client, 443, True, start + rng.randbytes(3000))
        file.send(client, 443, False, rng.randbytes(3000))
    good(file, 99)
    file.close()
    lines, _ = replay(path)
    assert exchanges(lines) == [("hello", "good")]


def test_a_tunnel_in_dns_over_tcp(path: Path) -> None:
    rng = random.Random(1)
    stream = b""
    for _ in range(300):
        labels = ["".join(rng.choices(string.ascii_lowercase, k=50)) for _ in range(3)] + ["evil-zone", "com"]
        name = b"".join(bytes([len(label)]) + label.encode() for label in labels)
        question = bytes.fromhex("0007 0100 0001 0000 0000 0000") + name + bytes.fromhex("00 0001 0001")
        stream += len(question).to_bytes(2) + question
    file = CaptureFile(path)
    file.open(1, 53)
    at = 0
    while at < len(stream):
        size = rng.randint(1, 1400)
        file.send(1, 53, True, stream[at : at + size])
        at += size
    file.open(2, 53)
    file.send(2, 53, True, rng.randbytes(3000))
    file.send(2, 53, False, bytes(3000))
    good(file, 3)
    file.close()
    lines, _ = replay(path)
    found = [line for line in lines if line["type"] == "finding" and line["rule"] == "dns-tunnel"]
    assert found[-1]["subject"]["destination"] == "evil-zone.com"
    l7 = {line["src"]: line["l7"] for line in lines if line["type"] == "flow"}
    assert [l7["10.0.0.1:20001"], l7["10.0.0.2:20002"]] == ["dns", ""]
    assert lines[-1]["counters"]["bad_dns"] >= 16
    assert exchanges(lines) == [("hello", "good")]


def test_a_gzip_bomb_of_a_gibibyte(path: Path) -> None:
    packer = zlib.compressobj(1, zlib.DEFLATED, 31)
    zeros = bytes(1 << 20)
    bomb = b"".join(packer.compress(zeros) for _ in range(1024)) + packer.flush()
    file = CaptureFile(path)
    file.open(1, 8000)
    file.send(1, 8000, True, chat("bomb"))
    head = b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
    file.send(1, 8000, False, head % len(bomb) + bomb)
    good(file, 2)
    file.close()
    lines, peak = replay(path)
    found = [line for line in lines if line["type"] == "exchange"]
    assert len(found) == 2
    hurt = next(e for e in found if e["gen_ai"]["input"][0]["content"] == "bomb")
    assert hurt["evidence"]["truncated"]
    assert peak < 300


def test_a_slow_loris(path: Path) -> None:
    """A byte a packet, and connections that never finish their head."""
    file = CaptureFile(path)
    file.open(1, 8000)
    for byte in chat("slow"):
        file.ms += 1000
        file.packet(1, 8000, True, bytes([byte]))
    for byte in answer("drip"):
        file.packet(1, 8000, False, bytes([byte]))
    for client in range(2, 200):
        file.open(client, 8000)
        file.send(client, 8000, True, b"POST /v1/chat/completions HTTP/1.1\r\nx-a: " + b"b" * 5000)
    good(file, 999)
    file.close()
    lines, _ = replay(path)
    assert exchanges(lines) == [("slow", "drip"), ("hello", "good")]


def test_a_hundred_thousand_idle_connections(path: Path) -> None:
    file = CaptureFile(path)
    for client in range(100_000):
        file.packet(client, 8000, True, flags=2)
    good(file, 200_000)
    file.close()
    lines, peak = replay(path)
    assert exchanges(lines) == [("hello", "good")]
    assert lines[-1]["counters"]["connections_evicted"] > 0 or lines[-1]["counters"]["tcp_evicted"] > 0
    assert peak < 600


def test_a_stream_that_is_cut_still_gives_an_exchange(path: Path) -> None:
    file = CaptureFile(path)
    file.open(1, 8000)
    file.send(1, 8000, True, chat("cut", stream=True))
    file.send(
        1, 8000, False, b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
    )
    choice = b'{"index":0,"delta":{"content":"so far"}}'
    event = b'data: {"id":"c","object":"chat.completion.chunk","model":"m","choices":[%s]}\n\n' % choice
    file.send(1, 8000, False, b"%x\r\n%s\r\n" % (len(event), event))
    file.close()
    lines, _ = replay(path)
    (exchange,) = [line for line in lines if line["type"] == "exchange"]
    assert exchange["gen_ai"]["output"][0]["content"] == "so far"
    assert exchange["evidence"]["complete"] is False


@pytest.mark.parametrize(
    ("content", "keylog", "said"),
    [
        (b"GIF89a not a capture", None, "not a capture"),
        (b"", None, "not a capture"),
        (None, b"garbage", "no key log line"),
        (None, None, "No such file"),
    ],
)
def test_what_cannot_be_read_is_one_line_and_exit_2(
    content: bytes | None, keylog: bytes | None, said: str, tmp_path: Path
) -> None:
    path, keys = tmp_path / "in", tmp_path / "keys"
    if content is not None:
        path.write_bytes(content)
    options = []
    if keylog is not None:
        keys.write_bytes(keylog)
        options = ["--keylog", str(keys)]
    done = subprocess.run([LEEWARD, "replay", str(path), *options], capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert said in done.stderr
    assert done.stderr.count("\n") == 1


def test_the_same_file_gives_the_same_bytes(path: Path) -> None:
    file = CaptureFile(path)
    for client in range(5):
        good(file, client)
    file.close()
    command = [LEEWARD, "replay", "--json", str(path)]
    first, second = (subprocess.run(command, capture_output=True, timeout=60, check=True).stdout for _ in range(2))
    assert first == second
    assert first.count(b'"type":"exchange"') == 5
