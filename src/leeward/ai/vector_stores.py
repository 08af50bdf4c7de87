"""What decoders of vector stores share: the texts of a payload, the number of vectors, what a request is about.

A vector store is activity with a collection and an operation. Texts that are sent are input messages (role "user"), texts
that come back are output messages (role "tool"), named by their record's id. Vectors are counted, never kept.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator
from typing import Any
from urllib.parse import parse_qs, unquote

from leeward.ai.jsontext import Json, dumps
from leeward.ai.values import count, record, scalar_text, sequence
from leeward.model.exchange import ChatMessage, GenAI

MAX_MESSAGES = 64
MAX_TEXT = 64 << 10
_MAX_FILTER = 4096
_MAX_LEAVES = 256
_DATA = re.compile(r"(?:data:[^,]{0,200},.*|[A-Za-z0-9+/_-]{512,}={0,2})", re.DOTALL)


def sent(ai: GenAI, value: Any, name: str = "") -> None:
    """Text, a payload or a document that the request holds."""
    _say(ai.input, "user", value, name)


def came(ai: GenAI, value: Any, name: str = "") -> None:
    """The same, in the response."""
    _say(ai.output, "tool", value, name)


def _say(messages: list[ChatMessage], role: str, value: Any, name: str) -> None:
    if len(messages) < MAX_MESSAGES and (words := shown(value)):
        messages.append(ChatMessage(role, words, name))


def shown(value: Any) -> str:
    """Text as it is; a record as lines "field: value", without lists of numbers and encoded data."""
    if isinstance(value, str):
        return _readable(value)
    lines: list[str] = []
    size = 0
    for line in itertools.islice(_lines(value, "", 8), _MAX_LEAVES):
        lines.append(line)
        size += len(line)
        if size > MAX_TEXT:
            break
    return "\n".join(lines)[:MAX_TEXT]


def _lines(value: Any, name: str, depth: int) -> Iterator[str]:
    if isinstance(value, str):
        yield f"{name}: {_readable(value)}"
    elif isinstance(value, bool):
        yield f"{name}: {str(value).lower()}"
    elif isinstance(value, int | float):
        yield f"{name}: {value}"
    elif isinstance(value, dict) and depth:
        for key, item in value.items():
            yield from _lines(item, f"{name}.{key}" if name else key, depth - 1)
    elif isinstance(value, list) and depth and not _numbers(value):
        for item in value:
            yield from _lines(item, name, depth - 1)


def _readable(words: str) -> str:
    words = words[: 4 * MAX_TEXT]
    return f"[data, {len(words)} characters]" if _DATA.fullmatch(words) else words[:MAX_TEXT]


def _numbers(value: list[Any]) -> bool:
    return bool(value) and isinstance(value[0], int | float) and not isinstance(value[0], bool)


def vectors_in(value: Any, depth: int = 8) -> int:
    """How many vectors are in this: a list of numbers, a sparse one ({"indices", "values"}), lists and records of them."""
    if isinstance(value, list):
        if _numbers(value):
            return 1
        return sum(vectors_in(item, depth - 1) for item in value) if depth else 0
    if isinstance(value, dict) and depth:
        if "indices" in value:
            return 1
        return sum(vectors_in(item, depth - 1) for item in value.values())
    return 0


def embedded(ai: GenAI, number: int) -> None:
    """So many vectors went by."""
    if number:
        ai.embeddings = (ai.embeddings or 0) + number


def about(ai: GenAI, **facts: Any) -> None:
    """What a request is about: collection, namespace, partition, top_k, count, filter. Empty facts say nothing."""
    ai.request_parameters.update({name: fact for name, fact in facts.items() if fact not in (None, "", [], {})})


def returned(ai: GenAI, number: int) -> None:
    """How many records came back, where the request did not say how many it is about."""
    if number:
        ai.request_parameters.setdefault("count", number)


def done(body: Json, ai: GenAI) -> bool:
    """The answer to a change is often empty. Only for what is looked for on a store's own hosts."""
    return True


def condition(value: Any) -> str:
    """A filter as text."""
    words = value if isinstance(value, str) else dumps(value) if value else ""
    return words[:_MAX_FILTER]


def identity(value: Any) -> str:
    """A record's id: text, a number, or Qdrant's {"num"} | {"uuid"}."""
    if isinstance(value, dict):
        value = value.get("uuid", value.get("num"))
    return scalar_text(value)


def within(target: str, word: str) -> str:
    """The segment of the path that follows the segment `word`."""
    segments = target.partition("?")[0].split("/")
    following = (unquote(after) for before, after in itertools.pairwise(segments) if before == word)
    return next(following, "")


def asked(target: str) -> dict[str, list[str]]:
    """The query's parameters."""
    try:
        return parse_qs(target.partition("?")[2], max_num_fields=1024)
    except ValueError:
        return {}


def first_count(*values: Any) -> int | None:
    return next((number for number in map(count, values) if number is not None), None)


def names(values: Iterable[Any]) -> str:
    return ", ".join(value for value in values if isinstance(value, str))


def unwrapped(value: Any, depth: int = 16) -> Any:
    """protobuf's tagged values ({"stringValue": "x"}, {"listValue": {"values": [...]}}) as plain JSON."""
    if not isinstance(value, dict) or not depth:
        return value
    for kind, inner in value.items():
        if kind in ("structValue", "objectValue"):
            fields = record(record(inner).get("fields"))
            return {name: unwrapped(item, depth - 1) for name, item in fields.items()}
        if kind == "listValue":
            lists = [record(inner), *map(record, record(inner).values())]
            return [unwrapped(item, depth - 1) for one in lists for item in sequence(one.get("values"))]
        if kind == "blobValue":
            return None
        if kind.endswith("Value"):
            return inner
    return value
