"""OpenAI's chat completions and legacy completions, and the many servers that speak them.

Source: OpenAI API reference, "Chat" and "Completions"; the additions `reasoning_content` (DeepSeek, vLLM) and
`reasoning` (OpenRouter, Groq), content lists in deltas (Mistral), calls without an index (Gemini's compatible API).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from leeward.ai.dialect import Dialect, Item, PartialCall, StreamEnd, chatty, finish, function_tool
from leeward.ai.jsontext import NOTHING, Json, Slice, dumps
from leeward.ai.values import chosen, content, count, record, records, sequence, summed, text
from leeward.model.exchange import ChatMessage, GenAI, ToolCall
from leeward.model.message import Message

PARAMETERS = [
    "temperature",
    "top_p",
    "top_k",
    "min_p",
    "n",
    "max_tokens",
    "max_completion_tokens",
    "seed",
    "stop",
    "presence_penalty",
    "frequency_penalty",
    "repetition_penalty",
    "tool_choice",
    "function_call",
    "parallel_tool_calls",
    "reasoning_effort",
    "logprobs",
    "top_logprobs",
    "prompt_logprobs",
    "modalities",
    "service_tier",
    "store",
    "user",
    "safety_identifier",
    "prompt_cache_key",
    "verbosity",
    "stream_options",
    "best_of",
    "echo",
]
_TOKENS = ("logit_bias", "allowed_token_ids")  # the second is vLLM's
_ROLES = {"function": "tool", "model": "assistant"}


def common_request(body: dict[str, Any], ai: GenAI, parameters: Iterable[str]) -> None:
    """What all of OpenAI's request bodies share."""
    ai.request_model = text(body.get("model")) or ai.request_model
    ai.stream = body.get("stream") is True
    ai.request_parameters.update(chosen(body, parameters) | summed(body, _TOKENS))
    form = record(body.get("response_format")).get("type")
    if isinstance(form, str):
        ai.request_parameters["response_format"] = form


def common_response(body: dict[str, Any], ai: GenAI) -> None:
    """Id, model and usage, as they stand in a whole body and in the chunks of a stream."""
    ai.response_id = text(body.get("id")) or ai.response_id
    ai.response_model = text(body.get("model")) or ai.response_model
    usage = record(body.get("usage")) or record(record(body.get("x_groq")).get("usage"))
    if usage:
        read_usage(usage, ai)


def read_usage(usage: dict[str, Any], ai: GenAI) -> None:
    """`usage` of chat, completions and embeddings. DeepSeek names cached tokens otherwise."""
    prompt, answer = record(usage.get("prompt_tokens_details")), record(usage.get("completion_tokens_details"))
    found = {
        "input_tokens": count(usage.get("prompt_tokens")),
        "output_tokens": count(usage.get("completion_tokens")),
        "cached_input_tokens": count(prompt.get("cached_tokens", usage.get("prompt_cache_hit_tokens"))),
        "reasoning_tokens": count(answer.get("reasoning_tokens")),
    }
    for name, value in found.items():
        if value is not None:
            setattr(ai, name, value)


def _chat_request(body: Json, ai: GenAI) -> bool:
    fields = record(body.value)
    common_request(fields, ai, PARAMETERS)
    texts = Slice(body.text).at("messages")
    for i, item in enumerate(sequence(fields.get("messages"))):
        if isinstance(item, dict):
            ai.input.extend(read_message(item, texts.at(i) if has_calls(item) else NOTHING))
    ai.tools.extend(function_tool(item) for item in records(fields.get("tools")))
    ai.tools.extend(function_tool({**item, "type": "function"}) for item in records(fields.get("functions")))
    return isinstance(fields.get("model"), str) and chatty(fields.get("messages"))


