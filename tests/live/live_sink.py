"""A server of HTTP/1.1 and HTTP/2, over TLS or in the clear, that keeps all that reached it: live_sink.py [CERTIFICATE KEY].

It answers as OpenAI's or Anthropic's API do (by the path; as a stream if asked so), listens on a port of its own choice, which it
prints, and on end of its standard input prints a JSON object. bodies: a request's number (header x-number) → the body's bytes as
text. whole: numbers of the requests that came to their end. hosts: a request's number → the host it asked for. total: bytes of
all bodies. bytes: all plaintext.
"""

import json
import socket
import ssl
import sys
import threading

import h2.config
import h2.connection
import h2.events
import h2.exceptions

OPENAI = {
    "id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "gpt-4o",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "ok"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
}  # fmt: skip
ANTHROPIC = {
    "id": "msg_1", "type": "message", "role": "assistant", "model": "claude-sonnet-4", "stop_reason": "end_turn",
    "stop_sequence": None, "content": [{"type": "text", "text": "ok"}], "usage": {"input_tokens": 1, "output_tokens": 1},
}  # fmt: skip
CHUNK = {
    "id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "gpt-4o",
    "choices": [{"index": 0, "delta": {"role": "assistant", "content": "ok"}, "finish_reason": "stop"}],
}  # fmt: skip
seen: dict = {"bodies": {}, "whole": [], "hosts": {}, "bytes": ""}
lock = threading.Lock()


def begun(headers: dict[str, str]) -> str:
    """Notes a request's head; its number."""
    number = headers.get("x-number", "")
    with lock:
        seen["bodies"].setdefault(number, "")
        seen["hosts"][number] = headers.get("host") or headers.get(":authority", "")
    return number


def more(number: str, data: bytes) -> None:
    with lock:
        seen["bodies"][number] += data.decode("latin-1")


def answer(number: str, path: str) -> tuple[str, bytes]:
    """Type and body of the answer to a request that came to its end."""
    with lock:
        seen["whole"].append(number)
        body = seen["bodies"][number].replace(" ", "")
    if path.startswith("/v1/messages"):
        return "application/json", json.dumps(ANTHROPIC).encode()
    if '"stream":true' in body:
        return "text/event-stream", b"data: %s\n\ndata: [DONE]\n\n" % json.dumps(CHUNK).encode()
    return "application/json", json.dumps(OPENAI).encode()


class Reader:
    """A connection's bytes, all of which are noted."""

    def __init__(self, end: socket.socket) -> None:
        self._end = end
        self.left = b""

    def read(self) -> bytes:
        """What is there next; b"" at the end."""
        if self.left:
            data, self.left = self.left, b""
            return data
        data = self._end.recv(65536)
        with lock:
            seen["bytes"] += data.decode("latin-1")
        return data

    def until(self, mark: bytes) -> bytes:
        """Up to and without `mark`. EOFError at the end."""
        data = b""
        while mark not in data:
            if not (fresh := self.read()):
                raise EOFError
            data += fresh
        data, _, self.left = data.partition(mark)
        return data


def length_read(reader: Reader, number: str, left: int) -> None:
    while left:
        data = reader.read()
        if not data:
            raise EOFError
        reader.left = data[left:]
        more(number, data[:left])
        left -= len(data[:left])


def one(end: socket.socket) -> None:
    """HTTP/1.1."""
    reader = Reader(end)
    while True:
        first, *lines = reader.until(b"\r\n\r\n").decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        number = begun(headers)
        if "chunked" in headers.get("transfer-encoding", ""):
            while size := int(reader.until(b"\r\n").split(b";")[0], 16):
                length_read(reader, number, size)
                reader.until(b"\r\n")
            reader.until(b"\r\n")
        else:
            length_read(reader, number, int(headers.get("content-length") or 0))
        kind, body = answer(number, first.split(" ")[1])
        end.sendall(
            b"HTTP/1.1 200 OK\r\ncontent-type: %s\r\ncontent-length: %d\r\n\r\n%s" % (kind.encode(), len(body), body)
        )


def two(end: socket.socket) -> None:
    """HTTP/2."""
    reader = Reader(end)
    connection = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False, header_encoding="utf-8"))
    connection.initiate_connection()
    end.sendall(connection.data_to_send())
    streams: dict[int, tuple[str, str]] = {}
    while data := reader.read():
        for event in connection.receive_data(data):
            match event:
                case h2.events.RequestReceived(stream_id=stream, headers=headers):
                    named = dict(headers)
                    streams[stream] = begun(named), named[":path"]
                case h2.events.DataReceived(stream_id=stream, data=piece, flow_controlled_length=size):
                    more(streams[stream][0], piece)
                    connection.acknowledge_received_data(size, stream)
                case h2.events.StreamEnded(stream_id=stream):
                    kind, body = answer(*streams[stream])
                    fields = [(":status", "200"), ("content-type", kind), ("content-length", str(len(body)))]
                    connection.send_headers(stream, fields)
                    connection.send_data(stream, body, end_stream=True)
        end.sendall(connection.data_to_send())


def served(end: socket.socket, context: ssl.SSLContext | None) -> None:
    try:
        if context is not None:
            end = context.wrap_socket(end, server_side=True)
        (two if context is not None and end.selected_alpn_protocol() == "h2" else one)(end)
    except (OSError, EOFError, h2.exceptions.ProtocolError):
        end.close()  # its client is gone: what it sent is noted


def main(*certificate: str) -> None:
    context = None
    if certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*certificate)
        context.set_alpn_protocols(["h2", "http/1.1"])
    listener = socket.create_server(("127.0.0.1", 0), backlog=256)

    def accept() -> None:
        while True:
            end, _ = listener.accept()
            threading.Thread(target=served, args=(end, context), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    print(listener.getsockname()[1], flush=True)
    sys.stdin.read()
    with lock:
        print(json.dumps(seen | {"total": sum(map(len, seen["bodies"].values()))}), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
