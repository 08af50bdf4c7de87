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
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

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


def _server(
    listener: dict[str, Any], habits: Habits, truth: Truth, keylog: str | None
) -> tuple[_Server, list[socket.socket]]:
    """`listener`: {name, api, cert, key, addresses, port}; cert is empty for plain HTTP."""
    tls = bool(listener["cert"])
    config = uvicorn.Config(
        App(listener["name"], listener["api"], tls, habits, truth),
        log_level="error",
        access_log=False,
        lifespan="off",
        server_header=False,
        timeout_keep_alive=75,
        backlog=1024,
        ssl_certfile=listener["cert"] or None,
        ssl_keyfile=listener["key"] or None,
    )
    config.load()
    if tls and keylog and config.ssl is not None:
        config.ssl.keylog_filename = keylog
    return _Server(config), [_bind(a, listener["port"]) for a in listener["addresses"]]


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
    servers = [_server(one, habits, truth, config.get("keylog")) for one in config["listeners"]]
    tasks = [asyncio.create_task(server.serve(sockets=sockets)) for server, sockets in servers]
    while not all(server.started for server, _ in servers):
        for task in tasks:
            if task.done():
                task.result()
        await asyncio.sleep(0.005)
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
