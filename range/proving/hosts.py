"""Hosts on the other side of a scenario's cable: an address, names, and what listens there. All of it in threads of ours.

Servers are real sockets with TLS of the range's own authority. What goes wrong on a connection ends that connection only.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import ssl
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from proving.ca import Authority
from proving.field import Field


@dataclass(frozen=True)
class Asked:
    """A request as it came. peer: address of who asked."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    peer: str

    def json(self) -> Any:
        """The body's value."""
        return json.loads(self.body)


@dataclass(frozen=True)
class Reply:
    """What a server answers. body: bytes, or a value that becomes JSON."""

    body: Any = b""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    kind: str = ""

    def content(self) -> tuple[bytes, str]:
        """The body and its media type."""
        if isinstance(self.body, bytes):
            return self.body, self.kind or "application/octet-stream"
        if isinstance(self.body, str):
            return self.body.encode(), self.kind or "text/plain; charset=utf-8"
        return json.dumps(self.body).encode(), self.kind or "application/json"


class Host:
    """One of them. requests: paths that were asked of its HTTP servers; received: bytes that its servers read."""

    def __init__(self, net: Field, authority: Authority, address: str, names: tuple[str, ...]) -> None:
        self.address, self.names = address, names
        self.requests: list[str] = []
        self.received = 0
        self._net, self._authority = net, authority
        self._closing: list[Callable[[], None]] = []

    def _tls(self) -> ssl.SSLContext:
        pair = self._authority.issue(*(self.names or (self.address,)))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pair.cert, pair.key)
        return context

    def listen(self, port: int, serve: Callable[[socket.socket], None], *, tls: bool = False) -> None:
        """Accepts connections; each is served in a thread and closed when `serve` returns."""
        context = self._tls() if tls else None

        def opened() -> None:
            listener = socket.create_server((self.address, port), backlog=128)
            self._closing.append(listener.close)
            threading.Thread(target=accept, args=(listener,), daemon=True).start()

        def accept(listener: socket.socket) -> None:
            with contextlib.suppress(OSError):  # closed: the scenario is over
                while True:
                    connection, _ = listener.accept()
                    threading.Thread(target=answer, args=(connection,), daemon=True).start()

        def answer(connection: socket.socket) -> None:
            with contextlib.suppress(OSError), connection:
                connection.settimeout(60)
                if context is None:
                    serve(connection)
                else:
                    with context.wrap_socket(connection, server_side=True) as wrapped:
                        serve(wrapped)

        self._net.beyond(opened)

    def http(self, port: int, serve: Callable[[Asked], Reply], *, tls: bool = False) -> None:
        """An HTTP/1.1 server."""
        host, context = self, self._tls() if tls else None

        class Handler(_Handler):
            pass

        Handler.host, Handler.serve = host, staticmethod(serve)

        class Server(ThreadingHTTPServer):
            daemon_threads, request_queue_size = True, 128

            def finish_request(self, request: Any, client_address: Any) -> None:
                with contextlib.suppress(OSError):
                    if context is not None:
                        request = context.wrap_socket(request, server_side=True)
                    super().finish_request(request, client_address)
                    request.close()

        def opened() -> None:
            server = Server((self.address, port), Handler)
            self._closing.append(server.shutdown)
            self._closing.append(server.server_close)
            threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()

        self._net.beyond(opened)

    def udp(self, port: int, answer: Callable[[bytes], bytes]) -> None:
        """Answers datagrams, each with what `answer` returns unless that is empty."""

        def opened() -> None:
            bound = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            bound.bind((self.address, port))
            self._closing.append(bound.close)
            threading.Thread(target=serve, args=(bound,), daemon=True).start()

        def serve(bound: socket.socket) -> None:
            with contextlib.suppress(OSError):
                while True:
                    data, peer = bound.recvfrom(65535)
                    self.received += len(data)
                    if reply := answer(data):
                        bound.sendto(reply, peer)

        self._net.beyond(opened)

    def connect(self, address: str, port: int) -> socket.socket:
        """A connection from this host to ours."""
        return self._net.beyond(lambda: socket.create_connection((address, port), 10, (self.address, 0)))

    def ask(
        self, address: str, port: int, method: str, path: str, body: bytes | None = None, **headers: str
    ) -> tuple[int, bytes]:
        """An HTTP request from this host to ours: status and body."""
        connection = http.client.HTTPConnection(address, port, timeout=10)
        connection.sock = self.connect(address, port)
        with contextlib.closing(connection):
            connection.request(method, path, body, {k.replace("_", "-"): v for k, v in headers.items()})
            answer = connection.getresponse()
            return answer.status, answer.read()

    def close(self) -> None:
        """Nothing listens any more."""
        for close in self._closing:
            close()
        self._closing.clear()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    host: Host
    serve: Callable[[Asked], Reply]

    def handle_one_request(self) -> None:
        self.raw_requestline = self.rfile.readline(65537)
        if not self.raw_requestline or not self.parse_request():
            self.close_connection = True
            return
        body = self._body()
        self.host.requests.append(f"{self.command} {self.path}")
        self.host.received += len(body)
        reply = type(self).serve(Asked(self.command, self.path, self.headers, body, str(self.client_address[0])))
        content, kind = reply.content()
        self.send_response(reply.status)
        for name, value in reply.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)
        self.wfile.flush()

    def _body(self) -> bytes:
        if self.headers.get("transfer-encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("content-length") or 0))
        parts = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def log_message(self, format: str, *args: Any) -> None:
        pass
