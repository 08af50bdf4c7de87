"""Rule `cryptomining`: miners by their command line, by the names they ask for, and by their conversation.

Stratum, the miners' protocol, is known by its first message where that can be read (wire/stratum.py). Where it cannot, by its
shape: one connection for hours on which the server sends a job every now and then and the miner a share: little messages, both
ways, never a large one. Ports alone prove nothing.
"""

from __future__ import annotations

import functools
import itertools
import re
from collections import Counter
from typing import Any

from leeward.detect.bounded import Bounded, Kept
from leeward.detect.destinations import address_kind, is_internal, payload_sent, service_of
from leeward.detect.detector import occurrence
from leeward.detect.lists import groups
from leeward.detect.roles import role
from leeward.detect.rule import rules
from leeward.model.activity import Activity, FlowSeen, NameAsked, Started
from leeward.model.finding import SEVERITIES, Finding
from leeward.model.times import iso

_RULE = "cryptomining"
_DAY_NS = 86_400 * 10**9
#: Wallets as command lines have them: Monero (95 or 106 characters of base58, beginning with 4 or 8), Bitcoin (bech32), Ethereum
#: and its like, Ravencoin, Kaspa.
_WALLET = re.compile(
    r"(?<![0-9A-Za-z])(?:[48][1-9A-HJ-NP-Za-km-z]{94}(?:[1-9A-HJ-NP-Za-km-z]{11})?|bc1[02-9ac-hj-np-z]{38,59}"
    r"|0x[0-9a-fA-F]{40}|R[1-9A-HJ-NP-Za-km-z]{33}|kaspa:[02-9ac-hj-np-z]{61})(?![0-9A-Za-z])"
)
_WEB = frozenset((80, 443, 8080, 8443))
_PARTS = re.compile(r"[.\-_]|\d+")
_ALGORITHM = frozenset(("-a", "--algo", "--algorithm", "--coin"))


class _Talk(Kept, kw_only=True, gc=False):
    """A flow to where pools listen. spoken, heard: seconds with payload out, in; largest: bytes in one of them. alike: how many
    seconds in a row with payload out had as much as the one before (`share` bytes), and an answer."""

    first: int
    spoken: int = 0
    heard: int = 0
    largest: int = 0
    sent: int = 0
    received: int = 0
    share: int = 0
    alike: int = 0
    over: bool = False


class _Asked(Kept, gc=False):
    name: str = ""


