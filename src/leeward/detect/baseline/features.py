"""What is learned of a workload, feature by feature, and how an activity is put into its words.

A feature belongs to a group; what one cause changes together (site, place, port) is one group, and groups are what counts as
independent when several deviate at once. No word holds text of a prompt: instructions are known by a hash of their beginning.
"""

from __future__ import annotations

import functools
import hashlib
import posixpath
import re
from collections.abc import Iterator

import msgspec

from leeward.detect.baseline import places
from leeward.model.activity import ExchangeSeen, Started, System
from leeward.model.exchange import Exchange, GenAI

WIDTH = 160
"""Characters of a word."""
_STABLE = 512  # characters of a system prompt that make its identity
_EPHEMERAL = 32768
_MOST_TOOLS = 32  # of one exchange
_VARYING = re.compile(r"[0-9a-f]{8,}|\d+|\s+")


class Feature(msgspec.Struct, frozen=True):
    """name: for people and in exports. group: see above. timed: does every period of the workload show whether there is
    something new (else only those in which it spoke to a model)? near: are words next to a known one known too?
    cap: words kept of one workload."""

    name: str
    group: str
    cap: int
    timed: bool = True
    near: bool = False


FEATURES = (
    Feature("site", "network", 48),
    Feature("destination", "network", 96),
    Feature("service", "network", 32),
    Feature("protocol", "network", 24),
    Feature("listening port", "listening", 24),
    Feature("caller", "listening", 48),
    Feature("program", "program", 64),
    Feature("file class", "access", 32),
    Feature("kernel request", "access", 24),
    Feature("provider", "ai service", 8, timed=False),
    Feature("model", "ai service", 24, timed=False),
    Feature("operation", "ai service", 16, timed=False),
    Feature("key", "ai service", 16, timed=False),
    Feature("tool", "ai tools", 64, timed=False),
    Feature("data kind", "ai data", 32, timed=False),
    Feature("prompt size", "ai prompt", 24, timed=False, near=True),
    Feature("messages", "ai prompt", 16, timed=False, near=True),
    Feature("instructions", "ai instructions", 32, timed=False),
)
(
    SITE, DESTINATION, SERVICE, PROTOCOL, LISTENING, CALLER, PROGRAM, FILE, CALL, PROVIDER, MODEL, OPERATION, KEY, TOOL, DATA,
    SIZE, MESSAGES, INSTRUCTIONS,
) = range(len(FEATURES))  # fmt: skip
FIRST_UNTIMED = PROVIDER
"""The timed features stand before it."""
BY_NAME = {feature.name: number for number, feature in enumerate(FEATURES)}

AMOUNTS = ("bytes sent", "flows", "tokens")
"""What is learned by hour of the week (season.py); group "volume"."""
SENT, FLOWS, TOKENS = range(len(AMOUNTS))

#: System calls that say what a workload is allowed to do, by kind; "socket" and "namespace" with their label.
_CALLS = frozenset(
    {
        "ptrace",
        "vm-write",
        "memfd",
        "mount",
        "namespace",
        "chroot",
        "module",
        "bpf",
        "keyring",
        "socket",
        "device",
        "clock",
    }
)
_FILES = frozenset({"open", "rename", "unlink", "chmod"})

Words = Iterator[tuple[int, str]]


def of_program(act: Started) -> str:
    """The program and what started it."""
    process = act.process
    parent = process.ancestors[0].exe if process.ancestors else ""
    return f"{act.origin}:{process.exe}"[:WIDTH] if act.origin else f"{process.exe} < {parent}"[:WIDTH]


def of_system(act: System) -> Words:
    if act.failed:
        return
    if act.kind in _FILES and act.label:
        how = "read" if act.kind == "open" and not act.number else "write" if act.kind == "open" else act.kind
        yield FILE, f"{how} {act.label}"[:WIDTH]
    elif act.kind in _CALLS:
        yield CALL, f"{act.kind} {act.label}".strip()[:WIDTH]


def port(proto: str, number: int) -> str:
    """Ephemeral ports are all alike."""
    return f"{proto}/{number}" if number < _EPHEMERAL else f"{proto}/high"


def of_exchange(act: ExchangeSeen) -> Words:
    exchange, ai = act.exchange, act.exchange.gen_ai
    for number, word in ((PROVIDER, ai.provider), (MODEL, ai.request_model), (OPERATION, ai.operation)):
        if word:
            yield number, word[:WIDTH]
    if exchange.key is not None and exchange.key.fingerprint:
        yield KEY, exchange.key.fingerprint[:WIDTH]
    for name in sorted(_tools(ai))[:_MOST_TOOLS]:
        yield TOOL, name[:WIDTH]
    for kind in sorted(_kinds(exchange)):
        yield DATA, kind[:WIDTH]
    if ai.input:
        characters = sum(len(message.content) for message in ai.input)
        yield SIZE, f"2^{characters.bit_length()}"
        yield MESSAGES, f"2^{len(ai.input).bit_length()}"
        told = "".join(m.content[:_STABLE] for m in ai.input if m.role in ("system", "developer"))
        yield INSTRUCTIONS, instructions(told)


def _tools(ai: GenAI) -> set[str]:
    return {tool.name for tool in ai.tools if tool.name} | {call.name for call in ai.tool_calls if call.name}


def _kinds(exchange: Exchange) -> set[str]:
    return {f"{match.kind} in {match.side or 'request'}" for match in exchange.data}


@functools.lru_cache(1024)
def instructions(text: str) -> str:
    """A system prompt's identity: a hash of its beginning without numbers, ids, dates and letter case; "none" if there is
    none."""
    if not text:
        return "none"
    flat = _VARYING.sub(" ", text[:_STABLE].lower())
    return hashlib.sha256(flat.encode("utf-8", "replace")).hexdigest()[:16]


def neighbours(word: str) -> tuple[str, str]:
    """Of a size class: half and twice as much."""
    exponent = int(word[2:])
    return f"2^{exponent - 1}", f"2^{exponent + 1}"


def readable(number: int, word: str) -> str:
    """A word as a finding says it."""
    if not FEATURES[number].near:
        return word
    exponent = int(word[2:])
    low, high = (1 << exponent) >> 1, (1 << exponent) - 1
    unit = "characters" if number == SIZE else "messages"
    return f"{low}–{high} {unit}" if low != high else f"{low} {unit}"


def amount(number: float) -> str:
    """A count or bytes for people: three digits and a power of a thousand."""
    for unit in ("", "k", "M", "G"):
        if number < 1000:
            return f"{number:.3g}{unit}"
        number /= 1000
    return f"{number:.3g}T"


def is_word(number: int, word: str) -> bool:
    """May this stand in an export or a snapshot?"""
    if not 0 < len(word) <= WIDTH:
        return False
    return not FEATURES[number].near or bool(re.fullmatch(r"2\^\d{1,2}", word))


def destination(domain: str, ip: str) -> tuple[str, str]:
    """(site, destination) of a flow."""
    return places.of_name(domain) if domain else places.of_address(ip)


def is_one_of(exe: str, names: frozenset[str]) -> bool:
    """Is it one of these programs, whatever their version ("pip3.11")?"""
    base = posixpath.basename(exe)
    return base in names or base.rstrip("0123456789.") in names
