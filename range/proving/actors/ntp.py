"""Asks two servers of the pool for the time: ntp.py PERIOD COUNT."""

import socket
import sys
import time

for _ in range(int(sys.argv[2])):
    for number in (1, 2):
        asker = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        asker.settimeout(2)
        asker.connect((f"{number}.debian.pool.ntp.org", 123))
        asker.send(b"\x23" + bytes(47))
        asker.recv(512)
        asker.close()
    time.sleep(float(sys.argv[1]))
