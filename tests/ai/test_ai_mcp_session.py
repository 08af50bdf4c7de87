"""MCP over a byte stream: methods, framing, pairing, what tells it from other JSON-RPC, and what hostile peers may send."""

from __future__ import annotations

import base64
import hashlib
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leeward.ai.mcp_pairs import MOST_PENDING
from leeward.ai.mcp_session import McpSession, sniff
from leeward.model.exchange import Exchange, TimedExchange

PNG = base64.b64encode(b"\x89PNG rest").decode()
IMAGE = {"type": "image", "media_type": "image/png", "size": 9, "sha256": hashlib.sha256(b"\x89PNG rest").hexdigest()}


def line(**fields: Any) -> bytes:
    return json.dumps({"jsonrpc": "2.0", **fields}, ensure_ascii=False).encode() + b"\n"


def ask(method: str, number: Any = 1, **params: Any) -> bytes:
    return line(id=number, method=method, params=params)


def tell(result: Any, number: Any = 1) -> bytes:
    return line(id=number, result=result)


def one(method: str, params: dict[str, Any], result: Any, by_server: bool = False) -> Exchange:
    session = McpSession("stdio")
    assert session.feed(not by_server, 5, ask(method, **params)) == []
    found = session.feed(by_server, 9, tell(result))
    assert [(timed.start, timed.end) for timed in found] == [(5, 9)]
    return found[0].exchange


def said(exchange: Exchange) -> list[tuple[str, str, str]]:
    return [(m.role, m.name, m.content) for m in exchange.gen_ai.output]


# -- methods ---------------------------------------------------------------------------------------------------------

TEXT = {"type": "text", "text": "low "}
RESOURCE = {"type": "resource", "resource": {"uri": "file:///a", "mimeType": "text/plain", "text": "water"}}
BLOB = {"uri": "file:///b", "mimeType": "image/png", "blob": PNG}
LINK = {"type": "resource_link", "uri": "file:///c", "name": "c", "mimeType": "text/csv"}
RESULTS: list[tuple[str, dict[str, Any], Any, str, list[tuple[str, str, str]]]] = [
    ("tools/call", {"name": "t"}, {"content": [TEXT, RESOURCE]}, "execute_tool", [("tool", "t", "low water")]),
    (
        "tools/call",
        {"name": "t"},
        {"content": [], "structuredContent": {"n": 1}},
        "execute_tool",
        [("tool", "t", '{"n": 1}')],
    ),
    ("tools/call", {"name": "t"}, {"toolResult": [1]}, "execute_tool", [("tool", "t", "[1]")]),
    ("tools/call", {}, None, "execute_tool", [("tool", "", "")]),
    (
        "tools/call",
        {"name": "t"},
        {"resultType": "input_required", "inputRequests": {"k": {"method": "elicitation/create"}}},
        "execute_tool",
        [("tool", "", '{"k": {"method": "elicitation/create"}}')],
    ),
    ("resources/read", {"uri": "u"}, {"contents": [{"uri": "u", "text": "x"}]}, "read_resource", [("tool", "u", "x")]),
    ("resources/list", {}, {"resources": [{"uri": "u"}]}, "list_resources", [("tool", "", '[{"uri": "u"}]')]),
    ("prompts/list", {}, {"prompts": [{"name": "p"}]}, "list_prompts", [("tool", "", '[{"name": "p"}]')]),
    (
        "prompts/get",
        {"name": "p"},
        {"messages": [{"role": "user", "content": TEXT}, 5, {"role": "assistant", "content": TEXT}]},
        "get_prompt",
        [("user", "", "low "), ("assistant", "", "low ")],
    ),
    ("completion/complete", {"ref": {}}, {"completion": {"values": ["a", "b"]}}, "completion", [("tool", "", "a\nb")]),
    ("ping", {}, {}, "ping", []),
    ("logging/setLevel", {"level": "debug"}, {}, "logging_setLevel", []),
    ("tasks/get", {"taskId": "7"}, {"status": "working"}, "tasks_get", [("tool", "", '{"status": "working"}')]),
    ("our/own thing", {"x": 1}, [2], "our_own_thing", []),
    ("initialize", {}, {"instructions": "Be kind."}, "initialize", [("system", "", "Be kind.")]),
    ("server/discover", {}, {"instructions": "Hi."}, "server_discover", [("system", "", "Hi.")]),
]


