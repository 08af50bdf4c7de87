"""A server that is no AI's and a client that calls it on one kept connection.

`serve [CERT KEY]` prints its port and answers /no/... with 401, all else with 200, /key/... with a script that has a made-up key.
`call PORT COUNT PAUSE KINDS [tls]` asks for /ok/N, /no/N and /key/N (KINDS: some of ok,no,key) in turns, COUNT times each, PAUSE
seconds apart; without a pause, for the last time after three seconds.
"""

from __future__ import annotations

import hashlib
import http.client
import ssl
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

KEY = "sk-proj-" + hashlib.sha256(b"made up").hexdigest()
SCRIPT = f'{" " * 1500}window.ENV = {{"openaiKey": "{KEY}"}};\n'.encode()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = 1 << 16

    def do_GET(self) -> None:
        self.send_response(401 if self.path.startswith("/no/") else 200)
        answer = SCRIPT if self.path.startswith("/key/") else b"ok"
        if answer is SCRIPT:
            self.send_header("Content-Type", "text/javascript")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: object) -> None:
        """Quiet."""


def serve(arguments: list[str]) -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    if arguments:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*arguments)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    print(server.server_address[1], flush=True)
    server.serve_forever()


def call(port: int, count: int, pause: float, kinds: list[str], tls: bool) -> None:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    connection: http.client.HTTPConnection
    if tls:
        connection = http.client.HTTPSConnection("127.0.0.1", port, context=context)
    else:
        connection = http.client.HTTPConnection("127.0.0.1", port)
    for number in range(count):
        if not pause and number == count - 1:
            time.sleep(3)
        for kind in kinds:
            connection.request(
                "GET", f"/{kind}/{number}", headers={"Authorization": "Bearer made-up", "User-Agent": "live-web"}
            )
            connection.getresponse().read()
            time.sleep(pause)
    connection.close()


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        serve(sys.argv[2:])
    else:
        call(int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4]), sys.argv[5].split(","), len(sys.argv) > 6)
