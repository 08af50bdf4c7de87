"""Files that are given to a provider (OpenAI, Anthropic and those who copy them), uploads in parts, OpenAI's vector stores.

Source: OpenAI API reference, "Files", "Uploads", "Vector stores"; Anthropic API reference, "Files".
"""

from __future__ import annotations

from typing import Any

from leeward.ai.bodies import media_type
from leeward.ai.dialect import Dialect
from leeward.ai.jsontext import Json
from leeward.ai.multipart import decoded, file_record, file_reference
from leeward.ai.values import chosen, content, count, record, records, sequence, text
from leeward.ai.vector_stores import about, came, condition, returned, sent, within
from leeward.model.exchange import ChatMessage, GenAI
from leeward.model.message import Message

_UPLOAD = ("purpose", "filename", "bytes", "mime_type")


def _target(request: Message, ai: GenAI) -> None:
    about(ai, file_id=within(request.target, "files"))


def read_file(file: Any, ai: GenAI, kind: str = "file") -> bool:
    """A file of a form becomes an input message: its text, and a reference to it. Whether there was one."""
    found = record(file)
    if "size" in found:
        name, words = text(found.get("filename")), text(found.get("text"))
        ai.input.append(ChatMessage("user", words, name, parts=[file_reference(found, kind)]))
    return "size" in found


def _upload_request(body: Json, ai: GenAI) -> bool:
    """A form with the file, or with a part of one; JSON that announces an upload in parts or ends it."""
    fields = record(body.value)
    ai.request_parameters.update(chosen(fields, _UPLOAD))
    about(ai, count=len(sequence(fields.get("part_ids"))) or None)
    read = [read_file(fields.get(name), ai) for name in ("file", "data")]
    return any(read) or "purpose" in fields


def _file_response(body: Json, ai: GenAI) -> bool:
    """{"id", "object": "file" | "upload" | "upload.part"}, Anthropic's {"id", "type": "file"}, or a list of them."""
    fields = record(body.value)
    ai.response_id = text(fields.get("id"))
    rows = records(fields.get("data"))
    returned(ai, len(rows))
    kinds = [text(one.get("object")) or text(one.get("type")) for one in rows or [fields]]
    return all(kind.startswith(("file", "upload")) for kind in kinds)


def _nothing(body: Json, ai: GenAI) -> bool:
    return False


def _any_response(body: Json, ai: GenAI) -> bool:
    """What a file holds has no shape."""
    return body.value is not None


def _content(response: Message, ai: GenAI) -> None:
    """The bytes of a file: text is output, of anything else there is a reference."""
    whole = response.complete and not response.truncated and not response.gap
    if response.status < 300 and response.body:
        found = file_record(response.body, media_type(response), whole)
        ai.output = [ChatMessage("tool", decoded(response.body, whole), parts=[file_reference(found, "file")])]


def _store_target(request: Message, ai: GenAI) -> None:
    about(ai, collection=within(request.target, "vector_stores"), file_id=within(request.target, "files"))


def _store_request(body: Json, ai: GenAI) -> bool:
    """A search, files that go into a store, or a store."""
    fields = record(body.value)
    query = fields.get("query")
    files = [one for one in sequence(fields.get("file_ids")) if isinstance(one, str)]
    about(
        ai,
        name=text(fields.get("name")),
        top_k=count(fields.get("max_num_results")),
        filter=condition(fields.get("filters")),
        file_id=text(fields.get("file_id")),
        count=len(files) or None,
    )
    for words in [query] if isinstance(query, str) else sequence(query):
        sent(ai, text(words))
    sent(ai, record(fields.get("attributes")), text(fields.get("file_id")))
    return isinstance(query, str | list) or isinstance(fields.get("file_id"), str) or bool(files)


def _store_response(body: Json, ai: GenAI) -> bool:
    """A store, a file of one, or pages: of these, of chunks that were found, of a file's text."""
    fields = record(body.value)
    kind, rows = text(fields.get("object")), records(fields.get("data"))
    returned(ai, len(rows))
    if kind.startswith(("vector_store.search_results", "vector_store.file_content")):
        for row in rows:
            found = content(row.get("content")) if "content" in row else content(row)
            came(ai, found.text, text(row.get("file_id")))
            came(ai, record(row.get("attributes")), text(row.get("file_id")))
    else:
        ai.response_id = text(fields.get("id"))
    return any(name.startswith("vector_store") for name in (kind, *(text(row.get("object")) for row in rows)))


_FILE = Dialect(_nothing, _file_response, target=_target)
_STORE = Dialect(_store_request, _store_response, target=_store_target)

DIALECTS = {
    "files.upload": Dialect(_upload_request, _file_response),
    "files.upload_part": Dialect(_upload_request, _file_response),
    "files.list": _FILE,
    "files.get": _FILE,
    "files.delete": _FILE,
    "files.content": Dialect(_nothing, _any_response, target=_target, headers=_content),
    "openai.vector_search": _STORE,
    "openai.vector_upsert": _STORE,
    "openai.vector_get": _STORE,
    "openai.vector_delete": _STORE,
    "openai.vector_admin": _STORE,
}
