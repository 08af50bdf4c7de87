"""KServe's Open Inference Protocol (v2), as Triton, MLServer and others speak it over REST and gRPC, and Triton's generate.

Source: kserve.github.io, "Open Inference Protocol"; Triton Inference Server docs, "Binary Tensor Data Extension", "Generate
Extension". Tensors of text are messages; of others there is name, type and shape.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Iterator
from typing import Any

from leeward.ai.dialect import Dialect, Item, StreamEnd, finish
from leeward.ai.jsontext import Json, load
from leeward.ai.multipart import decoded
from leeward.ai.values import chosen, count, record, records, sequence, text
from leeward.ai.vector_stores import MAX_MESSAGES, MAX_TEXT, about, came, sent, within
from leeward.model.exchange import ChatMessage, GenAI
from leeward.model.message import Message

_HEADER = "inference-header-content-length"
_PARAMETERS = ("max_tokens", "temperature", "top_k", "top_p", "stop_words", "bad_words", "stream", "parameters")


def _target(request: Message, ai: GenAI) -> None:
    """The model; and the inputs, where tensors follow the JSON as bytes."""
    ai.request_model = within(request.target, "models")
    about(ai, version=within(request.target, "versions"))
    ai.stream = request.target.endswith("ModelStreamInfer") or "/generate_stream" in request.target
    fields, raw = _divided(request)
    if fields:
        _inputs(fields, raw, ai)


def _divided(message: Message) -> tuple[dict[str, Any], bytes]:
    """JSON and the bytes after it; ({}, b"") without the header that tells where it ends."""
    size = message.header(_HEADER)
    if not size.isdecimal() or len(size) > 9:
        return {}, b""
    return record(load(message.body[: int(size)]).value), message.body[int(size) :]


def _request(body: Json, ai: GenAI) -> bool:
    fields = record(body.value)
    return _inputs(fields, b"", ai) if "inputs" in fields else bool(ai.input)


def _inputs(fields: dict[str, Any], raw: bytes, ai: GenAI) -> bool:
    ai.request_model = text(fields.get("modelName")) or ai.request_model
    tensors = records(fields.get("inputs"))
    message = ChatMessage("user", "")
    for tensor, words in _tensors(tensors, fields.get("rawInputContents"), raw):
        if words is None and len(message.parts) < MAX_MESSAGES:
            message.parts.append(_shape(tensor))
        for one in words or ():
            sent(ai, one, text(tensor.get("name")))
    if message.parts:
        ai.input.append(message)
    return bool(tensors) and all(isinstance(one.get("datatype"), str) and "name" in one for one in tensors)


def _shape(tensor: dict[str, Any]) -> dict[str, Any]:
    return {"type": "tensor", **chosen(tensor, ("name", "datatype", "shape"))}


def _tensors(
    tensors: list[dict[str, Any]], contents: Any, raw: bytes
) -> Iterator[tuple[dict[str, Any], list[str] | None]]:
    """Each tensor with its texts, None for one of numbers. contents: gRPC's bytes of each. raw: REST's, one after another."""
    at = 0
    for number, tensor in enumerate(tensors):
        parameters = record(tensor.get("parameters"))
        size = count(parameters.get("binary_data_size")) or 0
        data, at = raw[at : at + size], at + size
        held = sequence(contents)
        if number < len(held):
            data = _decoded(held[number])
        if tensor.get("datatype") not in ("BYTES", "STRING"):
            yield tensor, None
        elif data:
            yield tensor, list(_counted(data))
        else:
            given = sequence(record(tensor.get("contents")).get("bytesContents"))
            words = [_words(_decoded(one)) for one in given[:MAX_MESSAGES]]
            yield tensor, words or list(_flat(tensor.get("data")))


def _decoded(value: Any) -> bytes:
    """Bytes of gRPC, which the tables give as base64."""
    try:
        return base64.b64decode(text(value))
    except (binascii.Error, ValueError):
        return b""


def _counted(data: bytes) -> Iterator[str]:
    """Texts, each after its length in four bytes."""
    at = 0
    for _ in range(MAX_MESSAGES):
        size = int.from_bytes(data[at : at + 4], "little")
        if at + 4 > len(data):
            return
        yield _words(data[at + 4 : at + 4 + size])
        at += 4 + size


def _words(data: bytes) -> str:
    """A tensor's bytes are text, or an image and the like."""
    return decoded(data[:MAX_TEXT], len(data) <= MAX_TEXT) or (f"[data, {len(data)} bytes]" if data else "")


def _flat(value: Any, depth: int = 8) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list) and depth:
        for item in value:
            yield from _flat(item, depth - 1)


def _response(body: Json, ai: GenAI) -> bool:
    return _outputs(record(body.value), b"", ai)


def _outputs(fields: dict[str, Any], raw: bytes, ai: GenAI) -> bool:
    fields = record(fields.get("inferResponse")) or fields  # of a stream over gRPC
    ai.response_model = text(fields.get("model_name", fields.get("modelName"))) or ai.response_model
    ai.response_id = text(fields.get("id")) or ai.response_id
    tensors = records(fields.get("outputs"))
    for tensor, words in _tensors(tensors, fields.get("rawOutputContents"), raw):
        for one in words or ():
            came(ai, one, text(tensor.get("name")))
    return bool(tensors) and all(isinstance(one.get("datatype"), str) and "name" in one for one in tensors)


def _headers(response: Message, ai: GenAI) -> None:
    fields, raw = _divided(response)
    if fields:
        _outputs(fields, raw, ai)


def _stream(items: Iterable[Item], ai: GenAI) -> StreamEnd:
    """The API has no end of its own: what has come is what there is."""
    end = StreamEnd(ended=True)
    for item in items:
        end.shape = _outputs(record(item.value), b"", ai) or end.shape
        if ai.output and end.first_output is None:
            end.first_output = item.end
    return end


def _generate_request(body: Json, ai: GenAI) -> bool:
    fields = record(body.value)
    ai.request_parameters.update(chosen(fields, _PARAMETERS))
    ai.input.append(ChatMessage("user", text(fields.get("text_input"))))
    return isinstance(fields.get("text_input"), str)


def _generate_response(body: Json, ai: GenAI) -> bool:
    fields = record(body.value)
    words = fields.get("text_output")
    ai.response_model = text(fields.get("model_name"))
    for one in [words] if isinstance(words, str) else sequence(words):
        finish(ai, ChatMessage("assistant", text(one)))
    return "text_output" in fields


def _generate_stream(items: Iterable[Item], ai: GenAI) -> StreamEnd:
    end = StreamEnd(ended=True)
    pieces: list[str] = []
    for item in items:
        fields = record(item.value)
        end.shape = end.shape or "text_output" in fields
        ai.response_model = text(fields.get("model_name")) or ai.response_model
        pieces.append(text(fields.get("text_output")))
        if pieces[-1] and end.first_output is None:
            end.first_output = item.end
    if end.shape:
        finish(ai, ChatMessage("assistant", "".join(pieces)))
    return end


DIALECTS = {
    "kserve.infer": Dialect(_request, _response, _stream, target=_target, headers=_headers),
    "triton.generate": Dialect(_generate_request, _generate_response, _generate_stream, target=_target),
}
