"""Sessions over WebSocket: an exchange an answer, as the APIs' references have their events."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leeward.ai.catalogue import default_catalogue
from leeward.ai.hearing import Hearing
from leeward.ai.turns import MOST_ITEMS
from leeward.model.exchange import Exchange, TimedExchange
from leeward.model.message import Message
from leeward.wire.http import Interest, Upgraded, WsClosed, WsMessage

SECRET = "sk-proj-" + "a1B2" * 10
GEMINI = "/ws/google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContent"
AUDIO = base64.b64encode(b"\0" * 4800).decode()


class Talk:
    """A session, from its upgrade on; every message comes a millisecond after the one before."""

    def __init__(
        self, host: str = "api.openai.com", target: str = "/v1/realtime?model=gpt-realtime", **headers: str
    ) -> None:
        given = [("host", host), ("upgrade", "websocket"), *((k.replace("_", "-"), v) for k, v in headers.items())]
        self.request = Message(index=0, method="GET", target=target, headers=given, start=1, end=2, complete=True)
        self.request.version = "HTTP/1.1"
        response = Message(index=0, status=101, headers=[("upgrade", "websocket")], start=3, end=4, complete=True)
        self.hearing = Hearing(default_catalogue())
        self.interest = self.hearing.interest(host, 443, self.request)
        self.hearing.session("c", host, 443, Upgraded(self.request, response))
        self.ts = 10**9
        self.out: list[TimedExchange] = []

    def raw(self, to_server: bool, data: bytes, **flaws: Any) -> None:
        self.ts += 10**6
        message = WsMessage(to_server, self.ts, self.ts + 10, True, data, len(data), True, **flaws)
        self.out += self.hearing.session("c", "", 0, message)

    def up(self, **event: Any) -> None:
        self.raw(True, json.dumps(event).encode())

    def down(self, **event: Any) -> None:
        self.raw(False, json.dumps(event).encode())

    def end(self) -> list[Exchange]:
        self.out += self.hearing.session("c", "", 0, WsClosed(self.ts + 5, 1000, ""))
        assert self.hearing.session("c", "", 0, WsClosed(self.ts + 6, 1000, "")) == []
        return [timed.exchange for timed in self.out]


def user(words: str) -> dict[str, Any]:
    return {"type": "message", "role": "user", "content": [{"type": "input_text", "text": words}]}


def message(words: str) -> dict[str, Any]:
    return {"id": "m", "type": "message", "role": "assistant", "content": [{"type": "output_text", "text": words}]}


def done(ident: str, *output: dict[str, Any], status: str = "completed", **more: Any) -> dict[str, Any]:
    usage = {"input_tokens": 7, "output_tokens": 3, "input_token_details": {"cached_tokens": 2}}
    return {
        "object": "realtime.response",
        "id": ident,
        "status": status,
        "output": list(output),
        "usage": usage,
        **more,
    }


def said(exchange: Exchange) -> list[tuple[str, str]]:
    return [(m.role, m.content) for m in exchange.gen_ai.input]


def test_text_in_and_out() -> None:
    talk = Talk(authorization=f"Bearer {SECRET}")
    assert talk.interest is Interest.FULL
    talk.down(type="session.created", session={"model": "gpt-realtime-2025"})
    talk.up(type="session.update", session={"type": "realtime", "instructions": "Be kind.", "tools": [
        {"type": "function", "name": "weather", "parameters": {}}]})  # fmt: skip
    talk.up(type="conversation.item.create", item=user("Hello"))
    talk.down(type="conversation.item.added", item=user("Hello"))
    talk.up(type="response.create")
    asked = talk.ts
    talk.down(type="response.created", response={"id": "r1", "status": "in_progress"})
    talk.down(type="response.output_text.delta", response_id="r1", item_id="m", delta="Hi ")
    talk.down(type="response.done", response=done("r1", message("Hi there")))
    (timed,) = talk.out
    ai = timed.exchange.gen_ai
    assert (timed.start, timed.end) == (asked, asked + 3 * 10**6 + 10)
    assert (ai.provider, ai.api, ai.operation, ai.stream) == ("openai", "openai.realtime", "chat", True)
    assert (ai.request_model, ai.response_model, ai.response_id) == ("gpt-realtime", "gpt-realtime-2025", "r1")
    assert said(timed.exchange) == [("system", "Be kind."), ("user", "Hello")]
    assert [m.content for m in ai.output] == ["Hi there"]
    assert (ai.input_tokens, ai.output_tokens, ai.cached_input_tokens) == (7, 3, 2)
    assert (ai.finish_reasons, [t.name for t in ai.tools]) == (["completed"], ["weather"])
    assert ai.time_to_first_token_ms == pytest.approx(2.00001)
    assert timed.exchange.key is not None
    assert timed.exchange.http.status == 101
    assert timed.exchange.evidence.complete
    assert SECRET not in str(talk.end())


def test_a_call_and_its_result() -> None:
    talk = Talk()
    talk.up(type="conversation.item.create", item=user("Weather?"))
    talk.up(type="response.create")
    talk.down(type="response.created", response={"id": "r1"})
    call = {"id": "f", "type": "function_call", "call_id": "c1", "name": "weather", "arguments": '{"city": "Bern"}'}
    talk.down(type="response.done", response=done("r1", call))
    talk.up(type="conversation.item.create", item={"type": "function_call_output", "call_id": "c1", "output": "12 °C"})
    talk.up(type="response.create")
    talk.down(type="response.created", response={"id": "r2"})
    talk.down(type="response.done", response=done("r2", message("It is 12 °C.")))
    first, second = talk.end()
    assert [(c.id, c.name, c.arguments) for c in first.gen_ai.tool_calls] == [("c1", "weather", '{"city": "Bern"}')]
    assert said(second) == [("tool", "12 °C")]
    assert second.gen_ai.input[0].tool_call_id == "c1"


@pytest.mark.parametrize("beta", [False, True])
def test_speech(beta: bool) -> None:
    """Turns by voice: the server hears when one ends; the transcript comes while it answers."""
    sound = "response.audio" if beta else "response.output_audio"
    talk = Talk()
    talk.up(type="session.update", session={"input_audio_format": "pcm16"} if beta else
            {"audio": {"input": {"format": {"type": "audio/pcm", "rate": 24000}}}})  # fmt: skip
    talk.up(type="input_audio_buffer.append", audio=AUDIO)
    talk.up(type="input_audio_buffer.append", audio=AUDIO)
    talk.down(type="input_audio_buffer.committed", item_id="i1")
    talk.down(type="response.created", response={"id": "r1"})
    talk.down(type="conversation.item.input_audio_transcription.completed", item_id="i1", transcript="Who are you?")
    talk.down(type=f"{sound}.delta", response_id="r1", item_id="m", delta=AUDIO)
    talk.down(type=f"{sound}_transcript.delta", response_id="r1", item_id="m", delta="A model.")
    spoken = {
        "id": "m",
        "type": "message",
        "role": "assistant",
        "content": [{"type": "audio", "transcript": "A model."}],
    }
    talk.down(type="response.done", response=done("r1", spoken))
    (exchange,) = talk.end()
    assert said(exchange) == [("user", "Who are you?")]
    kind = "audio/pcm16" if beta else "audio/pcm"
    assert exchange.gen_ai.input[0].parts == [{"type": "audio", "media_type": kind, "size": 9600}]
    assert [(m.content, m.parts[0]["size"]) for m in exchange.gen_ai.output] == [("A model.", 4800)]


def test_transcription_sessions_have_no_answers() -> None:
    talk = Talk(target="/v1/realtime?intent=transcription")
    talk.up(type="input_audio_buffer.append", audio=AUDIO)
    talk.down(type="input_audio_buffer.committed", item_id="i1")
    talk.down(type="conversation.item.input_audio_transcription.completed", item_id="i1", transcript="Good day")
    (exchange,) = talk.end()
    assert (exchange.gen_ai.operation, [m.content for m in exchange.gen_ai.output]) == ("transcription", ["Good day"])
    assert exchange.gen_ai.input[0].parts[0]["size"] == 4800


def test_an_answer_that_the_end_cuts() -> None:
    talk = Talk()
    talk.up(type="conversation.item.create", item=user("Tell me"))
    talk.up(type="response.create")
    talk.down(type="response.created", response={"id": "r1"})
    talk.down(type="response.output_text.delta", response_id="r1", item_id="m", delta="Once ")
    talk.down(type="response.output_text.delta", response_id="r1", item_id="m", delta="upon")
    talk.up(type="conversation.item.create", item=user("Never mind"))
    first, second = talk.end()
    assert ([m.content for m in first.gen_ai.output], first.evidence.complete) == (["Once upon"], False)
    assert (said(second), second.evidence.notes) == ([("user", "Never mind")], ["no-response"])


def test_a_refused_request() -> None:
    talk = Talk()
    talk.up(type="response.create")
    talk.down(type="error", error={"type": "insufficient_quota", "code": "q", "message": f"no money on {SECRET}"})
    (exchange,) = talk.end()
    assert exchange.error is not None
    assert exchange.error.type == "insufficient_quota"
    assert SECRET not in exchange.error.message


def test_the_responses_api_over_websocket() -> None:
    talk = Talk(target="/v1/responses")
    talk.up(type="response.create", model="gpt-5", input="Hello", instructions="Be kind.")
    talk.down(type="response.created", response={"id": "r1", "object": "response", "status": "in_progress"})
    talk.down(type="response.output_text.delta", item_id="m", output_index=0, delta="Hi")
    answer = {"id": "r1", "object": "response", "status": "completed", "model": "gpt-5-1", "output": [message("Hi")]}
    talk.down(type="response.completed", response=answer)
    (exchange,) = talk.end()
    assert (exchange.gen_ai.api, exchange.gen_ai.request_model) == ("openai.responses", "gpt-5")
    assert said(exchange) == [("system", "Be kind."), ("user", "Hello")]
    assert [m.content for m in exchange.gen_ai.output] == ["Hi"]


def test_the_key_of_a_browser() -> None:
    talk = Talk(sec_websocket_protocol=f"realtime, openai-insecure-api-key.{SECRET}")
    (exchange,) = talk.end()
    assert exchange.key is not None
    assert (exchange.key.provider, exchange.key.header) == ("openai", "sec-websocket-protocol")
    assert SECRET not in str(exchange)


def test_gemini() -> None:
    talk = Talk("generativelanguage.googleapis.com", GEMINI + "?key=AIza" + "x" * 35)
    talk.up(setup={"model": "models/gemini-live", "systemInstruction": {"parts": [{"text": "Be kind."}]}, "tools": [
        {"functionDeclarations": [{"name": "weather"}]}], "generationConfig": {"temperature": 0.5}})  # fmt: skip
    talk.down(setupComplete={})
    turn = {"role": "user", "parts": [{"text": "Weather?"}]}
    talk.up(clientContent={"turns": [turn], "turnComplete": True})
    talk.down(toolCall={"functionCalls": [{"id": "1", "name": "weather", "args": {"city": "Bern"}}]})
    talk.up(toolResponse={"functionResponses": [{"id": "1", "name": "weather", "response": {"result": "12 °C"}}]})
    talk.down(serverContent={"modelTurn": {"parts": [{"text": "It is "}]}})
    talk.down(serverContent={"modelTurn": {"parts": [{"text": "12 °C."}]}})
    usage = {"promptTokenCount": 9, "responseTokenCount": 4}
    talk.down(serverContent={"turnComplete": True}, usageMetadata=usage)
    first, second = talk.end()
    assert (first.gen_ai.provider, first.gen_ai.api, first.gen_ai.request_model) == (
        "gcp.gemini",
        "gemini.live",
        "gemini-live",
    )
    assert said(first) == [("system", "Be kind."), ("user", "Weather?")]
    assert [(c.name, c.arguments) for c in first.gen_ai.tool_calls] == [("weather", '{"city": "Bern"}')]
    assert said(second) == [("system", "Be kind."), ("tool", "12 °C")]
    assert ([m.content for m in second.gen_ai.output], second.gen_ai.finish_reasons) == (["It is 12 °C."], ["stop"])
    assert (second.gen_ai.input_tokens, second.gen_ai.output_tokens) == (9, 4)


def test_gemini_by_voice() -> None:
    talk = Talk("generativelanguage.googleapis.com", GEMINI)
    talk.up(setup={"model": "models/gemini-live"})
    for _ in range(3):
        talk.up(realtimeInput={"audio": {"mimeType": "audio/pcm;rate=16000", "data": AUDIO}})
    talk.down(serverContent={"inputTranscription": {"text": "Who are "}})
    piece = {"inlineData": {"mimeType": "audio/pcm;rate=24000", "data": AUDIO}}
    talk.down(serverContent={"modelTurn": {"parts": [piece]}, "outputTranscription": {"text": "A "}})
    talk.down(serverContent={"inputTranscription": {"text": "you?"}})
    talk.down(serverContent={"modelTurn": {"parts": [piece]}, "outputTranscription": {"text": "model."}})
    talk.down(serverContent={"interrupted": True})
    talk.down(serverContent={"turnComplete": True})
    (exchange,) = talk.end()
    ai = exchange.gen_ai
    assert [(m.role, m.content, m.parts) for m in ai.input] == [
        ("user", "Who are you?", [{"type": "audio", "media_type": "audio/pcm;rate=16000", "size": 14400}])
    ]
    assert [(m.content, m.parts[0]["size"]) for m in ai.output] == [("A model.", 9600)]
    assert ai.finish_reasons == ["interrupted"]


def test_a_session_in_an_unknown_api_is_counted() -> None:
    talk = Talk("api.openai.com", "/v1/something/new")
    talk.raw(True, b"\x01\x02")
    talk.raw(False, b"\x03" * 10)
    (exchange,) = talk.end()
    assert (exchange.gen_ai.provider, exchange.gen_ai.operation) == ("openai", "unknown")
    assert exchange.gen_ai.request_parameters["bytes_received"] == 10


def test_what_is_no_session_of_ai_is_silent() -> None:
    """A path alone is no proof on an unknown host: something has to be said in the API's words."""
    talk = Talk("example.com", "/realtime")
    talk.down(type="error", error={"message": "no"})
    talk.up(type="hello", text="chat?")
    assert talk.end() == []
    talk = Talk("example.com", "/realtime")
    talk.down(type="session.created", session={"model": "local"})
    (exchange,) = talk.end()
    assert exchange.gen_ai.provider == "openai_compatible"