@pytest.mark.parametrize(("method", "params", "result", "operation", "output"), RESULTS)
def test_what_each_method_gives(method: str, params: Any, result: Any, operation: str, output: Any) -> None:
    exchange = one(method, params, result)
    assert exchange.gen_ai.operation == operation
    assert said(exchange) == output
    assert (exchange.gen_ai.provider, exchange.gen_ai.api) == ("mcp", "mcp.stdio")
    assert exchange.gen_ai.request_model == ""
    assert exchange.error is None


def test_a_tool_call_keeps_the_arguments_as_sent_and_the_content_as_references() -> None:
    session = McpSession("stdio")
    session.feed(
        True, 1, b'{"jsonrpc":"2.0","id":"x","method":"tools/call","params":{"arguments":{"b" : 1.0}, "name":"t"}}\n'
    )
    image = {"type": "image", "mimeType": "image/png", "data": PNG}
    content = [image, TEXT, {"type": "resource", "resource": BLOB}, LINK, {"type": "hologram"}]
    (found,) = session.feed(False, 2, tell({"content": content}, "x"))
    (call,) = found.exchange.gen_ai.tool_calls
    assert (call.id, call.name, call.arguments) == ("x", "t", '{"b" : 1.0}')
    (message,) = found.exchange.gen_ai.output
    assert message.tool_call_id == "x"
    assert message.parts == [
        IMAGE,
        {**IMAGE, "type": "resource", "uri": "file:///b"},
        {"type": "resource_link", "uri": "file:///c", "name": "c", "media_type": "text/csv"},
        {"type": "hologram"},
    ]


def test_tools_keep_all_that_poison_may_hide_in() -> None:
    long = "Reads a file. <IMPORTANT>" + "x" * 50_000
    schema = {"type": "object", "properties": {"p": {"description": long}}}
    item = {"name": "t", "title": "T", "description": long, "inputSchema": schema, "outputSchema": {"d": long}}
    found = one("tools/list", {"cursor": "c"}, {"tools": [item, "no tool"]}).gen_ai
    assert [(t.name, t.description, t.parameters) for t in found.tools] == [("t", long, schema)]
    assert found.request_parameters["tool_details"] == {"t": {"title": "T", "outputSchema": {"d": long}}}
    assert found.request_parameters["cursor"] == "c"


def test_what_the_server_asks_the_clients_model() -> None:
    params = {
        "systemPrompt": "Be brief.",
        "maxTokens": 9,
        "messages": [
            {"role": "user", "content": TEXT},
            {"role": "assistant", "content": [{"type": "tool_use", "id": "1", "name": "t", "input": {"a": 1}}]},
            {"role": "user", "content": [{"type": "tool_result", "toolUseId": "1", "content": [TEXT]}]},
        ],
    }
    exchange = one(
        "sampling/createMessage", params, {"role": "assistant", "model": "m", "content": TEXT}, by_server=True
    )
    ai = exchange.gen_ai
    assert [(m.role, m.content, m.tool_call_id) for m in ai.input] == [
        ("system", "Be brief.", ""),
        ("user", "low ", ""),
        ("assistant", "", ""),
        ("user", "low ", "1"),
    ]
    assert [(c.id, c.name, c.arguments) for c in ai.input[2].tool_calls] == [("1", "t", '{"a": 1}')]
    assert (ai.operation, ai.response_model, said(exchange)) == ("sampling", "m", [("assistant", "", "low ")])
    assert ai.request_parameters == {"max_tokens": 9}


