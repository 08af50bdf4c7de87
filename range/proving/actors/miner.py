"""Speaks Stratum as a miner does and computes nothing: miner.py HOST PORT SHARES."""

import json
import os
import socket
import sys
import time

host, port, shares = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
pool = socket.create_connection((host, port), 5)
login = {"login": "4" + "A" * 94, "pass": "x", "agent": "XMRig/6.21.0 (Linux x86_64)", "algo": ["rx/0"]}


def say(number, method, parameters):
    pool.sendall(json.dumps({"id": number, "jsonrpc": "2.0", "method": method, "params": parameters}).encode() + b"\n")
    pool.recv(4096)


say(1, "login", login)
for number in range(shares):
    time.sleep(1.1)
    say(number + 2, "submit", {"id": "s", "job_id": "0", "nonce": os.urandom(4).hex(), "result": os.urandom(32).hex()})
