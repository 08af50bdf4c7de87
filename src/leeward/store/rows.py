"""Records become JSON here, and rows: the one place where an exchange, a flow, a finding or anything else kept is written out.

Invariants: what comes out is valid JSON in UTF-8 without a raw newline, and its column values fit their types, whatever
the record holds (lone surrogates, integers of a hundred digits, NaN, nesting without end): what does not fit is cut or
replaced and `cleaned` says so.
"""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Any

import msgspec

from leeward.model.coverage import Coverage
from leeward.model.exchange import Exchange
from leeward.model.finding import Finding
from leeward.model.incident import Incident
from leeward.model.net import Flow
from leeward.model.process import Workload
from leeward.model.system import SystemRecord
from leeward.model.triage import Triage

Record = Exchange | Flow | Coverage | Finding | Incident | SystemRecord | Triage

TEXT_COLUMN_LIMIT = 1024
"""Characters of a text kept in a column of its own. The JSON has all of it."""
JSON_LIMIT = 16 * 1024 * 1024
"""Bytes of one record's JSON. A longer exchange is kept without its content, marked `truncated` and "store-limit"."""
DEPTH_LIMIT = 100
_FACTS_LIMIT, _FACTS_ENTRIES = 32 * 1024, 100
_INT64 = 2**63 - 1
_LAST_US = 4_102_444_800_000_000  # 2100-01-01: later times are nonsense from the wire and would break the page order

_encoder = msgspec.json.Encoder()


class FlowRecord(msgspec.Struct, kw_only=True):
    """A flow as stored and shown: `model.net.Flow`, times as ISO 8601 in UTC ("": unknown), endpoints as text."""

    type: str = "flow"
    id: str
    time: str
    proto: str
    src: str
    dst: str
    direction: str
    pid: int
    start: str
    end: str
    state: str
    bytes_sent: int
    bytes_received: int
    packets_sent: int
    packets_received: int
    domain: str
    domain_from: str
    sni: str
    alpn: list[str]
    l7: str
    provider: str = ""
    content: str = ""
    workload: Workload | None = None
    exe: str = ""


class Row(msgspec.Struct, frozen=True, gc=False):
    """One record ready for the database. values: the columns but `json` and `recorded`, as a JSON object.

    rank: of two rows with the same key the higher wins; equal means that the later one is a duplicate for an
    exchange and the newer state for a flow or coverage. size: bytes that it holds on to.
    """

    table: str
    key: tuple[str, ...]
    rank: int
    values: bytes
    json: bytes
    cleaned: bool = False

    @property
    def size(self) -> int:
        return len(self.values) + len(self.json) + 200


