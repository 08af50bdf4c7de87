"""Who, where and when: what an exchange's decoder cannot know is added here.

Invariant: ids are hashes of the origin, the flow and the exchange's number on it: the same capture gives the same ids.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable

from leeward.ai.keys import KeyForms, redact_argv
from leeward.model.exchange import Exchange, Network, Observer, ProcessRef, TimedExchange, Tls
from leeward.model.net import Flow
from leeward.model.process import Process
from leeward.model.times import iso
from leeward.wire.connections import Connection


class Placing:
    """process: what had a pid at a time, None for captures, which have no processes. origin: id of the boot or capture."""

    def __init__(self, origin: str, forms: KeyForms, process: Callable[[int, int], Process] | None) -> None:
        self._origin, self._forms, self._process = origin, forms, process
        self._said: dict[int, int] = {}

    def on_connection(self, timed: TimedExchange, connection: Connection, number: int) -> Exchange:
        """The exchange, number `number` of this connection."""
        flow = connection.socket.flow if connection.socket else None
        exchange = self._timed(timed, f"{flow.id if flow else f'{self._origin}|{connection.key}'}|{number}")
        secure = connection.source == "library" or connection.decryptor is not None
        exchange.network = _network(flow, exchange, secure)
        if "://" not in exchange.http.url[:16]:
            scheme = "ws" if exchange.http.status == 101 else "http"
            exchange.http.url = f"{scheme}{'s' if secure else ''}://{exchange.http.url}"
        evidence = exchange.evidence
        evidence.source, evidence.joined = connection.source, connection.joined
        evidence.late = not connection.from_start and number == 0 and connection.source == "library"
        self._people(exchange, connection.pid, connection.seen_by(), timed.start)
        return exchange

    def on_stdio(self, timed: TimedExchange, client: int, server: int) -> Exchange:
        """An exchange between a process and the server that it started, over the server's standard input and output."""
        number = self._said.get(server, 0)
        self._said[server] = number + 1
        exchange = self._timed(timed, f"{self._origin}|stdio|{server}|{number}|{timed.start}")
        evidence = exchange.evidence
        evidence.source, evidence.joined = "stdio", "ancestor" if client else ""
        self._people(exchange, client or server, [server] if client else [], timed.start)
        exchange.network = Network(direction="local", domain_from="process")
        if exchange.observers and (workload := exchange.observers[0].workload) is not None:
            exchange.network.domain = workload.name
        return exchange

    def alone(self, timed: TimedExchange) -> Exchange:
        """An exchange whose connection is not known any more."""
        exchange = self._timed(timed, f"{self._origin}|alone|{timed.start}|{timed.exchange.http.url}")
        exchange.network = _network(None, exchange, False)
        return exchange

    def stopped(self, timed: TimedExchange, pid: int, tls: int) -> Exchange:
        """An exchange whose request was stopped on a connection that nothing was seen of before."""
        exchange = self._timed(timed, f"{self._origin}|stopped|{pid}|{tls}|{timed.start}")
        exchange.network = _network(None, exchange, True)
        exchange.evidence.source = "library"
        self._people(exchange, pid, [], timed.start)
        return exchange

    def forget(self, pid: int) -> None:
        """The process is gone."""
        self._said.pop(pid, None)

    def _timed(self, timed: TimedExchange, identity: str) -> Exchange:
        exchange = timed.exchange
        exchange.id = hashlib.sha256(identity.encode()).hexdigest()[:32]
        exchange.time = iso(timed.start)
        exchange.duration_ms = max(0, timed.end - timed.start) / 1e6
        return exchange

    def _people(self, exchange: Exchange, pid: int, observers: list[int], ts: int) -> None:
        if self._process is None or not pid:
            return
        process = self._process(pid, ts)
        if not process.exe and exchange.process is not None and exchange.workload is not None:
            # a child that was gone before its start was heard of: it stays what the judge knew it as
            exchange.process.argv = redact_argv(exchange.process.argv, self._forms)
            return
        exchange.process, exchange.workload, exchange.container = (
            self._ref(process),
            process.workload,
            process.container,
        )
        seen_by = [self._process(other, ts) for other in observers if other][:8]
        exchange.observers = [Observer(self._ref(other), other.workload) for other in seen_by]

    def _ref(self, process: Process) -> ProcessRef:
        """A process as an exchange carries it: without the credentials on its command line."""
        return ProcessRef(
            pid=process.pid,
            exe=process.exe,
            argv=redact_argv(process.argv, self._forms),
            user=process.user,
            cwd=process.cwd,
            start_ns=process.start_ns,
            ancestors=[
                {"pid": a.pid, "exe": a.exe, "argv": redact_argv(a.argv, self._forms)} for a in process.ancestors
            ],
        )


def bare(host: str) -> str:
    """A Host header's value without port, brackets and final dot, in lower case."""
    if host.startswith("["):
        return host[1:].split("]", 1)[0]
    return host.rsplit(":", 1)[0].rstrip(".").lower() if host.count(":") == 1 else host.rstrip(".").lower()


def _network(flow: Flow | None, exchange: Exchange, secure: bool) -> Network:
    host = bare(_host(exchange.http.url))
    if flow is None:
        return Network(domain=host, domain_from="host" if host else "")
    named = flow.sni or (host if not _is_address(host) else "")
    source = "sni" if flow.sni else "host" if named else flow.domain_from
    return Network(
        src=str(flow.src),
        dst=str(flow.dst),
        domain=named or flow.domain or host,
        domain_from=source or ("host" if host else ""),
        direction=flow.direction,
        tls=Tls(sni=flow.sni) if secure else None,
    )


def _host(url: str) -> str:
    """Host and port of a URL with or without a scheme."""
    return (
        (url.partition("://")[2] if "://" in url[:16] else url).partition("/")[0].partition("?")[0].rpartition("@")[2]
    )


def _is_address(host: str) -> bool:
    return ":" in host or host.replace(".", "").isdigit()
