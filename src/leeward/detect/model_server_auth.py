"""Rule `unauthenticated-model-server`: a server of models or AI tools answers whoever reaches it.

Which servers these are is data (model_servers.yaml). To listen beyond this host is worth a word; to answer without a
credential is worth more, and most if who asked is outside. State: an entry a (workload, port), bounded.
"""

from __future__ import annotations

import functools
from collections import Counter
from pathlib import Path
from typing import Any

import msgspec

from leeward.ai.datafile import Schema, load_yaml
from leeward.detect.bounded import Bounded, Kept
from leeward.detect.detector import occurrence
from leeward.detect.places import DAY, host_of, program, reach
from leeward.detect.rule import rules
from leeward.model.activity import Activity, FlowSeen, HttpSeen
from leeward.model.finding import SEVERITIES, Finding
from leeward.model.process import Process
from leeward.model.times import iso

_RULE = "unauthenticated-model-server"
_FILE = Path(__file__).with_name("model_servers.yaml")
_OPEN = (
    "/health",
    "/healthz",
    "/ping",
    "/ready",
    "/readyz",
    "/live",
    "/livez",
    "/metrics",
    "/version",
    "/api/version",
    "/robots.txt",
    "/favicon.ico",
    "/v2/health/ready",
    "/v2/health/live",
)
#: Ports on which any web application may listen.
_GENERIC = frozenset((3000, 5000, 8000, 8001, 8002, 8080, 8081, 8500, 9000, 6379, 1234, 4000, 9091))
_API = ("/v1/chat/completions", "/v1/completions", "/v1/embeddings", "/v1/messages", "/v1/responses", "/v1/models")


class Server(msgspec.Struct, frozen=True):
    """As in model_servers.yaml."""

    name: str
    ports: frozenset[int]
    programs: frozenset[str]
    paths: tuple[str, ...]
    shared: tuple[str, ...]
    grave: tuple[str, ...]


@functools.cache
def servers() -> tuple[Server, ...]:
    record = load_yaml(_FILE, Schema.read(_FILE.with_suffix(".schema.json")))
    return tuple(
        Server(
            entry["name"], frozenset(entry["ports"]), frozenset(entry.get("programs", ())),
            tuple(entry.get("paths", ())), tuple(entry.get("shared", ())), tuple(entry.get("grave", ())),
        )
        for entry in record["servers"]
    )  # fmt: skip


@functools.lru_cache(maxsize=8192)
def server_of(exe: str, argv: tuple[str, ...]) -> Server | None:
    """Which of these a process is, by its executable and the first words of its command line."""
    words = {program(exe), *(word.rpartition("/")[2] for word in argv[:6]), *argv[:6]}
    return next((server for server in servers() if words & server.programs), None)


@functools.lru_cache(maxsize=16384)
def asked_at(path: str, port: int) -> Server | None:
    """Which of these answers this path (on this port, 0 if unknown), as far as that tells."""
    return next(
        (
            s
            for s in servers()
            if _fits(path, s.paths) or (port in s.ports and port not in _GENERIC and _fits(path, s.shared))
        ),
        None,
    )


@functools.lru_cache(maxsize=4096)
def on_port(port: int) -> Server | None:
    """Which of these listens on this port, if hardly anything else does."""
    return None if port in _GENERIC else next((s for s in servers() if port in s.ports), None)


def _fits(path: str, patterns: tuple[str, ...]) -> bool:
    return any(path.startswith(p[:-1]) if p.endswith("*") else path.rstrip("/") == p for p in patterns)


class _Port(Kept):
    """A listening port of a workload. address: listened on. told: the severity that was."""

    address: str = ""
    told: str = ""


