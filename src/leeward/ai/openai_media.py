"""OpenAI's audio (transcriptions, translations, speech), images (generations, edits, variations) and moderations.

Source: OpenAI API reference, "Audio", "Images", "Moderations". Audio and images are references, never data.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from leeward.ai.dialect import Dialect, Item, StreamEnd, finish
from leeward.ai.jsontext import Json
from leeward.ai.multipart import file_reference
from leeward.ai.openai_chat import deployment, prompts
from leeward.ai.openai_files import read_file
from leeward.ai.values import chosen, content, count, embedded, linked, record, records, sequence, text
from leeward.model.exchange import ChatMessage, GenAI

_PARAMETERS = (
    "language",
    "response_format",
    "temperature",
    "voice",
    "speed",
    "n",
    "size",
    "quality",
    "style",
    "background",
    "output_format",
    "stream_format",
    "user",
)


def _common(fields: dict[str, Any], ai: GenAI) -> None:
    """JSON and forms name their fields alike; in a form all of them are text."""
    ai.request_model = text(fields.get("model")) or ai.request_model
    ai.stream = fields.get("stream") in (True, "true")
    ai.request_parameters.update(chosen(fields, _PARAMETERS))


def _usage(value: Any, ai: GenAI) -> None:
    usage = record(value)
    if usage:
        ai.input_tokens, ai.output_tokens = count(usage.get("input_tokens")), count(usage.get("output_tokens"))


def _audio_request(body: Json, ai: GenAI) -> bool:
    """A form with a recording, and words that tell how to hear it."""
    fields = record(body.value)
    _common(fields, ai)
    found = read_file(fields.get("file"), ai, "audio")
    if text(fields.get("prompt")):
        ai.input.append(ChatMessage("user", fields["prompt"], "prompt"))
    return found and bool(ai.request_model)


def _audio_response(body: Json, ai: GenAI) -> bool:
    """{"text"}, with more if asked for, or text alone (text, srt, vtt), which is read as a file's."""
    fields = record(body.value)
    _usage(fields.get("usage"), ai)
    if isinstance(fields.get("text"), str):
        finish(ai, ChatMessage("assistant", fields["text"]))
    return isinstance(fields.get("text"), str)


def _speech_request(body: Json, ai: GenAI) -> bool:
    fields = record(body.value)
    _common(fields, ai)
    if text(fields.get("instructions")):
        ai.input.append(ChatMessage("system", fields["instructions"]))
    ai.input.append(ChatMessage("user", text(fields.get("input"))))
    return isinstance(fields.get("input"), str) and "voice" in fields


def _speech_response(body: Json, ai: GenAI) -> bool:
    fields = record(body.value)
    found = text(fields.get("content_type")).startswith(("audio/", "application/octet-stream"))
    if found:
        finish(ai, ChatMessage("assistant", "", parts=[file_reference(fields, "audio")]))
    return found


def _image_request(body: Json, ai: GenAI) -> bool:
    """A prompt; for edits and variations images in a form, or in JSON their URLs and ids."""
    fields = record(body.value)
    _common(fields, ai)
    files = [fields.get(name) for name in ("image", "image[]", "mask", "images")]
    parts: list[dict[str, Any]] = []
    for file in [one for held in files for one in (held if isinstance(held, list) else [held])]:
        found = record(file)
        if "size" in found:
            parts.append(file_reference(found, "image"))
        elif text(found.get("image_url")):
            parts.append(linked("image", found["image_url"]))
        elif text(found.get("file_id")):
            parts.append({"type": "image", "file_id": found["file_id"]})
    ai.input.append(ChatMessage("user", text(fields.get("prompt")), parts=parts))
    return isinstance(fields.get("prompt"), str) or bool(parts)


def _image_response(body: Json, ai: GenAI) -> bool:
    fields = record(body.value)
    _usage(fields.get("usage"), ai)
    images = records(fields.get("data"))
    for image in images:
        finish(ai, ChatMessage("assistant", text(image.get("revised_prompt")), parts=_image(image)))
    return any(isinstance(image.get(name), str) for image in images for name in ("b64_json", "url"))


def _image(fields: dict[str, Any]) -> list[dict[str, Any]]:
    if isinstance(fields.get("b64_json"), str):
        return [embedded("image", fields["b64_json"])]
    return [linked("image", fields["url"])] if isinstance(fields.get("url"), str) else []


def _stream(items: Iterable[Item], ai: GenAI) -> StreamEnd:
    """transcript.text.*, speech.audio.*, image_generation.* and image_edit.*: what ends each says how much it was."""
    end = StreamEnd()
    words: list[str] = []
    parts: list[dict[str, Any]] = []
    audio = 0
    for item in items:
        event = record(item.value)
        kind, _, step = text(event.get("type")).rpartition(".")
        end.shape = end.shape or kind in ("transcript.text", "speech.audio", "image_generation", "image_edit")
        if end.first_output is None and step in ("delta", "partial_image", "completed"):
            end.first_output = item.end
        if kind == "transcript.text" and step in ("delta", "done"):
            words = [text(event.get("text"))] if step == "done" else [*words, text(event.get("delta"))]
        elif kind == "speech.audio":
            audio += embedded("audio", text(event.get("audio")))["size"]
        elif step == "completed":
            parts += _image(event)
        if step in ("done", "completed"):
            end.ended = True
            _usage(event.get("usage"), ai)
    if audio:
        parts.append({"type": "audio", "size": audio})
    if end.shape:
        finish(ai, ChatMessage("assistant", "".join(words), parts=parts))
    return end


def _moderation_request(body: Json, ai: GenAI) -> bool:
    fields = record(body.value)
    _common(fields, ai)
    given = fields.get("input")
    if any("type" in part for part in records(given)):
        found = content(given)
        ai.input.append(ChatMessage("user", found.text, parts=found.parts))
    else:
        ai.input += prompts(given)
    return isinstance(given, str | list)


def _moderation_response(body: Json, ai: GenAI) -> bool:
    """The categories that each input was found to be in."""
    fields = record(body.value)
    ai.response_id, ai.response_model = text(fields.get("id")), text(fields.get("model"))
    results = records(fields.get("results"))
    for result in results:
        found = [name for name, flagged in record(result.get("categories")).items() if flagged is True]
        part = {"type": "moderation", "flagged": result.get("flagged") is True, "categories": found}
        finish(ai, ChatMessage("assistant", ", ".join(found), parts=[part]))
    return bool(sequence(fields.get("results"))) and all("categories" in result for result in results)


_HEARD = Dialect(_audio_request, _audio_response, _stream, target=deployment)
_IMAGE = Dialect(_image_request, _image_response, _stream, target=deployment)

DIALECTS = {
    "openai.transcriptions": _HEARD,
    "openai.translations": _HEARD,
    "openai.speech": Dialect(_speech_request, _speech_response, _stream, target=deployment),
    "openai.image_generations": _IMAGE,
    "openai.image_edits": _IMAGE,
    "openai.image_variations": _IMAGE,
    "openai.moderations": Dialect(_moderation_request, _moderation_response, target=deployment),
}
