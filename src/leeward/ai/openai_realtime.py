"""OpenAI's Realtime API over WebSocket, and its Responses API where that is spoken over WebSocket.

Source: OpenAI API reference, "Realtime" (client and server events; the names of the beta as well) and "Responses: WebSocket
mode". One exchange an answer: what was said since the one before, and what `response.done` (or the deltas, when the session
ends before) says of it. Audio is counted, never kept. Transcription sessions have no answers: each transcript is one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs

from leeward.ai.dialect import error_in, function_tool
from leeward.ai.jsontext import load
from leeward.ai.openai_responses import RESPONSES, Growing, read_head, read_item, read_output, read_usage
from leeward.ai.turns import Turns
from leeward.ai.values import record, records, sequence, text
from leeward.model.exchange import ChatMessage, Exchange, GenAI, TimedExchange
from leeward.wire.http import WsClosed, WsMessage

_MOST_OPEN = 16  # answers under way at a time; more are out of band, the oldest comes out as it is
_MOST_OUTPUT = 4 << 20  # characters of deltas kept an answer
_MOST_AUDIO = 256  # user's speeches whose transcript may still come
_SESSION_PARAMETERS = ("temperature", "tool_choice", "max_output_tokens", "max_response_output_tokens", "output_modalities",
                       "modalities", "voice", "speed")  # fmt: skip
#: Delta events: the part of an item that their pieces build.
_DELTAS = {
    "response.text.delta": "text",
    "response.output_text.delta": "text",
    "response.audio_transcript.delta": "text",
    "response.output_audio_transcript.delta": "text",
    "response.refusal.delta": "refusal",
    "response.function_call_arguments.delta": "arguments",
    "response.mcp_call_arguments.delta": "arguments",
}
_AUDIO_DELTAS = ("response.audio.delta", "response.output_audio.delta")
_AUDIO = ("audio", "input_audio", "output_audio")
_ENDS = ("response.done", "response.completed", "response.incomplete", "response.failed", "response.cancelled")


class _Answer:
    """An answer under way. first: when its first output came, 0 before. audio: bytes of it spoken."""

    def __init__(self, exchange: Exchange, start: int) -> None:
        self.exchange, self.start, self.first = exchange, start, 0
        self.audio = self.size = 0
        self.growing: dict[str, Growing] = {}


class Realtime:
    """A session. target: of the upgrade's request, whose query may name the model. certain: the host is known to speak this;
    else nothing is told before an event of this API was seen."""

    def __init__(self, base: Exchange, target: str, *, certain: bool) -> None:
        self._turns = Turns(base)
        self._told = False
        query = parse_qs(target.partition("?")[2], max_num_fields=32)
        ai = base.gen_ai
        ai.request_model = next(iter(query.get("model", query.get("deployment", [""]))), "")
        self._answers: dict[str, _Answer] = {}
        self._asked: list[tuple[int, Exchange]] = []  # response.create, not yet begun
        self._audio = 0
        self._audio_format = self._spoken_format = ""
        self._speeches: dict[str, ChatMessage] = {}
        self._transcribes = "intent=transcription" in target
        self._known = certain  # else an event of this API has to be seen
        self._events: dict[str, Callable[[WsMessage, dict[str, Any]], list[TimedExchange]]] = {
            "session.update": self._session,
            "session.created": self._session,
            "session.updated": self._session,
            "transcription_session.update": self._session,
            "transcription_session.created": self._session,
            "transcription_session.updated": self._session,
            "conversation.item.create": self._item,
            "input_audio_buffer.append": self._append,
            "input_audio_buffer.clear": self._clear,
            "input_audio_buffer.committed": self._committed,
            "conversation.item.input_audio_transcription.completed": self._transcript,
            "response.create": self._create,
            "response.created": self._created,
            "response.output_item.added": self._output_item,
            "response.output_item.done": self._output_item,
            "error": self._error,
        } | dict.fromkeys(_ENDS, self._done)

    def feed(self, message: WsMessage) -> list[TimedExchange]:
        body = load(message.data)
        event = record(body.value)
        kind = text(event.get("type"))
        if kind in _DELTAS or kind in _AUDIO_DELTAS:
            self._delta(message, kind, event)
            return []
        handler = self._events.get(kind)
        if handler is None:
            return []
        if not body.exact:
            self._turns.flaws(message)
        self._known = self._known or kind != "error"
        return handler(message, event)

    def close(self, end: WsClosed) -> list[TimedExchange]:
        out = [self._finish(key, end.ts, complete=False) for key in list(self._answers)]
        asked, self._asked = self._asked, []
        if self._turns or not (self._told or out or asked):  # a session that got no answer is told of all the same
            asked.append((self._turns.since or end.ts, self._turns.begin()))
        return out + [self._unanswered(start, exchange, end.ts) for start, exchange in asked if self._known]

    def _unanswered(self, start: int, exchange: Exchange, end: int) -> TimedExchange:
        exchange.evidence.notes.append("no-response")
        return self._end(exchange, start, end, complete=False)

    def _end(self, exchange: Exchange, start: int, end: int, *, complete: bool) -> TimedExchange:
        self._told = True
        return self._turns.end(exchange, start, end, complete=complete)

    # -- what the client says --------------------------------------------------------------------------------------

    def _session(self, message: WsMessage, event: dict[str, Any]) -> list[TimedExchange]:
        """Both sides tell the whole session or what changes of it."""
        session, ai = record(event.get("session")), self._turns.base.gen_ai
        self._transcribes |= text(session.get("type")) == "transcription" or text(event.get("type")).startswith("trans")
        if message.to_server or not ai.request_model:
            ai.request_model = text(session.get("model")) or ai.request_model
        if not message.to_server:
            ai.response_model = text(session.get("model")) or ai.response_model
        if isinstance(session.get("instructions"), str):
            words = session["instructions"]
            self._turns.standing = [ChatMessage("system", words)] if words else []
        if isinstance(session.get("tools"), list):
            self._turns.tools = [function_tool(tool) for tool in records(session["tools"])]
        for name in _SESSION_PARAMETERS:
            if session.get(name) is not None:
                ai.request_parameters[name] = session[name]
        self._audio_format = _format(session, "input") or self._audio_format
        self._spoken_format = _format(session, "output") or self._spoken_format
        return []

    def _item(self, message: WsMessage, event: dict[str, Any]) -> list[TimedExchange]:
        self._turns.say(message, _read(record(event.get("item")), self._turns.base.gen_ai))
        return []

    def _append(self, message: WsMessage, event: dict[str, Any]) -> list[TimedExchange]:
        self._audio += _decoded(text(event.get("audio")))
        return []

    def _clear(self, message: WsMessage, event: dict[str, Any]) -> list[TimedExchange]:
        self._audio = 0
        return []

    def _committed(self, message: WsMessage, event: dict[str, Any]) -> list[TimedExchange]:
        """The server has taken what it heard for something said."""
        speech = ChatMessage("user", "", parts=[_audio(self._audio, self._audio_format)])
        self._audio = 0
        self._speeches[text(event.get("item_id"))] = speech
        if len(self._speeches) > _MOST_AUDIO:
            self._speeches.pop(next(iter(self._speeches)))
        if not self._transcribes:
            self._turns.say(message, [speech])
        return []

    def _transcript(self, message: WsMessage, event: dict[str, Any]) -> list[TimedExchange]:
        """What somebody said, in words: it comes while the answer is under way, or after."""
        words = text(event.get("transcript"))
        speech = self._speeches.pop(text(event.get("item_id")), None)
        if not self._transcribes:
            if speech is not None:
                speech.content = words
            return []
        exchange = self._turns.begin()
        ai = exchange.gen_ai
        ai.operation = "transcription"
        ai.input = [speech] if speech is not None else []
        ai.output = [ChatMessage("assistant", words)]
        read_usage(record(event.get("usage")), ai)
        return [self._end(exchange, message.start, message.end, complete=True)]

    def _create(self, message: WsMessage, event: dict[str, Any]) -> list[TimedExchange]:
        """The client asks for an answer. Over WebSocket the Responses API has its body's fields in the event itself."""
        self._turns.flaws(message)
        exchange = self._turns.begin()
        ai = exchange.gen_ai
        asked = record(event.get("response"))
        if "response" not in event and ("input" in event or "model" in event):
            ai.input = []
            RESPONSES.request(load(message.data), ai)
        else:
            if isinstance(asked.get("instructions"), str):
                ai.input = [ChatMessage("system", asked["instructions"]), *(m for m in ai.input if m.role != "system")]
            if isinstance(asked.get("input"), list):  # in place of the conversation
                ai.input = [m for m in ai.input if m.role == "system"]
                ai.input += [m for item in records(asked["input"]) for m in _read(item, ai)]
            if isinstance(asked.get("tools"), list):
                ai.tools = [function_tool(tool) for tool in records(asked["tools"])]
            ai.request_parameters.update({n: asked[n] for n in _SESSION_PARAMETERS if asked.get(n) is not None})
        ai.stream = True
        self._asked.append((message.start, exchange))
        if len(self._asked) > _MOST_OPEN:
            start, exchange = self._asked.pop(0)
            return [self._unanswered(start, exchange, message.end)]
        return []

    # -- what the server says --------------------------------------------------------------------------------------

    def _created(self, message: WsMessage, event: dict[str, Any]) -> list[TimedExchange]:
        """An answer begins: asked for, or because the server heard that somebody stopped speaking."""
        response = record(event.get("response"))
        if self._asked:
            start, exchange = self._asked.pop(0)
        else:
            start, exchange = self._turns.since or message.start, self._turns.begin()
        out = []
        if len(self._answers) >= _MOST_OPEN:
            out.append(self._finish(next(iter(self._answers)), message.end, complete=False))
        read_head(response, exchange.gen_ai)
        self._answers[text(response.get("id"))] = _Answer(exchange, start)
        return out

    def _answer(self, event: dict[str, Any]) -> _Answer | None:
        """Whose event this is: the Responses API names no answer in its deltas, it gives one at a time."""
        key = text(event.get("response_id")) or text(record(event.get("response")).get("id"))
        return self._answers.get(key) or (next(iter(self._answers.values()), None) if not key else None)

    def _delta(self, message: WsMessage, kind: str, event: dict[str, Any]) -> None:
        answer = self._answer(event)
        if answer is None:
            return
        answer.first = answer.first or message.end
        piece = text(event.get("delta"))
        if kind in _AUDIO_DELTAS:
            answer.audio += _decoded(piece)
        elif answer.size < _MOST_OUTPUT:
            answer.size += len(piece)
            answer.growing.setdefault(text(event.get("item_id")), Growing()).add(_DELTAS[kind], piece)

    def _output_item(self, message: WsMessage, event: dict[str, Any]) -> list[TimedExchange]:
        answer, item = self._answer(event), record(event.get("item"))
        if answer is not None:
            growing = answer.growing.setdefault(text(item.get("id")), Growing())
            if text(event.get("type")).endswith("done"):
                growing.final = item
            else:
                growing.item = item
        return []

    def _done(self, message: WsMessage, event: dict[str, Any]) -> list[TimedExchange]:
        response = record(event.get("response"))
        key = text(response.get("id"))
        if key not in self._answers:
            self._created(message, event)
        self._turns.flaws(message)
        answer = self._answers[key]
        details = record(response.get("status_details"))
        answer.exchange.error = answer.exchange.error or error_in(details) or error_in(response)
        return [self._finish(key, message.end, complete=True, response=response)]

    def _finish(self, key: str, end: int, *, complete: bool, response: dict[str, Any] | None = None) -> TimedExchange:
        answer = self._answers.pop(key)
        ai = answer.exchange.gen_ai
        items = sequence(record(response).get("output")) or [growing.whole() for growing in answer.growing.values()]
        read_output([_spoken(item) for item in records(items)], ai)
        if answer.audio and ai.output:
            ai.output[0].parts.append(_audio(answer.audio, self._spoken_format))
        if response is not None:
            read_head(response, ai)
            reason = text(record(response.get("status_details")).get("reason"))
            ai.finish_reasons = [reason] if reason else ai.finish_reasons
        ai.response_model = (
            ai.response_model or self._turns.base.gen_ai.response_model
        )  # told after it was asked, maybe
        if answer.first:
            ai.time_to_first_token_ms = max(0, answer.first - answer.start) / 1e6
        return self._end(answer.exchange, answer.start, end, complete=complete)

    def _error(self, message: WsMessage, event: dict[str, Any]) -> list[TimedExchange]:
        """An error belongs to the answer under way, else to what was asked for, else to the session."""
        error = error_in(event)
        if error is None or not self._known:
            return []
        answer = next(iter(self._answers.values()), None)
        if answer is not None:
            answer.exchange.error = answer.exchange.error or error
            return []
        start, exchange = (
            self._asked.pop(0) if self._asked else (self._turns.since or message.start, self._turns.begin())
        )
        exchange.error = error
        return [self._end(exchange, start, message.end, complete=True)]


