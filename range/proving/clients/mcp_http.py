"""The `mcp` SDK over streamable HTTP, with a server on loopback that it starts."""

import asyncio
import json
import socket
import subprocess
import sys
import time
from pathlib import Path

from _common import Truth, arguments, marker, prompt

options = arguments("mcp_http")

from mcp import ClientSession  # noqa: E402
from mcp.client.streamable_http import streamable_http_client  # noqa: E402

truth = Truth(options)
SERVER = str(Path(__file__).with_name("_mcp_server.py"))


async def main(port: int) -> None:
    async with (
        streamable_http_client(f"http://127.0.0.1:{port}/mcp") as streams,
        ClientSession(*streams[:2]) as session,
    ):
        await session.initialize()
        await session.list_tools()
        for counter in range(options.n):
            mark = marker(options, 0, counter)
            given = {"text": prompt(mark)}
            with truth.exchange("mcp", 0, counter, mark, {"model": "", "tool": "echo", "arguments": given}) as record:
                answer = await session.call_tool("echo", given)
                record["text"] = "".join(getattr(part, "text", "") for part in answer.content)
                record["tool_calls"] = [{"name": "echo", "arguments": json.dumps(given)}]


with socket.socket() as free:
    free.bind(("127.0.0.1", 0))
    port = free.getsockname()[1]
process = subprocess.Popen([sys.executable, SERVER, "http", str(port)], stderr=subprocess.DEVNULL)
try:
    for _ in range(200):
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            break
        except OSError:
            time.sleep(0.05)
    asyncio.run(main(port))
finally:
    process.terminate()
    process.wait(10)
