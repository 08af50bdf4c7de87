"""`POST /v1/embeddings`: floats, or base64 of little-endian 32-bit floats, which the OpenAI SDK asks for by itself."""

from __future__ import annotations

import base64
import struct

from proving.servers import words
from proving.servers.openai_common import Flavour, failure
from proving.servers.reply import Ask, Json, Meaning, Reply, json_reply


def embed(flavour: Flavour, ask: Ask) -> Reply:
    """A vector for each input: texts, or token lists."""
    body = ask.data
    given = body.get("input")
    texts = given if isinstance(given, list) and given and not isinstance(given[0], int) else [given]
    if given is None or given == []:
        return failure(400, "Missing required parameter: 'input'.", "invalid_request_error", None, "input")
    size = int(body.get("dimensions") or 256)
    data: list[Json] = []
    for index, text in enumerate(texts):
        vector: Json = words.vector(str(text), size)
        if body.get("encoding_format") == "base64":
            vector = base64.b64encode(struct.pack(f"<{size}f", *vector)).decode()
        data.append({"object": "embedding", "index": index, "embedding": vector})
    spent = sum(words.count(t) if isinstance(t, str) else len(t) for t in texts)
    usage = {"prompt_tokens": spent, "total_tokens": spent}
    meaning = Meaning("embeddings", body["model"], body["model"], usage=usage)
    return json_reply({"object": "list", "data": data, "model": body["model"], "usage": usage}, meaning, indent=2)
