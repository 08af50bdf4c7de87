"""Rule `model-extraction`: one caller asks a model server of this host systematically, as who copies a model does.

What copying needs (see the rule's settings): very many different inputs, made by a program (one template, many fillings), and
answers that tell more than a text: log-probabilities, embeddings, or what becomes of the same prompt when other tokens are
pushed up (a logit bias is part of the input: Carlini et al. 2024 computed the last layer of models so). What a batch or
evaluation job of one's own does looks the same; so who asks decides how bad it is. State: for each (server, caller) the hashes
of an hour's inputs, bounded.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from typing import Any

import msgspec

from leeward.detect.bounded import Bounded, Kept
from leeward.detect.detector import occurrence
from leeward.detect.places import DAY, HOUR, host_of, reach
from leeward.detect.rule import rules
from leeward.model.activity import Activity, ExchangeSeen
from leeward.model.exchange import Exchange
from leeward.model.finding import SEVERITIES, Finding
from leeward.model.process import Workload
from leeward.model.times import iso

_RULE = "model-extraction"
_MOST = 1280  # prompts of one caller and hour
_BASES = 64  # prompts remembered that were asked with a bias; a measurement takes many queries for each
_PROBABILITIES = ("logprobs", "top_logprobs", "prompt_logprobs", "n_probs", "top_n_tokens")
_BIASES = ("logit_bias", "allowed_token_ids")  # push some tokens of the answer, or leave only these
_WORDS = re.compile(r"\w+")


class _Asked(Kept, kw_only=True):
    """One caller in the hour since `start`. inputs: prompts, each with its bias. bases: prompts that had one. shapes: how
    often each beginning and each length class. rich: answers with log-probabilities, embeddings, or to a known prompt with
    another bias; cold: at a temperature of almost 0."""

    start: int
    inputs: set[int]
    shapes: Counter[str]
    bases: set[int] = msgspec.field(default_factory=set)
    count: int = 0
    rich: int = 0
    cold: int = 0
    told: str = ""


class _Others(Kept):
    """Of a server: prompts an hour of each of its callers, of the hours that are over."""

    counts: list[int] = msgspec.field(default_factory=list)


class ModelExtraction:
    """See the module."""

    hears: tuple[type[Activity], ...] = (ExchangeSeen,)

    def __init__(self) -> None:
        self.counters: Counter[str] = Counter()
        self._asked: Bounded[_Asked] = Bounded("extraction_callers", self.counters, 512, 2 * DAY, share=4)
        self._others: Bounded[_Others] = Bounded("extraction_servers", self.counters, 2048, 7 * DAY)
        self._set = rules()[_RULE].settings

    def feed(self, activity: ExchangeSeen) -> list[Finding]:
        exchange, ts = activity.exchange, activity.ts
        server = _server(activity)
        if server is None or exchange.gen_ai.operation not in (
            "chat",
            "text_completion",
            "embeddings",
            "generate_content",
        ):
            return []
        if exchange.http.status is not None and exchange.http.status >= 400:
            return []
        peer, key = host_of(exchange.network.src), exchange.key.fingerprint if exchange.key else ""
        asked = self._asked.get(server.id, (peer, key), ts)
        if asked is None or ts - asked.start > HOUR:
            if asked is not None:
                self._remember(server.id, asked, ts)
            asked = self._asked.put(server.id, (peer, key), _Asked(start=ts, inputs=set(), shapes=Counter()), ts)
        self._count(asked, exchange)
        if len(asked.inputs) < self._set["prompts"] or len(asked.inputs) % 16:
            return []
        return self._judge(activity, server, asked, peer, key)

    def tick(self, ts: int) -> list[Finding]:
        self._asked.expire(ts)
        self._others.expire(ts)
        return []

    def _remember(self, server: str, asked: _Asked, ts: int) -> None:
        others = self._others.get(server, "", ts) or self._others.put(server, "", _Others(counts=[]), ts)
        others.counts = [*others.counts[-63:], len(asked.inputs)]

    def _count(self, asked: _Asked, exchange: Exchange) -> None:
        ai = exchange.gen_ai
        text = next(
            (m.content for m in reversed(ai.input) if m.role in ("user", "")), ai.input[-1].content if ai.input else ""
        )
        asked.count += 1
        wanted = ai.request_parameters
        prompt, bias = _hash(text), [wanted[name] for name in _BIASES if wanted.get(name)]
        given = _hash(f"{bias} {text}") if bias else prompt
        measured = bool(bias) and prompt in asked.bases and given not in asked.inputs
        asked.rich += ai.operation == "embeddings" or measured or any(wanted.get(name) for name in _PROBABILITIES)
        temperature = wanted.get("temperature")
        asked.cold += isinstance(temperature, int | float) and temperature <= self._set["cold"]
        if bias:
            if len(asked.bases) >= _BASES:
                asked.bases.clear()
            asked.bases.add(prompt)
        if (text or bias) and len(asked.inputs) < _MOST:
            asked.inputs.add(given)
            asked.shapes[_shape(text)] += 1

    def _judge(self, activity: ExchangeSeen, server: Workload, asked: _Asked, peer: str, key: str) -> list[Finding]:
        s, distinct = self._set, len(asked.inputs)
        same_shape = asked.shapes.most_common(1)[0][1] / max(1, sum(asked.shapes.values()))
        rich, cold, varied = asked.rich / asked.count, asked.cold / asked.count, distinct / asked.count
        embeddings = activity.exchange.gen_ai.operation == "embeddings"
        others = self._others.peek(server.id, "")
        usual = max(others.counts) if others is not None and others.counts else 0
        signs = {
            "template": same_shape >= s["share"],
            "telling": rich >= s["share"],
            "cold": cold >= s["share"],
            "varied": varied >= s["share"],
        }
        if (
            not signs["varied"]
            or not signs["telling"]
            or not (signs["template"] or signs["cold"] or embeddings)
            or distinct < s["beyond_usual"] * usual
        ):
            return []
        stranger = reach(peer) == "outside"
        severity = "medium" if stranger else "info" if key else "low"
        severity = "high" if stranger and distinct >= 4 * s["prompts"] else severity
        if asked.told and SEVERITIES.index(severity) <= SEVERITIES.index(asked.told):
            return []
        asked.told = severity
        evidence: dict[str, Any] = {
            "type": "queries", "time": iso(activity.ts), "exchange": activity.exchange.id,
            "source": activity.exchange.network.src, "value": distinct, "threshold": s["prompts"],
            "margin": round(distinct / s["prompts"], 3), "queries": asked.count, "same_template": round(same_shape, 2),
            "with_probabilities_or_embeddings": round(rich, 2), "prompts_biased": len(asked.bases),
            "cold": round(cold, 2), "most_before": usual, "key": key,
        }  # fmt: skip
        subject = {"source": peer, "server": server.name, "model": activity.exchange.gen_ai.request_model}
        what = "prompts and biases" if asked.bases else "prompts"
        about = f"{distinct} different {what} from {peer or 'one caller'} in an hour"
        return [
            occurrence(
                _RULE, activity.process, activity.ts, about, same=(server.id, peer, key), subject=subject,
                evidence=[evidence], severity=severity,
            )
        ]  # fmt: skip


def _server(activity: ExchangeSeen) -> Workload | None:
    """The workload on this host that was asked, None if it is elsewhere."""
    exchange = activity.exchange
    if exchange.network.direction == "inbound":
        return activity.process.workload
    return exchange.observers[0].workload if exchange.observers else None


def _hash(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=8).digest())


def _shape(text: str) -> str:
    """What a program that fills a template leaves the same: the first words, or how many there are."""
    words = ["#" if word.isdigit() else word for word in _WORDS.findall(text[:200].lower())]
    return " ".join(words[:3]) if len(words) >= 3 else f"{len(words)} words"
