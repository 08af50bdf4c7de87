"""A workload of the connect tests: each line on standard input is a JSON list (operation, arguments), answered with a line of
JSON. What fails is answered with the name of the exception."""

from __future__ import annotations

import ctypes
import json
import os
import socket
import ssl
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

OPEN: dict[str, Any] = {}


def family_of(ip: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in ip else socket.AF_INET


def resolve(name: str, kind: int = 1, server: str = "192.0.2.53") -> list[str]:
    """By a query of its own: nothing but one datagram each way."""
    query = b"\x12\x34\x01\x00" + struct.pack("!HHHH", 1, 0, 0, 0)
    query += (
        b"".join(bytes([len(part)]) + part.encode() for part in name.split(".")) + b"\0" + struct.pack("!HH", kind, 1)
    )
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(5)
        sock.sendto(query, (server, 53))
        return [str(len(sock.recv(4096)))]


def connect(ip: str, port: int = 443, proto: int = 0) -> str:
    with socket.socket(family_of(ip), socket.SOCK_STREAM, proto) as sock:
        sock.settimeout(5)
        sock.connect((ip, port))
    return "connected"


def shaken(sock: socket.socket, sni: str) -> ssl.SSLSocket:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context.wrap_socket(sock, server_hostname=sni or None)


def ask(tls: socket.socket) -> str:
    tls.sendall(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
    return tls.recv(4096).decode()[-2:]


def dialled(ip: str, port: int = 443, proto: int = 0) -> tuple[socket.socket, int]:
    sock = socket.socket(family_of(ip), socket.SOCK_STREAM, proto)
    sock.settimeout(10)
    sock.connect((ip, port))
    return sock, int(sock.getsockname()[1])


def https(ip: str, sni: str) -> list[Any]:
    """[what came back, local port, seconds until then]."""
    sock, port = dialled(ip)
    begun = time.monotonic()
    with sock:
        try:
            told = ask(shaken(sock, sni))
        except OSError as error:
            told = type(error).__name__
        return [told, port, time.monotonic() - begun]


def resolved_https(name: str, ip: str, sni: str) -> list[Any]:
    """Connects right behind the answer."""
    resolve(name)
    return https(ip, sni)


def hello(sni: str, padding: int = 0) -> bytes:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    out = ssl.MemoryBIO()
    tls = context.wrap_bio(ssl.MemoryBIO(), out, server_hostname=sni or None)
    with suppress(ssl.SSLWantReadError):  # it waits for the server's hello: its own is written
        tls.do_handshake()
    return out.read()


def records(data: bytes, size: int) -> bytes:
    """A hello in records of `size` bytes."""
    head, body = data[:3], data[5:]
    return b"".join(head + len(p).to_bytes(2) + p for p in (body[i : i + size] for i in range(0, len(body), size)))


def extended(data: bytes, kind: int, body: bytes) -> bytes:
    """A hello with one more extension, its first."""
    at = 9 + 34
    at += 1 + data[at]
    at += 2 + int.from_bytes(data[at : at + 2])
    at += 1 + data[at]
    more = struct.pack("!HH", kind, len(body)) + body
    extensions = int.from_bytes(data[at : at + 2]) + len(more)
    message = data[9:at] + extensions.to_bytes(2) + more + data[at + 2 :]
    return data[:3] + (len(message) + 4).to_bytes(2) + b"\x01" + len(message).to_bytes(3) + message


def raw(ip: str, sni: str, how: str, size: int = 0, first: str = "") -> list[Any]:
    """Sends a hello as told, then a second one like it; [whether the server answered it, local port]."""
    data = first.encode() if how == "plain" else hello(sni)
    if how == "records":
        data = records(data, size)
    if how == "ech":
        data = extended(data, 0xFE0D, b"\0" * 300)
    if how == "twice":
        data = extended(data, 0, struct.pack("!HBH", 10, 0, 7) + b"ok.test")
    if how == "fastopen":
        return in_the_syn(ip, data)
    sock, port = dialled(ip, proto=262 if how == "mptcp" else 0)
    with sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            if first and how != "plain":
                sock.sendall(first.encode())
                sock.recv(4096)
            for at in range(0, len(data), size if how == "segments" else len(data)):
                sock.sendall(data[at : at + size] if how == "segments" else data)
            told = "answered" if sock.recv(4096) else "closed"
        except OSError as error:
            told = type(error).__name__
        return [told, port]


def in_the_syn(ip: str, data: bytes) -> list[Any]:
    with socket.socket(family_of(ip)) as sock:
        sock.settimeout(10)
        try:
            sock.sendto(data, socket.MSG_FASTOPEN, (ip, 443))
            told = "answered" if sock.recv(4096) else "closed"
        except OSError as error:
            told = type(error).__name__
        return [told, sock.getsockname()[1]]


def udp(ip: str, port: int, how: str) -> str:
    with socket.socket(family_of(ip), socket.SOCK_DGRAM) as sock:
        sock.settimeout(5)
        if how == "connect":
            sock.connect((ip, port))
            sock.send(b"quic?")
        else:
            sock.sendto(b"quic?", (ip, port))
        return sock.recv(100).decode()


def open_tls(key: str, ip: str, sni: str) -> list[Any]:
    sock, port = dialled(ip)
    OPEN[key] = shaken(sock, sni)
    return [ask(OPEN[key]), port]


def open_tcp(key: str, ip: str) -> int:
    OPEN[key], port = dialled(ip)
    return port


def wait(key: str) -> list[Any]:
    """What a client that waits for an answer sees below TLS (Python's ssl says of any error that it is the end), and after how
    many seconds."""
    begun = time.monotonic()
    plain = socket.socket(fileno=os.dup(OPEN[key].fileno()))
    plain.settimeout(10)
    try:
        told = "answered" if plain.recv(10) else "closed"
    except OSError as error:
        told = type(error).__name__
    return [told, time.monotonic() - begun]


def ask_again(key: str) -> str:
    return ask(OPEN[key])


def hello_on(key: str, sni: str) -> str:
    return ask(shaken(OPEN[key], sni))


def child(code: str) -> str:
    """What a child process prints."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    return (done.stdout + done.stderr).strip().splitlines()[-1]


def run(*command: str) -> list[Any]:
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    return [done.returncode, done.stdout + done.stderr]


def leaderless(ip: str) -> str:
    """What another thread sees when the first one of the process has ended."""
    reader, writer = os.pipe()
    pid = os.fork()
    if not pid:
        import threading

        def later() -> None:
            while b"Z" not in Path(f"/proc/self/task/{os.getpid()}/stat").read_bytes().rpartition(b")")[2][:3]:
                time.sleep(0.01)
            try:
                told = connect(ip)
            except OSError as error:
                told = type(error).__name__
            os.write(writer, told.encode())
            os._exit(0)

        threading.Thread(target=later).start()
        ctypes.CDLL(None).syscall(60, 0)  # exit(2): of this thread only
    told = os.read(reader, 100).decode()
    os.waitpid(pid, 0)
    return told


OPERATIONS: dict[str, Callable[..., Any]] = {
    **{f.__name__: f for f in (resolve, connect, https, resolved_https, raw, udp, open_tls, open_tcp, wait, ask_again)},
    **{f.__name__: f for f in (hello_on, child, run, leaderless)},
}
for line in sys.stdin:
    name, *arguments = json.loads(line)
    try:
        answer = OPERATIONS[name](*arguments)
    except OSError as error:
        answer = type(error).__name__
    print(json.dumps(answer), flush=True)
