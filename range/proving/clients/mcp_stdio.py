"""The `mcp` SDK: a client that starts a server of its own and speaks with it over standard input and output."""

import asyncio
import json
import sys
from pathlib import Path

from _common import Truth, arguments, marker, prompt

options = arguments("mcp_stdio")

from mcp import ClientSession, StdioServerParameters  # noqa: E402
from mcp.client.stdio import stdio_client  # noqa: E402

truth = Truth(options)
SERVER = str(Path(__file__).with_name("_mcp_server.py"))


async def call(session: ClientSession, counter: int, tool: str, given: dict, mark: str) -> None:
    with truth.exchange("mcp", 0, counter, mark, {"model": "", "tool": tool, "arguments": given}) as record:
        answer = await session.call_tool(tool, given)
        record["text"] = "".join(getattr(part, "text", "") for part in answer.content)
        record["tool_calls"] = [{"name": tool, "arguments": json.dumps(given)}]
        record["error"] = "tool_error" if answer.is_error else ""


async def main() -> None:
    async with (
        stdio_client(StdioServerParameters(command=sys.executable, args=[SERVER])) as (read, write),
        ClientSession(read, write) as session,
    ):
        await session.initialize()
        await session.list_tools()
        for counter in range(options.n):
            mark = marker(options, 0, counter)
            await call(session, counter, "echo", {"text": prompt(mark)}, mark)
            await call(session, counter, "fail", {"text": mark}, mark)


asyncio.run(main())
