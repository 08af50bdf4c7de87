"""Questions of DNS that are asked twice: by a program, and on its behalf by a resolver on the same host."""

from __future__ import annotations

from collections import Counter

from leeward.detect.bounded import Bounded, Kept
from leeward.detect.roles import role
from leeward.model.activity import NameAsked

_WITHIN_NS = 10 * 10**9  # a resolver asks at once, and again after a few seconds (resolv.conf(5): timeout 5 s)


class _Asked(Kept, gc=False):
    pass


class Echoes:
    """Remembers what programs asked lately."""

    def __init__(self, name: str, counters: Counter[str]) -> None:
        self._asked: Bounded[_Asked] = Bounded(f"{name}_asked", counters, 16384, _WITHIN_NS, share=1)

    def heard(self, activity: NameAsked) -> bool:
        """Does a resolver ask for what a program of this host asked just before?"""
        process = activity.process
        if not process.pid:
            return False
        if "resolver" in role(process).groups:
            return self._asked.get("", activity.name, activity.ts) is not None
        if self._asked.get("", activity.name, activity.ts) is None:
            self._asked.put("", activity.name, _Asked(), activity.ts)
        return False
