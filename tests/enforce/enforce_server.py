"""The world of the connect tests, run inside their namespace: a resolver on UDP 53, TLS on port 443 of every address, UDP 443.

Arguments: the zone as JSON (name → records "A 192.0.2.1", "AAAA ...", "CNAME ..."), certificate, key. A line on standard input
makes it print what arrived: for each connection its remote port, the raw bytes and the requests; and the UDP datagrams.
"""

from __future__ import annotations

import json
import socket
import ssl
import struct
import sys
import threading

ZONE, CERTIFICATE, KEY = json.loads(sys.argv[1]), sys.argv[2], sys.argv[3]
TYPES = {1: "A", 28: "AAAA"}
ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
CONNECTIONS: list[dict[str, int]] = []
DATAGRAMS: list[int] = []


def wire(name: str) -> bytes:
    return b"".join(bytes([len(part)]) + part.encode() for part in name.split(".")) + b"\0"


def answers(name: str, kind: str) -> list[bytes]:
    found = []
    for record in ZONE.get(name, []):
        form, value = record.split()
        if form == "CNAME":
            data = wire(value)
            found += [wire(name) + struct.pack("!HHIH", 5, 1, 60, len(data)) + data, *answers(value, kind)]
        elif form == kind:
            data = socket.inet_pton(socket.AF_INET if kind == "A" else socket.AF_INET6, value)
            found.append(wire(name) + struct.pack("!HHIH", 1 if kind == "A" else 28, 1, 60, len(data)) + data)
    return found


def resolver(address: str) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind((address, 53))
        while True:
            query, peer = sock.recvfrom(4096)
            labels, at = [], 12
            while query[at]:
                labels.append(query[at + 1 : at + 1 + query[at]].decode().lower())
                at += 1 + query[at]
            (kind,) = struct.unpack_from("!H", query, at + 1)
            found = answers(".".join(labels), TYPES[kind]) if kind in TYPES else []
            head = query[:2] + struct.pack("!HHHHH", 0x8180, 1, len(found), 0, 0)
            sock.sendto(head + query[12 : at + 5] + b"".join(found), peer)


class Tls:
    """The server's side of one TLS session, without a socket."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self.inward, self.outward = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.object = context.wrap_bio(self.inward, self.outward, server_side=True)
        self.begun, self.shaken, self.text = False, False, b""

    def feed(self, data: bytes) -> int:
        """Returns how many requests were answered; SSLError if it is no TLS."""
        if not self.shaken and not self.begun and data[:1] != b"\x16":
            raise ssl.SSLError("no TLS")
        self.begun = True
        self.inward.write(data)
        done = 0
        try:
            if not self.shaken:
                self.object.do_handshake()
                self.shaken = True
            while True:
                self.text += self.object.read(65536)
                while b"\r\n\r\n" in self.text:
                    self.text = self.text.split(b"\r\n\r\n", 1)[1]
                    self.object.write(ANSWER)
                    done += 1
        except ssl.SSLWantReadError:
            return done


def serve(connection: socket.socket, port: int, context: ssl.SSLContext) -> None:
    told = {"port": port, "raw": 0, "requests": 0}
    CONNECTIONS.append(told)
    tls = Tls(context)
    while data := connection.recv(65536):
        told["raw"] += len(data)
        try:
            told["requests"] += tls.feed(data)
            connection.sendall(tls.outward.read())
        except ssl.SSLError:
            if tls.shaken or data[:1] == b"\x16":
                return
            connection.sendall(ANSWER)  # it does not speak TLS, or not yet
            tls = Tls(context)


def guarded(connection: socket.socket, port: int, context: ssl.SSLContext) -> None:
    with connection:
        try:
            serve(connection, port, context)
        except OSError:
            return  # the client has gone


def listen(family: socket.AddressFamily, context: ssl.SSLContext) -> None:
    with socket.socket(family) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listener.bind(("", 443))
        listener.listen(128)
        READY.release()
        while True:
            connection, peer = listener.accept()
            threading.Thread(target=guarded, args=(connection, peer[1], context), daemon=True).start()


def datagrams() -> None:
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sock:
        sock.bind(("", 443))
        while True:
            data, peer = sock.recvfrom(2048)
            DATAGRAMS.append(len(data))
            sock.sendto(data, peer)


READY = threading.Semaphore(0)
CONTEXT = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
CONTEXT.load_cert_chain(CERTIFICATE, KEY)
for family in (socket.AF_INET, socket.AF_INET6):
    threading.Thread(target=listen, args=(family, CONTEXT), daemon=True).start()
    READY.acquire()
for target, arguments in ((resolver, ("192.0.2.53",)), (resolver, ("192.0.2.54",)), (datagrams, ())):
    threading.Thread(target=target, args=arguments, daemon=True).start()
print("ready", flush=True)
for _ in sys.stdin:
    print(json.dumps({"connections": CONNECTIONS, "datagrams": DATAGRAMS}), flush=True)
