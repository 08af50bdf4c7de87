"""Asking a model as if to copy it, and jobs that only look like it."""

from __future__ import annotations

import pytest
from api_acts import INSIDE, OUTSIDE, call, process, told, worst

from leeward.detect.extraction import ModelExtraction
from leeward.model.activity import ExchangeSeen
from leeward.model.exchange import Key

SERVER = process("/usr/bin/python3.11", "-m", "vllm", workload="systemd:vllm.service")
OURS = Key("", "a" * 16, "authorization")


def asks(
    count: int,
    *,
    peer: str = OUTSIDE,
    key: Key | None = None,
    every: float = 1,
    start: float = 0,
    said: str = "Classify item {}: good or bad?",
    **parameters: object,
) -> list[ExchangeSeen]:
    return [
        call(start + n * every, who=SERVER, provider="vllm", host="models", src=peer, direction="inbound", key=key,
             said=said.format(n), **parameters)  # type: ignore[arg-type]
        for n in range(count)
    ]  # fmt: skip


def test_a_stranger_with_a_template_and_log_probabilities() -> None:
    found = told(ModelExtraction(), asks(400, logprobs=True, temperature=0))
    assert worst(found) == "medium"
    assert found[0].evidence[0]["value"] >= 256
    assert worst(told(ModelExtraction(), asks(1200, logprobs=True, temperature=0))) == "high"


def test_embeddings_taken_by_the_thousand() -> None:
    assert (
        worst(told(ModelExtraction(), asks(400, operation="embeddings", said="product {} of the catalogue")))
        == "medium"
    )


def test_seen_from_the_client_on_this_host() -> None:
    acts = [
        call(n, server=SERVER, host="models", said=f"Label {n} please now", top_logprobs=2, temperature=0)
        for n in range(300)
    ]
    assert worst(told(ModelExtraction(), acts)) == "low"


def _biased(count: int, prompts: int = 1, **parameters: object) -> list[ExchangeSeen]:
    """Other tokens are pushed up in each query."""
    return [
        act
        for n in range(count)
        for act in asks(
            1, start=n, said=f"Tell me of {n % prompts}", allowed_token_ids={"sha256": f"{n:x}"}, **parameters
        )
    ]


@pytest.mark.parametrize("parameters", [{}, {"logprobs": 5}, {"temperature": 0}])
def test_the_same_few_prompts_with_other_biases(parameters: dict[str, object]) -> None:
    found = told(ModelExtraction(), _biased(500, prompts=3, **parameters))
    assert worst(found) == "medium"
    assert "prompts and biases" in found[0].title


def test_a_bias_that_is_configured_tells_nothing() -> None:
    labels = {"entries": 2, "sha256": "ab"}
    assert told(ModelExtraction(), asks(900, logit_bias=labels, temperature=0)) == []
    assert told(ModelExtraction(), asks(900, said="Yes or no?", logit_bias=labels, temperature=0, logprobs=5)) == []


def test_other_words_banned_for_each_question() -> None:
    assert told(ModelExtraction(), _biased(900, prompts=900, temperature=0)) == []


def test_a_batch_job_of_ones_own_is_info() -> None:
    assert worst(told(ModelExtraction(), asks(2000, peer=INSIDE, key=OURS, operation="embeddings"))) == "info"


def test_what_the_batch_always_does_is_nothing() -> None:
    detector = ModelExtraction()
    for day in range(3):
        told(detector, asks(600, peer=INSIDE, key=OURS, operation="embeddings", start=day * 86_400))
    told(detector, asks(1, peer=INSIDE, key=OURS, operation="embeddings", start=3 * 86_400))
    assert told(detector, asks(600, peer=INSIDE, key=OURS, operation="embeddings", start=3 * 86_400 + 4000)) == []


def test_a_load_test_asks_the_same() -> None:
    assert told(ModelExtraction(), asks(3000, said="Hello", every=0.01, logprobs=True)) == []


def test_people_who_chat() -> None:
    words = ["alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "iota", "kappa"]
    acts = [
        call(
            n * 5,
            who=SERVER,
            host="models",
            src=f"203.0.113.{n % 50}",
            direction="inbound",
            said=f"{words[n % 10]} {words[n % 7]} {n}",
        )
        for n in range(700)
    ]
    assert told(ModelExtraction(), acts) == []


def test_slow_callers_are_not_seen() -> None:
    assert told(ModelExtraction(), asks(600, logprobs=True, temperature=0, every=30)) == []


def test_clients_of_other_hosts_models_are_none() -> None:
    assert (
        told(
            ModelExtraction(), [call(n, said=f"Label {n} please now", logprobs=True, temperature=0) for n in range(400)]
        )
        == []
    )
