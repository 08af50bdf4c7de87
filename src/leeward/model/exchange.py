"""One AI interaction. The JSON of these structs is a contract (DESIGN §6): fields keep their names.

The standard names are OpenTelemetry's GenAI semantic conventions (v0.1.0): `provider` is gen_ai.provider.name,
`operation` gen_ai.operation.name, roles and parts follow gen_ai.input.messages / gen_ai.output.messages.
"""

from __future__ import annotations

from typing import Any

import msgspec

from leeward.model.data import DataMatch
from leeward.model.process import Container, Workload


class ProcessRef(msgspec.Struct):
    pid: int = 0
    exe: str = ""
    argv: list[str] = []
    user: str = ""
    cwd: str = ""
    start_ns: int = 0
    ancestors: list[dict[str, Any]] = []


class Tls(msgspec.Struct):
    sni: str = ""
    version: str = ""


class Network(msgspec.Struct):
    """src opened the connection, dst accepted it. domain: the best name known for dst, from `domain_from`: sni, host or dns."""

    src: str = ""
    dst: str = ""
    domain: str = ""
    domain_from: str = ""
    direction: str = ""
    tls: Tls | None = None


class Http(msgspec.Struct):
    method: str = ""
    url: str = ""
    status: int | None = None
    version: str = ""
    user_agent: str = ""


class ChatMessage(msgspec.Struct, omit_defaults=True):
    """role: system | developer | user | assistant | tool. content: the text, parts joined in order without a separator.

    parts: what is not text (images, audio, files, reasoning) as references {"type", ...}: a URL, or for data inside the
    message its media type, size and SHA-256, never the data itself. tool_calls: calls that this message asks for.
    tool_call_id: the call that a tool message answers.
    """

    role: str
    content: str
    name: str = ""
    parts: list[dict[str, Any]] = []
    tool_calls: list[ToolCall] = []
    tool_call_id: str = ""
    reasoning: str = ""


class ToolCall(msgspec.Struct):
    """A model's request to run a tool. arguments: the JSON text as the model wrote it."""

    id: str
    name: str
    arguments: str
    type: str = "function"


class Tool(msgspec.Struct, omit_defaults=True):
    """A tool that was offered to the model. parameters: its JSON schema as sent."""

    name: str
    description: str = ""
    type: str = "function"
    parameters: Any = None


class GenAI(msgspec.Struct):
    """provider: OpenTelemetry provider name, e.g. "openai", "anthropic", "ollama"; "openai_compatible" for an unknown host that
    speaks OpenAI's API. operation: chat | text_completion | embeddings | list_models ... Tokens None: not reported.
    time_to_first_token_ms: request's first byte to the first piece of output; None when not streamed or not seen.
    """

    provider: str = ""
    operation: str = ""
    api: str = ""
    request_model: str = ""
    response_model: str = ""
    response_id: str = ""
    input_tokens: int | None = None
    output_tokens: int | None = None
    cached_input_tokens: int | None = None
    reasoning_tokens: int | None = None
    stream: bool = False
    finish_reasons: list[str] = []
    input: list[ChatMessage] = []
    output: list[ChatMessage] = []
    tools: list[Tool] = []
    tool_calls: list[ToolCall] = []
    embeddings: int | None = None
    request_parameters: dict[str, Any] = {}
    time_to_first_token_ms: float | None = None


class Key(msgspec.Struct, frozen=True):
    """The credential used, never itself. provider: whose key its form says it is, "" if the form says nothing.
    fingerprint: first 16 hex digits of its SHA-256. header: where it travelled."""

    provider: str
    fingerprint: str
    header: str = ""


class AiError(msgspec.Struct):
    type: str = ""
    message: str = ""
    code: str = ""


class Evidence(msgspec.Struct):
    """How good the evidence is. source: "library" (library call) | "plaintext" (packets) | "capture" (replay) | "gateway".
    complete: the end of the response was seen. truncated: a limit cut request or response. gap: bytes in the middle are missing.
    joined: how the socket was found: "client-random" | "descriptor" | "socket" | "" (not found).
    late: the connection was in use before it could be seen. notes: anomalies by name.
    """

    source: str = ""
    complete: bool = True
    truncated: bool = False
    gap: bool = False
    joined: str = ""
    late: bool = False
    notes: list[str] = []


class Observer(msgspec.Struct):
    """Another process on this host that saw the same exchange (the server's side)."""

    process: ProcessRef
    workload: Workload | None = None


class TimedExchange(msgspec.Struct):
    """An exchange of a session that holds many (WebSocket, JSON-RPC), with its times, which the pipeline writes into it.

    start: Unix ns of its first byte. end: of its last."""

    exchange: Exchange
    start: int
    end: int


class Exchange(msgspec.Struct, kw_only=True):
    type: str = "exchange"
    id: str = ""
    time: str = ""
    duration_ms: float = 0.0
    workload: Workload | None = None
    process: ProcessRef | None = None
    container: Container | None = None
    network: Network = msgspec.field(default_factory=Network)
    http: Http = msgspec.field(default_factory=Http)
    gen_ai: GenAI = msgspec.field(default_factory=GenAI)
    data: list[DataMatch] = []
    key: Key | None = None
    error: AiError | None = None
    verdict: dict[str, Any] | None = None
    evidence: Evidence = msgspec.field(default_factory=Evidence)
    observers: list[Observer] = []
