"""The facts that conditions are about: their names and types, and what they are of an exchange or a connection.

Invariant: every name is always there; what is not known is "", 0, [] or {}. Text is valid Unicode, lists are bounded.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from leeward.model.exchange import Exchange
from leeward.model.process import Container, Process, Workload

STAGES = ("connect", "request", "response", "process")
_MOST = 200  # entries of a list that conditions walk through
_IMAGE = "org.opencontainers.image."  # annotations of the OCI image specification, as labels
_ALWAYS, _PAYLOAD = frozenset(STAGES), frozenset(("request", "response"))
_NETWORK = _PAYLOAD | {"connect"}
_TEXT, _TEXTS, _LABELS = "string", "list(string)", "map(string, string)"


class Fact(msgspec.Struct, frozen=True):
    """type: of CEL. stages: at which it is known."""

    name: str
    type: str
    stages: frozenset[str]
    means: str


FACTS = {
    fact.name: fact
    for fact in (
        Fact("workload.id", _TEXT, _ALWAYS, "its stable identity, `pod:shop/assistant/app`"),
        Fact("workload.name", _TEXT, _ALWAYS, "what people call it"),
        Fact("workload.kind", _TEXT, _ALWAYS, "pod, container, systemd or executable"),
        Fact("workload.labels", _LABELS, _ALWAYS, "labels of its container"),
        Fact("workload.namespace", _TEXT, _ALWAYS, "of its pod"),
        Fact("process.exe", _TEXT, _ALWAYS, "the program's path"),
        Fact("process.name", _TEXT, _ALWAYS, "the path's last part"),
        Fact("process.argv", _TEXTS, _ALWAYS, "its command line"),
        Fact("process.user", _TEXT, _ALWAYS, "who runs it"),
        Fact("process.ancestors", _TEXTS, _ALWAYS, "names of the programs above it, nearest first"),
        Fact("image.name", _TEXT, _ALWAYS, "of the container"),
        Fact("image.digest", _TEXT, _ALWAYS, "of the container's image"),
        Fact("image.revision", _TEXT, _ALWAYS, f"the image's label {_IMAGE}revision"),
        Fact("image.source", _TEXT, _ALWAYS, f"the image's label {_IMAGE}source"),
        Fact("image.version", _TEXT, _ALWAYS, f"the image's label {_IMAGE}version"),
        Fact("destination.domain", _TEXT, _NETWORK, "the name it goes to"),
        Fact("destination.ip", _TEXT, _NETWORK, "the address, or a UNIX socket's path"),
        Fact("destination.port", "int", _NETWORK, "0 when unknown"),
        Fact(
            "provider",
            _TEXT,
            _NETWORK,
            'openai, anthropic, mcp ...; of a connection what its name says, "" for no AI service',
        ),
        Fact("time", "timestamp", _ALWAYS, "when it happens"),
        Fact("operation", _TEXT, _PAYLOAD, "chat, embeddings, execute_tool ..."),
        Fact("model", _TEXT, _PAYLOAD, "the model that is asked for"),
        Fact("stream", "bool", _PAYLOAD, "is the answer to come in pieces"),
        Fact("data", "list(map(string, dyn))", _PAYLOAD, "sensitive data: each has kind, confidence, path, detector"),
        Fact("kinds", _TEXTS, _PAYLOAD, "the kinds of that data, each once"),
        Fact("tools", _TEXTS, _PAYLOAD, "names of the tools that are offered or called"),
        Fact("key.provider", _TEXT, _PAYLOAD, "whose credential it is, by its form"),
        Fact("key.fingerprint", _TEXT, _PAYLOAD, "of the credential"),
        Fact("url", _TEXT, _PAYLOAD, "of the request, without its query"),
        Fact("finding.rule", _TEXT, frozenset(("response",)), "id of a finding about this exchange"),
        Fact("finding.severity", _TEXT, frozenset(("response",)), "info, low, medium, high or critical"),
    )
}
DATA_FIELDS = ("kind", "confidence", "path", "detector")
TYPES = {fact.name: fact.type for fact in FACTS.values()}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EMPTY: dict[str, Any] = {
    _TEXT: "", "int": 0, "bool": False, "timestamp": _EPOCH, _TEXTS: [], _LABELS: {}, "list(map(string, dyn))": [],
}  # fmt: skip


def blank() -> dict[str, Any]:
    """The facts of something of which nothing is known."""
    return nested((name, _EMPTY[fact.type]) for name, fact in FACTS.items())


def nested(values: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """`workload.id` → {"workload": {"id": ...}}."""
    made: dict[str, Any] = {}
    for name, value in values:
        group, dot, field = name.partition(".")
        if dot:
            made.setdefault(group, {})[field] = value
        else:
            made[group] = value
    return made


def flat(facts: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    """The facts of these names; those that are missing are left out."""
    made = {}
    for name in names:
        group, dot, field = name.partition(".")
        value = facts.get(group)
        if dot:
            value = value.get(field) if value else None
        if value is not None:
            made[name] = value
    return made


def facts_of(exchange: Exchange, ts_ns: int, side: str = "request") -> dict[str, Any]:
    """Of one exchange. ts_ns: Unix time. side: whose data it is, "request" at the stages connect and request, else "response"."""
    ai, process, network, container = exchange.gen_ai, exchange.process, exchange.network, exchange.container
    ip, port = endpoint(network.dst)
    data: list[dict[str, Any]] = [
        {"kind": match.kind, "confidence": match.confidence, "path": _text(match.path), "detector": match.detector}
        for match in exchange.data
        if match.side in ("", side)
    ]
    calls = [call.name for call in ai.tool_calls]
    return {
        "workload": _workload(exchange.workload, container),
        "process": {
            "exe": _text(process.exe),
            "name": _last(process.exe),
            "argv": _texts(process.argv),
            "user": _text(process.user),
            "ancestors": [_last(str(above.get("exe", ""))) for above in process.ancestors[:_MOST]],
        }
        if process
        else _NO_PROCESS,
        "image": _image(container),
        "destination": {"domain": _text(network.domain), "ip": ip, "port": port},
        "provider": _text(ai.provider),
        "time": _moment(ts_ns),
        "operation": _text(ai.operation),
        "model": _text(ai.request_model or ai.response_model),
        "stream": ai.stream,
        "data": data[:_MOST],
        "kinds": sorted({match["kind"] for match in data})[:_MOST],
        "tools": _texts(dict.fromkeys([*(tool.name for tool in ai.tools), *calls])),
        "key": {"provider": exchange.key.provider, "fingerprint": exchange.key.fingerprint}
        if exchange.key
        else _NO_KEY,
        "url": _text(exchange.http.url.partition("?")[0]),
        "finding": _NO_FINDING,
    }


def facts_of_connection(process: Process, domain: str, ip: str, port: int, provider: str, ts_ns: int) -> dict[str, Any]:
    """Of a connection that is about to be made, or (no domain, no provider) of a program that is about to run."""
    return {
        **_BLANK,
        "workload": _workload(process.workload, process.container),
        "process": {
            "exe": _text(process.exe),
            "name": _last(process.exe),
            "argv": _texts(process.argv),
            "user": _text(process.user),
            "ancestors": [_last(above.exe) for above in process.ancestors[:_MOST]],
        },
        "image": _image(process.container),
        "destination": {"domain": _text(domain), "ip": _text(ip), "port": port},
        "provider": provider,
        "time": _moment(ts_ns),
    }


def namespace_of(workload_id: str, container: Container | None = None) -> str:
    """The Kubernetes namespace, "" outside of pods."""
    if container is not None and container.pod_namespace:
        return container.pod_namespace
    return workload_id[4:].partition("/")[0] if workload_id.startswith("pod:") else ""


def _workload(workload: Workload | None, container: Container | None) -> dict[str, Any]:
    if workload is None:
        return _NO_WORKLOAD
    labels = {_text(key): _text(value) for key, value in container.labels.items()} if container else {}
    return {
        "id": _text(workload.id),
        "name": _text(workload.name),
        "kind": workload.kind,
        "labels": labels,
        "namespace": namespace_of(workload.id, container),
    }


def _image(container: Container | None) -> dict[str, str]:
    if container is None:
        return _NO_IMAGE
    labels = {name: _text(container.labels.get(_IMAGE + name, "")) for name in ("revision", "source", "version")}
    return {"name": _text(container.image), "digest": _text(container.image_digest), **labels}


def endpoint(text: str) -> tuple[str, int]:
    """`[::1]:443` → ("::1", 443). The path of a UNIX socket stays as it is."""
    host, colon, port = text.rpartition(":")
    if "/" in text or not colon or not (port.isascii() and port.isdigit()):
        return _text(text), 0
    return _text(host.strip("[]")), int(port)


def _moment(ts_ns: int) -> datetime:
    return _EPOCH + timedelta(microseconds=ts_ns // 1000)


def _last(path: str) -> str:
    return _text(path.rpartition("/")[2])


def _texts(values: Iterable[str]) -> list[str]:
    return [_text(value) for value in list(values)[:_MOST]]


def _text(value: str) -> str:
    """A lone surrogate is no character and becomes "?"."""
    return value if value.isascii() else value.encode("utf-8", "replace").decode()


_BLANK: dict[str, Any] = blank()
_NO_WORKLOAD: dict[str, Any] = _BLANK["workload"]
_NO_PROCESS: dict[str, Any] = _BLANK["process"]
_NO_IMAGE: dict[str, str] = _BLANK["image"]
_NO_KEY, _NO_FINDING = _BLANK["key"], _BLANK["finding"]
