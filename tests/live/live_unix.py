"""Both ends of UNIX stream sockets, with every system call that reads or writes.

live_unix.py serve PATH          echoes; prints "ready" when it listens
live_unix.py calls PATH          each call in turn, in both directions; prints all that was sent
live_unix.py fork PATH           connects, says "parent", has a child say "child", which closes and exits, then says "again"
live_unix.py wait PATH           says "before", waits for a line on standard input, says "after", exits without closing
live_unix.py say PATH HEX        says these bytes six times with write(2)
"""

import os
import socket
import sys
import threading


def connect(path: str) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX)
    sock.connect(path)
    return sock


def said(sock: socket.socket, text: bytes) -> None:
    sock.sendall(text)
    assert sock.recv(4096) == text


def serve(path: str) -> None:
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen()
    print("ready", flush=True)
    while True:
        threading.Thread(target=echo, args=(listener.accept()[0],), daemon=True).start()


def echo(sock: socket.socket) -> None:
    while data := sock.recv(1 << 16):
        sock.sendall(data)


def whole(sock: socket.socket, text: bytes) -> None:
    got = b""
    while len(got) < len(text):
        got += sock.recv(len(text) - len(got), socket.MSG_WAITALL)
    assert got == text


def calls(path: str) -> None:
    sock = connect(path)
    fd, sent = sock.fileno(), []

    def pairs() -> list:
        room = [bytearray(3), bytearray(1), bytearray(4096)]
        return [
            (lambda t: sock.send(t), lambda: sock.recv(4096)),
            (lambda t: os.write(fd, t), lambda: os.read(fd, 4096)),
            (lambda t: os.writev(fd, [t[:2], b"", t[2:5], t[5:]]), lambda: os.readv(fd, room)),
            (lambda t: sock.sendmsg([t[i : i + 1] for i in range(len(t))]), lambda: sock.recvmsg_into(room)),
            (lambda t: sock.send(t), lambda: (sock.recv(4096, socket.MSG_PEEK), sock.recv(4096))),
            (lambda t: os.write(os.dup(fd), t), lambda: os.read(os.dup(fd), 4096)),
        ]

    for number, (write, read) in enumerate(pairs()):
        text = b"message %d" % number
        assert write(text) == len(text)
        read()
        sent.append(text)
    for size in (511, 5000, 60000, 150_000):
        text = bytes(i % 251 for i in range(size))
        threading.Thread(target=sock.sendall, args=(text,)).start()
        whole(sock, text)
        sent.append(text)
    sys.stdout.buffer.write(b"".join(sent))


def fork(path: str) -> None:
    sock = connect(path)
    said(sock, b"parent")
    child = os.fork()
    if not child:
        said(sock, b"child")
        sock.close()
        os._exit(0)
    os.waitpid(child, 0)
    said(sock, b"again")
    print(os.getpid(), child, flush=True)
    sock.close()
    sys.stdin.readline()


def wait(path: str) -> None:
    sock = connect(path)
    said(sock, b"before")
    print("ready", flush=True)
    sys.stdin.readline()
    said(sock, b"after")
    os._exit(0)


def say(path: str, text: str) -> None:
    sock = connect(path)
    for _ in range(6):
        os.write(sock.fileno(), bytes.fromhex(text))
        os.read(sock.fileno(), 4096)


{"serve": serve, "calls": calls, "fork": fork, "wait": wait, "say": say}[sys.argv[1]](*sys.argv[2:])
