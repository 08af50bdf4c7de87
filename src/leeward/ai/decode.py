"""From an HTTP request and its response to an `Exchange`, by the API that `Catalogue.match` named.

Never raises on what peers send. Identity, network, id and times are the pipeline's to fill. Notes in the evidence say
what was odd: anomalies of the HTTP messages, and

- `request-json-mended`, `response-json-mended`: a body that is not valid JSON was read as far as it goes;
- `request-unreadable`, `response-unreadable`: nothing could be read from it;
- `request-incomplete`: the request's end was not seen;
- `stream-event-cut`: the last event of a stream is not whole;
- `stream-json-mended`, `stream-json-unreadable`: the same for events of a stream;
- `stream-without-end`: the stream stopped before the API's own end;
- `unexpected-shape`: a known host, but neither body has the API's shape;
- `upstream:<provider>`: response headers betray a provider other than the host's.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from leeward.ai import (
    anthropic_messages,
    batches,
    bedrock,
    cohere,
    gemini,
    kserve,
    model_servers,
    models_list,
    ollama,
    openai_assistants,
    openai_chat,
    openai_embeddings,
    openai_files,
    openai_media,
    openai_responses,
    replicate,
    session,
    shape,
    vector_chroma,
    vector_milvus,
    vector_pinecone,
    vector_qdrant,
    vector_weaviate,
)
from leeward.ai.bodies import events, framing, media_type, read
from leeward.ai.catalogue import UNKNOWN, Catalogue, Match, default_catalogue
from leeward.ai.dialect import Dialect, Item, StreamEnd, error_in, failure
from leeward.ai.jsontext import Json, Slice, load
from leeward.ai.keys import find_key, redact_url
from leeward.ai.values import record, text
from leeward.model.exchange import AiError, Evidence, Exchange, GenAI, Http
from leeward.model.message import Message

#: API id (providers/*.yaml) → its decoder.
DIALECTS: dict[str, Dialect] = {
    api: dialect
    for module in (
        anthropic_messages,
        batches,
        bedrock,
        cohere,
        gemini,
        kserve,
        model_servers,
        models_list,
        ollama,
        openai_assistants,
        openai_chat,
        openai_embeddings,
        openai_files,
        openai_media,
        openai_responses,
        replicate,
        session,
        shape,
        vector_chroma,
        vector_milvus,
        vector_pinecone,
        vector_qdrant,
        vector_weaviate,
    )
    for api, dialect in module.DIALECTS.items()
}
# Only the port says what these are: their bodies have no shape of their own.
_BY_PORT = ("ollama.copy", "ollama.delete")


def decode(
    request: Message,
    response: Message | None,
    match: Match,
    catalogue: Catalogue | None = None,
    counters: Counter[str] | None = None,
) -> Exchange | None:
    """The exchange, or None when the host is not known and the bodies do not have the API's shape.

    catalogue: whose key forms and header tells to use, the built-in one by default. counters: counts
    "ai-decoded" or "ai-not-the-shape", and each note."""
    return _Decoder(request, response, match, catalogue or default_catalogue(), counters).run()


class _Decoder:
    """One decoding: what is read so far and what was odd."""

    def __init__(
        self,
        request: Message,
        response: Message | None,
        match: Match,
        catalogue: Catalogue,
        counters: Counter[str] | None,
    ) -> None:
        self.request = request
        self.response = response
        self.match = match
        self.catalogue = catalogue
        self.counters = counters if counters is not None else Counter()
        self.ai = GenAI(provider=match.provider, operation=match.operation, api=match.api)
        self.error: AiError | None = None
        self.notes: dict[str, None] = {}
        self.cut = False
        self.ended = False  # the API's own end of the stream was seen

    def run(self) -> Exchange | None:
        shape = self._bodies()
        if not shape and not self.match.certain and self.match.api not in _BY_PORT:
            self.counters["ai-not-the-shape"] += 1
            return None
        silent = self.match.api == UNKNOWN or self.match.api in _BY_PORT
        if not shape and not silent and self.error is None and self.response is not None:
            self.notes["unexpected-shape"] = None
        exchange = Exchange(http=self._http(), gen_ai=self.ai, error=self.error, evidence=self._evidence())
        exchange.key = find_key(self.request.headers, self.request.target, self.catalogue.key_forms)
        if self.error is not None:
            self.error.message = self.catalogue.key_forms.redact(self.error.message)
        self.counters["ai-decoded"] += 1
        self.counters.update(exchange.evidence.notes)
        return exchange

    def _bodies(self) -> bool:
        """Reads both bodies; whether one of them has the API's shape."""
        dialect = DIALECTS.get(self.match.api)
        if dialect is not None and dialect.target is not None:
            dialect.target(self.request, self.ai)
        asked = self._json(self.request, "request")
        if dialect is None:
            self.ai.request_model = text(record(asked.value).get("model"))
            self._failed()
            return False
        shape = dialect.request(asked, self.ai)
        if not shape and isinstance(asked.value, list):  # lines; a server that wants one value reads the first
            shape = dialect.request(load(self.request.body), self.ai)
        if self.response is None or self._failed():
            return shape
        if self._streamed(dialect):
            shape = self._stream(dialect, self.response) or shape
        else:
            answer = self._json(self.response, "response")
            self.error = error_in(answer.value)
            shape = dialect.response(answer, self.ai) or shape
        if dialect.headers is not None:
            dialect.headers(self.response, self.ai)
        return shape

    def _json(self, message: Message, side: str) -> Json:
        body = read(self.request, message)
        if body.value is None and not body.exact:
            self.notes[f"{side}-unreadable"] = None
        elif not body.exact:
            self.notes[f"{side}-json-mended"] = None
        return body

    def _failed(self) -> bool:
        """Whether the status says that the request failed; then its error is read."""
        response = self.response
        if response is None or response.status < 400:
            return False
        self.error = failure(response.status, load(response.body), response.body, response.reason)
        return True

    def _streamed(self, dialect: Dialect) -> bool:
        """Whether the response is a stream: by its type, or asked for and not a single JSON document."""
        response = self.response
        if response is None or dialect.stream is None:
            return False
        how = framing(response)
        if how == "grpc":
            return self.ai.stream
        if dialect.framing == "ndjson":
            return self.ai.stream or bool(how)
        if dialect.framing == "json-array" and not how:
            return self.ai.stream
        if how:
            return True
        return media_type(response) != "application/json" and response.body.lstrip()[:6].startswith(
            (b"data:", b"event:", b":")
        )

    def _stream(self, dialect: Dialect, response: Message) -> bool:
        assert dialect.stream is not None
        end = dialect.stream(self._items(dialect, response), self.ai)
        self.ended = end.ended
        self.ai.stream = True
        if not end.ended and self.error is None and not response.truncated:  # a limit hides the end, it was seen
            self.cut = True
            self.notes["stream-without-end"] = None
        self.ai.time_to_first_token_ms = self._first_token(end, response)
        return end.shape

    def _items(self, dialect: Dialect, response: Message) -> Iterator[Item]:
        """The events of the stream. An error among them is noted on the way; [DONE] comes as an event of that name."""
        for event in events(self.request, response, framing(response) or dialect.framing):
            if event.done:
                yield Item("[DONE]", None, Slice(b""), event.end)
                continue
            if not event.whole and response.body:
                self.notes["stream-event-cut"] = None
            body = event.body
            if body.value is None and not body.exact:
                self.notes["stream-json-unreadable"] = None
                continue
            if not body.exact:
                self.notes["stream-json-mended"] = None
            self._stream_error(event.name, body)
            yield Item(event.name, body.value, Slice(body.text), event.end)

    def _stream_error(self, event: str, body: Json) -> None:
        fields = record(body.value)
        found = error_in(fields) or error_in(fields.get("response"))
        if found is None and event == "error":
            found = AiError("error", text(fields.get("message")))
        self.error = self.error or found

    def _first_token(self, end: StreamEnd, response: Message) -> float | None:
        """Milliseconds from the request's first byte to the arrival that completed the first output."""
        if end.first_output is None or not self.request.start:
            return None
        for size, ts in response.marks:
            if size >= end.first_output:
                return (ts - self.request.start) / 1e6 if ts >= self.request.start else None
        return None

    def _http(self) -> Http:
        request, response = self.request, self.response
        target = request.target
        if "://" not in target[:12]:
            target = (request.header("host") or request.header(":authority")) + target
        return Http(
            method=request.method,
            url=redact_url(target, self.catalogue.key_forms),
            status=response.status if response else None,
            version=request.version,
            user_agent=request.header("user-agent"),
        )

    def _evidence(self) -> Evidence:
        messages = [self.request] if self.response is None else [self.request, self.response]
        for message in messages:
            self.notes.update(dict.fromkeys(message.anomalies))
        if not self.request.complete:
            self.notes["request-incomplete"] = None
        for provider in self.catalogue.tells(self.response.headers if self.response else ()):
            if provider != self.match.provider:
                self.notes[f"upstream:{provider}"] = None
        return Evidence(
            # Clients hang up after the API's own end ([DONE], message_stop), before HTTP's.
            complete=self.response is not None and (self.response.complete or self.ended) and not self.cut,
            truncated=any(message.truncated for message in messages),
            gap=any(message.gap for message in messages),
            notes=list(self.notes),
        )
