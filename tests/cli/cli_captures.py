"""Writes small captures: raw IPv4 packets of TCP conversations, with sequence numbers that are right."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import IO

MSS = 60000


class CaptureFile:
    """A pcap of raw IP packets (link type 101); each packet comes a millisecond after the one before."""

    def __init__(self, path: Path) -> None:
        self._file: IO[bytes] = path.open("wb")
        self._file.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 1 << 18, 101))
        self.ms = 1_700_000_000_000
        self._next: dict[tuple[int, int, bool], int] = {}

    def packet(self, client: int, port: int, up: bool, data: bytes = b"", flags: int = 24) -> None:
        """client: number of the client (its address and port follow from it)."""
        key = (client, port, up)
        seq = self._next.get(key, 1000)
        self._next[key] = seq + len(data) + bool(flags & 3)
        here = bytes([10, client >> 16 & 255, client >> 8 & 255, client & 255])
        there = bytes([192, 0, 2, 1])
        ports = (20000 + client % 40000, port)
        src, dst, sport, dport = (here, there, *ports) if up else (there, here, *reversed(ports))
        tcp = struct.pack(">HHIIBBHHH", sport, dport, seq & 0xFFFFFFFF, 0, 0x50, flags, 65535, 0, 0) + data
        ip = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 20 + len(tcp), 0, 0, 64, 6, 0, src, dst) + tcp
        self._file.write(struct.pack("<IIII", self.ms // 1000, self.ms % 1000 * 1000, len(ip), len(ip)) + ip)
        self.ms += 1

    def open(self, client: int, port: int) -> None:
        self.packet(client, port, True, flags=2)
        self.packet(client, port, False, flags=18)

    def send(self, client: int, port: int, up: bool, data: bytes) -> None:
        for at in range(0, len(data), MSS):
            self.packet(client, port, up, data[at : at + MSS])

    def close(self) -> None:
        self._file.close()


def chat(prompt: str, *, stream: bool = False) -> bytes:
    wish = b"true" if stream else b"false"
    body = b'{"model":"m","stream":%s,"messages":[{"role":"user","content":"%s"}]}' % (wish, prompt.encode())
    head = b"POST /v1/chat/completions HTTP/1.1\r\nhost: llm.internal\r\ncontent-length: %d\r\n\r\n" % len(body)
    return head + body


def answer(text: str, headers: bytes = b"") -> bytes:
    body = b'{"id":"c","object":"chat.completion","model":"m","choices":[{"index":0,"message":{"role":"assistant",'
    body += b'"content":"%s"},"finish_reason":"stop"}]}' % text.encode()
    return b"HTTP/1.1 200 OK\r\n%scontent-type: application/json\r\ncontent-length: %d\r\n\r\n%s" % (
        headers,
        len(body),
        body,
    )