def test_what_waits_is_bounded() -> None:
    talk = Talk()
    for number in range(MOST_ITEMS + 10):
        talk.up(type="conversation.item.create", item=user(str(number)))
    for number in range(100):
        talk.up(type="response.create")
        talk.down(type="response.created", response={"id": str(number)})
    first, *rest = talk.end()
    assert len(rest) == 99
    assert said(first)[0] == ("user", "10")
    assert "items-dropped" in first.evidence.notes


EVENTS = [
    "session.update", "session.created", "conversation.item.create", "input_audio_buffer.append", "response.create",
    "input_audio_buffer.committed", "conversation.item.input_audio_transcription.completed", "response.created",
    "response.output_item.added", "response.output_item.done", "response.done", "error", "response.output_text.delta",
]  # fmt: skip
ANYTHING: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.sampled_from([*EVENTS, "message", "audio"]),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from(["type", "item", "session", "response", "id", "content", "output", "usage", "delta", "audio", "error",
                         "setup", "clientContent", "turns", "parts", "text", "serverContent", "modelTurn", "toolCall",
                         "functionCalls", "realtimeInput", "inlineData", "data", "turnComplete", "tools", "response_id"]),
        inner, max_size=4,
    ),
    max_leaves=12,
)  # fmt: skip


@given(
    st.sampled_from(
        [("api.openai.com", "/v1/realtime"), ("generativelanguage.googleapis.com", GEMINI), ("a", "/realtime")]
    ),
    st.lists(st.tuples(st.booleans(), st.sampled_from(EVENTS) | st.none(), ANYTHING), max_size=8),
)
def test_anything_is_taken(where: tuple[str, str], said: list[tuple[bool, str | None, Any]]) -> None:
    talk = Talk(*where)
    for to_server, kind, value in said:
        event = {**value, "type": kind} if kind and isinstance(value, dict) else value
        talk.raw(to_server, json.dumps(event).encode())
    talk.raw(False, b'{"type": "response.done", ')
    for exchange in talk.end():
        json.dumps(exchange.gen_ai.request_parameters)
