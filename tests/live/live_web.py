"""A server that is no AI's and a client that calls it on one kept connection.

`serve [CERT KEY]` prints its port and answers /no/... with 401, all else with 200. `call PORT COUNT PAUSE KINDS [tls]` asks for
/ok/N and /no/N (KINDS: ok,no) in turns, COUNT times each, PAUSE seconds apart; without a pause, for the last time after three
seconds.
"""

from __future__ import annotations

import http.client
import ssl
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = 1 << 16

    def do_GET(self) -> None:
        self.send_response(401 if self.path.startswith("/no/") else 200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

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
