"""Runs programs under a sensor that watches nothing else, and collects what it tells of them."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable

from leeward.model.raw import ProcessExec, ProcessExited, RawEvent, SystemCalled
from leeward.sensor.kernel import KernelSensor, Options

_PRELUDE = """
import ctypes, os, socket, subprocess, sys, time
libc = ctypes.CDLL(None, use_errno=True)
def must(result):
    assert result >= 0, os.strerror(ctypes.get_errno())
    return result
def call(number, *args):
    return must(libc.syscall(ctypes.c_long(number), *(ctypes.c_long(a) if isinstance(a, int) else a for a in args)))
"""


class Watcher:
    def __init__(self) -> None:
        self.sensor = KernelSensor(Options(only_tracked=True, payload_ring=1 << 20))

    def run(self, code: str, *args: str, before: Callable[[], None] = lambda: None) -> tuple[int, list[RawEvent]]:
        """The pid of a Python program with this code, and what was told until it had ended. `before` is called in it first."""
        gate, opener = os.pipe()
        pid = os.fork()
        if pid == 0:
            try:
                os.close(opener)
                os.read(gate, 1)
                before()
                os.execv(sys.executable, [sys.executable, "-S", "-c", _PRELUDE + code, *args])
            finally:
                os._exit(127)
        os.close(gate)
        self.sensor.track(pid)
        os.write(opener, b"g")
        os.close(opener)
        return pid, self._until_ended(pid)

    def _until_ended(self, pid: int) -> list[RawEvent]:
        events: list[RawEvent] = []
        end = time.monotonic() + 30
        while time.monotonic() < end:
            events += self.sensor.poll(0.02)
            if any(isinstance(e, ProcessExited) and e.pid == pid for e in events):
                break
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        assert status == 0, f"the program ended with {status}"
        return [*events, *self.sensor.poll(0.02), *self.sensor.stats()]

    def calls(self, code: str, *args: str) -> list[SystemCalled]:
        """The system calls told of a program, in order."""
        return of_calls(self.run(code, *args)[1])


def of_calls(events: list[RawEvent]) -> list[SystemCalled]:
    return [event for event in events if isinstance(event, SystemCalled)]


def of_execs(events: list[RawEvent]) -> list[ProcessExec]:
    return [event for event in events if isinstance(event, ProcessExec)]
