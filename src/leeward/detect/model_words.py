"""What models said lately, kept so that a command line can be found in it. Pure text work, bounded.

Invariants: a text is kept normalised (blanks are one blank, quotes and backslashes are gone) and cut at 16 KiB; at most 16 texts
a speaker; what is older than its time is not found.
"""

from __future__ import annotations

import re
from collections import Counter, OrderedDict, deque
from collections.abc import Iterator
from typing import Any

import msgspec

from leeward.model.exchange import ChatMessage, Exchange

_TEXT, _TEXTS, _SPEAKERS, _STRINGS = 16_384, 16, 4_096, 64
_BLANKS = re.compile(r"\s+")
_QUOTES = str.maketrans("", "", "\"'\\`")
_WORD = re.compile(r"[^\s|;&<>()]+")
_TELLING = re.compile(
    r"://|^~?/?[\w.@-]+/[\w./@-]{3,}$|^\d{1,3}(?:\.\d{1,3}){3}|^[\w-]+\.[a-z]{2,6}$|^--?[a-z][\w-]{5,}"
)


class Said(msgspec.Struct, frozen=True):
    """text: normalised. asked: by a tool call, not in words. offered: were tools offered to the model?"""

    exchange: str
    ts: int
    text: str
    asked: bool
    offered: bool
    model: str = ""
    provider: str = ""


class Words:
    """Texts by speaker: the pid of whoever got the answer."""

    def __init__(self, counters: Counter[str], keep_ns: int) -> None:
        self._counters, self._keep = counters, keep_ns
        self._said: OrderedDict[int, deque[Said]] = OrderedDict()

    def __contains__(self, pid: int) -> bool:
        return pid in self._said

    def add(self, pid: int, ts: int, exchange: Exchange) -> list[Said]:
        texts = list(_texts(exchange))
        if not texts:
            return []
        kept = self._said.pop(pid, None)
        if kept is None:
            kept = deque(maxlen=_TEXTS)
        self._said[pid] = kept
        if len(self._said) > _SPEAKERS:
            self._said.popitem(last=False)
            self._counters["model_words_evicted"] += 1
        ai = exchange.gen_ai
        made = [
            Said(exchange.id, ts, text, asked, bool(ai.tools), ai.response_model or ai.request_model, ai.provider)
            for text, asked in texts
        ]
        kept.extend(made)
        return made

    def find(self, pid: int, ts: int, command: str, shortest: int) -> Said | None:
        """The latest text of this speaker that has this command in it."""
        wanted = normal(command)
        for said in reversed(self._said.get(pid, ())):
            if ts - said.ts > self._keep:
                return None
            if holds(said.text, wanted, shortest):
                return said
        return None

    def mentions(self, pid: int, ts: int, word: str) -> Said | None:
        """The latest text that has this word whole."""
        wanted = re.compile(rf"(?<![\w@/.-]){re.escape(word)}(?![\w/-])")
        return next(
            (s for s in reversed(self._said.get(pid, ())) if ts - s.ts <= self._keep and wanted.search(s.text)), None
        )

    def forget(self, pid: int) -> None:
        self._said.pop(pid, None)


def normal(text: str) -> str:
    return _BLANKS.sub(" ", text.translate(_QUOTES)).strip()[:_TEXT]


def holds(text: str, command: str, shortest: int) -> bool:
    """Is the command in the text: whole, or by two telling words of it (a URL, a path, an address, a long option), or by a URL
    and the program's name?"""
    if len(command) < shortest and not _TELLING.search(command):
        return False
    if command in text and (len(command) >= shortest or " " in command):
        return True
    words = _WORD.findall(command[:2048])
    telling = [word for word in dict.fromkeys(words) if len(word) > 5 and _TELLING.search(word) and word in text]
    if len(telling) >= 2:
        return True
    return bool(telling) and len(telling[0]) >= 12 and words[0].rsplit("/", 1)[-1] in text and "://" in telling[0]


def _texts(exchange: Exchange) -> Iterator[tuple[str, bool]]:
    """What the model said, and the strings in what it asked tools for; (text, asked for)."""
    ai = exchange.gen_ai
    if ai.provider == "mcp" or ai.operation.startswith(("mcp", "tools/", "embed", "vector")):
        return
    seen: set[str] = set()
    for text, asked in _raw(ai.output, [call.arguments for call in ai.tool_calls]):
        made = normal(text)
        if len(made) >= 2 and made not in seen and len(seen) < _TEXTS:
            seen.add(made)
            yield made, asked


def _raw(output: list[ChatMessage], arguments: list[str]) -> Iterator[tuple[str, bool]]:
    for written in arguments:
        yield "\n".join(_strings(written)), True
    for message in output:
        for call in message.tool_calls:
            yield "\n".join(_strings(call.arguments)), True
        if message.content:
            inner = _strings(message.content) if message.content.lstrip()[:1] in ("{", "[") else []
            yield "\n".join([message.content, *inner]), False


def _strings(text: str) -> list[str]:
    """Strings in a JSON text; of what is no JSON, the text."""
    try:
        value = msgspec.json.decode(text)
    except msgspec.DecodeError:
        return [text[:_TEXT]]
    found: list[str] = []
    waiting: list[Any] = [value]
    while waiting and len(found) < _STRINGS:
        one = waiting.pop()
        if isinstance(one, str):
            found.append(one[:_TEXT])
        elif isinstance(one, list) and all(isinstance(part, str) for part in one):
            found.append(" ".join(one)[:_TEXT])  # a command as a list of words
        elif isinstance(one, list | dict):
            waiting += one.values() if isinstance(one, dict) else one
    return found
