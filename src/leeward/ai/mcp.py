"""MCP (Model Context Protocol): what each method's request and result say, as an `Exchange`.

Source: the schemas 2024-11-05, 2025-03-26, 2025-06-18, 2025-11-25 and 2026-07-28 at modelcontextprotocol.io. Names that one of
them has are read whatever version the peers agreed on. Never raises on odd values; keeps no state. Descriptions of tools, where
poisoning hides, are kept whole.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import msgspec

from leeward.ai.dialect import MAX_ERROR_TEXT, finish
from leeward.ai.jsonrpc import Rpc, rpc_error
from leeward.ai.jsontext import Slice, clean
from leeward.ai.mcp_content import blocks, resource
from leeward.ai.values import chosen, record, records, sequence, text
from leeward.model.exchange import AiError, ChatMessage, Exchange, GenAI, Tool, ToolCall

PROVIDER = "mcp"
_META = "io.modelcontextprotocol/"
_VERSION = re.compile(r"20\d\d-\d\d-\d\d|DRAFT-.{0,32}")
#: What a session learns of its peers; it holds for every exchange after.
PEERS = ("protocol_version", "client", "client_version", "server", "server_version")
_DETAILS = ("title", "annotations", "outputSchema", "execution", "icons", "_meta")
_SAMPLING = {
    "maxTokens": "max_tokens",
    "temperature": "temperature",
    "stopSequences": "stop_sequences",
    "modelPreferences": "model_preferences",
    "includeContext": "include_context",
    "toolChoice": "tool_choice",
}
#: Error codes of MCP (schema 2026-07-28; -32002 and -32042 are retired there) and of its SDKs (-32000, -32001).
ERRORS = {
    -32000: "connection_closed",
    -32001: "request_timeout",
    -32002: "resource_not_found",
    -32020: "header_mismatch",
    -32021: "missing_client_capability",
    -32022: "unsupported_protocol_version",
    -32042: "url_elicitation_required",
}

Reader = Callable[[dict[str, Any], Slice, Exchange], None]


class Method(msgspec.Struct, frozen=True):
    """asked reads `params` and their text, answered the result's, into the exchange.

    tells: nothing but MCP has a method of this name. name_header: the parameter that the header Mcp-Name repeats."""

    operation: str
    asked: Reader
    answered: Reader
    tells: bool = True
    name_header: str = ""


# -- who talks -------------------------------------------------------------------------------------------------------


def _peer(ai: GenAI, side: str, info: Any) -> None:
    fields = record(info)
    for key, name in (("name", side), ("version", f"{side}_version")):
        if text(fields.get(key)):
            ai.request_parameters[name] = fields[key][:256]


def _meta(fields: dict[str, Any], ai: GenAI) -> None:
    """Since 2026-07-28 each message says who sends it, there is no handshake."""
    meta = record(fields.get("_meta"))
    if text(meta.get(_META + "protocolVersion")):
        ai.request_parameters["protocol_version"] = meta[_META + "protocolVersion"][:64]
    _peer(ai, "client", meta.get(_META + "clientInfo"))
    _peer(ai, "server", meta.get(_META + "serverInfo"))


def _initialize_asked(params: dict[str, Any], source: Slice, exchange: Exchange) -> None:
    ai = exchange.gen_ai
    ai.request_parameters.update(protocol_version=text(params.get("protocolVersion"))[:64])
    _peer(ai, "client", params.get("clientInfo"))
    ai.request_parameters["client_capabilities"] = sorted(record(params.get("capabilities")))[:64]


def _initialize_answered(result: dict[str, Any], source: Slice, exchange: Exchange) -> None:
    """initialize and server/discover. The version in the answer is the one that holds."""
    ai = exchange.gen_ai
    if text(result.get("protocolVersion")):
        ai.request_parameters["protocol_version"] = result["protocolVersion"][:64]
    if isinstance(result.get("supportedVersions"), list):
        ai.request_parameters["supported_versions"] = clean(result["supportedVersions"][:64])
    _peer(ai, "server", result.get("serverInfo"))
    ai.request_parameters["capabilities"] = sorted(record(result.get("capabilities")))[:64]
    if text(result.get("instructions")):
        ai.output.append(ChatMessage("system", result["instructions"]))


# -- tools -----------------------------------------------------------------------------------------------------------


def _call_asked(params: dict[str, Any], source: Slice, exchange: Exchange) -> None:
    # The id is the request's; `ask` writes it.
    exchange.gen_ai.tool_calls.append(ToolCall("", text(params.get("name")), source.at("arguments").text()))
    _retried(params, source, exchange)


def _call_answered(result: dict[str, Any], source: Slice, exchange: Exchange) -> None:
    ai = exchange.gen_ai
    call = ai.tool_calls[0] if ai.tool_calls else ToolCall("", "", "")
    said = blocks(result.get("content"), source.at("content"))
    words = said.text
    for name in ("structuredContent", "toolResult", "task"):  # toolResult: before 2024-11-05
        words = words or (source.at(name).text() if name in result else "")
    ai.output.append(ChatMessage("tool", words, call.name, said.parts, tool_call_id=call.id))
    if result.get("isError") is True:
        exchange.error = AiError("tool_error", words[:MAX_ERROR_TEXT])
    _input_required(result, source, exchange)


def _tools_answered(result: dict[str, Any], source: Slice, exchange: Exchange) -> None:
    ai = exchange.gen_ai
    details: dict[str, Any] = {}
    for item in records(result.get("tools")):
        name = text(item.get("name"))
        ai.tools.append(tool(item))
        more = chosen(item, _DETAILS)
        if more:
            details[name] = more
    if details:
        ai.request_parameters["tool_details"] = details


def tool(item: dict[str, Any]) -> Tool:
    return Tool(text(item.get("name")), text(item.get("description")), parameters=clean(item.get("inputSchema")))


# -- resources, prompts, completion ----------------------------------------------------------------------------------


def _params_asked(*names: str) -> Reader:
    def asked(params: dict[str, Any], source: Slice, exchange: Exchange) -> None:
        exchange.gen_ai.request_parameters.update(chosen(params, names))
        _retried(params, source, exchange)

    return asked


def _read_answered(result: dict[str, Any], source: Slice, exchange: Exchange) -> None:
    for item in records(result.get("contents")):
        said = resource(item)
        exchange.gen_ai.output.append(ChatMessage("tool", said.text, text(item.get("uri")), said.parts))
    _input_required(result, source, exchange)


def _prompt_answered(result: dict[str, Any], source: Slice, exchange: Exchange) -> None:
    for i, item in enumerate(sequence(result.get("messages"))):
        if isinstance(item, dict):
            exchange.gen_ai.output.append(_message(item, source.at("messages", i)))
    _input_required(result, source, exchange)


def _listing(name: str) -> Reader:
    """A list of resources, prompts or roots: kept as the text it is."""

    def answered(result: dict[str, Any], source: Slice, exchange: Exchange) -> None:
        if sequence(result.get(name)):
            exchange.gen_ai.output.append(ChatMessage("tool", source.at(name).text()))

    return answered


def _completion_answered(result: dict[str, Any], source: Slice, exchange: Exchange) -> None:
    values = sequence(record(result.get("completion")).get("values"))
    exchange.gen_ai.output.append(ChatMessage("tool", "\n".join(text(value) for value in values)))


# -- what the server asks the client -----------------------------------------------------------------------------------


def _message(item: dict[str, Any], source: Slice) -> ChatMessage:
    said = blocks(item.get("content"), source.at("content"))
    role = text(item.get("role")) or "user"
    return ChatMessage(role, said.text, "", said.parts, said.calls, said.answers)


def _sampling_asked(params: dict[str, Any], source: Slice, exchange: Exchange) -> None:
    ai = exchange.gen_ai
    if text(params.get("systemPrompt")):
        ai.input.append(ChatMessage("system", params["systemPrompt"]))
    for i, item in enumerate(sequence(params.get("messages"))):
        if isinstance(item, dict):
            ai.input.append(_message(item, source.at("messages", i)))
    ai.tools.extend(tool(item) for item in records(params.get("tools")))
    given = chosen(params, _SAMPLING)
    ai.request_parameters.update({_SAMPLING[name]: value for name, value in given.items()})


def _sampling_answered(result: dict[str, Any], source: Slice, exchange: Exchange) -> None:
    ai = exchange.gen_ai
    ai.response_model = text(result.get("model"))
    if text(result.get("stopReason")):
        ai.finish_reasons = [result["stopReason"]]
    finish(ai, _message({"role": "assistant", **result}, source))


def _elicitation_asked(params: dict[str, Any], source: Slice, exchange: Exchange) -> None:
    exchange.gen_ai.input.append(ChatMessage("tool", text(params.get("message"))))
    exchange.gen_ai.request_parameters.update(chosen(params, ("mode", "requestedSchema", "url", "elicitationId")))


def _elicitation_answered(result: dict[str, Any], source: Slice, exchange: Exchange) -> None:
    if text(result.get("action")):
        exchange.gen_ai.finish_reasons = [result["action"]]
    if result.get("content") is not None:
        exchange.gen_ai.output.append(ChatMessage("user", source.at("content").text()))


def _input_required(result: dict[str, Any], source: Slice, exchange: Exchange) -> None:
    """Since 2026-07-28 a server asks in place of a result; the client asks again with the answers."""
    if result.get("resultType") == "input_required":
        exchange.gen_ai.finish_reasons = ["input_required"]
        asked = source.at("inputRequests").text()
        exchange.gen_ai.output = [ChatMessage("tool", asked)] if asked else []


def _retried(params: dict[str, Any], source: Slice, exchange: Exchange) -> None:
    answers = source.at("inputResponses").text()
    if answers:
        exchange.gen_ai.input.append(ChatMessage("user", answers))


# -- everything else -------------------------------------------------------------------------------------------------


def _any_asked(params: dict[str, Any], source: Slice, exchange: Exchange) -> None:
    given = {name: value for name, value in params.items() if name != "_meta"}
    if given:
        exchange.gen_ai.request_parameters["params"] = clean(given)


def _any_answered(result: dict[str, Any], source: Slice, exchange: Exchange) -> None:
    if any(name not in ("_meta", "resultType") for name in result):
        exchange.gen_ai.output.append(ChatMessage("tool", source.text()))


_cursor = _params_asked("cursor")
METHODS = {
    "initialize": Method("initialize", _initialize_asked, _initialize_answered, tells=False),
    "server/discover": Method("server_discover", _any_asked, _initialize_answered),
    "tools/list": Method("list_tools", _cursor, _tools_answered),
    "tools/call": Method("execute_tool", _call_asked, _call_answered, name_header="name"),
    "resources/list": Method("list_resources", _cursor, _listing("resources")),
    "resources/templates/list": Method("resources_templates_list", _cursor, _listing("resourceTemplates")),
    "resources/read": Method("read_resource", _params_asked("uri"), _read_answered, name_header="uri"),
    "resources/subscribe": Method("resources_subscribe", _params_asked("uri"), _any_answered),
    "resources/unsubscribe": Method("resources_unsubscribe", _params_asked("uri"), _any_answered),
    "prompts/list": Method("list_prompts", _cursor, _listing("prompts")),
    "prompts/get": Method("get_prompt", _params_asked("name", "arguments"), _prompt_answered, name_header="name"),
    "completion/complete": Method("completion", _params_asked("ref", "argument", "context"), _completion_answered),
    "sampling/createMessage": Method("sampling", _sampling_asked, _sampling_answered),
    "elicitation/create": Method("elicitation", _elicitation_asked, _elicitation_answered),
    "roots/list": Method("roots_list", _any_asked, _listing("roots")),
    "logging/setLevel": Method("logging_setLevel", _params_asked("level"), _any_answered),
    "subscriptions/listen": Method("subscriptions_listen", _any_asked, _any_answered),
}
NOTIFICATIONS = frozenset(
    "notifications/" + name
    for name in (
        "cancelled",
        "initialized",
        "progress",
        "message",
        "roots/list_changed",
        "tools/list_changed",
        "prompts/list_changed",
        "resources/list_changed",
        "resources/updated",
        "elicitation/complete",
        "subscriptions/acknowledged",
        "tasks/status",
    )
)


def method(name: str) -> Method:
    """The method of this name; of one not known here everything is kept as it is."""
    known = METHODS.get(name)
    if known:
        return known
    return Method(re.sub(r"[^A-Za-z0-9_.-]", "_", name)[:128], _any_asked, _any_answered, tells=False)


def ask(rpc: Rpc, exchange: Exchange) -> None:
    """Reads a request."""
    exchange.gen_ai.provider = PROVIDER
    exchange.gen_ai.operation = method(rpc.method).operation
    _meta(rpc.params, exchange.gen_ai)
    method(rpc.method).asked(rpc.params, rpc.source.at("params"), exchange)
    for call in exchange.gen_ai.tool_calls:
        call.id = rpc.id


def answer(name: str, rpc: Rpc, exchange: Exchange) -> None:
    """Reads the result or the error that answers a request of method `name`."""
    if rpc.kind == "error":
        exchange.error = rpc_error(rpc.error, ERRORS)
        return
    result = record(rpc.result)
    _meta(result, exchange.gen_ai)
    method(name).answered(result, rpc.source.at("result"), exchange)


def is_mcp(rpc: Rpc) -> bool:
    """Whether this message can only be MCP's.

    Others have methods of the same names: LSP, ACP and DAP's likes have `initialize`, but only MCP's carries a date as
    `protocolVersion` (ACP's is a number, LSP has none); A2A has `tasks/get`, but calls the task `id`, not `taskId`.
    An answer tells by a shape that only MCP has."""
    if rpc.kind in ("request", "notification"):
        if rpc.method == "initialize":
            return _dated(rpc.params.get("protocolVersion"))
        if rpc.method in ("tasks/get", "tasks/result", "tasks/cancel"):
            return rpc.kind == "request" and isinstance(rpc.params.get("taskId"), str)
        known = METHODS.get(rpc.method)
        return known.tells if known else rpc.method in NOTIFICATIONS
    result = record(rpc.result)
    if _dated(result.get("protocolVersion")) and isinstance(result.get("capabilities"), dict):
        return True
    tools = records(result.get("tools"))
    if tools:
        return all(isinstance(item.get("inputSchema"), dict) and isinstance(item.get("name"), str) for item in tools)
    contents = records(result.get("contents"))
    if contents:
        return all(isinstance(item.get("uri"), str) and ("text" in item or "blob" in item) for item in contents)
    said = records(result.get("content"))
    return bool(said) and "role" not in result and all(isinstance(item.get("type"), str) for item in said)


def _dated(value: Any) -> bool:
    return isinstance(value, str) and _VERSION.fullmatch(value) is not None
