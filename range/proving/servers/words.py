"""Answers that are deterministic functions of the question, so that both ends of a wire can be compared exactly.

An answer repeats the markers of the question (`[[...]]`: which client, worker and counter asked), shuffles its words and adds
sentences in several scripts, with quotes, backslashes, line breaks, astral characters and combining marks, since those are
what breaks decoders. Tokens are pieces of a few characters; counting them gives the usage numbers.
"""

from __future__ import annotations

import hashlib
import random
import re
from typing import Any

MARKER = re.compile(r"\[\[[^\[\]]{1,120}\]\]")
"""How clients mark a prompt so that mixed-up answers can be told: `[[client worker counter]]`."""

_SENTENCES = (
    "The quick brown fox jumps over the lazy dog.",
    "Grüße aus Zöln: „Übermut tut selten gut“, sagte Jürgen.",
    "こんにちは世界。これは決定論的な応答です。",
    "Здравствуй, мир! Всё хорошо.",
    "مرحبا بالعالم، هذا نص للاختبار.",
    "שלום עולם.",
    "Emoji 👩‍👩‍👧‍👦 and 🏳️‍🌈, astral 𝔘𝔫𝔦𝔠𝔬𝔡𝔢, combining e\u0301 and zalgo z\u0337\u0321.",
    'A "quoted" word, a back\\slash, a tab\there, a slash / and <b>&amp;</b>.',
    "```python\nprint({'a': [1, 2, 3]})\n```",
    "data: [DONE] is only text here,\n\nand so is event: message_stop.",
    "Line separators \u2028 and \u2029 and a no-break\u00a0space.",
    "नमस्ते दुनिया, यह एक परीक्षण है।",
    "1,234.5 × 10⁻³ ≈ ∑ᵢ xᵢ √2; naïve café, 100 % sure…",
)


def rng(*parts: str) -> random.Random:
    """A generator that depends on `parts` alone (not on Python's hash seed)."""
    return random.Random(hashlib.sha256("\0".join(parts).encode()).digest())


def answer(question: str, salt: str = "", sentences: tuple[int, int] = (4, 14)) -> str:
    """The text that a model of the range says to `question`."""
    source = rng("answer", salt, question)
    markers = MARKER.findall(question)
    words = MARKER.sub(" ", question).split()[-60:]
    source.shuffle(words)
    parts = [*markers, "You asked: " + " ".join(words) + "."]
    parts += source.choices(_SENTENCES, k=source.randint(*sentences))
    return " ".join(parts)


def tokens(text: str) -> list[str]:
    """`text` in pieces of 1 to 9 characters, cut by its own content; joined they are `text` again."""
    source = rng("tokens", text)
    out = []
    at = 0
    while at < len(text):
        size = source.choice((2, 3, 4, 5, 5, 6, 7, 9))
        out.append(text[at : at + size])
        at += size
    return out


def count(text: str) -> int:
    """How many tokens a text has: near what `tokens` would give, without making them."""
    return (len(text) + 4) // 5


def arguments(schema: Any, question: str, salt: str) -> Any:
    """A value that fits a JSON schema of tool parameters; strings repeat the question's markers."""
    source = rng("arguments", salt, question)
    return _value(schema if isinstance(schema, dict) else {}, source, " ".join(MARKER.findall(question)), 0)


def _value(schema: dict[str, Any], source: random.Random, mark: str, depth: int) -> Any:
    if schema.get("enum"):
        return source.choice(schema["enum"])
    match schema.get("type"):
        case "object" if depth < 5:
            props = schema.get("properties") or {}
            return {name: _value(sub, source, mark, depth + 1) for name, sub in props.items()}
        case "array" if depth < 5:
            items = schema.get("items") or {"type": "string"}
            return [_value(items, source, mark, depth + 1) for _ in range(source.randint(1, 3))]
        case "integer":
            return source.randint(0, 1000)
        case "number":
            return round(source.random() * 100, 3)
        case "boolean":
            return source.random() < 0.5
        case "null":
            return None
    return f"{mark} {source.choice(_SENTENCES)}".strip()


def fragments(text: str, salt: str) -> list[str]:
    """Tool arguments as they are streamed: small pieces that respect nothing."""
    source = rng("fragments", salt, text)
    out = []
    while text:
        size = source.choice((1, 2, 3, 5, 8, 13))
        out.append(text[:size])
        text = text[size:]
    return out


def vector(text: str, size: int) -> list[float]:
    """A unit-length embedding of `text`."""
    source = rng("vector", text)
    raw = [source.gauss(0, 1) for _ in range(size)]
    norm = sum(x * x for x in raw) ** 0.5
    return [x / norm for x in raw]
