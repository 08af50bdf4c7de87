"""Google's Live API (BidiGenerateContent) over WebSocket: Gemini API and Vertex AI.

Source: ai.google.dev "Live API - WebSockets API reference". One exchange a turn of the model; a call for a tool ends one, its
result begins the next. Audio and video are counted, never kept.
"""

from __future__ import annotations

from typing import Any

from leeward.ai.dialect import error_in, finish
from leeward.ai.gemini import get, read_content, read_head, read_part, read_tools
from leeward.ai.jsontext import Slice, dumps, load
from leeward.ai.turns import Turns
from leeward.ai.values import chosen, record, records, text
from leeward.model.exchange import ChatMessage, Exchange, TimedExchange, ToolCall
from leeward.wire.http import WsClosed, WsMessage

_PARAMETERS = ("temperature", "topP", "topK", "maxOutputTokens", "responseModalities", "mediaResolution", "seed")
_MOST_OUTPUT = 4 << 20  # characters of an answer


class GeminiLive:
    """A session. certain: the host is known to speak this; else nothing is told before a message of this API was seen."""

    def __init__(self, base: Exchange, *, certain: bool) -> None:
        self._turns = Turns(base)
        self._known, self._told = certain, False
        self._media: dict[str, int] = {}  # media type → bytes since the last turn
        self._speech: ChatMessage | None = None  # what was spoken, whose words come bit by bit
        self._exchange: Exchange | None = None
        self._answer = ChatMessage("assistant", "")
        self._start = self._first = self._heard = 0

    def feed(self, message: WsMessage) -> list[TimedExchange]:
        body = load(message.data)
        event = record(body.value)
        self._turns.flaws(message)
        if message.to_server:
            self._asked(message, event, Slice(body.text))
            return []
        return self._answered(message, event, Slice(body.text))

    def close(self, end: WsClosed) -> list[TimedExchange]:
        if self._exchange is None:
            if not self._known or not (self._turns or self._media or not self._told):
                return []
            self._begin(end.ts)
            assert self._exchange is not None
            self._exchange.evidence.notes.append("no-response")
        return [self._end(end.ts, "", complete=False)]

    # -- the client ------------------------------------------------------------------------------------------------

    def _asked(self, message: WsMessage, event: dict[str, Any], source: Slice) -> None:
        if setup := record(get(event, "setup")):
            self._known = True
            self._setup(setup)
        if given := record(get(event, "clientContent")):
            self._known = True
            where = source.at("clientContent", "turns")
            turns = [(record(turn), where.at(i)) for i, turn in enumerate(records(given.get("turns")))]
            self._turns.say(message, [m for turn, at in turns for m in read_content(turn, at)])
        if live := record(get(event, "realtimeInput")):
            self._realtime(message, live)
        if results := records(get(record(get(event, "toolResponse")), "functionResponses")):
            parts = [{"functionResponse": result} for result in results]
            self._turns.say(message, read_content({"role": "user", "parts": parts}, Slice(b"")))

    def _setup(self, setup: dict[str, Any]) -> None:
        ai = self._turns.base.gen_ai
        ai.request_model = text(setup.get("model")).rpartition("/")[2]
        instruction = get(setup, "systemInstruction")
        if instruction:
            parts = instruction if isinstance(instruction, dict) else {"parts": [{"text": text(instruction)}]}
            self._turns.standing = read_content({**parts, "role": "system"}, Slice(b""))
        self._turns.tools = [found for tool in records(setup.get("tools")) for found in read_tools(tool)]
        ai.request_parameters.update(chosen(record(get(setup, "generationConfig")), _PARAMETERS))

    def _realtime(self, message: WsMessage, live: dict[str, Any]) -> None:
        chunks = [*records(get(live, "mediaChunks")), *(record(live.get(name)) for name in ("audio", "video"))]
        for chunk in chunks:
            data = text(chunk.get("data"))
            if data:
                kind = text(get(chunk, "mimeType"))[:64]
                kind = kind if kind in self._media or len(self._media) < 16 else ""
                self._media[kind] = self._media.get(kind, 0) + len(data) * 3 // 4 - data[-2:].count("=")
                self._heard = self._heard or message.start
        if text(live.get("text")):
            self._turns.say(message, [ChatMessage("user", live["text"])])

    # -- the server ------------------------------------------------------------------------------------------------

    def _answered(self, message: WsMessage, event: dict[str, Any], source: Slice) -> list[TimedExchange]:
        content, call = record(get(event, "serverContent")), record(get(event, "toolCall"))
        out: list[TimedExchange] = []
        words = text(record(get(content, "inputTranscription")).get("text"))
        if words:
            self._speech = self._speech or ChatMessage("user", "")
            self._speech.content += words[: max(0, _MOST_OUTPUT - len(self._speech.content))]
        error = error_in(event)
        if get(content, "modelTurn") or get(content, "outputTranscription") or call or (error and self._known):
            self._begin(message.start)
        exchange = self._exchange
        if exchange is None:
            self._known = self._known or "setupComplete" in event
            return out
        exchange.error = exchange.error or error
        self._output(message, content, source.at("serverContent"))
        if get(event, "usageMetadata"):
            read_head({"usageMetadata": get(event, "usageMetadata")}, exchange.gen_ai)
        if content.get("interrupted"):
            exchange.gen_ai.finish_reasons = ["interrupted"]
        for number, asked in enumerate(records(get(call, "functionCalls"))):
            arguments = source.at("toolCall", "functionCalls", number, "args").text() or dumps(asked.get("args", {}))
            self._answer.tool_calls.append(ToolCall(text(asked.get("id")), text(asked.get("name")), arguments))
        if call:
            out.append(self._end(message.end, "tool_calls", complete=True))
        elif get(content, "turnComplete") or error is not None:
            reason = text(get(content, "turnCompleteReason")) or ("error" if error else "stop")
            out.append(self._end(message.end, reason, complete=True))
        return out

    def _output(self, message: WsMessage, content: dict[str, Any], source: Slice) -> None:
        parts = records(record(get(content, "modelTurn")).get("parts"))
        words = text(record(get(content, "outputTranscription")).get("text"))
        if (parts or words) and not self._first:
            self._first = message.end
        if len(self._answer.content) > _MOST_OUTPUT:
            return
        self._answer.content += words
        for number, part in enumerate(parts):
            data = record(get(part, "inlineData"))
            if data:
                self._spoken(text(get(data, "mimeType")), text(data.get("data")))
            else:
                read_part(part, self._answer, source.at("modelTurn", "parts", number))

    def _spoken(self, kind: str, data: str) -> None:
        """A piece of audio: one reference for all of an answer's."""
        size = len(data) * 3 // 4 - data[-2:].count("=")
        for part in self._answer.parts:
            if part.get("media_type") == kind and "size" in part:
                part["size"] += size
                return
        self._answer.parts.append({"type": kind.partition("/")[0] or "audio", "media_type": kind, "size": size})

    # -- turns -----------------------------------------------------------------------------------------------------

    def _begin(self, ts: int) -> None:
        """The model begins to answer: all that was said before is its input."""
        if self._exchange is not None:
            return
        self._known = True
        spoken = [{"type": k.partition("/")[0] or "audio", "media_type": k, "size": n} for k, n in self._media.items()]
        self._start = min(since for since in (self._turns.since, self._heard, ts) if since)
        exchange = self._exchange = self._turns.begin()
        if spoken or self._speech is not None:
            self._speech = self._speech or ChatMessage("user", "")
            self._speech.parts = spoken
            exchange.gen_ai.input.append(self._speech)
        self._media, self._heard = {}, 0

    def _end(self, ts: int, reason: str, *, complete: bool) -> TimedExchange:
        exchange = self._exchange
        assert exchange is not None
        ai, answer = exchange.gen_ai, self._answer
        if answer.content or answer.parts or answer.tool_calls or answer.reasoning:
            finish(ai, answer)
        if reason and not ai.finish_reasons:
            ai.finish_reasons = [reason]
        if self._first:
            ai.time_to_first_token_ms = max(0, self._first - self._start) / 1e6
        self._exchange, self._answer, self._first, self._speech = None, ChatMessage("assistant", ""), 0, None
        self._told = True
        return self._turns.end(exchange, self._start, ts, complete=complete)
