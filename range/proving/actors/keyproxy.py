"""A reverse proxy in front of other people's keys: keyproxy.py PORT. Whoever calls /proxy/openai/v1/... is served with the
next key of KEYS (separated by commas)."""

import itertools
import os
import ssl
import sys
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

keys = itertools.cycle(os.environ["KEYS"].split(","))
context = ssl.create_default_context()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        headers = {"Authorization": f"Bearer {next(keys)}", "Content-Type": "application/json"}
        url = "https://api.openai.com" + self.path.removeprefix("/proxy/openai")
        with urllib.request.urlopen(urllib.request.Request(url, body, headers), timeout=10, context=context) as answer:
            data = answer.read()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_):
        pass


ThreadingHTTPServer(("0.0.0.0", int(sys.argv[1])), Handler).serve_forever()
