"""Rules about credentials of AI services: `ai-key-shared`, `ai-key-misdirected`, `ai-key-exposed`.

Keys are known by their fingerprints. State: who used each key, and whose each is by its form; both bounded.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from leeward.ai.catalogue import Catalogue
from leeward.detect.bounded import Bounded, Kept
from leeward.detect.destinations import keeps_secrets, service_of
from leeward.detect.detector import occurrence
from leeward.detect.places import (
    DAY,
    HOUR,
    MINUTE,
    host_of,
    image_of,
    inside_name,
    odd_signs,
    place,
    reach,
    started_by_person,
)
from leeward.detect.rule import rules
from leeward.model.activity import Activity, ExchangeSeen, HttpSeen, Started, System
from leeward.model.finding import Finding
from leeward.model.process import Process
from leeward.model.raw import FoundKey
from leeward.model.times import iso

_SHARED, _MISDIRECTED, _EXPOSED = "ai-key-shared", "ai-key-misdirected", "ai-key-exposed"
_WORDS = """EMPTY empty none None NONE null dummy dummy-key fake test ollama lm-studio sk-no-key-required not-needed no-key nokey
    sk-1234 sk-xxx sk-dummy sk-fake x xxx token-abc123 local anything placeholder NA n/a vllm key api-key secret changeme
    local-key unused"""
#: What programs send where a server wants none: no secrets.
_DUMMIES = frozenset(hashlib.sha256(word.encode()).hexdigest()[:16] for word in _WORDS.split())
#: Domains beside its API hosts at which a provider itself takes its keys.
_OWN_DOMAINS = {
    "github_copilot": ("github.com", "githubusercontent.com", "ghe.com", "githubcopilot.com", "github.ai", "azure.com"),
    "hugging_face": ("huggingface.co", "hf.co", "huggingface.cloud", "hf.space"),
    "gcp": ("googleapis.com", "google.com", "firebaseio.com", "gstatic.com"),
    "aws": ("amazonaws.com", "amazonaws.com.cn", "api.aws", "amazon.com"),
    "azure": ("azure.com", "azure.us", "azure.cn", "microsoft.com"),
    "databricks": ("databricks.com", "azuredatabricks.net"),
    "nvidia": ("nvidia.com", "ngc.nvidia.com"),
}  # fmt: skip


class _Use(Kept):
    """A key at a place (an image, a service, a user). told: that it is one of several."""

    first: int = 0
    count: int = 0
    told: bool = False


class _Owner(Kept):
    """Whose key this is by its form."""

    provider: str = ""


class _Held(Kept, kw_only=True):
    """A key in a process's environment, of a workload that has not used it. since: when it was first seen there."""

    since: int
    ts: int
    process: Process
    key: FoundKey
    told: bool = False


