"""The model for names beside the pipeline: texts go to a thread, answers come back as events.

Bounded: what does not fit into the queue is refused. Texts that were looked at before (a conversation's earlier turns come again
with each request) are answered from memory, which holds hashes and positions, no text.
"""

from __future__ import annotations

import queue
import threading
import time
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from hashlib import blake2b

from leeward.data.documents import Text
from leeward.data.model import NameModel
from leeward.model.raw import ModelAnswered

_WAITING = 64
_REMEMBERED = 50_000
_LONGEST_REST = 2.0
_Named = list[tuple[str, int, int, float, str]]


class NameWorker:
    """share: of one core that it takes at most, on average: the workloads come first."""

    def __init__(self, model: NameModel, share: float = 1.0) -> None:
        self._model, self._share = model, share
        self._questions: queue.Queue[tuple[int, list[Text]] | None] = queue.Queue(_WAITING)
        self._answers: queue.SimpleQueue[ModelAnswered] = queue.SimpleQueue()
        self._known: OrderedDict[bytes, _Named] = OrderedDict()
        self.failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="names", daemon=True)
        self._thread.start()

    def ask(self, number: int, texts: Sequence[Text]) -> bool:
        """False: there is too much to do, or the thread has failed."""
        if self.failure is not None:
            return False
        try:
            self._questions.put_nowait((number, list(texts)))
        except queue.Full:
            return False
        return True

    def answers(self) -> Iterator[ModelAnswered]:
        """What has been answered since."""
        while not self._answers.empty():
            yield self._answers.get()

    def close(self) -> None:
        """Ends the thread after the question it is at; what waits is not answered."""
        while True:
            try:
                self._questions.get_nowait()
            except queue.Empty:
                break
        self._questions.put(None)
        self._thread.join(10)

    def _run(self) -> None:
        try:
            while (question := self._questions.get()) is not None:
                began = time.thread_time()
                number, texts = question
                named = self._named(texts)
                found = tuple((i, *match) for i, matches in enumerate(named) for match in matches)
                self._answers.put(ModelAnswered(time.time_ns(), number, found))
                time.sleep(min(_LONGEST_REST, (time.thread_time() - began) * (1 / self._share - 1)))
        except Exception as error:  # told by whoever looks at `failure`; exchanges go on without names
            self.failure = error

    def _named(self, texts: list[Text]) -> list[_Named]:
        marks = [blake2b(f"{t.label}\0{t.text}".encode("utf-8", "replace"), digest_size=16).digest() for t in texts]
        new = [i for i, mark in enumerate(marks) if mark not in self._known]
        found = self._model.find([texts[i].text for i in new], [texts[i].label for i in new])
        for i, matches in zip(new, found, strict=True):
            self._known[marks[i]] = matches
        answers = [self._known[mark] for mark in marks]
        for mark in marks:
            self._known.move_to_end(mark)
        while len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)
        return answers
