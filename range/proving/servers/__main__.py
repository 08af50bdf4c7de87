"""Runs the servers of one namespace: `python -m proving.servers CONFIG.json`, until standard input closes.

The configuration names the listeners, the DNS zone, the habits and the truth file (see `run.py`, which writes it). When
all sockets are bound, "ready" is printed. The owner holds the other end of standard input: when it dies, however it dies, this
process ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import ssl
import sys
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Any

import hypercorn.asyncio
import hypercorn.config
import uvicorn

from proving import dns
from proving.servers.app import App, Habits, Truth


class _Server(uvicorn.Server):
    """One of several in a loop: signals are not its business."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _bind(address: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind((address, port))
    sock.listen(1024)
    return sock


def _plain(listener: dict[str, Any], habits: Habits, truth: Truth) -> Coroutine[Any, Any, None]:
    """HTTP/1.1 in the clear. `listener`: {name, api, cert, key, addresses, port}; cert is empty."""
    config = uvicorn.Config(
        App(listener["name"], listener["api"], False, habits, truth),
        log_level="error",
        access_log=False,
        lifespan="off",
        server_header=False,
        timeout_keep_alive=75,
        backlog=1024,
    )
    return _Server(config).serve(sockets=[_bind(a, listener["port"]) for a in listener["addresses"]])


class _TlsConfig(hypercorn.config.Config):
    """Sockets that are bound already, and a log of the sessions' keys."""

    bound: list[socket.socket]
    keylog: str | None

    def create_sockets(self) -> hypercorn.config.Sockets:
        return hypercorn.config.Sockets(self.bound, [], [])

    def create_ssl_context(self) -> ssl.SSLContext | None:
        context = super().create_ssl_context()
        if context is not None and self.keylog:
            context.keylog_filename = self.keylog
        return context


def _secure(listener: dict[str, Any], habits: Habits, truth: Truth, keylog: str | None) -> Coroutine[Any, Any, None]:
    """TLS, with HTTP/2 and HTTP/1.1 by ALPN, as the vendors' edges offer both."""
    config = _TlsConfig()
    config.bound = [_bind(a, listener["port"]) for a in listener["addresses"]]
    config.certfile, config.keyfile, config.keylog = listener["cert"], listener["key"], keylog
    config.alpn_protocols = ["h2", "http/1.1"]
    config.include_server_header = False
    config.keep_alive_timeout = 75
    config.h11_pass_raw_headers = False
    config.errorlog = None
    app: Any = App(listener["name"], listener["api"], True, habits, truth)
    return hypercorn.asyncio.serve(app, config, shutdown_trigger=asyncio.Event().wait)


async def _probe(name: str, port: int) -> None:
    """Waits until a name of the range resolves and connects from here: DNS, link and servers are there."""
    while True:
        try:
            _, writer = await asyncio.open_connection(name, port)
        except OSError:
            await asyncio.sleep(0.02)
            continue
        writer.close()
        return


async def _run(config: dict[str, Any]) -> None:
    truth = Truth(Path(config["truth"]))
    habits = Habits(**config["habits"])
    if config.get("dns"):
        records = {name: (v4, v6) for name, (v4, v6) in config["dns"]["records"].items()}
        await dns.serve(dns.Zone(records), config["dns"]["addresses"])
    servings = [
        _secure(one, habits, truth, config.get("keylog")) if one["cert"] else _plain(one, habits, truth)
        for one in config["listeners"]
    ]  # all sockets are bound here, and take connections from now on
    tasks = [asyncio.create_task(serving) for serving in servings]
    await asyncio.sleep(0)
    for task in tasks:
        if task.done():
            task.result()
    if config.get("probe"):
        await _probe(**config["probe"])
    print("ready", flush=True)
    owner = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(owner), sys.stdin)
    await owner.read()
    for task in tasks:
        task.cancel()


if __name__ == "__main__":
    asyncio.run(_run(json.loads(Path(sys.argv[1]).read_text())))
