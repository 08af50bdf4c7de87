"""Asks for names that content networks make up: names.py DOMAIN[,DOMAIN...] COUNT PAUSE."""

import contextlib
import random
import socket
import sys
import time

chance = random.Random("names")
for _ in range(int(sys.argv[2])):
    domain = chance.choice(sys.argv[1].split(","))
    label = "".join(
        chance.choice("abcdefghijklmnopqrstuvwxyz0123456789") for _letter in range(chance.choice((8, 13, 14, 20)))
    )
    with contextlib.suppress(socket.gaierror):
        socket.getaddrinfo(f"{label}.{domain}", 443, socket.AF_INET)
    time.sleep(float(sys.argv[3]))
