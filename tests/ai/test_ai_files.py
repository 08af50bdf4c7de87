"""Forms with files, and the files that are given to OpenAI, Anthropic and those who copy them."""

from __future__ import annotations

import hashlib
import json
import time
from typing import Any

import msgspec
import pytest
from ai_wire import exchange, must, request, response
from hypothesis import given
from hypothesis import strategies as st

from leeward.ai.multipart import MAX_PARTS, read_multipart
from leeward.model.exchange import GenAI
from leeward.model.message import Message

KIND = 'multipart/form-data; boundary="xYz"'


def form(*parts: tuple[str, str | None, str, bytes], end: bool = True) -> bytes:
    """Parts are (name, filename, content type, data)."""
    out = b""
    for name, filename, kind, data in parts:
        extra = "" if filename is None else f'; filename="{filename}"\r\nContent-Type: {kind}'
        out += f'--xYz\r\nContent-Disposition: form-data; name="{name}"{extra}\r\n\r\n'.encode() + data + b"\r\n"
    return out + (b"--xYz--\r\n" if end else b"")


def posted(host: str, target: str, body: bytes, **more: Any) -> Message:
    asked = request(host, target, body, **more)
    asked.headers = [(name, value) for name, value in asked.headers if name != "content-type"]
    asked.headers.append(("content-type", KIND))
    return asked


def test_form() -> None:
    data = "Zeile 1\r\n--xY\r\nä".encode()
    body = b"preamble\r\n" + form(
        ("purpose", None, "", b"assistants"),
        ("file", 'a "b".txt', "text/plain", data),
        ("image", "i.png", "image/png", b"\x89PNG\0\1"),
        ("tag", None, "", b"1"),
        ("tag", None, "", b"2"),
    ).replace(b'a "b"', b'a \\"b\\"')
    found, whole = read_multipart(body, KIND)
    assert whole
    assert found == {
        "purpose": "assistants",
        "file": {
            "filename": 'a "b".txt',
            "content_type": "text/plain",
            "size": len(data),
            "sha256": hashlib.sha256(data).hexdigest(),
            "text": data.decode(),
        },
        "image": {
            "filename": "i.png",
            "content_type": "image/png",
            "size": 6,
            "sha256": hashlib.sha256(b"\x89PNG\0\1").hexdigest(),
        },
        "tag": ["1", "2"],
    }


def test_form_names() -> None:
    head = b"--xYz\r\ncontent-disposition: form-data; name=f; filename*=UTF-8''K%C3%B6ln.txt\r\n\r\nhi\r\n--xYz--"
    found, _ = read_multipart(head, "multipart/form-data;boundary=xYz; charset=utf-8")
    assert (found["f"]["filename"], found["f"]["text"]) == ("Köln.txt", "hi")


def test_form_that_is_cut() -> None:
    body = form(("purpose", None, "", b"batch"), ("file", "f.jsonl", "", "größe und mehr".encode()))
    cut = body[: body.index("größe".encode()) + 4]  # inside ß
    found, whole = read_multipart(cut, KIND)
    assert (found["purpose"], whole) == ("batch", False)
    assert found["file"] == {"filename": "f.jsonl", "content_type": "", "size": 4, "text": "grö"}


def test_form_is_bounded() -> None:
    many, whole = read_multipart(form(*((f"f{n}", None, "", b"x") for n in range(1000))), KIND)
    assert (len(many), whole) == (MAX_PARTS, False)
    endless = b"--xYz\r\nContent-Disposition: form-data; name=a; x=" + b"y" * 20_000 + b"\r\n\r\nz\r\n--xYz--"
    assert read_multipart(endless, KIND) == ({}, True)
    assert read_multipart(b"--xYz\r\n", "multipart/form-data") == ({}, False)
    started = time.perf_counter()
    found, _ = read_multipart(form(("file", "f", "", b"\r\n--xY " * 500_000)), KIND)
    assert found["file"]["size"] == 3_500_000
    assert time.perf_counter() - started < 2


@given(st.binary(max_size=200), st.text(max_size=40))
def test_form_of_any_bytes(data: bytes, kind: str) -> None:
    read_multipart(data, kind)
    read_multipart(data, KIND)
    whole = form(("a", None, "", b"1"), ("f", "f", "", data), ("b", None, "", b"2"))
    for cut in range(0, len(whole), 7):
        read_multipart(whole[:cut], KIND)
    if b"--xYz" not in data:
        found, ended = read_multipart(whole, KIND)
        assert (found["a"], found["b"], found["f"]["size"], ended) == ("1", "2", len(data), True)


UPLOAD = form(("purpose", None, "", b"fine-tune"), ("file", "train.jsonl", "application/jsonl", b'{"messages": []}\n'))


@pytest.mark.parametrize(
    ("host", "target"), [("api.openai.com", "/v1/files"), ("r.openai.azure.com", "/openai/files?api-version=1")]
)
def test_openai_upload(host: str, target: str) -> None:
    answer = {"id": "file-abc", "object": "file", "bytes": 17, "filename": "train.jsonl", "purpose": "fine-tune"}
    found = must(posted(host, target, UPLOAD), response(answer))
    ai = found.gen_ai
    assert (ai.operation, ai.api, ai.response_id, found.evidence.notes) == (
        "upload_file",
        "files.upload",
        "file-abc",
        [],
    )
    assert ai.request_parameters == {"purpose": "fine-tune"}
    assert (ai.input[0].content, ai.input[0].name) == ('{"messages": []}\n', "train.jsonl")
    reference = ai.input[0].parts[0]
    assert (reference["type"], reference["media_type"], reference["size"]) == ("file", "application/jsonl", 17)
    assert len(reference["sha256"]) == 64


