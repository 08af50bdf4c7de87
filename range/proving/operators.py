"""Somebody at the other end of a shell: waits for it, asks harmless questions, reads the answers and says goodbye."""

from __future__ import annotations

import contextlib
import socket
import time
from dataclasses import dataclass, field

from proving.world import World

QUESTIONS = ("id", "uname -a", "ls /home")


@dataclass
class Operator:
    """heard: what came back on each connection, by its number."""

    questions: tuple[str, ...] = QUESTIONS
    heard: list[bytes] = field(default_factory=list)

    def serve(self, connection: socket.socket) -> None:
        """One connection: questions with time between them, then `exit`."""
        number = len(self.heard)
        self.heard.append(b"")
        for question in (*self.questions, "exit"):
            self._read(connection, number, 0.7)
            with contextlib.suppress(OSError):
                connection.sendall(question.encode() + b"\n")
        self._read(connection, number, 1.0)

    def _read(self, connection: socket.socket, number: int, seconds: float) -> None:
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            connection.settimeout(left)
            try:
                data = connection.recv(65536)
            except TimeoutError:
                return
            if not data:
                time.sleep(left)
                return
            self.heard[number] += data

    @property
    def answered(self) -> bool:
        """Whether `id` was answered."""
        return any(b"uid=" in heard for heard in self.heard)


def waits(
    world: World, address: str, port: int, *names: str, tls: bool = False, questions: tuple[str, ...] = QUESTIONS
) -> Operator:
    """An operator listens there."""
    operator = Operator(questions)
    world.host(address, *names).listen(port, operator.serve, tls=tls)
    return operator