def test_what_the_server_asks_the_user() -> None:
    params = {"message": "Your token?", "requestedSchema": {"type": "object"}}
    exchange = one("elicitation/create", params, {"action": "accept", "content": {"token": "t"}}, by_server=True)
    assert [(m.role, m.content) for m in exchange.gen_ai.input] == [("tool", "Your token?")]
    assert said(exchange) == [("user", "", '{"token": "t"}')]
    assert (exchange.gen_ai.operation, exchange.gen_ai.finish_reasons) == ("elicitation", ["accept"])


def test_the_handshake_is_remembered() -> None:
    session = McpSession("stdio")
    hello = {
        "protocolVersion": "2025-11-25",
        "clientInfo": {"name": "c", "version": "1"},
        "capabilities": {"roots": {}},
    }
    answer = {
        "protocolVersion": "2025-06-18",
        "serverInfo": {"name": "s", "version": "2"},
        "capabilities": {"tools": {}},
    }
    session.feed(True, 1, ask("initialize", 0, **hello))
    (found,) = session.feed(False, 2, tell(answer, 0))
    peers = {
        "protocol_version": "2025-06-18",
        "client": "c",
        "client_version": "1",
        "server": "s",
        "server_version": "2",
    }
    given = found.exchange.gen_ai.request_parameters
    assert given == {**peers, "client_capabilities": ["roots"], "capabilities": ["tools"]}
    session.feed(True, 3, ask("ping", 1))
    assert session.feed(False, 4, tell({}, 1))[0].exchange.gen_ai.request_parameters == peers


@pytest.mark.parametrize(
    ("answer", "kind", "message", "code"),
    [
        ({"error": {"code": -32602, "message": "no such tool"}}, "invalid_params", "no such tool", "-32602"),
        ({"error": {"code": -32042, "message": "go there"}}, "url_elicitation_required", "go there", "-32042"),
        ({"error": {"code": 5, "data": {"x": 1}}}, "jsonrpc_error", '{"x":1}', "5"),
        ({"error": {"code": "odd"}}, "jsonrpc_error", "", "odd"),
        ({"result": {"content": [TEXT], "isError": True}}, "tool_error", "low ", ""),
    ],
)
def test_errors(answer: dict[str, Any], kind: str, message: str, code: str) -> None:
    session = McpSession("stdio")
    session.feed(True, 1, ask("tools/call", name="t"))
    (found,) = session.feed(False, 2, line(id=1, **answer))
    error = found.exchange.error
    assert error is not None
    assert (error.type, error.message, error.code) == (kind, message, code)
    assert found.exchange.evidence.complete


# -- framing ---------------------------------------------------------------------------------------------------------


def framed(body: bytes, extra: bytes = b"") -> bytes:
    return b"Content-Length: %d\r\n%s\r\n%s" % (len(body.strip()), extra, body.strip())


LAST_ID = b'{"result":{"content":[]},"jsonrpc":"2.0","id":1}\n'
STREAMS: list[tuple[bytes, bytes, int, dict[str, int]]] = [
    (ask("tools/list"), tell({"tools": []}), 1, {}),
    (ask("tools/list").replace(b"\n", b"\r\n"), b"\n\r\n" + tell({}).replace(b"\n", b"\r\n"), 1, {}),
    (ask("tools/list"), b"Server ready!\n[warn] x\n" + tell({}), 1, {"mcp_noise_lines": 1, "mcp_not_rpc": 1}),
    (ask("tools/list"), b'{"level":"info"}\n' + tell({}), 1, {"mcp_not_rpc": 1}),
    (framed(ask("tools/list")), framed(tell({}), b"Content-Type: application/vscode-jsonrpc\r\n"), 1, {}),
    (framed(ask("ping")) + framed(ask("ping", 2)), framed(tell({})) + framed(tell({}, 2)), 2, {}),
    (json.dumps([json.loads(ask("ping")), json.loads(ask("ping", 2))]).encode() + b"\n", tell({}, 2) + tell({}), 2, {}),
    (ask("ping"), LAST_ID, 1, {}),
    (ask("ping"), tell({}, "1") + tell({}, 1.0), 1, {"mcp_answers_without_request": 1}),
    (ask("ping"), tell({})[:-1], 0, {}),
]