def test_cut_upload_says_so() -> None:
    found = must(posted("api.openai.com", "/v1/files", UPLOAD[:-14], complete=False))
    assert found.evidence.notes == ["request-json-mended", "request-incomplete"]
    assert "sha256" not in found.gen_ai.input[0].parts[0]


def _get(host: str, target: str, answered: Message, method: str = "GET") -> GenAI:
    found = must(request(host, target, method=method), answered)
    assert found.evidence.notes == []
    return found.gen_ai


def test_files_of_openai() -> None:
    file = {"id": "file-abc", "object": "file", "bytes": 9, "filename": "a.txt", "purpose": "batch"}
    ai = _get("api.openai.com", "/v1/files?purpose=batch", response({"object": "list", "data": [file]}))
    assert (ai.operation, ai.request_parameters) == ("list_files", {"count": 1})
    ai = _get("api.openai.com", "/v1/files/file-abc", response(file))
    assert (ai.operation, ai.request_parameters, ai.response_id) == ("get_file", {"file_id": "file-abc"}, "file-abc")
    gone = {"id": "file-abc", "object": "file", "deleted": True}
    assert _get("api.openai.com", "/v1/files/file-abc", response(gone), "DELETE").operation == "delete_file"
    lines = b'{"custom_id": "1"}\n{"custom_id": "2"}\n'
    kind = [("content-type", "application/octet-stream")]
    ai = _get("api.openai.com", "/v1/files/file-abc/content", response(lines, headers=kind))
    assert (ai.operation, ai.output[0].content, ai.output[0].parts[0]["size"]) == ("download_file", lines.decode(), 38)
    ai = _get("api.openai.com", "/v1/files/file-abc/content", response(b"\x89PNG\0", headers=kind))
    assert (ai.output[0].content, ai.output[0].parts[0]["size"]) == ("", 5)


def test_files_of_anthropic() -> None:
    answer = {"id": "file_011", "type": "file", "filename": "a.pdf", "mime_type": "application/pdf", "size_bytes": 4}
    body = form(("file", "a.pdf", "application/pdf", b"%PDF"))
    ai = must(posted("api.anthropic.com", "/v1/files", body), response(answer)).gen_ai
    assert (ai.provider, ai.operation, ai.input[0].content) == ("anthropic", "upload_file", "")
    assert ai.input[0].parts[0]["filename"] == "a.pdf"
    ai = _get("api.anthropic.com", "/v1/files", response({"data": [answer], "has_more": False}))
    assert (ai.operation, ai.request_parameters) == ("list_files", {"count": 1})
    gone = {"id": "file_011", "type": "file_deleted"}
    assert _get("api.anthropic.com", "/v1/files/file_011", response(gone), "DELETE").operation == "delete_file"


OTHER = ["application/octet-stream", "text/plain", "application/x-ndjson", KIND, "audio/wav"]


@pytest.mark.parametrize("kind", OTHER)
@pytest.mark.parametrize("indent", [None, 2])
def test_json_of_another_type_is_read_as_json(kind: str, indent: int | None) -> None:
    """Servers such as Ollama's do not look at the type, so it must hide nothing."""
    chat = {"model": "m", "messages": [{"role": "user", "content": "hi"}], "stream": False}
    asked = request("box:11434", "/api/chat", json.dumps(chat, indent=indent).encode() + b"\n")
    asked.headers = [("host", "box:11434"), ("content-type", kind)]
    found = must(asked)
    assert (found.gen_ai.input[0].content, found.evidence.notes) == ("hi", [])
    cut = must(msgspec.structs.replace(asked, body=asked.body[:-20]))
    assert (cut.gen_ai.input[0].content, cut.evidence.notes) == ("hi", ["request-json-mended"])


def test_uploads_in_parts() -> None:
    asked = {"purpose": "fine-tune", "filename": "t.jsonl", "bytes": 100, "mime_type": "text/jsonl"}
    made = {"id": "upload_abc", "object": "upload", "status": "pending"}
    ai = must(request("api.openai.com", "/v1/uploads", asked), response(made)).gen_ai
    assert (ai.operation, ai.request_parameters) == ("upload_file", asked)
    body = form(("data", "blob", "application/octet-stream", b'{"a": 1}'))
    part = {"id": "part_1", "object": "upload.part", "upload_id": "upload_abc"}
    ai = must(posted("api.openai.com", "/v1/uploads/upload_abc/parts", body), response(part)).gen_ai
    assert (ai.operation, ai.input[0].content, ai.response_id) == ("upload_file", '{"a": 1}', "part_1")
    done = {**made, "status": "completed", "file": {"id": "file-1"}}
    ai = must(
        request("api.openai.com", "/v1/uploads/upload_abc/complete", {"part_ids": ["part_1"]}), response(done)
    ).gen_ai
    assert ai.request_parameters == {"count": 1}


def test_files_elsewhere_are_no_ai() -> None:
    assert exchange(posted("cloud.corp", "/v1/files", UPLOAD), response({"id": "1"})) is None
