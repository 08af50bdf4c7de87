"""An MCP server with tools of several kinds: over standard input and output, or `http PORT` (streamable HTTP)."""

import sys

from mcp.server.mcpserver import Image, MCPServer

server = MCPServer("range")


@server.tool()
def echo(text: str) -> str:
    """Gives the text back, reversed — «naïve».

    text: what to give back
    """
    return f"{text[::-1]} {text}"


@server.tool()
def picture() -> Image:
    """An image of one pixel."""
    return Image(data=b"\x89PNG\r\n\x1a\n" + bytes(32), format="png")


@server.tool()
def fail(text: str) -> str:
    """Fails, and says so."""
    raise ValueError(f"no: {text}")


@server.resource("range://notes")
def notes() -> str:
    """Notes."""
    return "notes ünï"


if len(sys.argv) > 2 and sys.argv[1] == "http":
    server.run("streamable-http", host="127.0.0.1", port=int(sys.argv[2]))
else:
    server.run()