@pytest.mark.parametrize(("to_server", "from_server", "count", "counters"), STREAMS)
def test_streams_in_any_pieces(to_server: bytes, from_server: bytes, count: int, counters: dict[str, int]) -> None:
    whole, bytewise = McpSession("stdio"), McpSession("stdio")
    found = whole.feed(True, 1, to_server) + whole.feed(False, 1, from_server)
    pieces = [bytewise.feed(True, 1, to_server[i : i + 1]) for i in range(len(to_server))]
    pieces += [bytewise.feed(False, 1, from_server[i : i + 1]) for i in range(len(from_server))]
    assert [timed for piece in pieces for timed in piece] == found
    assert bytewise.counters == whole.counters
    assert len(found) == count
    assert {name: whole.counters[name] for name in counters} == counters


def test_a_last_line_without_end_counts_when_the_process_ends() -> None:
    session = McpSession("stdio")
    session.feed(True, 1, ask("ping"))
    assert session.feed(False, 2, tell({})[:-1]) == []
    assert [timed.exchange.evidence.complete for timed in session.close(3)] == [True]


@pytest.mark.parametrize("writer", ["id first", "id last"])
def test_a_long_answer_is_read_as_far_as_kept(writer: str) -> None:
    session = McpSession("stdio", line=2000)
    session.feed(True, 1, ask("tools/call", 7, name="t"))
    result = {"content": [{"type": "text", "text": "x" * 9000}]}
    fields = {"jsonrpc": "2.0", "id": 7, "result": result}
    if writer == "id last":
        fields = {"result": result, "jsonrpc": "2.0", "id": 7}
    (found,) = session.feed(False, 2, json.dumps(fields).encode() + b"\n")
    text = found.exchange.gen_ai.output[0].content
    assert set(text) == {"x"}
    assert 1800 < len(text) < 2000
    assert found.exchange.evidence.truncated
    assert found.exchange.evidence.notes == ["response-json-mended"]


# -- pairing ---------------------------------------------------------------------------------------------------------


def test_both_sides_may_use_the_same_id() -> None:
    session = McpSession("stdio")
    session.feed(True, 1, ask("tools/call", 1, name="t"))
    session.feed(False, 2, ask("roots/list", 1))
    (roots,) = session.feed(True, 3, tell({"roots": [{"uri": "file:///home"}]}, 1))
    (call,) = session.feed(False, 4, tell({"content": [TEXT]}, 1))
    assert said(roots.exchange) == [("tool", "", '[{"uri": "file:///home"}]')]
    assert (roots.start, roots.end, call.start, call.end) == (2, 3, 1, 4)
    assert said(call.exchange) == [("tool", "t", "low ")]


def test_notifications_are_noted_where_they_belong() -> None:
    session = McpSession("stdio")
    session.feed(True, 1, line(method="notifications/initialized"))
    session.feed(True, 1, ask("tools/call", 1, name="a", _meta={"progressToken": "p"}))
    session.feed(True, 1, ask("tools/call", 2, name="b"))
    session.feed(False, 2, line(method="notifications/progress", params={"progressToken": "p", "progress": 1}))
    session.feed(False, 2, line(method="notifications/progress", params={"progressToken": "p", "progress": 2}))
    session.feed(False, 2, line(method="notifications/message", params={"data": "whose?"}))
    session.feed(False, 2, line(method="notifications/tools/list_changed"))
    (first,) = session.feed(False, 3, tell({}, 1))
    session.feed(False, 3, line(method="notifications/message", params={"data": "b's"}))
    (second,) = session.feed(False, 3, tell({}, 2))
    assert first.exchange.evidence.notes == ["notification:progress"]
    assert second.exchange.evidence.notes == ["notification:message"]
    for expected in (["list-changed"], []):
        session.feed(True, 4, ask("tools/list", 3))
        assert session.feed(False, 5, tell({}, 3))[0].exchange.evidence.notes == expected
    assert session.counters["mcp_notifications"] == 6
    assert session.counters["mcp_notifications_unplaced"] == 2


