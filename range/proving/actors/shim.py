"""Stands between a container and its engine, as containerd's shim does: shim.py ROOT BUNDLE ID. Its container is detached, so
that the processes in it are children of this one. Orders come as lines of JSON through BUNDLE/orders: {"argv": [...], "out":
file}; the exit status goes to a file of that name with ".code" after it."""

import ctypes
import json
import os
import subprocess
import sys

root, bundle, name = sys.argv[1:]
ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER


def run(*arguments, out):
    command = ["runc", "--root", root, *arguments]
    return subprocess.run(command, stdout=out, stderr=out, stdin=subprocess.DEVNULL, check=False).returncode


def status(pid_file):
    with open(pid_file) as file:
        return os.waitstatus_to_exitcode(os.waitpid(int(file.read()), 0)[1])


orders = os.open(f"{bundle}/orders", os.O_RDWR)  # before the container: who sees it run may order
with open(f"{bundle}/init.out", "wb") as out:
    if run("run", "-d", "--bundle", bundle, "--pid-file", f"{bundle}/pid", name, out=out):
        sys.exit("the container did not start")
rest = b""
while True:
    *whole, rest = (rest + os.read(orders, 65536)).split(b"\n")
    for order in map(json.loads, whole):
        where = order["out"]
        with open(where, "wb") as out:
            code = run("exec", "-d", "--pid-file", f"{where}.pid", name, *order["argv"], out=out) or status(
                f"{where}.pid"
            )
        with open(f"{where}.new", "w") as file:
            file.write(str(code))
        os.rename(f"{where}.new", f"{where}.code")
