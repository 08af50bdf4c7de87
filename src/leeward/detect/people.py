"""Whether a person sits at a process: it or a process above it has a terminal as a standard stream.

Invariant: bounded; the process that was longest not started leaves first and is counted.
"""

from __future__ import annotations

from collections import Counter, OrderedDict

from leeward.detect.programs import trusted
from leeward.model.activity import Ended, Started
from leeward.model.process import Process

_MOST = 16_384
_SERVE = ("model-server", "web-server", "service-manager", "super-server", "ci-runner", "container-runtime")


class People:
    """Told of every program that starts and every process that ends."""

    def __init__(self, counters: Counter[str], name: str) -> None:
        self._counters, self._name = counters, name
        self._terminals: OrderedDict[int, bool] = OrderedDict()

    def started(self, activity: Started) -> None:
        """With a terminal for its input; where only output is one (`curl | sh` at a prompt) that is enough too."""
        pid = activity.process.pid
        self._terminals.pop(pid, None)
        self._terminals[pid] = any(stream.kind == "tty" for stream in activity.streams)
        if len(self._terminals) > _MOST:
            self._terminals.popitem(last=False)
            self._counters[f"{self._name}_processes_evicted"] += 1

    def ended(self, activity: Ended) -> None:
        self._terminals.pop(activity.process.pid, None)

    def at(self, process: Process) -> bool:
        """Is there a terminal, nearer than any server that runs it?"""
        if self._terminals.get(process.pid, False):
            return True
        for above in process.ancestors[:12]:
            if self._terminals.get(above.pid, False):
                return True
            if trusted(above, _SERVE):
                return False
        return False