def test_a_cancelled_request_comes_out_at_once() -> None:
    session = McpSession("stdio")
    session.feed(True, 1, ask("tools/call", 1, name="a"))
    (found,) = session.feed(True, 5, line(method="notifications/cancelled", params={"requestId": 1, "reason": "bored"}))
    assert (found.start, found.end, found.exchange.evidence.notes) == (1, 5, ["cancelled"])
    assert found.exchange.error is not None
    assert (found.exchange.error.type, found.exchange.error.message) == ("cancelled", "bored")
    assert session.feed(False, 6, tell({}, 1)) == []
    assert session.counters["mcp_answers_without_request"] == 1


def test_what_is_never_answered_comes_out_at_the_end() -> None:
    session = McpSession("stdio")
    session.feed(True, 1, ask("tools/call", 1, name="a"))
    session.feed(True, 2, ask("tools/call", 1, name="b"))
    (found,) = session.close(9)
    assert [call.name for call in found.exchange.gen_ai.tool_calls] == ["b"]
    assert not found.exchange.evidence.complete
    assert found.exchange.evidence.notes == ["no-response"]
    assert (found.start, found.end) == (2, 9)


def test_what_is_pending_is_bounded() -> None:
    session = McpSession("stdio")
    out: list[TimedExchange] = []
    for number in range(MOST_PENDING + 10):
        out += session.feed(True, number, ask("ping", number))
    assert [timed.exchange.evidence.notes for timed in out] == [["pending-evicted"]] * 10
    assert len(session.close(9999)) == MOST_PENDING
    big = [session.feed(True, 1, ask("tools/call", n, arguments={"x": "y" * (1 << 19)})) for n in range(40)]
    assert 5 < sum(map(len, big)) < 15
    assert sum(map(len, big)) + len(session.close(2)) == 40


def test_a_hole_costs_what_was_in_it() -> None:
    session = McpSession("stdio")
    session.feed(
        True, 1, ask("tools/call", 1, name="a") + ask("tools/call", 2, name="b") + ask("tools/call", 3, name="c")
    )
    answers = [tell({"content": [{"type": "text", "text": letter * 9}]}, i) for i, letter in enumerate("abc", 1)]
    session.feed(False, 2, answers[0][: answers[0].index(b"aaaa") + 4])
    (cut,) = session.gap(False)
    assert said(cut.exchange) == [("tool", "a", "aaaa")]
    assert cut.exchange.evidence.gap
    assert session.feed(False, 3, answers[1][30:]) == []  # the rest of a line whose beginning is lost
    (whole,) = session.feed(False, 4, answers[2])
    assert said(whole.exchange) == [("tool", "c", "c" * 9)]
    assert not whole.exchange.evidence.gap
    (lost,) = session.close(5)
    assert [call.name for call in lost.exchange.gen_ai.tool_calls] == ["b"]
    assert lost.exchange.evidence.gap
    assert session.counters["jsonrpc_bytes_lost"] == len(answers[1][30:])


def test_a_hole_of_whole_lines_costs_no_line_behind_it() -> None:
    session = McpSession("stdio")
    session.feed(True, 1, ask("ping", 1) + ask("ping", 2))
    assert session.gap(False) == []
    assert len(session.feed(False, 2, tell({}, 2))) == 1
    framed_session = McpSession("stdio")
    framed_session.feed(True, 1, framed(ask("ping", 1)) + framed(ask("ping", 2)))
    framed_session.feed(False, 2, framed(tell({}, 1))[:30])
    framed_session.gap(False)
    assert len(framed_session.feed(False, 3, b'result": {}}' + framed(tell({}, 2)))) == 1


