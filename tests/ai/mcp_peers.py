"""Real MCP peers, run by .venv-range's Python: `mcp_peers.py MODE RECORD`. MODE: stdio, http, stateless or sse.

A client talks to a server through a recorder, which writes a JSON line for each piece: connection, to_server, Unix ns, base64.
"""

import asyncio
import base64
import json
import os
import subprocess
import sys
import threading
import time
import warnings
from pathlib import Path
from typing import Any

warnings.simplefilter("ignore")
HERE = Path(__file__).resolve()


class Record:
    def __init__(self, path: str) -> None:
        self.file = open(path, "a", encoding="ascii")  # noqa: SIM115  open as long as the process lives
        self.lock = threading.Lock()

    def __call__(self, connection: int, to_server: bool, data: bytes) -> None:
        with self.lock:
            line = [connection, to_server, time.time_ns(), base64.b64encode(data).decode()]
            self.file.write(json.dumps(line) + "\n")
            self.file.flush()


def server() -> Any:
    from mcp.server.mcpserver import Context, Image, MCPServer
    from mcp_types import SamplingMessage, TextContent, ToolAnnotations

    app = MCPServer("harbour", version="1.2.3", instructions="Ask for the tide first.")

    @app.tool(description="Add two numbers. é", annotations=ToolAnnotations(readOnlyHint=True))
    def add(a: int, b: int) -> int:
        return a + b

    @app.tool()
    def picture() -> Image:
        return Image(data=b"\x89PNG\r\n\x1a\nrest", format="png")

    @app.tool()
    def fails() -> str:
        raise ValueError("the tide is out")

    @app.tool()
    async def slow(ctx: Context) -> str:
        await ctx.report_progress(1, 2)
        return "done"

    @app.tool()
    async def think(question: str, ctx: Context) -> str:
        asked = [SamplingMessage(role="user", content=TextContent(text=question))]
        said = await ctx.session.create_message(messages=asked, max_tokens=9, related_request_id=ctx.request_id)
        return f"the model says {said.content.text}"

    @app.resource("note://one", description="A note")
    def note() -> str:
        return "low water 04:12"

    @app.prompt(description="Greets")
    def greet(name: str) -> str:
        return f"Say hello to {name}"

    return app


async def talk(transport: Any, mode: str) -> None:
    from mcp import Client
    from mcp_types import CreateMessageResult, Implementation, TextContent

    async def sample(context: Any, params: Any) -> CreateMessageResult:
        return CreateMessageResult(role="assistant", content=TextContent(text="42"), model="m-1", stopReason="endTurn")

    connect = "2026-07-28" if mode == "stateless" else "legacy"
    info = Implementation(name="tester", version="0.1")
    async with Client(transport, mode=connect, client_info=info, sampling_callback=sample) as client:
        await client.list_tools()
        await client.call_tool("add", {"a": 2, "b": 3})
        await client.call_tool("picture", {})
        await client.call_tool("fails", {})
        await client.call_tool("slow", {}, progress_callback=_ignore)
        if mode in ("stdio", "http", "sse"):
            await client.call_tool("think", {"question": "life?"})
        await client.list_resources()
        await client.read_resource("note://one")
        await client.list_prompts()
        await client.get_prompt("greet", {"name": "Ada"})
        try:
            await client.read_resource("note://none")
        except Exception as error:
            print("refused:", error)


async def _ignore(*_: Any) -> None:
    return None


def tee(path: str) -> int:
    """Runs the stdio server between two recorded pipes."""
    record = Record(path)
    child = subprocess.Popen([sys.executable, str(HERE), "serve"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert child.stdin
    assert child.stdout

    def back() -> None:
        while data := os.read(child.stdout.fileno(), 65536):
            record(0, False, data)
            os.write(1, data)

    reader = threading.Thread(target=back)
    reader.start()
    while data := os.read(0, 65536):
        record(0, True, data)
        child.stdin.write(data)
        child.stdin.flush()
    child.stdin.close()
    reader.join()
    return child.wait()


async def relay(record: Record, port: int) -> asyncio.Server:
    """Listens on a free port and passes everything on to `port`."""
    count = iter(range(10**6))

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        number = next(count)
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", port)

        async def pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter, to_server: bool) -> None:
            try:
                while data := await source.read(65536):
                    record(number, to_server, data)
                    sink.write(data)
                    await sink.drain()
            except ConnectionError:
                print("connection", number, "reset")
            finally:
                sink.close()

        await asyncio.gather(pump(reader, far_writer, True), pump(far_reader, writer, False))

    return await asyncio.start_server(connected, "127.0.0.1", 0)


async def serve_app(app: Any) -> tuple[Any, asyncio.Task[Any], int]:
    import uvicorn

    config = uvicorn.Config(app, host="127.0.0.1", port=0, log_level="error", lifespan="auto")
    running = uvicorn.Server(config)
    task = asyncio.create_task(running.serve())
    while not running.started:
        await asyncio.sleep(0.01)
    return running, task, running.servers[0].sockets[0].getsockname()[1]


async def over_http(mode: str, path: str) -> None:
    from mcp.client.sse import sse_client
    from mcp.client.streamable_http import streamable_http_client

    app = server().sse_app() if mode == "sse" else server().streamable_http_app()
    running, task, port = await serve_app(app)
    proxy = await relay(Record(path), port)
    seen = proxy.sockets[0].getsockname()[1]
    if mode == "sse":
        await talk(sse_client(f"http://127.0.0.1:{seen}/sse"), mode)
    else:
        await talk(streamable_http_client(f"http://127.0.0.1:{seen}/mcp"), mode)
    running.should_exit = True
    await task
    proxy.close()


async def over_stdio(path: str) -> None:
    from mcp.client.stdio import StdioServerParameters, stdio_client

    parameters = StdioServerParameters(command=sys.executable, args=[str(HERE), "tee", path])
    await talk(stdio_client(parameters), "stdio")


def main(mode: str, path: str = "") -> int:
    if mode == "serve":
        server().run("stdio")
        return 0
    if mode == "tee":
        return tee(path)
    asyncio.run(over_stdio(path) if mode == "stdio" else over_http(mode, path))
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
