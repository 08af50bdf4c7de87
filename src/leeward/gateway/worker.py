"""A thread that makes calls for others.

Invariants: one call at a time; those that somebody waits for come first, and among equals the one that was given first; what was
given before `close` is made.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from itertools import count
from queue import PriorityQueue
from typing import Any, TypeVar

_T = TypeVar("_T")
_URGENT, _LATER, _LAST = 0, 1, 2


class Worker:
    def __init__(self, name: str) -> None:
        self._calls: PriorityQueue[tuple[int, int, Callable[[], None] | None]] = PriorityQueue()
        self._numbers = count()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def submit(self, call: Callable[[], _T], *, urgent: bool) -> Future[_T]:
        """urgent: somebody waits for it."""
        future: Future[_T] = Future()
        self._calls.put((_URGENT if urgent else _LATER, next(self._numbers), lambda: _make(call, future)))
        return future

    def close(self) -> None:
        """Waits until everything is done."""
        self._calls.put((_LAST, next(self._numbers), None))
        self._thread.join()

    def _run(self) -> None:
        while (call := self._calls.get()[2]) is not None:
            call()


def _make(call: Callable[[], Any], future: Future[Any]) -> None:
    if not future.set_running_or_notify_cancel():
        return
    try:
        future.set_result(call())
    except BaseException as error:  # it is for who asked
        future.set_exception(error)
