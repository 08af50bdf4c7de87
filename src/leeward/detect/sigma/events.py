"""Activities as Sigma's events: which category they are, and what its fields are called.

Names are those of Sigma's taxonomy, which for Linux are Sysmon's. A value that is not known is None, so that `null` and `exists`
say what they mean. Text is compared without regard to case, by Unicode's full case folding.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import msgspec

from leeward.model.activity import Activity, FlowSeen, NameAsked, Started, System
from leeward.model.net import Endpoint, Flow
from leeward.model.process import Process

Value = str | int | None
_TYPES = {1: "A", 2: "NS", 5: "CNAME", 6: "SOA", 12: "PTR", 15: "MX", 16: "TXT", 28: "AAAA", 33: "SRV", 65: "HTTPS"}
_RCODES = {0: "NOERROR", 1: "FORMERR", 2: "SERVFAIL", 3: "NXDOMAIN", 4: "NOTIMP", 5: "REFUSED"}
#: What only a DNS answer knows.
ANSWERED = frozenset(["QueryResults", "QueryStatus", "answer", "rcode_name"])


class Event(msgspec.Struct):
    """One event. fields: all of its category. low: the same as text, case-folded."""

    category: str
    activity: Activity
    fields: dict[str, Value]
    low: dict[str, str | None]

    def lines(self) -> str:
        """All values, a line each."""
        return "\n".join([str(value) for value in self.fields.values() if value is not None])

    def folded_lines(self) -> str:
        """The same case-folded, and so that a text shows where it is: field, NUL, value, NUL, field."""
        named = [f"{name}\0{text}\0{name}\n" for name, text in self.low.items() if text is not None]
        return f"\n{''.join(named)}"


def event(category: str, activity: Activity, fields: dict[str, Value]) -> Event:
    low = {name: str(value).casefold() if value is not None else None for name, value in fields.items()}
    return Event(category, activity, fields, low)


def process_creation(activity: Started) -> dict[str, Value]:
    process = activity.process
    parent = process.ancestors[0] if process.ancestors else None
    return {
        "CommandLine": " ".join(process.argv),
        "ParentImage": (parent.exe or None) if parent else None,
        "ParentCommandLine": " ".join(parent.argv) if parent else None,
        "ParentProcessId": parent.pid if parent else None,
        "CurrentDirectory": process.cwd or None,
        "LogonId": process.uid if process.uid >= 0 else None,  # as Sysmon for Linux: the user id
        "EffectiveUserId": activity.euid if activity.euid >= 0 else None,
    } | _who(process)


def network_connection(activity: FlowSeen) -> dict[str, Value]:
    flow = activity.flow
    return {
        "Protocol": flow.proto,
        "Initiated": {"outbound": "true", "inbound": "false"}.get(flow.direction),
        "SourceIp": flow.src.ip or None,
        "SourcePort": flow.src.port or None,
        "DestinationIp": flow.dst.ip or None,
        "DestinationPort": flow.dst.port or None,
        "DestinationHostname": flow.domain or flow.sni or None,
    } | _who(activity.process)


def dns_query(activity: NameAsked) -> dict[str, Value]:
    answered = activity.rcode >= 0
    return {
        "QueryName": activity.name,
        "QueryResults": ";".join(activity.answers) if answered else None,
        "QueryStatus": activity.rcode if answered else None,
    } | _who(activity.process)


def dns(activity: NameAsked) -> dict[str, Value]:
    answered = activity.rcode >= 0
    return {
        "query": activity.name,
        "parent_domain": ".".join(activity.name.split(".")[-2:]),
        "record_type": _TYPES.get(activity.query, str(activity.query)),
        "answer": ";".join(activity.answers) if answered else None,
        "rcode_name": _RCODES.get(activity.rcode, str(activity.rcode)) if answered else None,
        "dst_ip": activity.server.ip if activity.server else None,
        "dst_port": activity.server.port if activity.server else None,
    } | _who(activity.process)


def file(activity: System) -> dict[str, Value]:
    return {
        "TargetFilename": activity.path or None,
        "SourceFilename": activity.source or None,
        "CommandLine": " ".join(activity.process.argv),
    } | _who(activity.process)


def _who(process: Process) -> dict[str, Value]:
    container = process.container
    return {
        "Image": process.exe or None,
        "User": process.user or None,
        "ProcessId": process.pid or None,
        "Workload": process.workload.id or None,
        "ContainerName": (container.name or None) if container else None,
        "ContainerImage": (container.image or None) if container else None,
    }


#: How the fields of each category are made.
CATEGORIES: dict[str, Callable[[Any], dict[str, Value]]] = {
    "process_creation": process_creation,
    "network_connection": network_connection,
    "dns_query": dns_query,
    "dns": dns,
    "file_event": file,
    "file_access": file,
    "file_rename": file,
    "file_delete": file,
}
#: Of these only files that the sensor was told to watch (sensor/files.yaml) give events.
WATCHED_FILES = frozenset(["file_event", "file_access", "file_rename", "file_delete"])


@functools.cache
def fields_of(category: str) -> tuple[str, ...]:
    """The names of a category's fields."""
    flow = Flow("", 0, "", Endpoint("", 0), Endpoint("", 0), "")
    empty = {
        "process_creation": Started(ts=0),
        "network_connection": FlowSeen(ts=0, flow=flow),
        "dns_query": NameAsked(ts=0, name=""),
        "dns": NameAsked(ts=0, name=""),
    }
    return tuple(CATEGORIES[category](empty.get(category, System(ts=0, kind=""))))


def file_categories(activity: System) -> tuple[str, ...]:
    """Which categories of files this is an event of."""
    if activity.failed:
        return ()
    if activity.kind == "open":
        return ("file_event",) if activity.number else ("file_access",)
    return {"rename": ("file_event", "file_rename"), "unlink": ("file_delete",)}.get(activity.kind, ())