class Cryptomining:
    hears: tuple[type[Activity], ...] = (Started, NameAsked, FlowSeen)

    def __init__(self) -> None:
        self.counters: Counter[str] = Counter()
        known = groups("mining")
        self._pools, self._words = frozenset(known["pools"]), frozenset(known["words"])
        self._ports = frozenset(int(port) for port in known["ports"])
        self._schemes = tuple(f"{scheme}://" for scheme in known["schemes"])
        self._options, self._algorithms = frozenset(known["options"]), frozenset(known["algorithms"])
        self._miners = frozenset(name.lower() for name in known["names"])
        self._speaks_of_mining = functools.lru_cache(maxsize=8192)(self._spoken)
        self._settings = rules()[_RULE].settings
        self._talks: Bounded[_Talk] = Bounded("cryptomining", self.counters, 16384, _DAY_NS)
        self._suspects: Bounded[_Asked] = Bounded("cryptomining_suspects", self.counters, 16384, 30 * _DAY_NS)

    def feed(self, activity: Started | NameAsked | FlowSeen) -> list[Finding]:
        if type(activity) is FlowSeen:
            return self._flow(activity)
        if type(activity) is NameAsked:
            return self._question(activity) if activity.rcode == -1 else []
        assert isinstance(activity, Started)
        return self._program(activity)

    def tick(self, ts: int) -> list[Finding]:
        self._talks.expire(ts)
        self._suspects.expire(ts)
        return []

    # -- the command line ------------------------------------------------------------------------------------------

    def _program(self, activity: Started) -> list[Finding]:
        process = activity.process
        signs = self.signs_of(process.exe, process.argv)
        score, levels = sum(self._settings["signs"][sign] for sign in signs), self._settings["severity"]
        level = next((s for s in ("high", "medium", "low") if score >= levels[s]), "")
        if not level:
            return []
        if SEVERITIES.index(level) >= SEVERITIES.index("medium"):
            self._suspects.put(process.workload.id, process.exe, _Asked(), activity.ts)
        evidence = {
            "type": "process", "time": iso(activity.ts), "pid": process.pid, "exe": process.exe, "signs": signs,
            "value": score, "threshold": levels[level], "margin": round(score - levels[level], 2),
        }  # fmt: skip
        return [self._told(activity, level, f"{role(process).name} started as miners are", "", evidence)]

    def signs_of(self, exe: str, argv: tuple[str, ...]) -> list[str]:
        """What of a miner is in a command line."""
        words, signs = [word.lower() for word in argv[1:64]], []
        options = {word.partition("=")[0] for word in words if word.startswith("--")}
        if any(scheme in word for word in words for scheme in self._schemes):
            signs.append("scheme")
        if options & self._options:
            signs.append("options" if len(options & self._options) > 1 else "option")
        pairs = {*itertools.pairwise(words), *(tuple(w.split("=", 1)) for w in words if "=" in w)}
        if any(len(p) == 2 and p[0] in _ALGORITHM and p[1] in self._algorithms for p in pairs):
            signs.append("algorithm")
        if any(_WALLET.search(word) for word in argv[1:64]):
            signs.append("wallet")
        if any(self._is_pool(host) for host in _hosts(words)):
            signs.append("pool")
        names = {exe.rsplit("/", 1)[-1].lower(), *(argv[0].rsplit("/", 1)[-1].lower() for _ in argv[:1])}
        if names & self._miners:
            signs.append("name")
        return signs

    # -- names -----------------------------------------------------------------------------------------------------

    def _is_pool(self, name: str) -> bool:
        while name:
            if name in self._pools:
                return True
            name = name.partition(".")[2]
        return False

    def _spoken(self, name: str) -> str:
        """ "pool": a name of one; "word": a label of it speaks of mining (xmr-eu1, stratum, pool-xmr); "" for others."""
        if self._is_pool(name):
            return "pool"
        return "word" if any(part in self._words for part in _PARTS.split(name)) else ""

    def _question(self, activity: NameAsked) -> list[Finding]:
        name, process = activity.name, activity.process
        spoken = self._speaks_of_mining(name)
        pool = spoken == "pool"
        if not spoken or (not pool and (is_internal(name) or service_of(name))):
            return []
        self._suspects.put(process.workload.id, name, _Asked(name=name), activity.ts)
        if not pool:
            return []
        evidence = {"type": "dns", "time": iso(activity.ts), "name": name}
        return [self._told(activity, "medium", f"asks for {name}", name, evidence)]

    # -- conversations ---------------------------------------------------------------------------------------------

    def _flow(self, activity: FlowSeen) -> list[Finding]:
        flow = activity.flow
        if flow.l7 == "stratum":
            return self._stratum(activity)
        if flow.domain:
            if flow.dst.port not in self._ports and not self._speaks_of_mining(flow.domain):
                return []
        elif flow.dst.port not in self._ports and (flow.dst.port not in _WEB or flow.l7):
            return []  # without a name, on the web's ports: what is neither TLS nor HTTP
        if flow.direction == "inbound" or flow.proto != "tcp" or flow.provider or address_kind(flow.dst.ip) != "public":
            return []
        if activity.began and self._speaks_of_mining(flow.domain) == "pool":
            evidence = {"type": "flow", "time": iso(activity.ts), "flow": flow.id, "address": str(flow.dst)}
            return [self._told(activity, "high", f"connects to {flow.domain}", flow.domain, evidence)]
        talk = self._talk(activity)
        if talk.over:
            return []
        self._add(talk, activity)
        if talk.largest > self._settings["largest_bytes"]:
            talk.over = True
            return []
        return self._judged(talk, activity)

    def _stratum(self, activity: FlowSeen) -> list[Finding]:
        """Its first message was a miner's: to whom does not matter, a pool's proxy may be next door."""
        flow = activity.flow
        if flow.direction == "inbound":
            return []
        talk = self._talk(activity)
        if talk.over:
            return []
        talk.over = True
        where = flow.domain or str(flow.dst)
        evidence = {
            "type": "flow", "time": iso(activity.ts), "flow": flow.id, "address": str(flow.dst), "protocol": flow.l7,
        }  # fmt: skip
        return [self._told(activity, "high", f"speaks Stratum, the miners' protocol, to {where}", where, evidence)]

    def _talk(self, activity: FlowSeen) -> _Talk:
        flow = activity.flow
        who = activity.process.workload.id or flow.src.ip
        talk = self._talks.get(who, flow.id, activity.ts)
        if talk is None:
            talk = self._talks.put(who, flow.id, _Talk(first=flow.start or activity.ts), activity.ts)
        return talk

    def _add(self, talk: _Talk, activity: FlowSeen) -> None:
        flow = activity.flow
        out = payload_sent(flow, activity.sent, activity.packets_out)
        heard = activity.received if activity.received > 120 else 0  # more than acknowledgements
        talk.spoken += out > 0
        talk.heard += heard > 0
        talk.sent += out
        talk.received += heard
        talk.largest = max(talk.largest, out, heard)
        if out > 0:
            same = heard > 0 and abs(out - talk.share) <= self._settings["share_differs"]
            talk.alike = talk.alike + 1 if same else 1
            talk.share = out

    def _judged(self, talk: _Talk, activity: FlowSeen) -> list[Finding]:
        """Long, little, both ways?"""
        settings, flow = self._settings, activity.flow
        lasted = (activity.ts - talk.first) / 1e9
        enough = min(talk.spoken, talk.heard) >= settings["messages"] and lasted >= settings["least_seconds"]
        slow = enough and max(talk.sent, talk.received) / lasted <= settings["most_rate"]
        least, most = settings["share_bytes"]
        if not slow and (flow.domain or talk.alike < settings["shares"] or not least <= talk.share <= most):
            return []
        who = activity.process.workload.id
        suspected = any(
            key == activity.process.exe or entry.name == flow.domain for key, entry in self._suspects.of(who)
        )
        worded = self._speaks_of_mining(flow.domain) != ""
        program = role(activity.process)
        if suspected or worded or program.by_hand:
            severity = "high"
        elif not flow.domain:
            severity = "medium" if flow.dst.port in self._ports or program.kind == "script" else "low"
        else:
            severity = "low" if not service_of(flow.domain) else ""
        if not severity:
            return []
        talk.over = True
        evidence = {
            "type": "flow", "time": iso(activity.ts), "flow": flow.id, "address": str(flow.dst), "seconds": round(lasted),
            "messages_out": talk.spoken, "messages_in": talk.heard, "largest": talk.largest, "alike": talk.alike,
            "share": talk.share, **self._margin(talk, lasted, slow),
        }  # fmt: skip
        where = flow.domain or str(flow.dst)
        return [self._told(activity, severity, f"talks to {where} as a miner does to its pool", where, evidence)]

    def _margin(self, talk: _Talk, lasted: float, slow: bool) -> dict[str, float]:
        """What decided: how slow it is, else how many shares were alike."""
        value = round(max(talk.sent, talk.received) / lasted, 1) if slow else talk.alike
        threshold = self._settings["most_rate" if slow else "shares"]
        margin = round(threshold - value, 1) if slow else value - threshold
        return {"value": value, "threshold": threshold, "margin": margin}

    def _told(self, activity: Activity, severity: str, about: str, where: str, evidence: dict[str, Any]) -> Finding:
        process = activity.process
        return occurrence(
            _RULE, process, activity.ts, about, same=(process.exe,), severity=severity, evidence=[evidence],
            subject={"program": process.exe, **({"destination": where} if where else {})},
            confidence={"low": 0.4, "medium": 0.7}.get(severity),
        )  # fmt: skip


def _hosts(words: list[str]) -> list[str]:
    """What looks like a host in a command line: of `stratum+tcp://host:port`, `host:port`, `-o host`."""
    found = []
    for word in words:
        rest = word.partition("=")[2] or word if word.startswith("-") else word
        host = rest.rpartition("://")[2].partition("/")[0].rpartition("@")[2].partition(":")[0]
        if "." in host and not host.startswith(("-", ".")):
            found.append(host)
    return found
