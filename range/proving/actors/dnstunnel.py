"""Random bytes as names: dnstunnel.py DOMAIN BYTES QUERIES_A_SECOND. Asks for TXT records, one question after another."""

import base64
import os
import socket
import struct
import sys
import time

domain, left, rate = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
with open("/etc/resolv.conf") as file:
    server = next(line.split()[1] for line in file if line.startswith("nameserver"))
asker = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
asker.settimeout(2)
asker.connect((server, 53))
number = 0
while left > 0:
    data = os.urandom(min(left, 105))
    left -= len(data)
    text = base64.b32encode(data).decode().rstrip("=").lower()
    labels = [text[at : at + 57] for at in range(0, len(text), 57)] + domain.split(".")
    name = b"".join(bytes([len(label)]) + label.encode() for label in labels) + b"\0"
    number += 1
    asker.send(struct.pack("!6H", number & 0xFFFF, 0x0100, 1, 0, 0, 0) + name + struct.pack("!HH", 16, 1))
    asker.recv(4096)
    time.sleep(1 / rate)