# -- what is MCP -------------------------------------------------------------------------------------------------------

ACP = {"protocolVersion": 1, "clientCapabilities": {"fs": {}}}
LSP = {"processId": 7, "rootUri": None, "capabilities": {}, "clientInfo": {"name": "editor"}}
HELLO = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "c", "version": "1"}}
SNIFFED: list[tuple[bytes, bool]] = [
    (ask("initialize", **HELLO), True),
    (framed(ask("initialize", **HELLO)), True),
    (ask("initialize", **HELLO)[:-30], True),
    (ask("initialize", **HELLO)[:50], False),
    (ask("initialize", **LSP), False),
    (framed(ask("initialize", **LSP)), False),
    (ask("initialize", **ACP), False),
    (line(id=1, result={"capabilities": {"hoverProvider": True}, "serverInfo": {"name": "clangd"}}), False),
    (line(id=1, result={"protocolVersion": "2024-11-05", "capabilities": {}, "serverInfo": {"name": "s"}}), True),
    (b"npm warn deprecated\nserver on stdio\n" + tell({"tools": [{"name": "t", "inputSchema": {}}]}), True),
    (tell({"content": [TEXT]}), True),
    (tell({"contents": [{"uri": "u", "text": "t"}]}), True),
    (tell({"tools": []}), False),
    (tell({}), False),
    (ask("ping"), False),
    (ask("tools/list"), True),
    (ask("textDocument/hover"), False),
    (ask("session/prompt"), False),
    (ask("tasks/get", 1, id="7"), False),
    (line(method="notifications/initialized"), True),
    (line(method="window/logMessage"), False),
    (json.dumps({"id": 1, "method": "tools/list"}).encode(), False),
    (b'{"seq":1,"type":"request","command":"initialize"}\n', False),
    (b"\x7fELF\x00\x00", False),
    (b"", False),
]


@pytest.mark.parametrize(("data", "expected"), SNIFFED)
def test_sniff(data: bytes, expected: bool) -> None:
    assert sniff(data) is expected


# -- any bytes ---------------------------------------------------------------------------------------------------------

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)
NAMES = ["jsonrpc", "id", "method", "params", "result", "error", "content", "tools", "messages", "_meta", "arguments"]
METHODS = ["tools/call", "tools/list", "initialize", "sampling/createMessage", "prompts/get", "notifications/cancelled"]
FIELDS = st.dictionaries(st.sampled_from(NAMES), JSON | st.sampled_from(METHODS), max_size=5)
MESSAGE = st.builds(
    lambda fields, inner: {"jsonrpc": "2.0", **fields, "params": inner, "result": inner}, FIELDS, FIELDS
)
LINE = MESSAGE.map(lambda value: json.dumps(value).encode() + b"\n") | st.binary(max_size=60)
HEAD = st.sampled_from(
    [b"Content-Length: 9\r\n\r\n", b"content-length:4\r\n", b"\r\n", b"\n", b"[", b'{"jsonrpc":"2.0"']
)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(st.booleans(), LINE | HEAD, st.booleans()), max_size=12), st.integers(1, 7))
def test_any_bytes(said: list[tuple[bool, bytes, bool]], size: int) -> None:
    """Never an exception; nothing comes out twice; the pieces do not matter."""
    whole, split = McpSession("stdio", line=200), McpSession("stdio", line=200)
    out: list[TimedExchange] = []
    pieces: list[TimedExchange] = []
    for side, data, hole in said:
        sniff(data)
        out += whole.feed(side, 1, data)
        for at in range(0, len(data), size):
            pieces += split.feed(side, 1, data[at : at + size])
        if hole:
            out += whole.gap(side)
            pieces += split.gap(side)
    out += whole.close(2)
    pieces += split.close(2)
    assert out == pieces
    assert whole.counters == split.counters
    assert len({id(timed.exchange) for timed in out}) == len(out)
