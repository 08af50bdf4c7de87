"""Real SDKs through the gateway, both ways: what passes, what is masked, what is blocked, and what is told of it."""

from __future__ import annotations

import json

import pytest
from gateway_running import CARD, IBAN, Running
from gateway_upstream import Upstream

WAYS = ["proxy", "base-url"]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("which", ["openai", "anthropic"])
class TestSdk:
    @pytest.fixture
    def upstream(self, which: str, openai: Upstream, anthropic: Upstream) -> Upstream:
        return openai if which == "openai" else anthropic

    def test_allowed_untouched(self, gateway: Running, upstream: Upstream, way: str, which: str) -> None:
        text = f"how are you, {way}?"
        assert gateway.ask(way, which, upstream, text) == {"text": "fine"}
        [(path, headers, body)] = upstream.requests
        assert path == ("/v1/chat/completions" if which == "openai" else "/v1/messages")
        assert json.loads(body)["messages"][0]["content"] == text
        assert headers["authorization"] == f"Bearer sk-{'' if which == 'openai' else 'ant-'}test-0123456789"
        assert headers["host"] == upstream.url.removeprefix("https://")
        assert not [name for name in headers if "proxy" in name or "leeward" in name]
        exchange = gateway.record(lambda r: r["type"] == "exchange" and text in json.dumps(r["gen_ai"]["input"]))
        assert exchange["gen_ai"]["provider"] == which
        assert exchange["http"]["status"] == 200
        assert exchange["http"]["url"] == f"{upstream.url}{path}"
        assert exchange["network"]["dst"] == upstream.url.removeprefix("https://")
        assert exchange["gen_ai"]["output_tokens"] == 1
        assert exchange["evidence"]["source"] == "gateway"
        assert exchange["evidence"]["complete"] is True
        assert exchange["verdict"]["action"] == "allow"
        assert exchange["process"]["exe"].rpartition("/")[2].startswith("python")

    def test_masked(self, gateway: Running, upstream: Upstream, way: str, which: str) -> None:
        text = f"charge {CARD} now ({way} {which})"
        assert gateway.ask(way, which, upstream, text) == {"text": "fine"}
        [(_, headers, body)] = upstream.requests
        assert json.loads(body)["messages"][0]["content"] == text.replace(CARD, "**** **** **** ****")
        assert int(headers["content-length"]) == len(body)
        exchange = gateway.record(lambda r: r["type"] == "exchange" and f"{way} {which}" in json.dumps(r["gen_ai"]))
        assert (exchange["verdict"]["action"], exchange["verdict"]["rule"]) == ("redact", "no-card")
        assert CARD not in json.dumps(gateway.lines())

    def test_blocked(self, gateway: Running, upstream: Upstream, way: str, which: str) -> None:
        before = len(gateway.audit("verdict"))
        answer = gateway.ask(way, which, upstream, f"pay to {IBAN}")
        assert (answer["error"], answer["status"]) == ("PermissionDeniedError", 403)
        assert "account numbers do not leave" in answer["message"]
        assert upstream.requests == []
        assert upstream.connections == 0
        exchange = gateway.record(lambda r: r["type"] == "exchange" and r["gen_ai"]["provider"] == which
                                  and (r["verdict"] or {}).get("action") == "block")  # fmt: skip
        assert exchange["data"][0]["kind"] == "financial.iban"
        assert exchange["http"]["status"] is None
        finding = gateway.record(lambda r: r["type"] == "finding" and r["action"] == "block"
                                 and r["subject"]["provider"] == which)  # fmt: skip
        assert finding["rule"] == "data-leak"
        assert gateway.audit("verdict")[before:][0]["rule"] == "no-iban"
        assert IBAN not in json.dumps(gateway.lines()) + (gateway.state / "audit.jsonl").read_text()


@pytest.mark.parametrize(
    ("which", "error"),
    [("gcp.gemini", "PERMISSION_DENIED"), ("aws.bedrock", "AccessDeniedException"), ("ollama", "ResponseError")],
)
def test_blocked_as_the_other_sdks_know_it(gateway: Running, ollama: Upstream, which: str, error: str) -> None:
    answer = gateway.ask("base-url", which, ollama, f"pay to {IBAN}")
    assert (answer["error"], answer["status"]) == (error, 403)
    assert "account numbers do not leave" in answer["message"]
    assert ollama.connections == 0


@pytest.mark.parametrize("way", WAYS)
def test_answers_come_piece_by_piece(gateway: Running, openai: Upstream, way: str) -> None:
    client = gateway.client(way, "openai", openai, f"count, {way}", "stream")
    assert client.stdout is not None
    assert json.loads(client.stdout.readline()) == {"piece": "one"}
    assert not openai.rest_sent.is_set()  # the first piece was here before the server sent the rest
    openai.rest.set()
    out, _ = client.communicate(timeout=60)
    assert [json.loads(line) for line in out.splitlines()] == [{"piece": " two"}, {"done": True}]
    exchange = gateway.record(lambda r: r["type"] == "exchange" and f"count, {way}" in json.dumps(r["gen_ai"]["input"]))
    assert exchange["gen_ai"]["stream"] is True
    assert exchange["gen_ai"]["output"][0]["content"] == "one two"
    assert exchange["gen_ai"]["time_to_first_token_ms"] is not None
