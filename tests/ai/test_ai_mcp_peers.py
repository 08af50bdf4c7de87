"""What real peers say (the mcp and a2a-sdk packages), as recorded once (tests/ai/recorded: mcp 2.3.0, a2a-sdk 1.3.0) and live."""

from __future__ import annotations

import base64
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from leeward.ai.a2a import A2aHttp
from leeward.ai.mcp_http import McpHttp
from leeward.ai.mcp_session import McpSession, sniff
from leeward.model.exchange import TimedExchange
from leeward.wire.http1 import ExchangeDone, Http1Connection, Interest, Limits

HERE = Path(__file__).parent
PYTHON = HERE.parents[1] / ".venv-range" / "bin" / "python"
PIECE = tuple[int, bool, int, bytes]
MCP_MODES = ("stdio", "http", "stateless", "sse")
A2A_MODES = ("JSONRPC-0.3", "JSONRPC-1.0", "HTTP+JSON-0.3", "HTTP+JSON-1.0")
PNG = b"\x89PNG\r\n\x1a\nrest"


def pieces(path: Path) -> list[PIECE]:
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    return [(connection, to_server, ts, base64.b64decode(data)) for connection, to_server, ts, data in rows]


def record(module: str, path: Path, *words: str) -> list[PIECE]:
    package = module.removesuffix("_peers.py")
    if not list(PYTHON.parents[1].glob(f"lib/python3*/site-packages/{package}/__init__.py")):
        pytest.skip(f"no {package} in .venv-range")
    done = subprocess.run([PYTHON, HERE / module, *words, path], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr[-2000:]
    return pieces(path)


def http(seen: list[PIECE], decoder: Any, size: int = 1 << 20) -> list[TimedExchange]:
    """What the decoder finds in recorded connections; every request must be recognised from its head."""
    connections: dict[int, Http1Connection] = {}
    out: list[TimedExchange] = []

    def take(events: Any) -> None:
        for event in events:
            if isinstance(event, ExchangeDone) and event.request is not None:
                out.extend(decoder.exchange(event.request, event.response) or ())

    def wanted(request: Any) -> Interest:
        assert decoder.recognises(request), request.target
        return Interest.FULL

    for number, to_server, ts, data in seen:
        connection = connections.setdefault(number, Http1Connection(Limits(), wanted))
        for at in range(0, len(data), size):
            take(connection.feed(to_server, ts, data[at : at + size]))
    for connection in connections.values():
        take(connection.close(seen[-1][2]))
    return out


def stdio(seen: list[PIECE], size: int = 1 << 20) -> tuple[McpSession, list[TimedExchange]]:
    session = McpSession("stdio")
    out: list[TimedExchange] = []
    for _, to_server, ts, data in seen:
        for at in range(0, len(data), size):
            out += session.feed(to_server, ts, data[at : at + size])
    return session, out + session.close(seen[-1][2])


@pytest.mark.parametrize("source", ["recorded", "live"])
@pytest.mark.parametrize("mode", MCP_MODES)
def test_a_real_mcp_session(mode: str, source: str, tmp_path: Path) -> None:
    if source == "recorded":
        seen = pieces(HERE / "recorded" / f"mcp-{mode}.jsonl")
    else:
        seen = record("mcp_peers.py", tmp_path / "seen", mode)
    if mode == "stdio":
        session, found = stdio(seen)
        for side in (True, False):
            assert sniff(b"".join(data for _, to_server, _, data in seen if to_server is side)[:700])
        counters = session.counters
    else:
        decoder = McpHttp()
        found = http(seen, decoder) + decoder.close(seen[-1][2])
        counters = decoder.counters
    # list_changed or initialized belong to no request; nothing else may be left over.
    unplaced = set(counters) - {"mcp_notifications", "mcp_notifications_unplaced", "mcp_streams_refused", "mcp_not_mcp"}
    assert not unplaced, counters
    check_mcp(mode, found)


def check_mcp(mode: str, found: list[TimedExchange]) -> None:
    api = "mcp.sse" if mode == "sse" else "mcp.stdio" if mode == "stdio" else "mcp.http"
    operations = [timed.exchange.gen_ai.operation for timed in found]
    expected = ["list_tools", *["execute_tool"] * 4, "list_resources", "read_resource", "list_prompts", "get_prompt"]
    expected.append("read_resource")
    if mode != "stateless":
        expected = ["initialize", *expected[:5], "sampling", "execute_tool", *expected[5:]]
    expected += ["delete_session"] if mode == "http" else []
    assert operations == expected
    for timed in found:
        assert timed.exchange.gen_ai.provider == "mcp"
        assert timed.exchange.gen_ai.api == api
        assert timed.exchange.evidence.complete
        assert not timed.exchange.evidence.truncated
        assert 0 < timed.end - timed.start < 20 * 10**9
        assert timed.exchange.gen_ai.request_parameters["client"] == "tester"
    by_tool = {call.name: timed.exchange for timed in found for call in timed.exchange.gen_ai.tool_calls}
    added = by_tool["add"].gen_ai
    assert added.tool_calls[0].arguments == '{"a":2,"b":3}'
    assert [(m.role, m.name, m.content) for m in added.output] == [("tool", "add", "5")]
    assert added.output[0].tool_call_id == added.tool_calls[0].id != ""
    assert by_tool["picture"].gen_ai.output[0].parts[0]["size"] == len(PNG)
    assert by_tool["picture"].gen_ai.output[0].parts[0]["media_type"] == "image/png"
    assert by_tool["fails"].error is not None
    assert by_tool["fails"].error.type == "tool_error"
    assert by_tool["slow"].evidence.notes == ["notification:progress"]
    tools = found[operations.index("list_tools")].exchange.gen_ai
    assert tools.tools[0].description == "Add two numbers. é"
    assert tools.tools[0].parameters["properties"]["a"]["type"] == "integer"
    assert tools.request_parameters["tool_details"]["add"]["annotations"] == {"readOnlyHint": True}
    read = [timed.exchange for timed in found if timed.exchange.gen_ai.operation == "read_resource"]
    assert read[0].gen_ai.output[0].content == "low water 04:12"
    assert read[1].error is not None
    assert read[1].error.message == "Unknown resource: note://none"
    if mode == "stateless":
        assert added.request_parameters["protocol_version"] == "2026-07-28"
        return
    assert found[0].exchange.gen_ai.output[0].content == "Ask for the tide first."
    assert by_tool["think"].gen_ai.output[0].content == "the model says 42"
    sampled = found[operations.index("sampling")].exchange.gen_ai
    assert [(m.role, m.content) for m in sampled.input + sampled.output] == [("user", "life?"), ("assistant", "42")]
    assert (sampled.response_model, sampled.finish_reasons, sampled.request_model) == ("m-1", ["endTurn"], "")


def test_byte_by_byte_is_as_at_once() -> None:
    seen = pieces(HERE / "recorded" / "mcp-stdio.jsonl")
    assert stdio(seen, 1)[1] == stdio(seen)[1]


@pytest.mark.parametrize("source", ["recorded", "live"])
@pytest.mark.parametrize("mode", A2A_MODES)
def test_a_real_agent(mode: str, source: str, tmp_path: Path) -> None:
    if source == "recorded":
        seen = pieces(HERE / "recorded" / f"a2a-{mode}.jsonl")
    else:
        seen = record("a2a_peers.py", tmp_path / "seen", *mode.rsplit("-", 1))
    decoder = A2aHttp()
    found = http(seen, decoder)
    assert not decoder.counters
    exchanges = [timed.exchange for timed in found]
    operations = ["get_agent_card", "invoke_agent", "get_task", "get_task"]
    assert [x.gen_ai.operation for x in exchanges] == operations * 2
    assert [x.gen_ai.stream for x in exchanges] == [False] * 5 + [True, False, False]
    for card, invoked, task, missing in (exchanges[:4], exchanges[4:]):
        assert [tool.name for tool in card.gen_ai.tools] == ["Tide table"]
        assert card.gen_ai.output[0].content == "Knows the tides."
        assert (card.gen_ai.api, card.gen_ai.request_parameters["agent"]) == ("a2a.card", "Tides")
        assert [(m.role, m.content) for m in invoked.gen_ai.input] == [("user", 'When is it low?{"port":"Ayr"}')]
        for answer in (invoked, task):
            said = [m.content.replace('": "', '":"') for m in answer.gen_ai.output]
            assert said == ["Looking.", "Done.", 'low water{"at":"04:12"}']
            assert answer.gen_ai.output[2].parts[0]["media_type"] == "application/pdf"
            assert answer.gen_ai.finish_reasons == ["completed"]
            assert answer.evidence.complete
            assert not answer.evidence.notes
        assert invoked.gen_ai.response_id == task.gen_ai.request_parameters["task_id"]
        assert missing.error is not None
        assert missing.error.message == "Task not found"


def test_neither_protocol_is_taken_for_the_other() -> None:
    for mode in MCP_MODES[1:]:
        assert not http_loose(pieces(HERE / "recorded" / f"mcp-{mode}.jsonl"), A2aHttp())
    for mode in A2A_MODES:
        assert not http_loose(pieces(HERE / "recorded" / f"a2a-{mode}.jsonl"), McpHttp())


def http_loose(seen: list[PIECE], decoder: Any) -> list[TimedExchange]:
    """As `http`, whatever the decoder makes of the heads."""
    decoder.recognises = lambda _request: True
    return http(seen, decoder)
