"""Token spikes against a workload's own past, and what an exchange costs."""

from __future__ import annotations

import random

import pytest
from api_acts import T0, call, told, worst

from leeward.ai.prices import cost, price_of
from leeward.detect.tokens import TokenSpike
from leeward.model.activity import ExchangeSeen


def hours(count: int, tokens: int, *, spread: float = 0.0, start: int = 0, model: str = "gpt-4o") -> list[ExchangeSeen]:
    """`count` hours with six calls each, about `tokens` an hour."""
    rng = random.Random(count + tokens)
    acts = []
    for hour in range(start, start + count):
        amount = int(tokens / 6 * rng.lognormvariate(0, spread))
        acts += [call(hour * 3600 + 60 + n * 600, tokens=(amount * 4 // 5, amount // 5), model=model) for n in range(6)]
    return acts


def test_a_stolen_key_spends_in_an_hour_what_took_weeks() -> None:
    detector = TokenSpike()
    assert told(detector, hours(48, 60_000, spread=0.4)) == []
    found = told(detector, [call(48 * 3600 + 60 + n, tokens=(90_000, 10_000)) for n in range(1, 600)])
    assert worst(found) in ("medium", "high", "critical")
    evidence = found[0].evidence[0]
    assert evidence["value"] > evidence["threshold"]
    assert evidence["margin"] > 1
    assert evidence["dollars"] > 0


def test_a_spike_is_told_before_the_hour_is_over() -> None:
    detector = TokenSpike()
    told(detector, hours(48, 60_000))
    found = told(detector, [call(48 * 3600 + n, tokens=(20_000, 5_000)) for n in range(1, 60)])
    assert found
    assert found[0].evidence[0]["calls"] < 30


def test_what_costs_little_stays_low() -> None:
    detector = TokenSpike()
    told(detector, hours(48, 60_000, model="gpt-5-nano"))
    assert worst(told(detector, hours(1, 3_000_000, start=48, model="gpt-5-nano"))) == "low"
    unknown = TokenSpike()
    told(unknown, hours(48, 60_000, model="house-model"))
    assert worst(told(unknown, hours(1, 3_000_000, start=48, model="house-model"))) == "low"


@pytest.mark.parametrize("spread", [0.0, 0.3, 0.6])
def test_a_usual_fortnight_is_none(spread: float) -> None:
    assert told(TokenSpike(), hours(336, 300_000, spread=spread)) == []


def test_a_nightly_batch_is_news_once() -> None:
    detector = TokenSpike()
    found = []
    for day in range(5):
        found.append(told(detector, hours(23, 30_000, start=day * 24), hours(1, 4_000_000, start=day * 24 + 23)))
    assert found[0]
    assert found[2:] == [[], [], []]


def test_with_nothing_known_only_the_absolute_counts() -> None:
    assert told(TokenSpike(), [call(n, tokens=(90_000, 10_000)) for n in range(100)]) == []
    assert worst(told(TokenSpike(), [call(n, tokens=(90_000, 10_000)) for n in range(300)])) in ("medium", "high")


def test_keys_and_workloads_are_told_apart() -> None:
    assert told(TokenSpike(), call(1)) == []  # no tokens told
    detector = TokenSpike()
    told(detector, hours(10, 60_000))
    assert len(detector._usage) == 1


@pytest.mark.parametrize(
    ("model", "price"),
    [
        ("gpt-4o-2024-11-20", 2.5),
        ("us.anthropic.claude-sonnet-4-5-20250929-v1:0", 3),
        ("models/gemini-2.5-pro", 1.25),
        ("anthropic/claude-haiku-4-5", 1),
        ("GPT-4o-mini", 0.15),
    ],
)
def test_prices_by_model(model: str, price: float) -> None:
    found = price_of(model)
    assert found is not None
    assert found.input == price


@pytest.mark.parametrize("model", ["", "gpt-4o-audio-preview", "gpt-4.5", "house-model", "gpt-5.4-nano", "o3-pro"])
def test_other_models_have_no_price(model: str) -> None:
    assert price_of(model) is None


def test_cost_counts_cached_input_once() -> None:
    exchange = call(0, tokens=(1_000_000, 100_000)).exchange
    exchange.gen_ai.cached_input_tokens = 400_000
    assert cost(exchange) == pytest.approx(0.6 * 2.5 + 0.4 * 1.25 + 0.1 * 10)
    exchange.gen_ai.provider = "ollama"
    assert cost(exchange) is None
    assert cost(call(0).exchange) is None
    assert T0 > 0
