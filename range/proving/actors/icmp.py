"""Random bytes in echo requests, through a raw socket: icmp.py ADDRESS SIZE COUNT."""

import os
import socket
import struct
import sys
import time

address, size, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])


def checksum(data):
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total >> 16) + (total & 0xFFFF)
    return ~(total + (total >> 16)) & 0xFFFF


raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
for number in range(count):
    body = os.urandom(size)
    head = struct.pack("!BBHHH", 8, 0, 0, os.getpid() & 0xFFFF, number & 0xFFFF)
    head = struct.pack("!BBHHH", 8, 0, checksum(head + body), os.getpid() & 0xFFFF, number & 0xFFFF)
    raw.sendto(head + body, (address, 0))
    if number % 10 == 9:
        time.sleep(0.03)
