"""Audio, images and moderations of OpenAI's API; bodies as the reference gives them."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from ai_wire import SSE, exchange, must, named, request, response
from hypothesis import given
from hypothesis import strategies as st
from test_ai_files import form, posted

from leeward.ai import openai_files, openai_media
from leeward.ai.catalogue import Match
from leeward.ai.decode import decode
from leeward.model.exchange import GenAI

WAV = b"RIFF\x24\0\0\0WAVEfmt "
RECORDING = form(
    ("file", "call.wav", "audio/wav", WAV), ("model", None, "", b"whisper-large-v3"), ("prompt", None, "", b"ACME, Koln"),
    ("language", None, "", b"de"), ("response_format", None, "", b"json"),
)  # fmt: skip
USAGE = {"type": "tokens", "input_tokens": 14, "output_tokens": 45, "total_tokens": 59}


def _heard(ai: GenAI) -> None:
    assert (ai.request_model, ai.output[0].content) == ("whisper-large-v3", "Guten Tag.")
    part = ai.input[0].parts[0]
    assert (part["type"], part["media_type"], part["filename"], part["size"]) == ("audio", "audio/wav", "call.wav", 16)
    assert (ai.input[1].content, ai.request_parameters["language"]) == ("ACME, Koln", "de")


HEARING = [
    ("api.groq.com", "/openai/v1/audio/transcriptions", "transcription"),
    ("r.openai.azure.com", "/openai/deployments/whisper/audio/transcriptions?api-version=1", "transcription"),
    ("api.mistral.ai", "/v1/audio/transcriptions", "transcription"),
    ("gw.corp", "/openai/v1/audio/transcriptions", "transcription"),
    ("api.openai.com", "/v1/audio/translations", "translation"),
    ("speaches:8000", "/v1/audio/translations", "translation"),
]


@pytest.mark.parametrize(("host", "target", "operation"), HEARING)
def test_recordings_to_text(host: str, target: str, operation: str) -> None:
    found = must(posted(host, target, RECORDING), response({"text": "Guten Tag.", "usage": USAGE}))
    _heard(found.gen_ai)
    assert (found.gen_ai.operation, found.gen_ai.input_tokens, found.gen_ai.output_tokens) == (operation, 14, 45)
    assert found.evidence.notes == []
    plain = must(posted(host, target, RECORDING), response(b"Guten Tag.", headers=[("content-type", "text/plain")]))
    _heard(plain.gen_ai)
    assert plain.evidence.notes == []


def test_streamed_transcription() -> None:
    body = named(
        {"type": "transcript.text.delta", "delta": "Guten "},
        {"type": "transcript.text.delta", "delta": "Tag."},
        {"type": "transcript.text.done", "text": "Guten Tag.", "usage": USAGE},
    )
    asked = posted("api.mistral.ai", "/v1/audio/transcriptions", RECORDING.replace(b"json", b"text"))
    found = must(asked, response(body, headers=SSE))
    _heard(found.gen_ai)
    assert (found.gen_ai.stream, found.gen_ai.output_tokens, found.evidence.notes) == (True, 45, [])
    cut = must(asked, response(body[: body.index(b"event: transcript.text.done")], headers=SSE))
    assert (cut.gen_ai.output[0].content, cut.evidence.notes) == ("Guten Tag.", ["stream-without-end"])


def test_speech() -> None:
    asked = {"model": "gpt-4o-mini-tts", "input": "The quick fox", "voice": "alloy", "instructions": "Be calm."}
    found = must(
        request("api.openai.com", "/v1/audio/speech", asked),
        response(b"ID3\4\0", headers=[("content-type", "audio/mpeg")]),
    )
    ai = found.gen_ai
    assert (ai.operation, ai.request_parameters, found.evidence.notes) == ("speech", {"voice": "alloy"}, [])
    assert [(message.role, message.content) for message in ai.input] == [
        ("system", "Be calm."),
        ("user", "The quick fox"),
    ]
    part = ai.output[0].parts[0]
    assert (part["type"], part["media_type"], part["size"], len(part["sha256"])) == ("audio", "audio/mpeg", 5, 64)
    events = named(
        {"type": "speech.audio.delta", "audio": base64.b64encode(b"12345").decode()},
        {"type": "speech.audio.done", "usage": {"input_tokens": 14, "output_tokens": 101}},
    )
    ai = must(
        request("api.openai.com", "/v1/audio/speech", {**asked, "stream_format": "sse"}), response(events, headers=SSE)
    ).gen_ai
    assert (ai.output[0].parts, ai.output_tokens) == ([{"type": "audio", "size": 5}], 101)


PNG = base64.b64encode(b"\x89PNG\r\n").decode()


@pytest.mark.parametrize("host", ["api.openai.com", "localai:8080"])
def test_images(host: str) -> None:
    asked = {"model": "gpt-image-1", "prompt": "A cute baby sea otter", "n": 2, "size": "1024x1024"}
    data = [{"b64_json": PNG}, {"url": "https://x.blob/i.png", "revised_prompt": "An otter"}]
    usage = {"input_tokens": 50, "output_tokens": 50, "total_tokens": 100}
    found = must(request(host, "/v1/images/generations", asked), response({"created": 1, "data": data, "usage": usage}))
    ai = found.gen_ai
    assert (ai.operation, ai.input[0].content, ai.output_tokens) == ("image_generation", "A cute baby sea otter", 50)
    assert ai.request_parameters == {"n": 2, "size": "1024x1024"}
    assert (ai.output[0].parts[0]["media_type"], ai.output[0].parts[0]["size"]) == ("image/png", 6)
    assert (ai.output[1].content, ai.output[1].parts) == (
        "An otter",
        [{"type": "image", "url": "https://x.blob/i.png"}],
    )
    assert PNG not in str(found)


def test_edits_and_variations_send_images() -> None:
    body = form(
        ("image[]", "a.png", "image/png", b"\x89PNG1"), ("image[]", "b.png", "image/png", b"\x89PNG22"),
        ("prompt", None, "", b"Add a hat"), ("model", None, "", b"gpt-image-1"),
    )  # fmt: skip
    ai = must(
        posted("api.openai.com", "/v1/images/edits", body), response({"created": 1, "data": [{"b64_json": PNG}]})
    ).gen_ai
    assert (ai.operation, ai.request_model, ai.input[0].content) == ("image_edit", "gpt-image-1", "Add a hat")
    assert [(part["filename"], part["size"]) for part in ai.input[0].parts] == [("a.png", 5), ("b.png", 6)]
    body = form(("image", "a.png", "image/png", b"\x89PNG1"), ("n", None, "", b"1"))
    ai = must(posted("x.corp", "/v1/images/variations", body), response({"data": [{"url": "https://i"}]})).gen_ai
    assert (ai.operation, ai.provider, len(ai.input[0].parts)) == ("image_variation", "openai_compatible", 1)
    asked = {"prompt": "Add a hat", "images": [{"image_url": "https://i"}, {"file_id": "file-1"}]}
    ai = must(request("api.openai.com", "/v1/images/edits", asked), response({"data": [{"b64_json": PNG}]})).gen_ai
    assert ai.input[0].parts == [{"type": "image", "url": "https://i"}, {"type": "image", "file_id": "file-1"}]


def test_streamed_image() -> None:
    events = named(
        {"type": "image_generation.partial_image", "b64_json": PNG, "partial_image_index": 0},
        {"type": "image_generation.completed", "b64_json": PNG, "usage": {"input_tokens": 1, "output_tokens": 2}},
    )
    asked = {"model": "gpt-image-1", "prompt": "Otter", "stream": True, "partial_images": 1}
    found = must(request("api.openai.com", "/v1/images/generations", asked), response(events, headers=SSE))
    assert (len(found.gen_ai.output[0].parts), found.gen_ai.output_tokens, found.evidence.notes) == (1, 2, [])


def test_moderations() -> None:
    asked: dict[str, Any] = {"model": "omni-moderation-latest", "input": "I want to kill them."}
    result = {"flagged": True, "categories": {"violence": True, "hate": False}, "category_scores": {"violence": 0.9}}
    answer = {"id": "modr-1", "model": "text-moderation-007", "results": [result]}
    ai = must(request("api.openai.com", "/v1/moderations", asked), response(answer)).gen_ai
    assert (ai.operation, ai.response_model, ai.input[0].content) == (
        "moderation",
        "text-moderation-007",
        asked["input"],
    )
    assert (ai.output[0].content, ai.output[0].parts[0]["flagged"]) == ("violence", True)
    asked["input"] = [{"type": "text", "text": "hi"}, {"type": "image_url", "image_url": {"url": "https://i"}}]
    ai = must(request("gw.corp", "/v1/moderations", asked), response(answer)).gen_ai
    assert (ai.input[0].content, ai.input[0].parts) == ("hi", [{"type": "image", "url": "https://i"}])


def test_what_is_no_ai() -> None:
    assert exchange(request("shop", "/v1/images/generations", {"album": 1}), response({"data": [{"id": 1}]})) is None
    assert exchange(request("shop", "/v1/moderations", {"comment": 1}), response({"results": []})) is None


FIELDS = [
    "file",
    "data",
    "image",
    "size",
    "text",
    "prompt",
    "input",
    "type",
    "results",
    "categories",
    "content_type",
    "url",
]
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(FIELDS), inner, max_size=4),
    max_leaves=12,
)


@given(
    st.sampled_from(sorted({**openai_media.DIALECTS, **openai_files.DIALECTS})),
    anything,
    anything,
    st.binary(max_size=30),
)
def test_any_json(api: str, asked: object, answered: object, data: bytes) -> None:
    match = Match("x", api, "speech", True)
    decode(request("h", "/v1/files/x", asked), response(answered), match)
    decode(request("h", "/v1/files/x", asked), response(data, headers=[("content-type", "audio/wav")]), match)
    kinds = ("transcript.text.done", "speech.audio.delta", "image_edit.completed", "a")
    events = named(*({"type": kind, "text": answered, "audio": answered, "usage": asked} for kind in kinds))
    decode(request("h", "/x", asked), response(events, headers=SSE), match)
