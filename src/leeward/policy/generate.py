"""A policy that allows what was seen, and no more: to be reviewed by someone who knows what ought to be there."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
import yaml

from leeward.policy.facts import namespace_of
from leeward.policy.seen import Seen

NAMES = ("workload.id", "workload.name", "workload.labels", "provider", "model", "destination.domain", "kinds")
"""Facts that it is made of."""
_MANAGED = (
    "io.kubernetes.",
    "org.opencontainers.",
    "annotation.",
    "com.docker.",
    "io.cri-containerd.",
    "desktop.docker.",
)


class Place(msgspec.Struct, frozen=True):
    """Where a workload connects to. ip: the address. proto: tcp or udp."""

    domain: str
    ip: str
    port: int
    proto: str
    provider: str = ""


class Profile(msgspec.Struct):
    """What was seen of one workload. kinds: of data that it sent; credentials are never
    allowed because they were there before."""

    id: str
    name: str = ""
    labels: dict[str, str] = {}
    providers: set[str] = set()
    models: set[str] = set()
    domains: set[str] = set()
    kinds: set[str] = set()
    places: set[Place] = set()
    exchanges: int = 0


def profiles(history: Iterable[Seen], places: Mapping[str, Iterable[Place]]) -> list[Profile]:
    """One a workload, in order of their ids. places: by workload, from its connections."""
    found: dict[str, Profile] = {}
    for seen in history:
        id_ = seen.facts.get("workload.id") or ""
        profile = found.setdefault(id_, Profile(id_))
        profile.name = seen.facts.get("workload.name") or profile.name
        profile.labels = seen.facts.get("workload.labels") or profile.labels
        for values, name in (
            (profile.providers, "provider"),
            (profile.models, "model"),
            (profile.domains, "destination.domain"),
        ):
            if value := seen.facts.get(name):
                values.add(value)
        profile.kinds |= {
            piece["kind"]
            for piece in seen.facts.get("data", ())
            if piece.get("side") != "response" and not piece["kind"].startswith("secret.")
        }
        profile.exchanges += seen.count
    for id_, connected in places.items():
        if id_ in found:
            found[id_].places |= set(connected)
            found[id_].domains |= {place.domain for place in found[id_].places if place.provider and place.domain}
    return [found[id_] for id_ in sorted(found) if id_]


def policy_text(profile: Profile, since: str) -> str:
    """One policy as YAML. since: what the history reaches back to, for the reader."""
    rules: list[dict[str, Any]] = [
        {
            "name": "provider",
            "when": "provider != '' && !(provider in variables.providers)",
            "action": "block",
            "finding": "unsanctioned-provider",
        },
        {
            "name": "model",
            "when": "model != '' && !(model in variables.models)",
            "action": "alert",
            "finding": "unsanctioned-model",
        },
        {
            "name": "destination",
            "when": "provider != '' && destination.domain != '' && !(destination.domain in variables.destinations)",
            "action": "alert",
            "finding": "unsanctioned-provider",
        },
        {
            "name": "data",
            "when": "data.exists(d, d.confidence >= 0.7 && !(d.kind in variables.kinds))",
            "action": "alert",
            "finding": "data-leak",
        },
    ]
    variables = {
        name: _cel_list(values)
        for name, values in (
            ("providers", profile.providers), ("models", profile.models), ("destinations", profile.domains),
            ("kinds", profile.kinds),
        )
    }  # fmt: skip
    who = profile.name or profile.id
    document = {
        "apiVersion": "leeward/v1",
        "kind": "Policy",
        "metadata": {
            "name": policy_name(profile.id),
            "description": f"What {who} was seen to do in {profile.exchanges} exchanges since {since}. Review it.",
        },
        "spec": {
            "mode": "observe",
            "scope": {"workloads": [_literal(profile.id)]},
            "variables": variables,
            "rules": rules,
        },
    }
    return _yaml(document)


def network_policy_text(profile: Profile) -> str:
    """A Kubernetes NetworkPolicy that lets a pod's egress to what was seen, and to DNS; "" for what is no pod.

    It knows addresses only, which services in a cloud change: the names that they had are in its annotations.
    """
    namespace = namespace_of(profile.id)
    if not namespace:
        return ""
    owner = profile.id.split("/")[1]
    labels = {k: v for k, v in profile.labels.items() if not k.startswith(_MANAGED)}
    egress: list[dict[str, Any]] = [{"ports": [{"protocol": p, "port": 53} for p in ("UDP", "TCP")]}]
    for port, proto in sorted({(place.port, place.proto.upper()) for place in profile.places}):
        blocks = sorted({place.ip for place in profile.places if (place.port, place.proto.upper()) == (port, proto)})
        if port and proto in ("TCP", "UDP"):
            egress.append({
                "to": [{"ipBlock": {"cidr": f"{ip}/{128 if ':' in ip else 32}"}} for ip in blocks],
                "ports": [{"protocol": proto, "port": port}],
            })  # fmt: skip
    document = {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {
            "name": policy_name(profile.id),
            "namespace": namespace,
            "annotations": {
                "leeward/review": "made from what was seen: check the pod selector and the addresses",
                "leeward/domains": ", ".join(sorted(profile.domains)),
            },
        },
        "spec": {
            "podSelector": {"matchLabels": labels or {"app": owner}},
            "policyTypes": ["Egress"],
            "egress": egress,
        },
    }
    return _yaml(document)


def policy_name(id_: str) -> str:
    """A name that is allowed, from a workload's id."""
    return re.sub(r"[^a-z0-9]+", "-", id_.lower()).strip("-")[:63].strip("-") or "workload"


def _cel_list(values: Iterable[str]) -> str:
    """A list of strings in CEL, whose escapes are JSON's."""
    return f"[{', '.join(json.dumps(value) for value in sorted(values))}]"


def _literal(text: str) -> str:
    """A pattern of the scope that means this text."""
    return re.sub(r"([*?\[])", r"[\1]", text)


def _yaml(document: dict[str, Any]) -> str:
    return yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=120)
