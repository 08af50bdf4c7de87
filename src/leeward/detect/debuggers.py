"""At which TCP ports a program's debugger waits, by its command line and lists/debuggers.yaml.

Invariants: pure; any command line gives an answer, in time linear in what is read of it.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable

import msgspec

from leeward.detect.lists import groups
from leeward.detect.programs import program
from leeward.model.process import Process

_READ = 8192  # characters of a command line; options of programs stand before their script's arguments
#: What stands behind an option: the rest of its name, an address, a port.
_PORT = re.compile(r"[\w-]*[=\0](?:[^\0 ,=]*:)?(\d{2,5})(?=[\0 ,]|$)", re.ASCII)


class _Option(msgspec.Struct, frozen=True):
    sign: str
    option: str
    port: int


def options_ports(process: Process, variables: Iterable[tuple[str, str]] = ()) -> frozenset[int]:
    """Ports that its command line, or its variables of options, give to its debugger."""
    known = _options().get(program(process).name)
    if known is None:
        return frozenset()
    texts = ("\0".join(process.argv[:256])[:_READ], *(value[:_READ].replace(" ", "\0") for _, value in variables))
    return frozenset(_port(text, one) for text in texts for one in known if one.sign in text)


def waits_at(process: Process, port: int) -> bool:
    """Does a process that listens at this port let a debugger in there, as far as its command line and its program say?"""
    name = program(process).name
    return name in _servers() or (name, port) in _by_signal() or port in options_ports(process)


def is_browser(process: Process) -> bool:
    return program(process).name in _browsers()


def _port(text: str, one: _Option) -> int:
    at = text.find(one.option, text.find(one.sign))
    found = _PORT.match(text, at + len(one.option)) if at >= 0 else None
    return int(found[1]) if found else one.port


@functools.cache
def _options() -> dict[str, tuple[_Option, ...]]:
    found: dict[str, tuple[_Option, ...]] = {}
    for name, sign, option, port in map(str.split, groups("debuggers")["options"]):
        found[name] = (*found.get(name, ()), _Option(sign, option, int(port)))
    return found


@functools.cache
def _by_signal() -> frozenset[tuple[str, int]]:
    return frozenset((name, int(port)) for name, port in map(str.split, groups("debuggers")["by-signal"]))


@functools.cache
def _servers() -> frozenset[str]:
    return frozenset(groups("debuggers")["servers"])


@functools.cache
def _browsers() -> frozenset[str]:
    return frozenset(groups("debuggers")["browsers"])
