"""Opens connections one after another, says a word and goes on: connect.py PAUSE HOST:PORT..."""

import contextlib
import socket
import sys
import time

for target in sys.argv[2:]:
    host, port = target.rsplit(":", 1)
    with contextlib.suppress(OSError), socket.create_connection((host, int(port)), 1) as connection:
        connection.settimeout(0.5)
        connection.sendall(b"PING\r\n")
        connection.recv(256)
    time.sleep(float(sys.argv[1]))
