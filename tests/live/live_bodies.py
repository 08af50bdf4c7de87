"""A server, over TLS or in the clear, that says what reached it: live_bodies.py [CERTIFICATE KEY].

It answers any POST with a chat completion, listens on a port of its own choice, which it prints, and on end of its standard input
prints one JSON object: each request's number (header x-number) → the body's bytes as text, and the bytes of all bodies.
"""

import json
import ssl
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

ANSWER = json.dumps(
    {
        "id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "gpt-4o",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "ok"}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
    }
).encode()  # fmt: skip
bodies: dict[str, str] = {}
lock = threading.Lock()
total = 0


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        global total
        number = self.headers.get("x-number", "")
        with lock:
            bodies.setdefault(number, "")
        left = int(self.headers.get("content-length") or 0)
        while left:
            data = self.rfile.read1(left)
            if not data:
                break
            left -= len(data)
            with lock:
                bodies[number] += data.decode("latin-1")
                total += len(data)
        if left:
            self.close_connection = True
            return
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(ANSWER)))
        self.end_headers()
        self.wfile.write(ANSWER)

    def log_message(self, *_: object) -> None:
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256

    def handle_error(self, *_: object) -> None:
        pass


def main(*certificate: str) -> None:
    server = Server(("127.0.0.1", 0), Handler)
    if certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(server.server_address[1], flush=True)
    sys.stdin.read()
    with lock:
        print(json.dumps({"bodies": bodies, "total": total}), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
