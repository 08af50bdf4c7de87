"""What Gradio's server answers, without Gradio: gradio.py ADDRESS PORT [PASSWORD]. With a password, only to who logged in."""

import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

password = sys.argv[3] if len(sys.argv) > 3 else ""
CONFIG = {
    "version": "5.9.1",
    "api_prefix": "/gradio_api",
    "mode": "chat_interface",
    "app_id": 4711,
    "dev_mode": False,
    "title": "Gradio",
    "components": [{"id": 1, "type": "chatbot", "props": {"label": "Chatbot"}}],
    "dependencies": [{"id": 0, "targets": [[2, "submit"]], "api_name": "chat"}],
    "protocol": "sse_v3",
}
INFO = {"named_endpoints": {"/chat": {"parameters": [{"label": "Message"}], "returns": []}}, "unnamed_endpoints": {}}


class Handler(BaseHTTPRequestHandler):
    protocol_version, server_version, sys_version = "HTTP/1.1", "uvicorn", ""

    def answer(self):
        size = int(self.headers.get("content-length") or 0)
        sent = self.rfile.read(size)
        status, kind, body, cookie = self.decide(sent)
        data = body.encode() if isinstance(body, str) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(data)))
        if cookie:
            self.send_header("set-cookie", "access-token-x=c0ffee; HttpOnly; Path=/")
        self.end_headers()
        self.wfile.write(data)

    def decide(self, sent):
        json_kind, path = "application/json", self.path
        if path == "/login":
            right = f"password={password}".encode() in sent
            return (
                (200, json_kind, {"success": True}, True) if right else (400, json_kind, {"detail": "Incorrect"}, False)
            )
        if password and "access-token-x=c0ffee" not in (self.headers.get("cookie") or ""):
            return 401, json_kind, {"detail": "Not authenticated"}, False
        if path == "/config":
            return 200, json_kind, CONFIG, False
        if path == "/gradio_api/info":
            return 200, json_kind, INFO, False
        if path == "/gradio_api/call/chat":
            return 200, json_kind, {"event_id": "5d0c1a"}, False
        if path.startswith("/gradio_api/call/chat/"):
            return 200, "text/event-stream", 'event: complete\ndata: ["an answer of the model"]\n\n', False
        if path == "/":
            return 200, "text/html", f"<script>window.gradio_config = {json.dumps(CONFIG)};</script>", False
        return 404, json_kind, {"detail": "Not Found"}, False

    do_GET = do_POST = answer

    def log_message(self, *_):
        pass


server = ThreadingHTTPServer((sys.argv[1], int(sys.argv[2])), Handler)
server.daemon_threads = True
server.serve_forever()
