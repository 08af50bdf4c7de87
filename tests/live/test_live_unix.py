"""UNIX sockets of databases at the sensor: what its raw events say of connections whose every byte is known."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from leeward.model.raw import RawEvent, SocketOpened, SocketStats, UnixData
from leeward.sensor.kernel import KernelSensor, Options

PEER = [sys.executable, str(Path(__file__).with_name("live_unix.py"))]
pytestmark = [pytest.mark.kernel, pytest.mark.timeout(120)]


class Peer(subprocess.Popen[bytes]):
    def __init__(self, *words: str) -> None:
        super().__init__([*PEER, *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def line(self) -> bytes:
        assert self.stdout is not None
        return self.stdout.readline().strip()

    def end(self) -> bytes:
        out, _ = self.communicate(b"\n", timeout=30)
        assert self.returncode == 0
        return out


@contextmanager
def served(name: str) -> Iterator[str]:
    """A server at a socket of this name. Yields its path."""
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/{name}"
        server = Peer("serve", path)
        try:
            assert server.line() == b"ready"
            yield path
        finally:
            server.kill()
            server.communicate()


@contextmanager
def sensing() -> Iterator[KernelSensor]:
    sensor = KernelSensor(Options())
    try:
        sensor.scan()
        yield sensor
    finally:
        sensor.close()


class Seen:
    """What a sensor says of one path."""

    def __init__(self, sensor: KernelSensor, path: str) -> None:
        self.sensor, self.path = sensor, path
        self.opened: list[SocketOpened] = []
        self.data: list[UnixData] = []
        self.stats: list[SocketStats] = []

    def until(self, condition: Callable[[], object]) -> None:
        end = time.monotonic() + 20
        while not condition():
            assert time.monotonic() < end, (self.opened, len(self.data), self.stats)
            self._take([*self.sensor.poll(0.05), *self.sensor.stats()])

    def idle(self) -> None:
        """Takes what is there."""
        self._take([event for _ in range(6) for event in self.sensor.poll(0.05)])

    def _take(self, events: list[RawEvent]) -> None:
        for event in events:
            if isinstance(event, SocketOpened) and event.remote.ip == self.path:
                self.opened.append(event)
            mine = {opened.sock for opened in self.opened}
            if isinstance(event, UnixData) and event.sock in mine:
                self.data.append(event)
            if isinstance(event, SocketStats) and event.sock in mine:
                self.stats.append(event)

    def closed(self) -> list[SocketStats]:
        return [event for event in self.stats if event.closed]

    def stream(self, written: bool) -> bytes:
        """One direction's bytes; each must follow the one before."""
        whole = b""
        for event in self.data:
            if event.written == written:
                assert event.seq == len(whole)
                whole += event.data
        return whole


@pytest.fixture(scope="module")
def sensor() -> Iterator[KernelSensor]:
    with sensing() as running:
        yield running


def test_every_call_is_seen_in_order_and_once(sensor: KernelSensor) -> None:
    """The server appears after the sensor, and with it the calls on sockets are watched."""
    with served(".s.PGSQL.5432") as path:
        seen = Seen(sensor, path)
        seen.idle()
        sent = Peer("calls", path).end()
        seen.until(seen.closed)
        (opened,) = seen.opened
        assert (opened.proto, opened.role, str(opened.remote)) == ("unix", "client", path)
        assert seen.stream(True) == seen.stream(False) == sent
        assert not any(event.late for event in seen.data)
        (closed,) = seen.closed()
        assert (closed.bytes_sent, closed.bytes_received) == (len(sent), len(sent))


def test_a_child_that_inherits_a_connection_is_seen_and_does_not_end_it(sensor: KernelSensor) -> None:
    with served("mysqld.sock") as path:
        seen = Seen(sensor, path)
        seen.idle()
        peer = Peer("fork", path)
        parent, child = map(int, peer.line().split())
        seen.until(seen.closed)
        peer.end()
        said = [(event.pid, event.data) for event in seen.data if event.written]
        assert said == [(parent, b"parent"), (child, b"child"), (parent, b"again")]
        assert len(seen.closed()) == 1


def test_a_connection_that_is_there_already_is_seen_from_then_on() -> None:
    with ExitStack() as stack:
        path = stack.enter_context(served(".s.PGSQL.5432"))
        peer = Peer("wait", path)
        assert peer.line() == b"ready"
        seen = Seen(stack.enter_context(sensing()), path)
        peer.end()  # exits without closing
        seen.until(seen.closed)
        assert [(event.written, event.data, event.late) for event in seen.data] == [
            (True, b"after", True),
            (False, b"after", True),
        ]


@pytest.mark.parametrize(
    ("text", "copied"),
    [
        (b"\0\0\0\x0a\0\x03\0\0\0\0", 12),  # PostgreSQL's startup message; the echo of it, and five more of each
        (b"AUTH EXTERNAL\r\n", 0),  # D-Bus
        (b"short", 0),
    ],
)
def test_under_another_name_the_first_bytes_decide(sensor: KernelSensor, text: bytes, copied: int) -> None:
    with served("other.sock") as path:
        seen = Seen(sensor, path)
        Peer("say", path, text.hex()).end()
        seen.idle()
        assert len(seen.data) == copied
        assert len(seen.opened) == bool(copied)


def test_what_is_of_no_interest_is_counted_and_not_copied(sensor: KernelSensor) -> None:
    with served(".s.PGSQL.5432") as path:
        seen = Seen(sensor, path)
        seen.idle()
        peer = Peer("wait", path)
        assert peer.line() == b"ready"
        seen.until(lambda: len(seen.data) == 2)
        sensor.quiet_socket(seen.opened[0].sock, None)
        peer.end()
        seen.until(seen.closed)
        assert len(seen.data) == 2
        assert seen.closed()[0].bytes_sent == len(b"beforeafter")
