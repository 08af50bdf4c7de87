"""What a class of processes may connect to, as rules for people and compiled for the kernel's tables."""

from __future__ import annotations

import functools
import ipaddress
from collections.abc import Iterable
from pathlib import Path
from typing import Final, Literal

import msgspec

from leeward.ai.catalogue import Catalogue
from leeward.ai.datafile import Schema, load_yaml
from leeward.enforce.names import Patterns, canonical
from leeward.model.errors import InputError
from leeward.model.net import Endpoint
from leeward.sensor.layout import ALLOW, DENY, PASS

HERE: Final = Path(__file__).parent
DOH_FILE: Final = HERE / "doh.yaml"
DOH_SCHEMA: Final = HERE / "doh.schema.json"
#: Where a resolver of the group is refused: DNS over HTTPS and QUIC, and DNS over TLS (RFC 8484, 9250, 7858). Plain DNS is seen.
DOH_PORTS: Final = (443, 853)

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class Rule(msgspec.Struct, frozen=True):
    """mode: "deny" refuses what is named and allows the rest, "allow-only" the other way round. names: patterns of host names
    (see names.py). providers: ids of the catalogue, which stand for their hosts. doh: refuse the known resolvers over HTTPS, TLS
    and QUIC. unknown: what has no name. networks: CIDRs that are refused ("deny") or allowed whatever the name ("allow-only").
    passes: what is always allowed, whatever the name: gateways that judge themselves."""

    class_id: int
    mode: Literal["deny", "allow-only"]
    names: tuple[str, ...] = ()
    providers: tuple[str, ...] = ()
    doh: bool = False
    unknown: Literal["allow", "deny"] = "allow"
    networks: tuple[str, ...] = ()
    passes: tuple[Endpoint, ...] = ()


class Compiled(msgspec.Struct, frozen=True):
    """unlisted: the answer for a name that no pattern fits. unknown: for what has no name. places: answers for addresses on
    ports. networks: answers for networks."""

    rule: Rule
    patterns: Patterns
    unlisted: int
    unknown: int
    places: dict[tuple[str, int], int]
    networks: dict[Network, int]

    def of_names(self, names: Iterable[str]) -> int:
        """The answer for a destination that is called all of these: refused if one of them is."""
        found = {self.patterns.answer(name) for name in names}
        return DENY if DENY in found else ALLOW if ALLOW in found else self.unlisted

    def of_network(self, ip: str) -> int | None:
        """The answer of the narrowest network with this address."""
        address = ipaddress.ip_address(ip)
        found = [(net.prefixlen, answer) for net, answer in self.networks.items() if address in net]
        return max(found)[1] if found else None


class Resolvers(msgspec.Struct, frozen=True):
    """The known resolvers that speak DNS over HTTPS."""

    names: tuple[str, ...]
    addresses: tuple[str, ...]


@functools.cache
def doh_resolvers(path: Path = DOH_FILE) -> Resolvers:
    """From a data file. Raises InputError with file and line."""
    entries = load_yaml(path, Schema.read(DOH_SCHEMA))["resolvers"]
    addresses = [address for entry in entries for address in entry.get("addresses", ())]
    for entry in entries:
        for address in entry.get("addresses", ()):
            _address(address, f"{path}:{entry.lines['addresses']}: addresses")
    return Resolvers(tuple(name for entry in entries for name in entry["names"]), tuple(addresses))


def _address(text: str, where: str) -> None:
    try:
        ipaddress.ip_address(text)
    except ValueError as error:
        raise InputError(f"{where}: {text} is not an address: write it like 192.0.2.1 or 2001:db8::1") from error


def compile_rule(rule: Rule, catalogue: Catalogue) -> Compiled:
    """Raises InputError if a provider is not known or a network cannot be read."""
    listed, unlisted = (DENY, ALLOW) if rule.mode == "deny" else (ALLOW, DENY)
    group = doh_resolvers() if rule.doh else Resolvers((), ())
    answers = dict.fromkeys(group.names, DENY)
    for provider in rule.providers:
        if provider not in catalogue.providers:
            raise InputError(
                f"rule of class {rule.class_id}: providers: the catalogue knows no {provider}: name its hosts"
            )
        answers |= {canonical(host): listed for host in catalogue.providers[provider].hosts}
    answers |= {canonical(name): listed for name in rule.names}
    return Compiled(
        rule,
        Patterns(answers),
        unlisted,
        DENY if rule.unknown == "deny" else ALLOW,
        {(address, port): DENY for address in group.addresses for port in DOH_PORTS}
        | {(there.ip, there.port): PASS for there in rule.passes},
        {_network(text, rule): DENY if rule.mode == "deny" else PASS for text in rule.networks},
    )


def _network(text: str, rule: Rule) -> Network:
    try:
        return ipaddress.ip_network(text)
    except ValueError as error:
        raise InputError(f"rule of class {rule.class_id}: networks: {error}: write it like 10.0.0.0/8") from error