class AiKeys:
    """catalogue: whose a host is."""

    hears: tuple[type[Activity], ...] = (ExchangeSeen, HttpSeen, Started, System)

    def __init__(self, catalogue: Catalogue) -> None:
        self.counters: Counter[str] = Counter()
        self._catalogue = catalogue
        self._uses: Bounded[_Use] = Bounded("ai_key_uses", self.counters, 32768, 30 * DAY)
        self._owners: Bounded[_Owner] = Bounded("ai_key_owners", self.counters, 16384, 30 * DAY)
        self._handed: Bounded[Kept] = Bounded("ai_keys_handed", self.counters, 8192, DAY, share=8)
        self._held: Bounded[_Held] = Bounded("ai_keys_held", self.counters, 8192, 7 * DAY, share=8)
        self._users: Bounded[Kept] = Bounded("ai_key_workloads", self.counters, 32768, 7 * DAY)
        self._hosts = {
            p.id: frozenset(host.removeprefix("*.") for host in p.hosts) for p in catalogue.providers.values() if p.keys
        }

    def feed(self, activity: ExchangeSeen | HttpSeen | Started | System) -> list[Finding]:
        match activity:
            case System():
                return self._written(activity) if activity.kind == "key-written" else []
            case HttpSeen():
                if activity.direction == "inbound":
                    return [finding for key in activity.keys for finding in self._answered(activity, key)]
                found = self._requested(activity) if activity.identity else []
                return found + self._posted(activity) if activity.keys else found
            case ExchangeSeen():
                return self._exchanged(activity)
            case Started():
                return self._started(activity) if activity.keys else []

    def tick(self, ts: int) -> list[Finding]:
        for bounded in (self._uses, self._owners, self._users, self._handed):
            bounded.expire(ts)
        found = []
        grace = rules()[_EXPOSED].settings["grace_minutes"] * MINUTE
        for _, held in self._held.of("waiting"):
            if ts - held.since >= grace:
                self._held.drop("waiting", (held.process.workload.id, held.key.fingerprint))
                if not self._speaks(held):
                    found.append(self._exposed_environment(held))
        return found

    # -- shared ----------------------------------------------------------------------------------------------------

    def _exchanged(self, activity: ExchangeSeen) -> list[Finding]:
        exchange, key = activity.exchange, activity.exchange.key
        workload = activity.process.workload.id
        if exchange.network.direction == "inbound":
            return []
        if workload and self._users.get(workload, "", activity.ts) is None:
            self._users.put(workload, "", Kept(), activity.ts)
        if key is None or key.fingerprint in _DUMMIES:
            return []
        if key.provider:
            self._own(key.fingerprint, key.provider, activity.ts)
        destination = exchange.network.domain or host_of(exchange.network.dst)
        found = self._in_url(activity, key.header, destination) if key.header.startswith("query:") else []
        if key.provider or not inside_name(destination):
            found += self._shared(activity, key.fingerprint, destination)
        if key.provider:
            found += self._misdirected(activity, key.fingerprint, key.provider, destination, exchange.network.dst)
        return found

    def _shared(self, activity: ExchangeSeen, fingerprint: str, destination: str) -> list[Finding]:
        where = _user_of(activity.process) or host_of(activity.exchange.network.src)
        use = self._uses.get(fingerprint, where, activity.ts)
        if use is not None:
            use.count += 1
            return []
        others = [(str(name), other) for name, other in self._uses.of(fingerprint)]
        self._uses.put(fingerprint, where, _Use(first=activity.ts, count=1), activity.ts)
        if not others:
            return []
        odd = odd_signs(activity.process)
        signs = [sign for sign in odd if sign != "one-off"]
        places, settings = len(others) + 1, rules()[_SHARED].settings
        late = activity.ts - min(other.first for _, other in others) >= settings["settled_hours"] * HOUR
        many = late and places >= settings["many_places"]
        settled = _is_settled(others, activity.ts, settings)
        handed = self._handed.peek(fingerprint, where) is not None
        stray = (bool(signs) and (late or settled)) or (
            settled and _is_strayed(activity.process, others, handed or "one-off" in odd)
        )
        severity = "high" if set(signs) - {"open-script"} else "medium" if many or stray else "low"
        evidence: dict[str, Any] = {
            "type": "key-use", "time": iso(activity.ts), "exchange": activity.exchange.id, "place": where, "signs": signs,
            "on_command_line": handed, "late": late, "beyond_services": stray,
            "others": [{"place": name, "since": iso(other.first), "uses": other.count} for name, other in others[:5]],
            "value": places, "threshold": 2, "margin": places / 2,
        }  # fmt: skip
        return [
            occurrence(
                _SHARED, activity.process, activity.ts, f"{places} places, now {where}, before {others[-1][0]}",
                same=(fingerprint,), subject={"key": fingerprint, "destination": destination, "place": where},
                evidence=[evidence], severity=severity,
            )
        ]  # fmt: skip

    # -- misdirected -------------------------------------------------------------------------------------------------

    def _own(self, fingerprint: str, provider: str, ts: int) -> None:
        if self._owners.get(fingerprint, "", ts) is None:
            self._owners.put(fingerprint, "", _Owner(provider=provider), ts)

    def _requested(self, activity: HttpSeen) -> list[Finding]:
        """A request that is no AI exchange may carry an AI service's key all the same."""
        if activity.exchange or activity.identity in _DUMMIES:
            return []
        owner = self._owners.peek(activity.identity, "")
        provider = activity.key_of or (owner.provider if owner is not None else "")
        if not provider:
            return []
        self._own(activity.identity, provider, activity.ts)
        destination = _bare(activity.host) or host_of(activity.peer)
        return self._misdirected(activity, activity.identity, provider, destination, activity.peer)

    def _posted(self, activity: HttpSeen) -> list[Finding]:
        """Keys among what a request sends: what thieves and talkative reports of errors do."""
        destination, found = _bare(activity.host) or host_of(activity.peer), []
        if keeps_secrets(destination):
            return []
        severity = rules()[_MISDIRECTED].settings["posted"].get(service_of(destination), "")
        for key in activity.keys:
            if key.where == "body" and key.fingerprint not in _DUMMIES and severity != "none":
                self._own(key.fingerprint, key.provider, activity.ts)
                found += self._misdirected(
                    activity, key.fingerprint, key.provider, destination, activity.peer, severity
                )
        return found

    def _misdirected(
        self, activity: ExchangeSeen | HttpSeen, fingerprint: str, provider: str, destination: str, address: str,
        severity: str = "",
    ) -> list[Finding]:  # fmt: skip
        """severity: if it is not what the destination makes it."""
        whose = self._whose(provider, destination)
        if whose == "own":
            return []
        far = reach(host_of(address)) if address else ""
        inside = far in ("here", "inside") or (not far and inside_name(destination)) or inside_name(destination)
        if inside:
            severity = "info" if inside_name(destination) else "low"
        severity = severity or rules()[_MISDIRECTED].settings["severity"][whose]
        exchange = activity.exchange.id if isinstance(activity, ExchangeSeen) else ""
        evidence: dict[str, Any] = {
            "type": "key-sent", "time": iso(activity.ts), "exchange": exchange, "destination": destination, "address": address,
            "destination_is": "inside" if inside else whose, "key_of": provider,
        }  # fmt: skip
        return [
            occurrence(
                _MISDIRECTED, activity.process, activity.ts, f"a key of {provider} → {destination}",
                same=(fingerprint, destination), subject={"key": fingerprint, "provider": provider, "destination": destination},
                evidence=[evidence], severity=severity,
            )
        ]  # fmt: skip

    def _whose(self, provider: str, destination: str) -> str:
        """Whose host that is, for a key of this provider: "own" | "gateway" | "other" (another AI service) | "unknown"."""
        host = destination.lower()
        family = provider.partition(".")[0]
        at = self._catalogue.is_ai_host(host)
        if at is not None and (at == provider or at.partition(".")[0] == family):
            return "own"
        domains = self._hosts.get(provider, frozenset()) | frozenset(
            _OWN_DOMAINS.get(provider, ()) + _OWN_DOMAINS.get(family, ())
        )
        if any(host == name or host.endswith("." + name) or _registered(host) == _registered(name) for name in domains):
            return "own"
        if at is None:
            return "unknown"
        return "gateway" if self._catalogue.providers[at].kind == "gateway" else "other"

    # -- exposed -----------------------------------------------------------------------------------------------------

    def _started(self, activity: Started) -> list[Finding]:
        found = []
        configured = {key.fingerprint for key in activity.keys if key.where == "environ"}
        for key in activity.keys:
            if key.fingerprint in _DUMMIES:
                continue
            if key.where == "argv" and key.fingerprint not in configured:
                self._handed.put(key.fingerprint, _user_of(activity.process), Kept(), activity.ts)
            self._own(key.fingerprint, key.provider, activity.ts)
            if key.where == "argv":
                found.append(self._exposed_argv(activity, key))
            elif activity.process.workload.kind != "executable" or odd_signs(activity.process) not in ([], ["one-off"]):
                self._wait(activity, key)
            found += self._turned(activity, key)
        return found

    def _wait(self, activity: Started, key: FoundKey) -> None:
        name = (activity.process.workload.id, key.fingerprint)
        if self._held.peek("waiting", name) is None and self._held.get("told", name, activity.ts) is None:
            held = _Held(since=activity.ts, ts=activity.ts, process=activity.process, key=key)
            self._held.put("waiting", name, held, activity.ts)

    def _speaks(self, held: _Held) -> bool:
        """Has the workload used an AI service, or the key from where it stands?"""
        return self._users.peek(held.process.workload.id, "") is not None

    def _turned(self, activity: Started, key: FoundKey) -> list[Finding]:
        """A variable that sends the provider's clients to a host that is not its."""
        for name, value in activity.variables:
            if not name.upper().endswith(("_BASE_URL", "_API_BASE", "_ENDPOINT", "_API_URL")):
                continue
            host = _bare(value.partition("://")[2].partition("/")[0].rpartition("@")[2])
            vendor = name.upper().partition("_")[0].lower()
            if (
                not host
                or vendor not in key.provider
                or inside_name(host)
                or self._whose(key.provider, host) != "unknown"
            ):
                continue
            evidence = {
                "type": "variable",
                "time": iso(activity.ts),
                "variable": name,
                "destination": host,
                "key_of": key.provider,
            }
            return [
                occurrence(
                    _MISDIRECTED, activity.process, activity.ts, f"{name} points to {host}", same=(key.fingerprint, host),
                    subject={"key": key.fingerprint, "provider": key.provider, "destination": host},
                    evidence=[evidence], severity="medium",
                )
            ]  # fmt: skip
        return []

    def _exposed_argv(self, activity: Started, key: FoundKey) -> Finding:
        return self._exposed(activity.process, activity.ts, key, "on a command line", "medium")

    def _written(self, activity: System) -> list[Finding]:
        if activity.source in _DUMMIES:
            return []
        self._own(activity.source, activity.label, activity.ts)
        key = FoundKey(activity.label, activity.source, "log", activity.path)
        return [self._exposed(activity.process, activity.ts, key, f"in the log {activity.path}", "medium")]

    def _answered(self, activity: HttpSeen, key: FoundKey) -> list[Finding]:
        """A server of this host gives a key away: to whoever asks, if the caller showed no credential. Google's keys for maps
        stand in pages by design, and look the same."""
        if key.fingerprint in _DUMMIES:
            return []
        self._own(key.fingerprint, key.provider, activity.ts)
        peer = host_of(activity.peer)
        anybody = not activity.identity and reach(peer) == "outside" and not key.provider.startswith("gcp")
        where = f"in what it answers to {peer}" if peer else "in what it answers"
        return [self._exposed(activity.process, activity.ts, key, where, "medium" if anybody else "low", peer=peer)]

    def _exposed_environment(self, held: _Held) -> Finding:
        name = (held.process.workload.id, held.key.fingerprint)
        self._held.put("told", name, held, held.ts)
        return self._exposed(held.process, held.ts, held.key, "in the environment of what never uses it", "low")

    def _exposed(self, process: Process, ts: int, key: FoundKey, where: str, severity: str, **more: Any) -> Finding:
        evidence = {
            "type": "key-seen",
            "time": iso(ts),
            "where": key.where,
            "name": key.name,
            "key_of": key.provider,
            **more,
        }
        place = f"log {key.name}" if key.where == "log" else key.where
        return occurrence(
            _EXPOSED, process, ts, f"a key of {key.provider} {where}", same=(key.fingerprint, place),
            subject={"key": key.fingerprint, "provider": key.provider, "name": key.name}, evidence=[evidence],
            severity=severity,
        )  # fmt: skip

    def _in_url(self, activity: ExchangeSeen, where: str, destination: str) -> list[Finding]:
        key = activity.exchange.key
        assert key is not None
        documented = key.provider.startswith("gcp") or destination.endswith("googleapis.com")
        evidence = {
            "type": "key-seen",
            "time": iso(activity.ts),
            "where": "url",
            "name": where,
            "exchange": activity.exchange.id,
        }
        return [
            occurrence(
                _EXPOSED, activity.process, activity.ts, f"in a URL to {destination}", same=(key.fingerprint, "url"),
                subject={"key": key.fingerprint, "destination": destination}, evidence=[evidence],
                severity="low" if documented or inside_name(destination) else "medium",
            )
        ]  # fmt: skip


