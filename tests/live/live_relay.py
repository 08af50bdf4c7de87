"""A relay between a database's clients and its server that reads what passes with a parser of ours."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable

from leeward.model.sql import SqlResult
from leeward.wire.sql import SqlConnection, SqlEvent


class Relay:
    """Passes connections on to `port` and reads them on the way; `make` gives each its parser."""

    def __init__(self, port: int, make: Callable[[], SqlConnection]) -> None:
        self._to, self._make, self._lock = port, make, threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._pumps: list[threading.Thread] = []
        self.port = self._listener.getsockname()[1]
        self.events: list[SqlEvent] = []
        self.connections: list[SqlConnection] = []
        self.answered = bytearray()
        threading.Thread(target=self._serve, daemon=True).start()

    def results(self) -> list[SqlResult]:
        """What passed, once both ends of all connections are done."""
        for pump in list(self._pumps):
            pump.join(30)
            assert not pump.is_alive()
        return [event for event in self.events if isinstance(event, SqlResult)]

    def _serve(self) -> None:
        while True:
            try:
                down, _ = self._listener.accept()
            except OSError:
                return  # closed
            up = socket.create_connection(("127.0.0.1", self._to))
            connection = self._make()
            self.connections.append(connection)
            for source, target, to_server in ((down, up, True), (up, down, False)):
                words = (source, target, connection, to_server)
                self._pumps.append(threading.Thread(target=self._pump, args=words, daemon=True))
                self._pumps[-1].start()

    def _pump(self, source: socket.socket, target: socket.socket, connection: SqlConnection, to_server: bool) -> None:
        try:
            while data := source.recv(65536):
                with self._lock:
                    self.events += connection.feed(to_server, time.time_ns(), data)
                    self.answered += b"" if to_server else data
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)
        except OSError:
            return  # the peers are gone: what they said was read

    def close(self) -> None:
        self._listener.close()
