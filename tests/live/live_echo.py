"""A small AI server over TLS or in the clear, and clients, for the kernel tests: answers are functions of the request.

Run as a program: `live_echo.py PORT [CERT KEY]`; prints "ready".
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import ssl
import sys


def answer(prompt: str) -> str:
    """What the server says to `prompt`: longer than it, with characters beyond ASCII."""
    return f"«{prompt[::-1]}» – {hashlib.sha256(prompt.encode()).hexdigest()} ✓"


def _usage(prompt: str) -> dict[str, int]:
    return {"prompt_tokens": len(prompt), "completion_tokens": len(answer(prompt)), "total_tokens": 0}


def _whole(model: str, prompt: str) -> bytes:
    message = {"role": "assistant", "content": answer(prompt)}
    body = {"id": "chatcmpl-x", "object": "chat.completion", "model": model, "usage": _usage(prompt)}
    body["choices"] = [{"index": 0, "message": message, "finish_reason": "stop"}]
    text = json.dumps(body, ensure_ascii=False).encode()
    return b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%s" % (len(text), text)


def _pieces(model: str, prompt: str) -> list[bytes]:
    text = answer(prompt)
    base = {"id": "chatcmpl-x", "object": "chat.completion.chunk", "model": model}
    out = []
    for at in range(0, len(text), 12):
        choice = {"index": 0, "delta": {"content": text[at : at + 12]}, "finish_reason": None}
        out.append(base | {"choices": [choice]})
    out.append(base | {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
    out.append(base | {"choices": [], "usage": _usage(prompt)})
    events = [b"data: " + json.dumps(o, ensure_ascii=False).encode() + b"\n\n" for o in out] + [b"data: [DONE]\n\n"]
    return [b"%x\r\n%s\r\n" % (len(e), e) for e in events] + [b"0\r\n\r\n"]


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """One connection, kept alive."""
    try:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            fields = dict(line.split(": ", 1) for line in head.decode().lower().split("\r\n")[1:] if ": " in line)
            asked = json.loads(await reader.readexactly(int(fields["content-length"])))
            prompt = asked["messages"][-1]["content"]
            if not asked.get("stream"):
                writer.write(_whole(asked["model"], prompt))
                await writer.drain()
                continue
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
            for piece in _pieces(asked["model"], prompt):
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(0)
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()


async def main(port: int, certificate: str, key: str) -> None:
    context = None
    if certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
    server = await asyncio.start_server(serve, "127.0.0.1", port, ssl=context, limit=1 << 21, backlog=256)
    print("ready", server.sockets[0].getsockname()[1], flush=True)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), *(sys.argv[2:4] or ["", ""])))
