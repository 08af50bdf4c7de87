"""Baselines between runs: restored at the start, written every few minutes and at the end; and asked about by the API's threads.

Invariants: the baselines are touched by the observing thread only, in `step`, a slice of them at a time, so that no round of the
observation waits for all; a damaged file is put aside and said, never a reason not to start.
"""

from __future__ import annotations

import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any, TypeVar

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from leeward.api.baselines import BaselinesBusy
from leeward.detect.baseline.detector import BaselineDetector
from leeward.detect.baseline.population import Population
from leeward.detect.baseline.snapshot import BaselineError, Writing
from leeward.model.times import iso
from leeward.store.errors import StoreError
from leeward.store.paths import BASELINES_NAME, signing_key, write_private

SAVE_SECONDS = 300.0
_WAIT_SECONDS = 10.0
_SLICE = 128  # profiles of one step: some milliseconds

T = TypeVar("T")


class BaselineKeeper:
    """state: the directory. clock: monotonic seconds."""

    def __init__(self, detector: BaselineDetector, state: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._detector, self._state, self._clock = detector, state, clock
        self._path = state / BASELINES_NAME
        self._questions: deque[tuple[Callable[[Population], Any], Future[Any]]] = deque()
        self._saved = clock()
        self._writing: Writing | None = None
        self._writer: threading.Thread | None = None
        self._closed = False

    def restore(self) -> None:
        """What is known from before."""
        try:
            self._detector.restore(self._path.read_bytes())
        except FileNotFoundError:
            return
        except OSError as error:
            _say("baselines_not_read", f"{self._path}: {error.strerror}: baselines start fresh")
        except BaselineError as error:
            aside = self._path.with_suffix(".damaged")
            self._path.replace(aside)
            _say("baselines_not_read", f"{self._path}: {error}: it was moved to {aside.name}, baselines start fresh")

    def step(self) -> None:
        """Between two rounds of the observation: answers, and saves when it is time."""
        self._answer()
        if self._writing is None and self._clock() - self._saved >= SAVE_SECONDS:
            self._saved, self._writing = self._clock(), self._detector.writing()
        if self._writing is not None and self._writing.more(_SLICE):
            writing, self._writing = self._writing, None
            self._wait()
            self._writer = threading.Thread(target=lambda: self._write(writing), name="baselines")
            self._writer.start()

    def _answer(self) -> None:
        while self._questions:
            question, answer = self._questions.popleft()
            if answer.set_running_or_notify_cancel():
                try:
                    answer.set_result(question(self._detector.population))
                except Exception as error:  # it is the asker's: raised where the question was put
                    answer.set_exception(error)

    def save(self) -> None:
        """At once, and waits for it."""
        writing, self._writing, self._saved = self._detector.writing(), None, self._clock()
        writing.more()
        self._wait()
        self._write(writing)

    def close(self) -> None:
        """The observation ends: nothing is answered any more."""
        self._closed = True
        self._answer()
        self.save()

    def _write(self, writing: Writing) -> None:
        try:
            write_private(self._path, writing.packed())
        except StoreError as error:
            _say("baselines_not_written", str(error))

    def _wait(self) -> None:
        if self._writer is not None:
            self._writer.join()
            self._writer = None

    # -- for other threads -----------------------------------------------------------------------------------------

    def ask(self, question: Callable[[Population], T]) -> T:
        """What `question` gives, put to the population by the thread that owns it."""
        if self._closed:
            raise BaselinesBusy("Leeward is ending: ask again when it runs")
        answer: Future[T] = Future()
        self._questions.append((question, answer))
        try:
            return answer.result(_WAIT_SECONDS)
        except TimeoutError:
            answer.cancel()
            raise BaselinesBusy("the observation does not answer: it is busy, ask again") from None

    def key(self) -> Ed25519PrivateKey:
        """What exports are signed with, made at the first need."""
        return Ed25519PrivateKey.from_private_bytes(signing_key(self._state))

    def now(self) -> str:
        return iso(time.time_ns())


def _say(event: str, what: str) -> None:
    print(f"level=warning event={event} what={what!r}", file=sys.stderr)