def read_message(item: dict[str, Any], source: Slice) -> list[ChatMessage]:
    """A message of a request or of a choice; text documents in it follow as messages of their own."""
    role = text(item.get("role"))
    found = content(item.get("content"))
    refusal = text(item.get("refusal"))
    thought = text(item.get("reasoning_content")) or text(item.get("reasoning")) or text(item.get("thinking"))
    message = ChatMessage(
        role=_ROLES.get(role, role),
        content=found.text or refusal,
        name=text(item.get("name")),
        parts=found.parts + ([{"type": "refusal"}] if refusal else []),
        tool_calls=read_calls(item, source),
        tool_call_id=text(item.get("tool_call_id")),
        reasoning=found.reasoning or thought,
    )
    audio = record(item.get("audio"))
    if audio:
        message.parts.append({"type": "audio", "id": text(audio.get("id"))})
        message.content = message.content or text(audio.get("transcript"))
    documents = [ChatMessage(message.role, words, title or "document") for title, words in found.documents]
    return [message, *documents]


def has_calls(item: dict[str, Any]) -> bool:
    """Whether a message asks for calls, so that its own text is worth finding."""
    return bool(item.get("tool_calls") or item.get("function_call"))


def read_calls(item: dict[str, Any], source: Slice) -> list[ToolCall]:
    """`tool_calls` and the older `function_call`. Arguments are text; an object's (Ollama) are its own JSON text."""
    calls = []
    for i, call in enumerate(sequence(item.get("tool_calls"))):
        if not isinstance(call, dict):
            continue
        kind = text(call.get("type")) or "function"
        function = record(call.get(kind)) or record(call.get("function"))
        where = source.at("tool_calls", i, "function", "arguments")
        arguments = _arguments(function.get("arguments", function.get("input")), where)
        calls.append(ToolCall(text(call.get("id")), text(function.get("name")), arguments, kind))
    function = record(item.get("function_call"))
    if function:
        arguments = _arguments(function.get("arguments"), source.at("function_call", "arguments"))
        calls.append(ToolCall("", text(function.get("name")), arguments))
    return calls


def _arguments(value: Any, source: Slice) -> str:
    if isinstance(value, str) or value is None:
        return value or ""
    return source.text() or dumps(value)


def _chat_response(body: Json, ai: GenAI) -> bool:
    fields = record(body.value)
    common_response(fields, ai)
    source = Slice(body.text).at("choices")
    for i, choice in enumerate(sequence(fields.get("choices"))):
        if not isinstance(choice, dict):
            continue
        if text(choice.get("finish_reason")):
            ai.finish_reasons.append(choice["finish_reason"])
        message = record(choice.get("message"))
        if message:
            for part in read_message({"role": "assistant", **message}, source.at(i, "message")):
                finish(ai, part)
    return isinstance(fields.get("choices"), list)


class _Choice:
    """One choice of a streamed answer."""

    def __init__(self) -> None:
        self.role = "assistant"
        self.texts: list[str] = []
        self.thoughts: list[str] = []
        self.parts: list[dict[str, Any]] = []
        self.calls: list[PartialCall] = []
        self.slots: dict[int, PartialCall] = {}
        self.reason = ""

    def add(self, delta: dict[str, Any]) -> bool:
        """Takes a delta; True when it holds output."""
        words = delta.get("content")
        if len(delta) == 1 and isinstance(words, str):  # nearly every delta is just this
            self.texts.append(words)
            return bool(words)
        before = (len(self.texts), len(self.thoughts), len(self.calls), len(self.parts))
        self.role = text(delta.get("role")) or self.role
        found = content(delta.get("content"))
        thought = text(delta.get("reasoning_content")) or text(delta.get("reasoning")) or found.reasoning
        audio = text(record(delta.get("audio")).get("transcript"))
        self.texts.extend(piece for piece in (found.text, audio) if piece)
        self.thoughts.extend([thought] if thought else [])
        self.parts.extend(found.parts)
        if text(delta.get("refusal")):
            self.texts.append(delta["refusal"])
            self.parts = self.parts or [{"type": "refusal"}]
        fragments = sequence(delta.get("tool_calls"))
        legacy = record(delta.get("function_call"))
        for fragment in [*fragments, *([{"index": 0, "function": legacy}] if legacy else [])]:
            if isinstance(fragment, dict):
                self._call(fragment)
        after = (len(self.texts), len(self.thoughts), len(self.calls), len(self.parts))
        return before != after or bool(fragments)

    def _call(self, fragment: dict[str, Any]) -> None:
        kind = text(fragment.get("type"))
        function = record(fragment.get(kind)) or record(fragment.get("function"))
        call_id, name = text(fragment.get("id")), text(function.get("name"))
        index = count(fragment.get("index"))
        call = self.slots.get(index) if index is not None else (self.calls[-1] if self.calls and not call_id else None)
        if call is None or (name and call_id and call.id and call.id != call_id):
            call = PartialCall()
            self.calls.append(call)
            self.slots[len(self.calls) - 1 if index is None else index] = call
        call.id = call.id or call_id
        call.kind = kind or call.kind
        call.name = call.name or name
        arguments = function.get("arguments", function.get("input"))
        call.arguments.append(arguments if isinstance(arguments, str) else dumps(arguments) if arguments else "")

    def whole(self) -> ChatMessage:
        return ChatMessage(
            role=self.role,
            content="".join(self.texts),
            parts=self.parts,
            tool_calls=[call.whole() for call in self.calls],
            reasoning="".join(self.thoughts),
        )


