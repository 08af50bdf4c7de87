"""Rule `new-ai-destination`: a workload talks to an AI service for the first time.

Being new is no offence: on a host that was just begun to be watched, everything is. What decides is who does it: see the rule's
`signs`. What the same image or executable did elsewhere on this host is a prior. State: the hosts of each workload, bounded.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import Any

from leeward.detect.bounded import Bounded, Kept
from leeward.detect.detector import occurrence
from leeward.detect.places import DAY, HOUR, MINUTE, host_of, inside_name, kind_of, odd_signs, place
from leeward.detect.rule import rules
from leeward.model.activity import Activity, ExchangeSeen, FlowSeen, Started
from leeward.model.exchange import Exchange
from leeward.model.finding import SEVERITIES, Finding
from leeward.model.process import Process
from leeward.model.times import iso

_RULE = "new-ai-destination"
#: Operations that leave messages at the provider for others to fetch: a mailbox, of use to who wants no server of his own.
_MAILBOX = frozenset(
    (
        "create_agent",
        "create_thread",
        "add_message",
        "list_messages",
        "get_run",
        "invoke_agent",
        "upload_file",
        "download_file",
    )
)
_OPEN = frozenset(("open-folder", "open-script"))
_BLOB = re.compile(r"^[A-Za-z0-9+/=_\-\s]{80,}$")


class _Known(Kept):
    """first: when it was first seen, ns. told: the severity that was told."""

    first: int = 0
    told: str = ""


class _Asker(Kept, kw_only=True):
    """A program out of an open folder that a model answered. answered: when, ns."""

    answered: int
    activity: ExchangeSeen
    provider: str
    host: str
    ran: bool = False


class NewAiDestination:
    """See the module."""

    hears: tuple[type[Activity], ...] = (FlowSeen, ExchangeSeen, Started)

    def __init__(self) -> None:
        self.counters: Counter[str] = Counter()
        self._hosts: Bounded[_Known] = Bounded("ai_destinations", self.counters, 65536, 30 * DAY)
        self._kinds: Bounded[Kept] = Bounded("ai_destination_kinds", self.counters, 32768, 30 * DAY)
        self._askers: Bounded[_Asker] = Bounded("ai_destination_askers", self.counters, 1024, HOUR, share=1)
        self._since = 0
        self._set = rules()[_RULE].settings

    def feed(self, activity: FlowSeen | ExchangeSeen | Started) -> list[Finding]:
        if not self._since:
            self._since = activity.ts
        if type(activity) is Started:
            return self._ran(activity) if len(self._askers) else []
        if type(activity) is FlowSeen:
            flow = activity.flow
            if not flow.provider or flow.direction == "inbound":
                return []
            return self._met(activity, flow.provider, flow.domain or flow.dst.ip, None)
        assert isinstance(activity, ExchangeSeen)
        exchange = activity.exchange
        network, ai = exchange.network, exchange.gen_ai
        if network.direction in ("inbound", "local") or ai.provider in ("", "mcp", "a2a"):
            return []
        host = network.domain or host_of(network.dst)
        self._answered(activity, ai.provider, host)
        return self._met(activity, ai.provider, host, exchange)

    def tick(self, ts: int) -> list[Finding]:
        self._hosts.expire(ts)
        self._kinds.expire(ts)
        self._askers.expire(ts)
        return []

    def _answered(self, activity: ExchangeSeen, provider: str, host: str) -> None:
        """Remembers who is out of place and was answered."""
        process, ts = activity.process, activity.ts
        if not process.pid or _OPEN.isdisjoint(odd_signs(process)):
            return
        known = self._askers.get("", process.pid, ts)
        if known is None or known.activity.process.start_ns != process.start_ns:
            asker = _Asker(answered=ts, activity=activity, provider=provider, host=host)
            self._askers.put("", process.pid, asker, ts)
        else:
            known.answered = ts

    def _ran(self, activity: Started) -> list[Finding]:
        """Did somebody who is out of place start a shell or a program given as text, just after a model answered?"""
        process = activity.process
        if not process.ancestors or "one-off" not in odd_signs(process):
            return []
        asker = self._askers.peek("", process.ancestors[0].pid)
        if asker is None or asker.ran or activity.ts - asker.answered > self._set["obeys_seconds"] * 10**9:
            return []
        asker.ran = True
        group = place(asker.activity.process, host_of(asker.activity.exchange.network.src))
        known = self._hosts.get(group, asker.host, activity.ts)
        signs = [*self._signs(asker.activity.process, None, asker.host, False), "obeys"]
        severity = self._severity(signs, False, asker.host, activity.ts)
        if known is None or SEVERITIES.index(severity) <= SEVERITIES.index(known.told or "info"):
            return []
        known.told = severity
        exchange = asker.activity.exchange
        found = self._finding(asker.activity, asker.provider, asker.host, exchange, signs, False, severity)
        found.evidence.append(
            {
                "type": "process",
                "time": iso(activity.ts),
                "pid": process.pid,
                "exe": process.exe,
                "argv": [*process.argv[:8]],
            }
        )
        return [found]

    def _met(
        self, activity: FlowSeen | ExchangeSeen, provider: str, host: str, exchange: Exchange | None
    ) -> list[Finding]:
        process, ts = activity.process, activity.ts
        address = host_of(exchange.network.src) if exchange is not None else ""
        group = place(process, address)
        known = self._hosts.get(group, host, ts)
        mailbox = exchange is not None and exchange.gen_ai.operation in _MAILBOX
        if known is not None and (not mailbox or known.told == "high"):
            return []
        fresh = known is None
        if known is None:
            known = self._hosts.put(group, host, _Known(first=ts), ts)
        signs = self._signs(process, exchange, host, mailbox)
        familiar = fresh and self._familiar(process, host, ts)
        severity = self._severity(signs, familiar, host, ts)
        if not fresh and (not known.told or SEVERITIES.index(severity) <= SEVERITIES.index(known.told)):
            return []
        known.told = severity
        return [self._finding(activity, provider, host, exchange, signs, familiar, severity)]

    def _signs(self, process: Process, exchange: Exchange | None, host: str, mailbox: bool) -> list[str]:
        signs = odd_signs(process)
        if mailbox and not inside_name(host):
            signs.append("mailbox")
            said = [message.content for message in exchange.gen_ai.input + exchange.gen_ai.output] if exchange else []
            if any(_BLOB.match(content) for content in said):
                signs.append("opaque")
        return signs

    def _familiar(self, process: Process, host: str, ts: int) -> bool:
        """Did another workload of the same image or executable use it before? (And notes that this one does.)"""
        if not process.pid:
            return False
        kind = kind_of(process)
        known = self._kinds.get(kind, host, ts) is not None
        if not known:
            self._kinds.put(kind, host, Kept(), ts)
        return known

    def _severity(self, signs: list[str], familiar: bool, host: str, ts: int) -> str:
        weights, levels = self._set["signs"], self._set["severity"]
        weight = sum(weights[sign] for sign in signs)
        if inside_name(host):
            weight += weights["inside"]
        if familiar:
            weight += weights["familiar"]
        if ts - self._since < self._set["settling_minutes"] * MINUTE:
            weight += weights["settling"]
        return next((level for level, least in reversed(levels.items()) if weight >= least), "info")

    def _finding(
        self,
        activity: FlowSeen | ExchangeSeen,
        provider: str,
        host: str,
        exchange: Exchange | None,
        signs: list[str],
        familiar: bool,
        severity: str,
    ) -> Finding:
        evidence: dict[str, Any] = {
            "type": "first-use", "time": iso(activity.ts), "destination": host, "provider": provider, "signs": signs,
            "familiar": familiar, "observed_for": (activity.ts - self._since) // 10**9,
        }  # fmt: skip
        if exchange is not None:
            evidence |= {
                "exchange": exchange.id,
                "operation": exchange.gen_ai.operation,
                "model": exchange.gen_ai.request_model,
            }
        elif isinstance(activity, FlowSeen):
            evidence["flow"] = activity.flow.id
        who = activity.process.workload.name or activity.process.exe or "a host"
        return occurrence(
            _RULE, activity.process, activity.ts, f"{who} → {host}", same=(host,),
            subject={"destination": host, "provider": provider}, evidence=[evidence], severity=severity,
        )  # fmt: skip
