"""A build runner: runner.py HOST PORT JOBS. Holds a connection to its server and hands each job to a bash by a pipe."""

import json
import socket
import subprocess
import sys

server = socket.create_connection((sys.argv[1], int(sys.argv[2])), 10)
lines = server.makefile("r")
for _ in range(int(sys.argv[3])):
    server.sendall(b"next\n")
    job = json.loads(lines.readline())
    done = subprocess.run(["bash", "-eo", "pipefail"], input=job, capture_output=True, text=True, check=False)
    for line in (done.stdout + done.stderr).splitlines():
        server.sendall(f"log {line}\n".encode())
    server.sendall(f"done {done.returncode}\n".encode())
