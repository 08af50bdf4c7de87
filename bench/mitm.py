"""How many exchanges mitmproxy's HTTP layer decodes in a second: the same bytes, no sockets, hooks answered at once.

    mitm.py FILE SHAPE CONNECTIONS    prints the exchanges and the seconds they took

Run with an environment that has mitmproxy. Its layer also writes what it forwards, as a proxy has to; that is part of it.
"""

from __future__ import annotations

import sys
import time
from collections import deque
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from mitmproxy import connection, options
from mitmproxy.addons.proxyserver import Proxyserver
from mitmproxy.proxy import commands, context, events, layers
from mitmproxy.proxy.layers.http import HTTPMode, HttpResponseHook

from bench import flows


class Driver:
    """One connection through mitmproxy's layer. done: exchanges whose response hook was called with a body."""

    def __init__(self, settings: options.Options, http2: bool) -> None:
        client = connection.Client(peername=("10.0.0.1", 5000), sockname=("10.0.0.2", 443), timestamp_start=time.time())
        client.state = connection.ConnectionState.OPEN
        held = context.Context(client, settings)
        held.server.address = ("10.0.0.2", 443)
        if http2:
            client.alpn = b"h2"
        self._http2, self._held, self.done = http2, held, 0
        self._layer = layers.HttpLayer(held, HTTPMode.transparent)
        self._feed(events.Start())

    def _feed(self, event: events.Event) -> None:
        waiting: deque[events.Event] = deque([event])
        while waiting:
            for command in self._layer.handle_event(waiting.popleft()):
                if isinstance(command, commands.OpenConnection):
                    command.connection.state = connection.ConnectionState.OPEN
                    if self._http2:
                        command.connection.alpn = b"h2"
                    self._server = command.connection
                    waiting.append(events.OpenConnectionCompleted(command, None))
                elif isinstance(command, commands.StartHook):
                    if isinstance(command, HttpResponseHook):
                        flow = command.flow
                        self.done += bool(flow.request.content and flow.response and flow.response.content)
                    waiting.append(events.HookCompleted(command, None))

    def run(self, pieces: list[flows.Piece]) -> None:
        for to_server, data in pieces:
            self._feed(events.DataReceived(self._held.client if to_server else self._server, data))


def main(path: str, shape: str, connections: int) -> None:
    pieces = flows.read(Path(path))
    settings = options.Options()
    Proxyserver().load(settings)
    if shape == "http2":  # the server's first words come when the proxy has connected: after the first request
        first = next(i for i, (up, _) in enumerate(pieces) if not up)
        asked = [i for i, (up, data) in enumerate(pieces) if up and i > first][1]
        pieces = pieces[:first] + pieces[first + 1 : asked + 1] + [pieces[first]] + pieces[asked + 1 :]
    done, begun = 0, time.perf_counter()
    for _ in range(connections):
        driver = Driver(settings, shape == "http2")
        driver.run(pieces)
        done += driver.done
    print(done, time.perf_counter() - begun)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
