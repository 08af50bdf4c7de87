"""An AI service over TLS that says what reached it, and sends the end of a stream only when it is told to."""

from __future__ import annotations

import json
import ssl
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

CHAT = {
    "id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "gpt-4o",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "fine"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 7, "completion_tokens": 1, "total_tokens": 8},
}  # fmt: skip
CLAUDE = {
    "id": "msg_1", "type": "message", "role": "assistant", "model": "claude-sonnet-5",
    "content": [{"type": "text", "text": "fine"}], "stop_reason": "end_turn", "stop_sequence": None,
    "usage": {"input_tokens": 7, "output_tokens": 1},
}  # fmt: skip
_CHUNK = {"id": "chatcmpl-2", "object": "chat.completion.chunk", "created": 1, "model": "gpt-4o"}


def _chunk(text: str | None) -> bytes:
    choice = {"index": 0, "delta": {"content": text} if text else {}, "finish_reason": None if text else "stop"}
    return f"data: {json.dumps({**_CHUNK, 'choices': [choice]})}\n\n".encode()


class Upstream:
    """connections: taken so far. requests: (path, headers, body) each. rest: lets streams go on. asked, left: a request came,
    its client went away before the answer."""

    def __init__(self, address: str, context: ssl.SSLContext | None) -> None:
        self.connections = 0
        self.requests: list[tuple[str, dict[str, str], bytes]] = []
        self.rest = threading.Event()
        self.rest_sent = threading.Event()
        self.asked, self.left = threading.Event(), threading.Event()
        upstream = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version, wbufsize = "HTTP/1.1", 1 << 16

            def do_GET(self) -> None:
                self._answer(b'{"object": "list", "data": []}', "application/json")

            def do_POST(self) -> None:
                body = self._body()
                upstream.requests.append((self.path, {k.lower(): v for k, v in self.headers.items()}, body))
                upstream.asked.set()
                if self.path.endswith("/cut"):  # promises more than it sends
                    self.send_response(200)
                    self.send_header("content-length", "100")
                    self.end_headers()
                    self.wfile.write(b"0123456789")
                    self.close_connection = True
                elif self.path.endswith("/hang-up"):
                    self.close_connection = True
                elif self.path.endswith("/waits"):
                    if not self.rfile.read(1):
                        upstream.left.set()
                elif self.path.endswith("/silent"):
                    upstream.rest.wait(60)
                    self.close_connection = True
                elif b'"stream":true' in body.replace(b" ", b""):
                    self._stream()
                else:
                    answer: dict[str, Any] = CLAUDE if "messages" in self.path else CHAT
                    self._answer(json.dumps(answer).encode(), "application/json")

            def _body(self) -> bytes:
                if "chunked" in self.headers.get("transfer-encoding", ""):
                    body = b""
                    while size := int(self.rfile.readline(), 16):
                        body += self.rfile.read(size)
                        self.rfile.readline()
                    self.rfile.readline()
                    return body
                return self.rfile.read(int(self.headers.get("content-length") or 0))

            def _answer(self, body: bytes, kind: str) -> None:
                self.send_response(200)
                self.send_header("content-type", kind)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def _stream(self) -> None:
                self.send_response(200)
                self.send_header("content-type", "text/event-stream")
                self.send_header("transfer-encoding", "chunked")
                self.end_headers()
                self._piece(_chunk("one"))
                upstream.rest.wait(60)
                upstream.rest_sent.set()
                self._piece(_chunk(" two"))
                self._piece(_chunk(None) + b"data: [DONE]\n\n")
                self._piece(b"")

            def _piece(self, data: bytes) -> None:
                self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
                self.wfile.flush()

            def log_message(self, *_: object) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def process_request(self, request: Any, client_address: Any) -> None:
                upstream.connections += 1
                super().process_request(request, client_address)

            def handle_error(self, *_: object) -> None:
                pass

        self._server = Server((address, 0), Handler)
        if context is not None:
            self._server.socket = context.wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False
            )
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self.port = self._server.server_address[1]
        self.url = f"{'https' if context else 'http'}://{address}:{self.port}"

    def forget(self) -> None:
        self.connections = 0
        self.requests.clear()
        for event in (self.rest, self.rest_sent, self.asked, self.left):
            event.clear()

    def close(self) -> None:
        self.rest.set()
        self._server.shutdown()
        self._server.server_close()
