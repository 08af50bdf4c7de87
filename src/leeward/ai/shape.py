"""AI services that no catalogue knows, by the shape of what they say: this is how shadow AI is found.

Either the bodies fit a known API at an unknown place, or the answer is a stream of small pieces of text. Invariant: never
raises; what is found is marked uncertain, and decided by the answer.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

from leeward.ai.bodies import events, framing
from leeward.ai.catalogue import Match
from leeward.ai.dialect import Dialect, Item, StreamEnd, finish
from leeward.ai.jsontext import Json, Slice, load
from leeward.ai.values import record, text
from leeward.model.exchange import ChatMessage, GenAI
from leeward.model.message import Message

PROVIDER = "unknown AI service"
STREAM = "unknown.stream"
#: API → top-level fields of its request, all of which must be there.
_FIELDS: dict[str, tuple[str, ...]] = {
    "anthropic.messages": ("messages", "max_tokens"),
    "ollama.chat": ("messages", "model"),
    "openai.chat": ("messages",),
    "openai.responses": ("input", "model"),
    "openai.embeddings": ("input", "model"),
    "openai.completions": ("prompt", "model"),
    "ollama.generate": ("prompt", "model"),
    "gemini.generate": ("contents",),
    "cohere.chat": ("messages", "model"),
    "tgi.generate": ("inputs",),
}
_PIECES = 5  # events after which a stream is one
_PIECE = 64  # characters on average; a page of text at once is not how models stream
_STRINGS = 4096  # looked at in one body
_DEPTH = 12


def worth_a_look(request: Message) -> bool:
    """May this request, to a host that is not known, be for an AI service? From its head."""
    kind = request.header("content-type").partition(";")[0].strip().lower()
    return request.method == "POST" and (kind == "application/json" or kind.endswith("+json"))


def guess(request: Message, response: Message | None, dialects: dict[str, Dialect]) -> Match | None:
    """Which API the bodies have the shape of, or that the answer is a stream of text; None: it is no AI service."""
    fields = record(load(request.body).value)
    if not fields or response is None or response.status >= 400:
        return None
    for api, wanted in _FIELDS.items():
        dialect = dialects.get(api)
        if dialect is not None and all(name in fields for name in wanted) and _answers(dialect, request, response):
            return Match(PROVIDER, api, _OPERATIONS.get(api, "chat"), False)
    if longest_text(fields) and is_text_stream(request, response):
        return Match(PROVIDER, STREAM, "chat", False)
    return None


_OPERATIONS = {
    "openai.embeddings": "embeddings",
    "openai.completions": "text_completion",
    "ollama.generate": "text_completion",
}


def _answers(dialect: Dialect, request: Message, response: Message) -> bool:
    """Does the answer have the API's shape?"""
    if framing(response):
        return dialect.stream is not None and dialect.stream(items(request, response), GenAI()).shape
    return dialect.response(load(response.body), GenAI())


def items(request: Message, response: Message) -> Iterator[Item]:
    """The events of a streamed answer that are JSON, and [DONE]."""
    for event in events(request, response, framing(response)):
        if event.done:
            yield Item("[DONE]", None, Slice(b""), event.end)
        elif event.body.value is not None:
            yield Item(event.name, event.body.value, Slice(event.body.text), event.end)


def is_text_stream(request: Message, response: Message) -> bool:
    """Is it a stream of events that differ in one short text each?"""
    if not framing(response):
        return False
    found = list(items(request, response))
    path = growing_path(item.value for item in found)
    pieces = [piece for item in found if (piece := _at(item.value, path))] if path else []
    return len(pieces) >= _PIECES and sum(map(len, pieces)) <= _PIECE * len(pieces)


def growing_path(values: Iterable[Any]) -> tuple[str | int, ...]:
    """Where in each of these values the text that changes stands: the path with the most different strings, () for none."""
    seen: dict[tuple[str | int, ...], Counter[str]] = {}
    for value in values:
        for path, string in _strings(value, (), _DEPTH):
            if len(seen) < 256 or path in seen:
                seen.setdefault(path, Counter())[string] += 1
    ranked = sorted(seen.items(), key=lambda item: (-len(item[1]), -sum(item[1].values()), str(item[0])))
    return ranked[0][0] if ranked and len(ranked[0][1]) >= _PIECES - 1 else ()


def longest_text(value: Any) -> str:
    """The longest string in a request: its prompt, if it is one. Shorter than two words: none."""
    strings = (string for _, string in _strings(value, (), _DEPTH))
    longest = max(strings, key=len, default="")
    return longest if " " in longest.strip() else ""


def _strings(value: Any, path: tuple[str | int, ...], depth: int) -> Iterator[tuple[tuple[str | int, ...], str]]:
    if isinstance(value, str):
        yield path, value
    elif depth and isinstance(value, dict):
        for key, item in list(value.items())[:_STRINGS]:
            yield from _strings(item, (*path, key), depth - 1)
    elif depth and isinstance(value, list):
        for number, item in enumerate(value[:16]):
            yield from _strings(item, (*path, number), depth - 1)


def _at(value: Any, path: tuple[str | int, ...]) -> str:
    for key in path:
        try:
            value = value[key]
        except (KeyError, IndexError, TypeError):
            return ""
    return value if isinstance(value, str) else ""


def _request(body: Json, ai: GenAI) -> bool:
    fields = record(body.value)
    ai.request_model = text(fields.get("model"))
    if prompt := longest_text(fields):
        ai.input.append(ChatMessage("user", prompt))
    return False


def _response(body: Json, ai: GenAI) -> bool:
    return False


def _stream(stream: Iterable[Item], ai: GenAI) -> StreamEnd:
    found = list(stream)
    end = StreamEnd()
    path = growing_path(item.value for item in found)
    pieces = [(item.end, _at(item.value, path)) for item in found] if path else []
    if pieces:
        end.shape, end.ended = True, True
        end.first_output = next((at for at, piece in pieces if piece), None)
        finish(ai, ChatMessage("assistant", "".join(piece for _, piece in pieces)))
    return end


DIALECTS = {STREAM: Dialect(_request, _response, _stream)}
