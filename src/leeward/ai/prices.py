"""What an exchange cost, by prices.yaml: list prices by the model's name.

Invariants: no price is guessed: a model that the file does not know, or an exchange without token counts, costs None. What a
model server of this organisation does costs nothing by the token and is None too.
"""

from __future__ import annotations

import functools
import re
from pathlib import Path

import msgspec

from leeward.ai.datafile import Schema, load_yaml
from leeward.model.exchange import Exchange

FILE = Path(__file__).with_name("prices.yaml")
_MAKERS = re.compile(
    r"^(?:.*/|(?:[a-z]{2,6}\.)?(?:anthropic|openai|meta|mistral|cohere|amazon|deepseek|ai21|google)\.)"
)
_OWN = frozenset(
    ("ollama", "vllm", "openai_compatible", "anthropic_compatible", "lmstudio", "triton", "huggingface_tgi")
)


class Price(msgspec.Struct, frozen=True):
    """US dollars per million tokens."""

    input: float
    output: float
    cached: float


@functools.cache
def _prices() -> tuple[tuple[str, Price], ...]:
    """The longest name first."""
    record = load_yaml(FILE, Schema.read(FILE.with_suffix(".schema.json")))
    found = [
        (name, Price(entry["input"], entry["output"], entry.get("cached", entry["input"])))
        for entry in record["prices"]
        for name in entry["models"]
    ]
    return tuple(sorted(found, key=lambda item: -len(item[0])))


@functools.lru_cache(maxsize=4096)
def price_of(model: str) -> Price | None:
    """model: as an exchange has it, with a maker's or region's prefix or without."""
    name = _MAKERS.sub("", model.lower())
    return next((price for known, price in _prices() if name == known or _continues(name, known)), None)


def _continues(name: str, known: str) -> bool:
    """A version or date may follow (gpt-4o-2024-11-20), another word may not (gpt-4o-audio is another model at another price)."""
    if not name.startswith(known):
        return False
    rest = name[len(known) :]
    return (
        not rest[:1].isalnum()
        and not rest.startswith(".")
        and (not rest[1:2].isalpha() or rest[1:] in _SAME or rest[1:2] == "v")
    )


_SAME = frozenset(("latest", "preview", "high", "low", "medium", "instruct", "fast", "exp", "codex", "chat-latest"))


def cost(exchange: Exchange) -> float | None:
    """US dollars, None if it is not known."""
    ai = exchange.gen_ai
    price = price_of(ai.response_model or ai.request_model) if ai.provider not in _OWN else None
    if price is None or (ai.input_tokens is None and ai.output_tokens is None):
        return None
    cached = min(ai.cached_input_tokens or 0, ai.input_tokens or 0)
    fresh = (ai.input_tokens or 0) - cached
    return (fresh * price.input + cached * price.cached + (ai.output_tokens or 0) * price.output) / 1e6
