"""Servers' own APIs: Hugging Face's text-generation-inference, llama.cpp; and downloads from the Hugging Face hub.

Sources: huggingface.co docs, "Text Generation Inference" (OpenAPI), "Hub API Endpoints"; llama.cpp tools/server/README.md.
"""

from __future__ import annotations

from collections.abc import Iterable

from leeward.ai.dialect import Dialect, Item, StreamEnd, finish
from leeward.ai.jsontext import Json, Slice
from leeward.ai.openai_chat import prompts
from leeward.ai.values import chosen, count, record, records, summed, text
from leeward.model.exchange import ChatMessage, GenAI
from leeward.model.message import Message

_PARAMETERS = (
    "temperature",
    "top_p",
    "top_k",
    "max_new_tokens",
    "n_predict",
    "seed",
    "stop",
    "repetition_penalty",
    "grammar",
    "n_probs",
    "top_n_tokens",
)


def _tgi_request(body: Json, ai: GenAI) -> bool:
    fields = record(body.value)
    ai.stream = fields.get("stream") is True
    ai.request_parameters.update(chosen(record(fields.get("parameters")), _PARAMETERS))
    ai.input += prompts(fields.get("inputs"))
    return isinstance(fields.get("inputs"), str)


def _tgi_response(body: Json, ai: GenAI) -> bool:
    answers = records(body.value) or [record(body.value)]
    for answer in answers:
        if isinstance(answer.get("generated_text"), str):
            finish(ai, ChatMessage("assistant", answer["generated_text"]))
            _details(answer, ai)
    return any(isinstance(answer.get("generated_text"), str) for answer in answers)


def _details(answer: dict[str, object], ai: GenAI) -> bool:
    details = record(answer.get("details"))
    if text(details.get("finish_reason")):
        ai.finish_reasons = [details["finish_reason"]]
    ai.output_tokens = count(details.get("generated_tokens"))
    ai.input_tokens = count(details.get("input_length"))
    return bool(details)


def _tgi_stream(items: Iterable[Item], ai: GenAI) -> StreamEnd:
    end = StreamEnd()
    words: list[str] = []
    for item in items:
        token = record(record(item.value).get("token"))
        end.shape = end.shape or isinstance(token.get("text"), str)
        if token.get("special") is not True:
            words.append(text(token.get("text")))
        if end.first_output is None and any(words):
            end.first_output = item.end
        if isinstance(record(item.value).get("generated_text"), str):
            words = [record(item.value)["generated_text"]]
            end.ended = True
            _details(record(item.value), ai)
    if end.shape:
        finish(ai, ChatMessage("assistant", "".join(words)))
    return end


def _llama_request(body: Json, ai: GenAI) -> bool:
    fields = record(body.value)
    ai.stream = fields.get("stream") is True
    ai.request_model = text(fields.get("model"))
    ai.request_parameters.update(chosen(fields, _PARAMETERS) | summed(fields, ("logit_bias",)))
    ai.input += prompts(fields.get("prompt"))
    return "prompt" in fields


def _llama_stream(items: Iterable[Item], ai: GenAI) -> StreamEnd:
    end = StreamEnd()
    words: list[str] = []
    for item in items:
        fields = record(item.value)
        end.shape = end.shape or (isinstance(fields.get("content"), str) and "stop" in fields)
        words.append(text(fields.get("content")))
        if end.first_output is None and words[-1]:
            end.first_output = item.end
        if fields.get("stop") is True:
            end.ended = True
            ai.response_model = text(fields.get("model"))
            ai.input_tokens, ai.output_tokens = (
                count(fields.get("tokens_evaluated")),
                count(fields.get("tokens_predicted")),
            )
            ai.finish_reasons = [text(fields.get("stop_type")) or "stop"]
    if end.shape:
        finish(ai, ChatMessage("assistant", "".join(words)))
    return end


def _llama_response(body: Json, ai: GenAI) -> bool:
    return _llama_stream([Item("", body.value, Slice(body.text), 0)], ai).shape


def _hub_target(request: Message, ai: GenAI) -> None:
    """`/ORG/NAME/resolve/REVISION/FILE`, `/api/models/ORG/NAME[/revision/REVISION]`."""
    path = request.target.partition("?")[0].strip("/")
    if path.startswith("api/models/"):
        name, _, revision = path.removeprefix("api/models/").partition("/revision/")
        ai.request_model = "/".join(name.split("/")[:2])
    else:
        name, _, rest = path.partition("/resolve/")
        ai.request_model = name
        revision, _, file = rest.partition("/")
        ai.request_parameters["file"] = file
    if revision:
        ai.request_parameters["revision"] = revision


def _nothing(body: Json, ai: GenAI) -> bool:
    return False


def _hub_headers(response: Message, ai: GenAI) -> None:
    found = {"commit": response.header("x-repo-commit"), "size": response.header("x-linked-size")}
    ai.request_parameters.update({name: value for name, value in found.items() if value})


DIALECTS = {
    "tgi.generate": Dialect(_tgi_request, _tgi_response, _tgi_stream),
    "llamacpp.completion": Dialect(_llama_request, _llama_response, _llama_stream),
    "huggingface.download": Dialect(_nothing, _nothing, target=_hub_target, headers=_hub_headers),
}
