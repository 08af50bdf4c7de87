"""Ollama's own API: chat, generate, embed, and the management of models.

Source: Ollama repository, docs/api.md. Chat and generate stream newline-delimited JSON unless told not to, tool
arguments are objects, images are bare base64. The legacy `/api/embeddings` takes `prompt`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from leeward.ai.dialect import Dialect, Item, StreamEnd, chatty, finish, function_tool
from leeward.ai.jsontext import NOTHING, Json, Slice
from leeward.ai.openai_chat import has_calls, prompts, read_message
from leeward.ai.values import chosen, count, embedded, record, records, sequence, text
from leeward.model.exchange import ChatMessage, GenAI, ToolCall

PARAMETERS = ("keep_alive", "think", "raw", "template", "truncate", "dimensions", "logprobs", "top_logprobs")

_PROGRESS = ("pulling", "pushing", "downloading", "verifying", "creating", "retrieving", "using existing", "success")


def _common_request(fields: dict[str, Any], ai: GenAI) -> bool:
    """Model, options and `format` ("json" or a schema). True when a model is named."""
    ai.request_model = text(fields.get("model")) or text(fields.get("name"))
    ai.request_parameters.update(chosen(fields, PARAMETERS))
    options = record(fields.get("options"))
    ai.request_parameters.update(chosen(options, sorted(options)[:64]))
    form = fields.get("format")
    if form:
        ai.request_parameters["response_format"] = form if isinstance(form, str) else "json_schema"
    return bool(ai.request_model)


def _images(value: Any) -> list[dict[str, Any]]:
    return [embedded("image", item) for item in sequence(value) if isinstance(item, str)]


def _message(item: dict[str, Any], source: Slice) -> list[ChatMessage]:
    messages = read_message(item, source)
    messages[0].name = messages[0].name or text(item.get("tool_name"))
    messages[0].parts.extend(_images(item.get("images")))
    return messages


def _chat_request(body: Json, ai: GenAI) -> bool:
    fields = record(body.value)
    named = _common_request(fields, ai)
    ai.stream = fields.get("stream", True) is not False
    source = Slice(body.text).at("messages")
    for i, item in enumerate(sequence(fields.get("messages"))):
        if isinstance(item, dict):
            ai.input.extend(_message(item, source.at(i) if has_calls(item) else NOTHING))
    ai.tools.extend(function_tool(item) for item in records(fields.get("tools")))
    return named and chatty(fields.get("messages"))


def _generate_request(body: Json, ai: GenAI) -> bool:
    fields = record(body.value)
    named = _common_request(fields, ai)
    ai.stream = fields.get("stream", True) is not False
    if text(fields.get("system")):
        ai.input.append(ChatMessage("system", fields["system"]))
    prompt, images = text(fields.get("prompt")), _images(fields.get("images"))
    if prompt or images:
        ai.input.append(ChatMessage("user", prompt, parts=images))
    if text(fields.get("suffix")):
        ai.input.append(ChatMessage("user", fields["suffix"], "suffix"))
    return named and isinstance(fields.get("prompt"), str)


def _stream(items: Iterable[Item], ai: GenAI) -> StreamEnd:
    """The objects of a chat or a generation; an unstreamed answer is a stream of one."""
    end = StreamEnd()
    role = ""
    texts: list[str] = []
    thoughts: list[str] = []
    calls: list[ToolCall] = []
    parts: list[dict[str, Any]] = []
    for item in items:
        fields = record(item.value)
        end.shape = end.shape or ("model" in fields and ("message" in fields or "response" in fields))
        ai.response_model = text(fields.get("model")) or ai.response_model
        pieces = _message(record(fields.get("message")), item.slice.at("message"))[0]
        words = pieces.content or text(fields.get("response"))
        thought = pieces.reasoning or text(fields.get("thinking"))
        role = role or pieces.role
        texts.append(words)
        thoughts.append(thought)
        calls.extend(pieces.tool_calls)
        parts.extend(pieces.parts + _images([fields.get("image")]))
        if end.first_output is None and (words or thought or pieces.tool_calls):
            end.first_output = item.end
        if fields.get("done") is True:
            end.ended = True
            _close(fields, ai)
    if end.shape:
        finish(ai, ChatMessage(role or "assistant", "".join(texts), "", parts, calls, "", "".join(thoughts)))
    return end


def _close(fields: dict[str, Any], ai: GenAI) -> None:
    """The last object: why it ended and the token counts."""
    if text(fields.get("done_reason")):
        ai.finish_reasons = [fields["done_reason"]]
    ai.input_tokens = count(fields.get("prompt_eval_count"))
    ai.output_tokens = count(fields.get("eval_count"))


def _whole(body: Json, ai: GenAI) -> bool:
    return _stream([Item("", body.value, Slice(body.text), 0)], ai).shape


def _embed_request(body: Json, ai: GenAI) -> bool:
    fields = record(body.value)
    named = _common_request(fields, ai)
    given = fields.get("input", fields.get("prompt"))
    ai.input.extend(prompts(given))
    return named and isinstance(given, str | list)


def _embed_response(body: Json, ai: GenAI) -> bool:
    fields = record(body.value)
    ai.response_model = text(fields.get("model"))
    ai.input_tokens = count(fields.get("prompt_eval_count"))
    if isinstance(fields.get("embedding"), list):
        ai.embeddings = 1
    elif isinstance(fields.get("embeddings"), list):
        ai.embeddings = len(fields["embeddings"])
    return ai.embeddings is not None


def _no_request(body: Json, ai: GenAI) -> bool:
    return False


def _list_response(body: Json, ai: GenAI) -> bool:
    """`/api/tags` and `/api/ps`: {"models": [{"name", "model", ...}]}."""
    models = record(body.value).get("models")
    return isinstance(models, list) and all(
        isinstance(record(item).get("name"), str) and "digest" in item for item in models
    )


def _manage_request(body: Json, ai: GenAI) -> bool:
    """show, pull, push, create, copy, delete: the model is `model`, `name` or `source`. No shape of its own: many APIs
    take a name, so the answer must tell."""
    fields = record(body.value)
    _common_request(fields, ai)
    ai.request_model = ai.request_model or text(fields.get("source"))
    ai.request_parameters.update(chosen(fields, ("from", "destination", "insecure", "quantize")))
    if text(fields.get("system")):
        ai.input.append(ChatMessage("system", fields["system"]))
    return False


def _show_response(body: Json, ai: GenAI) -> bool:
    fields = record(body.value)
    return isinstance(fields.get("details"), dict) and ("model_info" in fields or "modelfile" in fields)


def _progress_response(body: Json, ai: GenAI) -> bool:
    return bool(ai.request_model) and text(record(body.value).get("status")).startswith(_PROGRESS)


def _progress(items: Iterable[Item], ai: GenAI) -> StreamEnd:
    """pull, push, create: {"status": ...} lines, the last one "success"."""
    end = StreamEnd()
    for item in items:
        status = record(item.value).get("status")
        end.shape = end.shape or (bool(ai.request_model) and text(status).startswith(_PROGRESS))
        end.ended = end.ended or status == "success"
    return end


def _version_response(body: Json, ai: GenAI) -> bool:
    return isinstance(record(body.value).get("version"), str)


CHAT = Dialect(_chat_request, _whole, _stream, framing="ndjson")
GENERATE = Dialect(_generate_request, _whole, _stream, framing="ndjson")
EMBED = Dialect(_embed_request, _embed_response)
LIST = Dialect(_no_request, _list_response)
SHOW = Dialect(_manage_request, _show_response)
PROGRESS = Dialect(_manage_request, _progress_response, _progress, framing="ndjson")
MANAGE = Dialect(_manage_request, _no_request)
VERSION = Dialect(_no_request, _version_response)

DIALECTS = {
    "ollama.chat": CHAT,
    "ollama.generate": GENERATE,
    "ollama.embed": EMBED,
    "ollama.tags": LIST,
    "ollama.ps": LIST,
    "ollama.show": SHOW,
    "ollama.pull": PROGRESS,
    "ollama.push": PROGRESS,
    "ollama.create": PROGRESS,
    "ollama.copy": MANAGE,
    "ollama.delete": MANAGE,
    "ollama.version": VERSION,
}