class ModelServerAuth:
    """See the module."""

    hears: tuple[type[Activity], ...] = (FlowSeen, HttpSeen)

    def __init__(self) -> None:
        self.counters: Counter[str] = Counter()
        self._ports: Bounded[_Port] = Bounded("model_server_ports", self.counters, 8192, 7 * DAY)
        self._set = rules()[_RULE].settings

    def feed(self, activity: FlowSeen | HttpSeen) -> list[Finding]:
        if isinstance(activity, HttpSeen):
            return self._answered(activity) if activity.direction == "inbound" and not activity.identity else []
        if activity.flow.state != "listening":
            return []
        return self._listening(activity)

    def tick(self, ts: int) -> list[Finding]:
        self._ports.expire(ts)
        return []

    def _listening(self, activity: FlowSeen) -> list[Finding]:
        """Beyond this host? In a container of its own network that is the only way, and says nothing."""
        process, address, port = activity.process, activity.flow.dst.ip, activity.flow.dst.port
        server = server_of(process.exe, process.argv) or on_port(port)
        anywhere = address in ("0.0.0.0", "::", "")
        if server is None or not (anywhere or reach(address) in ("inside", "outside")):
            return []
        known = self._port(process, port, activity.ts)
        if known.told:
            return []
        known.address = address
        severity = "info" if process.container is not None else "medium" if reach(address) == "outside" else "low"
        evidence = {
            "type": "listening",
            "time": iso(activity.ts),
            "address": str(activity.flow.dst),
            "server": server.name,
        }
        return self._tell(
            activity, known, server, severity, port, f"{server.name} listens on {activity.flow.dst}", evidence
        )

    def _answered(self, activity: HttpSeen) -> list[Finding]:
        if not 200 <= activity.status < 300 or activity.path in _OPEN or activity.method in ("OPTIONS", "HEAD"):
            return []
        peer = host_of(activity.peer)
        far = reach(peer)
        process = activity.process
        port = _port_of(activity.host)
        server = self._which(activity, port)
        if far in ("here", "") or (server is None and not activity.path.endswith(_API)):
            return []
        grave = (
            server is not None
            and _fits(activity.path, server.grave)
            and not (activity.method == "GET" and activity.path == "/api/jobs")
        )
        severity = "high" if far == "outside" else "low"
        if far == "outside" and grave:
            severity = "critical" if activity.method != "GET" else "high"
        known = self._port(process, port, activity.ts)
        name = server.name if server is not None else "a model server"
        evidence: dict[str, Any] = {
            "type": "http", "time": iso(activity.ts), "peer": activity.peer, "method": activity.method, "path": activity.path,
            "status": activity.status, "server": name, "peer_is": far, "grave": grave, "listens_on": known.address,
        }  # fmt: skip
        return self._tell(
            activity, known, server, severity, port, f"{name} answered {peer} without a credential", evidence
        )

    def _which(self, activity: HttpSeen, port: int) -> Server | None:
        """By the path, if it tells; else by the program, if that answers this path or it was an AI exchange."""
        server = asked_at(activity.path, port)
        if server is None and (runs := server_of(activity.process.exe, activity.process.argv)) is not None:
            server = runs if activity.exchange or _fits(activity.path, runs.shared) else None
        return server

    def _port(self, process: Process, port: int, ts: int) -> _Port:
        group = process.workload.id
        return self._ports.get(group, port, ts) or self._ports.put(group, port, _Port(), ts)

    def _tell(
        self,
        activity: FlowSeen | HttpSeen,
        known: _Port,
        server: Server | None,
        severity: str,
        port: int,
        about: str,
        evidence: dict[str, Any],
    ) -> list[Finding]:
        if known.told and SEVERITIES.index(severity) <= SEVERITIES.index(known.told):
            return []
        known.told = severity
        subject = {"server": server.name if server is not None else "", "port": str(port)}
        if isinstance(activity, HttpSeen):
            subject["source"] = host_of(activity.peer)
        return [
            occurrence(
                _RULE,
                activity.process,
                activity.ts,
                about,
                same=(),
                subject=subject,
                evidence=[evidence],
                severity=severity,
            )
        ]


def _port_of(host: str) -> int:
    """Of a Host header, 0 if it has none."""
    port = host.rpartition(":")[2] if ":" in host else ""
    return int(port) if port.isascii() and port.isdigit() and len(port) < 6 else 0