def _read(item: dict[str, Any], ai: GenAI) -> list[ChatMessage]:
    """An item that the client makes."""
    messages = read_item(_spoken(item), ai)
    audio = [part for part in records(item.get("content")) if text(part.get("type")) in _AUDIO]
    if messages:
        messages[0].parts += [_audio(_decoded(text(part.get("audio"))), "") for part in audio]
    return messages


def _spoken(item: dict[str, Any]) -> dict[str, Any]:
    """An item whose audio is its transcript."""
    parts = records(item.get("content"))
    if not any(text(part.get("type")) in _AUDIO for part in parts):
        return item
    said = [
        {"type": "output_text", "text": text(part.get("transcript"))} if text(part.get("type")) in _AUDIO else part
        for part in parts
    ]
    return {**item, "content": said}


def _format(session: dict[str, Any], way: str) -> str:
    """The media type of a session's audio; the beta names a format."""
    given = record(record(session.get("audio")).get(way)).get("format", session.get(f"{way}_audio_format"))
    return text(given) or text(record(given).get("type"))


def _decoded(base64: str) -> int:
    """Bytes that base64 text stands for."""
    return len(base64) * 3 // 4 - base64[-2:].count("=")


def _audio(size: int, kind: str) -> dict[str, Any]:
    return {"type": "audio", "media_type": kind if "/" in kind else f"audio/{kind}" if kind else "", "size": size}
