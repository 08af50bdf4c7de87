"""Rules `llmjacking` and `model-enumeration`: somebody lives on another's access to models.

What whoever deals in stolen access does: tries keys and models one after the other, asks whether calls are logged, sends
probes that cannot succeed, then uses what works, from a place where the key was never seen, or behind a proxy that serves
many with few keys. Each is a sign with a weight (the rule's `signs`); one alone may be honest. State: a small entry a
(workload or peer), bounded.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from typing import Any

import msgspec

from leeward.detect.bounded import Bounded, Kept
from leeward.detect.detector import occurrence
from leeward.detect.model_server_auth import server_of
from leeward.detect.places import DAY, HOUR, MINUTE, host_of, inside_name, kind_of, odd_signs, place, reach
from leeward.detect.rule import rules
from leeward.model.activity import Activity, ExchangeSeen, HttpSeen
from leeward.model.exchange import Exchange
from leeward.model.finding import SEVERITIES, Finding
from leeward.model.times import iso

_JACKING, _ENUMERATION = "llmjacking", "model-enumeration"
_CALLS = frozenset(("chat", "text_completion", "embeddings", "generate_content", "image_generation"))
_LISTS = frozenset(("list_models", "show_model"))
_AI_PATHS = (
    "/v1/chat/completions",
    "/v1/completions",
    "/v1/messages",
    "/v1/responses",
    "/chat/completions",
    "/v1/models",
)
_PROXY_PATHS = ("/proxy/openai", "/proxy/anthropic", "/proxy/aws", "/proxy/azure", "/proxy/google-ai", "/proxy/gcp")
_GATEWAYS = frozenset(("LiteLLM", "Open WebUI"))
_BY_NAME = "/v1/models/"
_NO = (400, 401, 403, 404, 405, 422)
_LOGGING = "/logging/modelinvocations"  # Bedrock's Get-, Put- and DeleteModelInvocationLoggingConfiguration
_TRYING = frozenset(("impossible-probe", "keys-tried", "errors-in-a-row", "enumeration"))
_LIMITS = (
    "max_tokens",
    "max_tokens_to_sample",
    "max_completion_tokens",
    "max_output_tokens",
    "maxTokens",
    "max_gen_len",
)
_MOST = 256


class _Try(msgspec.Struct):
    """What was tried last. failed: with an error that says no (not one of load)."""

    ts: int
    failed: bool


class _Source(Kept, kw_only=True):
    """Who calls models. models: (host, model) → last try. keys: fingerprint → last try. row: failures since the last success.
    signs: name → when. told: severity of each rule."""

    models: OrderedDict[tuple[str, str], _Try]
    keys: OrderedDict[str, _Try]
    lists: OrderedDict[str, int]
    signs: dict[str, int]
    row: int = 0
    told: dict[str, str] = msgspec.field(default_factory=dict)


class _Place(Kept):
    """A key somewhere. first: since when; count: uses."""

    first: int = 0
    count: int = 0


class _Served(Kept, kw_only=True):
    """A process that is asked for models by others, and asks others itself. outside: who asked from outside; anonymous: those of
    them that showed no credential."""

    outside: set[str]
    anonymous: set[str]
    identities: set[str]
    keys: set[str]
    proxied: bool = False


class Llmjacking:
    """See the module."""

    hears: tuple[type[Activity], ...] = (ExchangeSeen, HttpSeen)

    def __init__(self) -> None:
        self.counters: Counter[str] = Counter()
        self._sources: Bounded[_Source] = Bounded("model_callers", self.counters, 16384, HOUR)
        self._places: Bounded[_Place] = Bounded("key_places", self.counters, 32768, 30 * DAY)
        self._served: Bounded[_Served] = Bounded("model_proxies", self.counters, 4096, DAY)
        self._set = rules()[_JACKING].settings
        self._many = rules()[_ENUMERATION].settings

    def feed(self, activity: ExchangeSeen | HttpSeen) -> list[Finding]:
        if isinstance(activity, HttpSeen):
            return self._requested(activity)
        exchange = activity.exchange
        if exchange.gen_ai.operation not in _CALLS and exchange.gen_ai.operation not in _LISTS:
            return []
        source = self._source(self._who(activity), activity.ts)
        self._try(source, activity)
        found = self._enumeration(activity, source)
        self._new_place(activity, source)
        self._note_signs(activity, source)
        if exchange.network.direction != "inbound" and exchange.key is not None:
            found += self._proxy(activity, key=exchange.key.fingerprint)
        return found + self._jacking(activity, source)

    def tick(self, ts: int) -> list[Finding]:
        for bounded in (self._sources, self._places, self._served):
            bounded.expire(ts)
        return []

    def _who(self, activity: ExchangeSeen) -> str:
        """The caller: of what comes in from elsewhere the address, else the workload."""
        network = activity.exchange.network
        peer = host_of(network.src)
        return f"address:{peer}" if network.direction == "inbound" else place(activity.process, peer)

    def _source(self, who: str, ts: int) -> _Source:
        found = self._sources.get(who, "", ts)
        if found is None:
            fresh = _Source(models=OrderedDict(), keys=OrderedDict(), lists=OrderedDict(), signs={}, told={})
            found = self._sources.put(who, "", fresh, ts)
        return found

    # -- trying ------------------------------------------------------------------------------------------------------

    def _try(self, source: _Source, activity: ExchangeSeen) -> None:
        exchange, ts = activity.exchange, activity.ts
        old, failed = ts - self._many["window_minutes"] * MINUTE, _refused(exchange)
        host, ai = exchange.network.domain or host_of(exchange.network.dst), exchange.gen_ai
        if ai.operation in _LISTS:
            _put(source.lists, host, ts)
        elif ai.request_model:
            _put(source.models, (host, ai.request_model), _Try(ts, failed))
            source.row = source.row + 1 if failed else 0
        if exchange.key is not None:
            _put(source.keys, exchange.key.fingerprint, _Try(ts, failed and exchange.http.status in (401, 403)))
        _forget(source.models, old)
        _forget(source.keys, old)
        while source.lists and next(iter(source.lists.values())) < old:
            source.lists.popitem(last=False)

    def _enumeration(self, activity: ExchangeSeen | HttpSeen, source: _Source) -> list[Finding]:
        """Many models, or many services' lists, within minutes."""
        failed = sum(tried.failed for tried in source.models.values())
        models, lists, m = len(source.models), len(source.lists), self._many
        refused = failed >= m["refused_models"] and failed * 2 >= models
        if not refused and models < m["models"] and lists < m["lists"]:
            return []
        severity = (
            "medium" if refused or (lists >= m["lists"] and not inside_name(next(reversed(source.lists)))) else "low"
        )
        if severity == "medium":
            source.signs["enumeration"] = activity.ts
        value, threshold = (failed, m["refused_models"]) if refused else (models, m["models"])
        if lists >= m["lists"] and not refused and models < m["models"]:
            value, threshold = lists, m["lists"]
        values: dict[str, Any] = {
            "value": value, "threshold": threshold, "margin": round(value / threshold, 3), "models": models, "refused": failed,
            "services": lists, "names": [model for _, model in list(source.models)[-8:]],
        }  # fmt: skip
        return self._tell(_ENUMERATION, activity, source, severity, f"{models} models, {failed} refused", values)

    def _asked_for(self, activity: HttpSeen) -> list[Finding]:
        """A model that somebody asked a server here about by its name: /v1/models/NAME is no call, but it tells what there is."""
        model = activity.path.partition(_BY_NAME)[2]
        if not model or not activity.status:
            return []
        source = self._source(f"address:{host_of(activity.peer)}", activity.ts)
        old = activity.ts - self._many["window_minutes"] * MINUTE
        _put(source.models, (activity.process.workload.id, model), _Try(activity.ts, activity.status in _NO))
        _forget(source.models, old)
        return self._enumeration(activity, source)

    # -- signs -------------------------------------------------------------------------------------------------------

    def _note_signs(self, activity: ExchangeSeen, source: _Source) -> None:
        exchange, ts = activity.exchange, activity.ts
        wanted = exchange.gen_ai.request_parameters
        limits = [wanted.get(name) for name in _LIMITS]
        if any(isinstance(limit, int | float) and limit < 0 for limit in limits) and _refused(exchange):
            source.signs["impossible-probe"] = ts
        refused_keys = sum(tried.failed for tried in source.keys.values())
        if len(source.keys) >= self._set["keys_tried"] and refused_keys * 2 >= len(source.keys):
            source.signs["keys-tried"] = ts
        distinct = sum(tried.failed for tried in source.models.values())
        if source.row >= self._set["row"] and distinct >= self._set["row_models"]:
            source.signs["errors-in-a-row"] = ts
        worked = exchange.http.status == 200 and exchange.gen_ai.operation in _CALLS
        if worked and not _TRYING.isdisjoint(source.signs):
            source.signs.setdefault("then-it-worked", ts)
        if set(odd_signs(activity.process)) - {"one-off", "open-script"}:
            source.signs["out-of-place"] = ts

    def _new_place(self, activity: ExchangeSeen, source: _Source) -> None:
        """Is this key used from a place where it never was, though it is long known?"""
        exchange, ts, key = activity.exchange, activity.ts, activity.exchange.key
        if key is None or _refused(exchange) or not (key.provider or not inside_name(exchange.network.domain)):
            return
        peer = host_of(exchange.network.src)
        inbound = exchange.network.direction == "inbound" or not activity.process.pid
        where = f"{reach(peer)} {peer}" if inbound else f"{kind_of(activity.process)} {activity.process.user}"
        known = self._places.get(key.fingerprint, where, ts)
        if known is None:
            others = [(str(name), other) for name, other in self._places.of(key.fingerprint)]
            known = self._places.put(key.fingerprint, where, _Place(first=ts), ts)
            settled = [
                name
                for name, o in others
                if ts - o.first >= self._set["settled_hours"] * HOUR and o.count >= self._set["settled_uses"]
            ]
            came_in = (
                inbound and reach(peer) == "outside" and settled and not any(n.startswith("outside") for n in settled)
            )
            if came_in or (settled and not inbound):
                source.signs["new-place-outside" if came_in else "new-place"] = ts
        known.count += 1

    def _requested(self, activity: HttpSeen) -> list[Finding]:
        if activity.direction == "inbound":
            if _BY_NAME in activity.path:
                return self._asked_for(activity)
            if activity.path.endswith(_AI_PATHS) or activity.path.startswith(_PROXY_PATHS):
                return self._proxy(activity)
            return []
        if not activity.path.startswith(_LOGGING) or "bedrock" not in activity.host:
            return []
        source = self._source(place(activity.process, host_of(activity.peer)), activity.ts)
        source.signs["logging-asked" if activity.method == "GET" else "logging-changed"] = activity.ts
        return self._jacking(activity, source)

    def _proxy(self, activity: HttpSeen | ExchangeSeen, key: str = "") -> list[Finding]:
        """One process that serves many from outside and pays with a few keys of its own."""
        workload, runs = activity.process.workload.id, server_of(activity.process.exe, activity.process.argv)
        if not workload or (runs is not None and runs.name in _GATEWAYS):
            return []
        served = self._served.get(workload, "", activity.ts)
        if served is None:
            served = _Served(outside=set(), anonymous=set(), identities=set(), keys=set())
            self._served.put(workload, "", served, activity.ts)
        if isinstance(activity, HttpSeen):
            if activity.status >= 400 or not activity.status:
                return []
            peer = host_of(activity.peer)
            served.proxied |= activity.path.startswith(_PROXY_PATHS)
            if reach(peer) == "outside" and len(served.outside) < _MOST:
                served.outside.add(peer)
                if not activity.identity:
                    served.anonymous.add(peer)
            if activity.identity not in ("", "?") and len(served.identities) < _MOST:
                served.identities.add(activity.identity)
        elif len(served.keys) < _MOST:
            served.keys.add(key)
        if not served.keys or len(served.outside) < self._set["outside_peers"]:
            return []
        open_to_all = len(served.anonymous) >= self._set["outside_peers"]
        strangers = len(served.identities - served.keys) > len(served.keys) or served.proxied or open_to_all
        if not strangers and len(served.outside) < 4 * self._set["outside_peers"]:
            return []
        source = self._source(place(activity.process), activity.ts)
        source.signs["proxy"] = activity.ts
        if served.proxied or len(served.keys) >= self._set["pool_keys"]:
            source.signs["key-pool"] = activity.ts
        return self._jacking(activity, source)

    # -- findings ----------------------------------------------------------------------------------------------------

    def _jacking(self, activity: ExchangeSeen | HttpSeen, source: _Source) -> list[Finding]:
        recent = activity.ts - self._set["together_hours"] * HOUR
        signs = sorted(sign for sign, ts in source.signs.items() if ts >= recent)
        weight = sum(self._set["signs"][sign] for sign in signs)
        severity = next((level for level, least in reversed(self._set["severity"].items()) if weight >= least), "")
        if not severity:
            return []
        least = self._set["severity"][severity]
        values = {"signs": signs, "value": weight, "threshold": least, "margin": round(weight / least, 3)}
        return self._tell(_JACKING, activity, source, severity, ", ".join(signs).replace("-", " "), values)

    def _tell(
        self,
        rule: str,
        activity: ExchangeSeen | HttpSeen,
        source: _Source,
        severity: str,
        about: str,
        values: dict[str, Any],
    ) -> list[Finding]:
        told = source.told.get(rule, "")
        if told and SEVERITIES.index(severity) <= SEVERITIES.index(told):
            return []
        source.told[rule] = severity
        evidence = {"type": "calls", "time": iso(activity.ts), **values}
        subject = {"source": host_of(activity.peer)} if isinstance(activity, HttpSeen) else {}
        if isinstance(activity, ExchangeSeen):
            exchange = activity.exchange
            evidence |= {"exchange": exchange.id, "key": exchange.key.fingerprint if exchange.key else ""}
            subject = {
                "destination": exchange.network.domain or host_of(exchange.network.dst), "provider": exchange.gen_ai.provider,
                "source": host_of(exchange.network.src), "key": exchange.key.fingerprint if exchange.key else "",
            }  # fmt: skip
        exchange_in = isinstance(activity, ExchangeSeen) and activity.exchange.network.direction == "inbound"
        from_peer = exchange_in or (isinstance(activity, HttpSeen) and rule == _ENUMERATION)
        same = (subject["source"],) if from_peer or not activity.process.pid else ()
        return [
            occurrence(
                rule,
                activity.process,
                activity.ts,
                about,
                same=same,
                subject=subject,
                evidence=[evidence],
                severity=severity,
            )
        ]


def _refused(exchange: Exchange) -> bool:
    """Did the service say no to who asked or to what was asked for? Overload and failure are none of his."""
    return exchange.http.status in _NO


def _forget(tries: OrderedDict[Any, _Try], old: int) -> None:
    while tries and next(iter(tries.values())).ts < old:
        tries.popitem(last=False)


def _put(entries: OrderedDict[Any, Any], key: Any, value: Any) -> None:
    entries.pop(key, None)
    entries[key] = value
    if len(entries) > _MOST:
        entries.popitem(last=False)
