"""The names of a scenario: every one that it made, and domains that answer to whatever is below them (tunnels, wildcards)."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

from proving import dns
from proving.field import RESOLVER, Field

TXT, CNAME = 16, 5
Below = Callable[[str, int], bytes | None]
"""Of a name and a type: the record's data, None for a name that is not there."""


class Names(dns.Zone):
    """`asked` has the last questions."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[list[str], list[str]]] = {}
        super().__init__(self._known)
        self._domains: dict[str, Below] = {}

    def add(self, name: str, address: str) -> None:
        """Another address of a name."""
        self._known.setdefault(name, ([], []))[0].append(address)

    def below(self, domain: str, answer: Below) -> None:
        """Names below this domain."""
        self._domains[domain] = answer

    def _resolve(self, name: str, qtype: int) -> tuple[int, list[bytes], list[bytes]]:
        for domain, answer in self._domains.items():
            if name.endswith(f".{domain}"):
                data = answer(name, qtype)
                return (0, [dns.record(qtype, data)], []) if data is not None else (3, [], [dns.soa()])
        return super()._resolve(name, qtype)


def text(data: bytes) -> bytes:
    """A TXT record's data (RFC 1035 section 3.3.14): strings of up to 255 bytes."""
    return b"".join(bytes([len(data[at : at + 255])]) + data[at : at + 255] for at in range(0, len(data), 255)) or b"\0"


def serve(net: Field, names: Names) -> Callable[[], None]:
    """Answers for them until the returned function is called."""
    loop = asyncio.new_event_loop()
    ready = threading.Event()

    def run() -> None:
        loop.run_until_complete(dns.serve(names, [RESOLVER]))
        ready.set()
        loop.run_forever()

    net.beyond(lambda: threading.Thread(target=run, daemon=True).start())
    if not ready.wait(10):
        raise TimeoutError("the scenario's DNS server did not start")
    return lambda: loop.call_soon_threadsafe(loop.stop) and None