def _user_of(process: Process) -> str:
    """Whose the key is used by: replicas of a service are one, and so is all that a person runs by hand."""
    if process.container is not None and process.container.image:
        return image_of(process)
    if process.workload.kind == "executable":
        return f"user:{process.user or process.uid}"
    return place(process)


def _is_settled(others: Iterable[tuple[str, _Use]], ts: int, settings: Mapping[str, Any]) -> bool:
    """Has somebody used the key regularly, for longer than a roll-out takes?"""
    least, uses = settings["regular_minutes"] * MINUTE, settings["regular_uses"]
    return any(ts - other.first >= least and other.count >= uses for _, other in others)


def _is_strayed(process: Process, others: Iterable[tuple[str, _Use]], one_off: bool) -> bool:
    """Did a key that only services and containers used come to a program that is of none, or in another service to a shell's
    tool (a part of a product has its client) or onto a command line (it has its key in its environment or a file), and that no
    person runs? one_off: a tool or a command line."""
    service = process.workload.kind != "executable" and not one_off
    if service or (process.container is not None and process.container.image):
        return False
    return not started_by_person(process) and not any(name.startswith("user:") for name, _ in others)


def _registered(host: str) -> str:
    return ".".join(host.split(".")[-2:])


def _bare(host: str) -> str:
    return host.rsplit(":", 1)[0].lower() if host.count(":") == 1 else host.strip("[]").lower()
