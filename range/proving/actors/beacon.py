"""Calls home: beacon.py HOW HOST PORT PERIOD JITTER COUNT [SEED]. HOW: tcp (a connection each), kept (one for all), tls, http,
or dns (HOST is the domain). What it carries is a few bytes that mean nothing."""

import os
import random
import socket
import ssl
import sys
import time
import urllib.request

how, host, port, period, jitter, count = sys.argv[1:7]
chance = random.Random(sys.argv[7] if len(sys.argv) > 7 else "beacon")
kept = None


def exchange(connection):
    connection.sendall(b"i" + os.urandom(39))
    connection.recv(256)


def call():
    global kept
    if how == "dns":
        try:
            socket.getaddrinfo(f"{os.urandom(6).hex()}.{host}", None, socket.AF_INET)
        except socket.gaierror:
            return
    elif how == "http":
        path = f"/{chance.choice(['jquery', 'lib', 'asset'])}-{os.urandom(4).hex()}.js"
        with urllib.request.urlopen(f"http://{host}:{port}{path}", timeout=5) as answer:
            answer.read()
    elif how == "kept":
        kept = kept or socket.create_connection((host, int(port)), 5)
        exchange(kept)
    else:
        with socket.create_connection((host, int(port)), 5) as plain:
            if how == "tls":
                with ssl.create_default_context().wrap_socket(plain, server_hostname=host) as wrapped:
                    exchange(wrapped)
            else:
                exchange(plain)


due = time.monotonic()
for _ in range(int(count)):
    call()
    due += float(period) * (1 + chance.uniform(-1, 1) * float(jitter))
    time.sleep(max(0.0, due - time.monotonic()))
