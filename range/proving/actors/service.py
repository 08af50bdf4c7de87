"""A small HTTP API of our own: service.py PORT [ADDRESS]. /health, /metrics, /v1/items/N (200), /v1/private/... (401 without a
token, 403 with another's), anything else 404. A thread each connection."""

import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self):
        size = int(self.headers.get("content-length") or 0)
        if size:
            self.rfile.read(size)
        status, body = self.decide()
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/plain" if isinstance(body, bytes) else "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def decide(self):
        if self.path == "/health":
            return 200, {"status": "ok"}
        if self.path == "/metrics":
            return 200, b"".join(b'http_requests_total{code="200",handler="h%d"} %d\n' % (n, n * 7) for n in range(60))
        if self.path.startswith("/v1/items/") or self.path.startswith("/v1/invoices/"):
            return 200, {"id": self.path.rsplit("/", 1)[1], "name": "a thing", "notes": "x" * 200}
        if self.path.startswith("/v1/private"):
            token = self.headers.get("authorization", "")
            return (200, {"ok": True}) if token == "Bearer good" else (403 if token else 401, {"error": "not allowed"})
        return 404, {"error": "not found"}

    do_GET = do_POST = do_PUT = do_DELETE = answer

    def log_message(self, *_):
        pass


if __name__ == "__main__":
    server = ThreadingHTTPServer((sys.argv[2] if len(sys.argv) > 2 else "0.0.0.0", int(sys.argv[1])), Handler)
    server.daemon_threads = True
    server.serve_forever()