def iso(ns: int) -> str:
    """Unix nanoseconds as ISO 8601 in UTC with microseconds, "" for 0."""
    if ns <= 0:
        return ""
    moment = datetime.fromtimestamp(min(ns // 1000, _LAST_US) // 1_000_000, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{ns // 1000 % 1_000_000:06d}Z"


def parse_iso(text: str) -> int | None:
    """Microseconds since the Unix epoch of an ISO 8601 time (without a zone: UTC), None when it is not one."""
    try:
        moment = datetime.fromisoformat(text)
    except (ValueError, TypeError):
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    delta = moment - datetime(1970, 1, 1, tzinfo=UTC)
    us = (delta.days * 86_400 + delta.seconds) * 1_000_000 + delta.microseconds
    return us if 0 <= us <= _LAST_US else None


def public(record: Record) -> Any:
    """The record as the struct whose JSON is the contract (DESIGN §6)."""
    if not isinstance(record, Flow):
        return record
    return FlowRecord(
        id=record.id,
        time=iso(record.time),
        proto=record.proto,
        src=str(record.src),
        dst=str(record.dst),
        direction=record.direction,
        pid=record.pid,
        start=iso(record.start),
        end=iso(record.end),
        state=record.state,
        bytes_sent=record.bytes_sent,
        bytes_received=record.bytes_received,
        packets_sent=record.packets_sent,
        packets_received=record.packets_received,
        domain=record.domain,
        domain_from=record.domain_from,
        sni=record.sni,
        alpn=list(record.alpn),
        l7=record.l7,
        provider=record.provider,
        content=record.content,
        workload=record.workload,
        exe=record.exe,
    )


def to_json(record: Record) -> bytes:
    """The record as one line of JSON."""
    return _encode(public(record))[0]


def to_row(record: Record, recorded_us: int) -> Row:
    """The record as a row. recorded_us: stands in for a time that cannot be read."""
    body, cleaned = _encode(public(record))
    if isinstance(record, Exchange):
        if len(body) > JSON_LIMIT:
            body, cleaned = _encode(_without_content(record))[0], True
        values = _exchange_values(record, recorded_us)
        return Row("exchanges", (_text(record.id),), int(record.evidence.complete), *_pair(values, body), cleaned)
    if isinstance(record, Flow):
        values = _flow_values(record, recorded_us)
        return Row("flows", (_text(record.id),), _int(record.time) or 0, *_pair(values, body), cleaned)
    if isinstance(record, Finding):
        values = _finding_values(record, recorded_us)
        return Row("findings", (_text(record.id),), values["time"], *_pair(values, body), cleaned)
    if isinstance(record, Incident):
        values = _incident_values(record, recorded_us)
        return Row("incidents", (_text(record.id),), values["time"], *_pair(values, body), cleaned)
    if isinstance(record, SystemRecord):
        values = _system_values(record, recorded_us)
        return Row("system_events", (_text(record.id),), 0, *_pair(values, body), cleaned)
    if isinstance(record, Triage):
        values = _triage_values(record, recorded_us)
        return Row("triage", (_text(record.id),), values["time"], *_pair(values, body), cleaned)
    values = _coverage_values(record)
    return Row("coverage", (str(values["pid"]), values["exe"]), 0, *_pair(values, body), cleaned)


def _pair(values: dict[str, Any], body: bytes) -> tuple[bytes, bytes]:
    return _encoder.encode(values), body


def _exchange_values(x: Exchange, recorded_us: int) -> dict[str, Any]:
    gen_ai, process = x.gen_ai, x.process
    time = parse_iso(x.time)
    return {
        "id": _text(x.id),
        "time": recorded_us if time is None else time,
        "workload_id": _text(x.workload.id if x.workload else ""),
        "workload_name": _text(x.workload.name if x.workload else ""),
        "workload_kind": _text(x.workload.kind if x.workload else ""),
        "pid": _int(process.pid) if process else None,
        "exe": _text(process.exe if process else ""),
        "provider": _text(gen_ai.provider),
        "operation": _text(gen_ai.operation),
        "request_model": _text(gen_ai.request_model),
        "response_model": _text(gen_ai.response_model),
        "input_tokens": _int(gen_ai.input_tokens),
        "output_tokens": _int(gen_ai.output_tokens),
        "duration_ms": _float(x.duration_ms),
        "ttft_ms": _float(gen_ai.time_to_first_token_ms),
        "status": _int(x.http.status),
        "domain": _text(x.network.domain),
        "src": _text(x.network.src),
        "dst": _text(x.network.dst),
        "url": _text(x.http.url),
        "key_fingerprint": _text(x.key.fingerprint if x.key else ""),
        "error_type": _text((x.error.type or "error") if x.error else ""),
        "complete": bool(x.evidence.complete),
        "facts": _facts(x),
        "user_agent": _text(x.http.user_agent),
    }


def _facts(x: Exchange) -> str | None:
    """The part of its JSON that policies ask for beside the columns (store/history.py), in the same shape; None when
    it is long."""
    container, process, ai = x.container, x.process, x.gen_ai
    above = [{"exe": a.get("exe", "")} for a in process.ancestors] if process else []
    if len(x.data) > _FACTS_ENTRIES or len(ai.tools) + len(ai.tool_calls) > _FACTS_ENTRIES:
        return None
    about = {
        "container": {"labels": container.labels, "image": container.image, "image_digest": container.image_digest}
        if container
        else None,
        "process": {"argv": process.argv, "user": process.user, "ancestors": above}
        if process
        else None,
        "gen_ai": {
            "stream": ai.stream,
            "tools": [{"name": tool.name} for tool in ai.tools],
            "tool_calls": [{"name": call.name} for call in ai.tool_calls],
        },
        "key": {"provider": x.key.provider} if x.key else None,
        "data": [
            {"kind": m.kind, "confidence": m.confidence, "path": m.path, "detector": m.detector, "side": m.side}
            for m in x.data
        ],
    }  # fmt: skip
    body, cleaned = _encode(about)
    return None if cleaned or len(body) > _FACTS_LIMIT else body.decode()


def _flow_values(flow: Flow, recorded_us: int) -> dict[str, Any]:
    us = (_int(flow.time) or 0) // 1000
    return {
        "id": _text(flow.id),
        "time": us if 0 < us <= _LAST_US else recorded_us,
        "pid": _int(flow.pid),
        "proto": _text(flow.proto),
        "src": _text(str(flow.src)),
        "dst": _text(str(flow.dst)),
        "direction": _text(flow.direction),
        "state": _text(flow.state),
        "domain": _text(flow.domain),
        "sni": _text(flow.sni),
        "l7": _text(flow.l7),
        "bytes_sent": _int(flow.bytes_sent),
        "bytes_received": _int(flow.bytes_received),
        "workload_id": _text(flow.workload.id if flow.workload else ""),
        "workload_name": _text(flow.workload.name if flow.workload else ""),
        "exe": _text(flow.exe),
        "provider": _text(flow.provider),
    }


def _finding_values(finding: Finding, recorded_us: int) -> dict[str, Any]:
    time = parse_iso(finding.time)
    return {
        "id": _text(finding.id),
        "time": recorded_us if time is None else time,
        "rule": _text(finding.rule),
        "severity": _text(finding.severity),
        "confidence": _float(finding.confidence),
        "count": _int(finding.count),
        "workload_id": _text(finding.workload.id if finding.workload else ""),
        "workload_name": _text(finding.workload.name if finding.workload else ""),
        "title": _text(finding.title),
    }


def _incident_values(incident: Incident, recorded_us: int) -> dict[str, Any]:
    time = parse_iso(incident.time)
    return {
        "id": _text(incident.id),
        "time": recorded_us if time is None else time,
        "severity": _text(incident.severity),
        "confidence": _float(incident.confidence),
        "status": _text(incident.status),
        "title": _text(incident.title),
        "workload_id": _text(" ".join(workload.id for workload in incident.workloads)),
        "workload_name": _text(" ".join(workload.name for workload in incident.workloads)),
        "rules": _text(" ".join(incident.rules)),
    }


def _system_values(record: SystemRecord, recorded_us: int) -> dict[str, Any]:
    time = parse_iso(record.time)
    above = record.process.ancestors[:1] if record.process else []
    return {
        "id": _text(record.id),
        "time": recorded_us if time is None else time,
        "kind": _text(record.kind),
        "pid": _int(record.process.pid) if record.process else None,
        "parent": _int(above[0].get("pid")) if above else None,
        "exe": _text(record.process.exe if record.process else ""),
        "label": _text(record.label),
        "path": _text(record.path),
        "workload_id": _text(record.workload.id if record.workload else ""),
        "workload_name": _text(record.workload.name if record.workload else ""),
    }


def _triage_values(triage: Triage, recorded_us: int) -> dict[str, Any]:
    time = parse_iso(triage.when)
    return {
        "id": _text(triage.id),
        "time": recorded_us if time is None else time,
        "kind": _text(triage.kind),
        "target": _text(triage.target),
        "state": _text(triage.state),
        "who": _text(triage.who),
        "until": parse_iso(triage.until),
    }


def _coverage_values(row: Coverage) -> dict[str, Any]:
    return {
        "pid": _int(row.pid) or 0,
        "exe": _text(row.exe),
        "workload_id": _text(row.workload.id if row.workload else ""),
        "visible": _text(row.visible),
        "rung": _text(row.rung),
    }


def _text(value: Any) -> str:
    """Cut to a column's length; a lone surrogate is no character and becomes "?"."""
    text = value if isinstance(value, str) else str(value)
    return text[:TEXT_COLUMN_LIMIT].encode("utf-8", "replace").decode()


def _int(value: Any) -> int | None:
    if not isinstance(value, int | float) or (isinstance(value, float) and not math.isfinite(value)):
        return None
    return max(-_INT64, min(_INT64, int(value)))


def _float(value: Any) -> float | None:
    if not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def _without_content(x: Exchange) -> Exchange:
    gen_ai = msgspec.structs.replace(x.gen_ai, input=[], output=[], tools=[], tool_calls=[], request_parameters={})
    evidence = msgspec.structs.replace(x.evidence, truncated=True, notes=[*x.evidence.notes[:100], "store-limit"])
    kept = msgspec.structs.replace(x, gen_ai=gen_ai, evidence=evidence, data=x.data[:100], observers=[], error=None)
    if len(_encode(kept)[0]) <= JSON_LIMIT:
        return kept
    # Something that should be short is not (argv, a URL): keep who and when.
    return Exchange(id=x.id[:200], time=x.time[:40], duration_ms=x.duration_ms, workload=x.workload, evidence=evidence)


def _encode(value: Any) -> tuple[bytes, bool]:
    try:
        return _encoder.encode(value), False
    except (UnicodeEncodeError, OverflowError, RecursionError):
        return _encoder.encode(_clean(value, 0)), True


def _clean(value: Any, depth: int) -> Any:
    """Plain data that JSON can hold. Only for what could not be encoded as it was."""
    if depth > DEPTH_LIMIT:
        return "[nested too deep]"
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, int):
        return value if -_INT64 <= value <= _INT64 else "[number too large]"
    if isinstance(value, float):
        return value
    if isinstance(value, dict):
        return {str(_clean(key, depth + 1)): _clean(item, depth + 1) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_clean(item, depth + 1) for item in value]
    if isinstance(value, msgspec.Struct):
        return {name: _clean(getattr(value, name), depth + 1) for name in value.__struct_fields__}
    return str(type(value).__name__)