def _stream(items: Iterable[Item], ai: GenAI) -> StreamEnd:
    """Chunks of chat (`delta`) and of legacy completions (`text`)."""
    end = StreamEnd()
    choices: dict[int, _Choice] = {}
    for item in items:
        if item.event == "[DONE]":
            end.ended = True
            continue
        chunk = record(item.value)
        common_response(chunk, ai)
        end.shape = end.shape or isinstance(chunk.get("choices"), list)
        for piece in records(chunk.get("choices")):
            choice = choices.setdefault(count(piece.get("index")) or 0, _Choice())
            delta = record(piece.get("delta")) or record(piece.get("message")) or {"content": piece.get("text")}
            if choice.add(delta) and end.first_output is None:
                end.first_output = item.end
            choice.reason = text(piece.get("finish_reason")) or choice.reason
    for _, choice in sorted(choices.items()):
        finish(ai, choice.whole())
        if choice.reason:
            ai.finish_reasons.append(choice.reason)
    end.ended = end.ended or (bool(choices) and all(choice.reason for choice in choices.values()))
    return end


def prompts(value: Any) -> list[ChatMessage]:
    """A prompt or an input to embed: text, a list of texts, token numbers, or lists of them."""
    if isinstance(value, str):
        return [ChatMessage("user", value)]
    values = sequence(value)
    if values and all(count(item) is not None for item in values):
        return [ChatMessage("user", "", parts=[{"type": "tokens", "count": len(values)}])]
    messages = []
    for item in values:
        if isinstance(item, str):
            messages.append(ChatMessage("user", item))
        elif isinstance(item, list):
            messages.append(ChatMessage("user", "", parts=[{"type": "tokens", "count": len(item)}]))
        elif isinstance(item, dict):
            found = content(item.get("content", item))
            messages.append(ChatMessage("user", found.text, parts=found.parts))
    return messages


def _completion_request(body: Json, ai: GenAI) -> bool:
    fields = record(body.value)
    common_request(fields, ai, PARAMETERS)
    ai.input.extend(prompts(fields.get("prompt")))
    if text(fields.get("suffix")):
        ai.input.append(ChatMessage("user", fields["suffix"], "suffix"))
    return isinstance(fields.get("model"), str) and isinstance(fields.get("prompt"), str | list)


def _completion_response(body: Json, ai: GenAI) -> bool:
    fields = record(body.value)
    common_response(fields, ai)
    choices = records(fields.get("choices"))
    for choice in choices:
        finish(ai, ChatMessage("assistant", text(choice.get("text"))))
        if text(choice.get("finish_reason")):
            ai.finish_reasons.append(choice["finish_reason"])
    return any(isinstance(choice.get("text"), str) for choice in choices)


def deployment(request: Message, ai: GenAI) -> None:
    """Azure's `/openai/deployments/NAME/...`: the deployment stands for the model where the body names none."""
    _, found, rest = request.target.partition("/deployments/")
    ai.request_model = rest.partition("/")[0] if found else ""


CHAT = Dialect(_chat_request, _chat_response, _stream, target=deployment)
COMPLETIONS = Dialect(_completion_request, _completion_response, _stream, target=deployment)

DIALECTS = {
    "openai.chat": CHAT,
    "openai.completions": COMPLETIONS,
}
