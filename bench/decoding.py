"""Exchanges per second that `replay` decodes on one core, and resident memory."""

from __future__ import annotations

import json
import resource
import struct
import subprocess
import sys
import time
from pathlib import Path

from bench import host

EXCHANGES = 20000


def _packet(ts: float, sport: int, dport: int, seq: int, ack: int, flags: int, data: bytes) -> bytes:
    tcp = struct.pack(">HHIIBBHHH", sport, dport, seq & 0xFFFFFFFF, ack & 0xFFFFFFFF, 0x50, flags, 65535, 0, 0) + data
    client = dport == 8000
    src, dst = (b"\x0a\0\0\1", b"\x0a\0\0\2") if client else (b"\x0a\0\0\2", b"\x0a\0\0\1")
    ip = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 20 + len(tcp), 0, 0, 64, 6, 0, src, dst) + tcp
    return struct.pack("<IIII", int(ts), int(ts % 1 * 1e6), len(ip), len(ip)) + ip


def write_capture(path: Path, exchanges: int) -> None:
    """`exchanges` chat calls, half of them streamed, ten a connection, plain HTTP."""
    body = json.dumps({"model": "m", "messages": [{"role": "user", "content": "Please say it again. " * 60}]}).encode()
    request = b"POST /v1/chat/completions HTTP/1.1\r\nhost: llm\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%s"
    request %= (len(body), body)
    plain = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%s"
    plain %= (len(host.ANSWER), host.ANSWER.encode())
    chunk = {
        "id": "c",
        "object": "chat.completion.chunk",
        "model": "m",
        "choices": [{"index": 0, "delta": {"content": "word "}}],
    }
    events = [b"data: " + json.dumps(chunk).encode() + b"\n\n"] * 40 + [b"data: [DONE]\n\n"]
    head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
    streamed = head + b"".join(b"%x\r\n%s\r\n" % (len(e), e) for e in events) + b"0\r\n\r\n"
    with path.open("wb") as file:
        file.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 262144, 101))
        ts, done, port = 1.7e9, 0, 10000
        while done < exchanges:
            port = 10000 + (port - 9999) % 50000
            up, down = 1000, 5000
            file.write(_packet(ts, port, 8000, up, 0, 2, b""))
            file.write(_packet(ts, 8000, port, down, up + 1, 18, b""))
            up, down = up + 1, down + 1
            for number in range(10):
                answer = streamed if number % 2 else plain
                for side, data in ((True, request), (False, answer)):
                    for at in range(0, len(data), 1400):
                        part = data[at : at + 1400]
                        ends = (port, 8000, up, down) if side else (8000, port, down, up)
                        file.write(_packet(ts, *ends, 24, part))
                        up, down = up + len(part) * side, down + len(part) * (not side)
                        ts += 1e-5
                done += 1
            file.write(_packet(ts, port, 8000, up, down, 17, b""))
            file.write(_packet(ts, 8000, port, down, up + 1, 17, b""))


def main(folder: Path) -> None:
    capture = folder / "bench.pcap"
    write_capture(capture, EXCHANGES)
    leeward = str(Path(sys.executable).with_name("leeward"))
    start = time.perf_counter()
    out = subprocess.run(
        ["taskset", "-c", "0", leeward, "replay", "--json", str(capture)], capture_output=True, text=True, check=True
    )
    taken = time.perf_counter() - start
    stats = json.loads(out.stdout.splitlines()[-1])
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    size = capture.stat().st_size / 1e6
    print(
        f"replay: {stats['exchanges']} exchanges, {size:.0f} MB in {taken:.1f} s on one core, start and JSON included:"
    )
    print(
        f"  {stats['exchanges'] / taken:.0f} exchanges/s, {size / taken:.1f} MB/s; peak resident memory {peak:.0f} MiB"
    )
    with host.leeward(folder / "memory") as pid:
        time.sleep(3)
        print(f"run: resident memory at rest {host.resident_mib(pid):.0f} MiB")
