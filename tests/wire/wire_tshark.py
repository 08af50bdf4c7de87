"""What tshark reads in captures, and what the pipeline tells its detectors of the same: requests, DNS questions, server names.

tshark takes longer to start than to read a small capture, so captures are put together (mergecap, frames unchanged, one after
another) where no two of them share a pair of addresses and ports. What comes back is told apart by the frames' numbers.
"""

from __future__ import annotations

import io
import subprocess
import xml.etree.ElementTree as ET
from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec

from leeward.ai.catalogue import Catalogue
from leeward.model.activity import Activity, FlowSeen, HttpSeen, NameAsked
from leeward.pipeline import Pipeline, Settings
from leeward.sensor.pcap import Capture

#: In a capture: ("http", method, host, path, status), ("dns", name, type, "question" | "answer"), ("sni", transport, name)
Fact = tuple[str | int, ...]
_FILTER = "http or http2 or (dns and (udp.port == 53 or tcp.port == 53)) or tls.handshake.extensions_server_name"
_TRANSPORT = {"tls": "tcp", "quic": "udp", "dtls": "udp"}


class Read(msgspec.Struct):
    """A capture as the pipeline reads it. ends: pairs of addresses and ports. frames: how many. counters: of its `stats`."""

    path: Path
    facts: Counter[Fact]
    ends: set[frozenset[object]]
    frames: int
    counters: dict[str, int]


def read(path: Path, catalogue: Catalogue) -> Read:
    acts: list[Activity] = []
    capture = Capture(path)
    pipeline = Pipeline(Settings("x", record=acts.append), catalogue, None)
    ends: set[frozenset[object]] = set()
    last = tick = 0
    for event in capture:
        ends.add(frozenset((event.local, event.remote)))
        tick, last = tick or event.ts, max(last, event.ts)
        pipeline.feed(event)
        if event.ts - tick >= 10**9:
            tick = event.ts
            pipeline.tick(tick)
    pipeline.finish(last)
    counters = dict(capture.counters) | pipeline.totals()
    return Read(path, _told(acts), ends, capture.counters["packets"], counters)


def _told(acts: list[Activity]) -> Counter[Fact]:
    facts: Counter[Fact] = Counter()
    named: dict[str, Fact] = {}  # flows are told of many times
    for act in acts:
        match act:
            case HttpSeen():
                facts["http", act.method, act.host, act.path, act.status] += act.sampled
            case NameAsked():
                facts["dns", act.name, act.query, "answer" if act.rcode >= 0 else "question"] += 1
            case FlowSeen(flow=flow) if flow.sni:
                named[flow.id] = ("sni", flow.proto, flow.sni)
    return facts + Counter(named.values())


def batches(reads: Sequence[Read], alone: dict[str, list[str]], name: dict[Path, str]) -> Iterator[list[Read]]:
    """Captures that can be read as one file."""
    waiting = [r for r in reads if name[r.path] not in alone]
    yield from ([r] for r in reads if name[r.path] in alone)
    while waiting:
        taken: list[Read] = []
        ends: set[frozenset[object]] = set()
        for r in waiting:
            if not ends & r.ends:
                taken.append(r)
                ends |= r.ends
        waiting = [r for r in waiting if r not in taken]
        yield taken


def ask_tshark(groups: Sequence[list[Read]], options: dict[Path, list[str]], folder: Path) -> dict[Path, Counter[Fact]]:
    """What tshark reads in each capture."""

    def ask(number: int) -> list[tuple[Path, Counter[Fact]]]:
        group = groups[number]
        paths = [r.path for r in group]
        file = paths[0]
        if len(paths) > 1:
            file = folder / f"{number}.pcapng"
            subprocess.run(["mergecap", "-a", "-w", file, *paths], check=True, capture_output=True, timeout=60)
        command = [
            "tshark",
            "-n",
            "-r",
            str(file),
            "-Y",
            _FILTER,
            "-T",
            "pdml",
            "-J",
            "ip ipv6 tcp udp http http2 dns tls quic dtls",
        ]
        done = subprocess.run([*command, *options.get(paths[0], [])], check=True, capture_output=True, timeout=60)
        begins = [0]
        for r in group:
            begins.append(begins[-1] + r.frames)
        packets: dict[int, list[ET.Element]] = defaultdict(list)
        if done.stdout:
            for _, element in ET.iterparse(io.BytesIO(done.stdout)):
                if element.tag == "packet":
                    packets[bisect_right(begins, _number(element) - 1) - 1].append(element)
        return [(path, _facts(packets[i])) for i, path in enumerate(paths)]

    with ThreadPoolExecutor(2) as pool:
        return {path: facts for pairs in pool.map(ask, range(len(groups))) for path, facts in pairs}


def _number(packet: ET.Element) -> int:
    field = packet.find("proto[@name='geninfo']/field[@name='num']")
    assert field is not None
    return int(field.get("show", ""))


def _all(element: ET.Element, name: str) -> list[str]:
    return [field.get("show", "") for field in element.iter("field") if field.get("name") == name]


def _facts(packets: list[ET.Element]) -> Counter[Fact]:
    facts: Counter[Fact] = Counter()
    requests: list[tuple[str, int, Fact]] = []
    statuses: dict[tuple[str, int], list[int]] = defaultdict(list)
    named: dict[str, Fact] = {}
    for packet in packets:
        stream, number = "", _number(packet)
        for proto in packet.findall("proto"):
            kind = proto.get("name", "")
            if kind in ("tcp", "udp"):
                stream = kind + _all(proto, f"{kind}.stream")[0]
            elif kind == "http":
                _http(proto, stream, number, requests, statuses)
            elif kind == "dns":
                way = "answer" if _all(proto, "dns.flags.response") == ["1"] else "question"
                for name, query in zip(_all(proto, "dns.qry.name"), _all(proto, "dns.qry.type"), strict=True):
                    facts["dns", name.lower(), int(query), way] += 1
            for name in _all(proto, "tls.handshake.extensions_server_name")[:1]:
                named[stream] = ("sni", _TRANSPORT[kind], name.lower())
    for stream, number, request in requests:
        answers = statuses[stream, number]
        facts[(*request, answers.pop(0) if answers else 0)] += 1
    return facts + Counter(named.values())


def _http(
    proto: ET.Element,
    stream: str,
    number: int,
    requests: list[tuple[str, int, Fact]],
    statuses: dict[tuple[str, int], list[int]],
) -> None:
    """One HTTP message. An answer names the frame in which its request ended."""
    if _all(proto, "http.request.method"):
        host, uri = (_all(proto, f"http.{name}") or [""] for name in ("host", "request.uri"))
        path = uri[0].partition("?")[0][:512]
        requests.append((stream, number, ("http", _all(proto, "http.request.method")[0], host[0], path)))
    elif (codes := _all(proto, "http.response.code")) and (int(codes[0]) >= 200 or codes[0] == "101"):
        asked = _all(proto, "http.request_in") or ["0"]
        statuses[stream, int(asked[0])].append(int(codes[0]))
