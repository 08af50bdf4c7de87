"""`python -S -E apart.py COMMAND ...`: runs a command as no child of ours, and looks like it: its exit status, and signals pass.

What one client does has nothing to do with what the next one does, and whoever watches must not take them for one family. Between
init and the command stands only a keeper of its own, which ends it when we are gone. Standard library only.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys

_PATIENCE = 10.0  # seconds from being asked to end to being killed, once we are gone
_NO_SUCH = 127


def _run(command: list[str]) -> None:
    """In place of this process, with the signals of a fresh one."""
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    try:
        os.execvp(command[0], command)
    except OSError as error:
        print(f"apart: {command[0]}: {error.strerror}", file=sys.stderr, flush=True)
    os._exit(_NO_SUCH)


def _keep(command: list[str], leash: int, told: int) -> None:
    """Begins the command, hands on what comes over the leash, and tells how it ended."""
    child = os.fork()
    if not child:
        os.close(leash)
        os.close(told)
        os.setpgid(0, 0)
        _run(command)
    ended = os.pidfd_open(child)
    waits: list[int] = [ended, leash]
    while ended not in (ready := select.select(waits, [], [], _PATIENCE if leash not in waits else None)[0]):
        if not ready:
            os.killpg(child, signal.SIGKILL)
        elif number := os.read(leash, 1):
            os.kill(child, number[0])
        else:  # nobody is at the other end any more
            waits.remove(leash)
            os.kill(child, signal.SIGINT)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    with contextlib.suppress(BrokenPipeError):  # nobody asks any more
        os.write(told, bytes([code if code >= 0 else 128 - code]))


def main(command: list[str]) -> int:
    """The command's exit status, 128 and the signal's number if one ended it."""
    leash_end, leash = os.pipe()
    heard, told = os.pipe()
    middle = os.fork()
    if not middle:
        os.close(leash)
        os.close(heard)
        os.setsid()
        if not os.fork():
            _keep(command, leash_end, told)
        os._exit(0)
    os.close(leash_end)
    os.close(told)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda n, _: os.write(leash, bytes([n])))
    os.waitpid(middle, 0)
    code = os.read(heard, 1)
    return code[0] if code else 128 + signal.SIGKILL


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
