"""WebSocket, with a library: gateway_session.py serve (prints its port, then what it hears), or gateway_session.py URL TEXT ...
(prints each answer, and at last how it ended)."""

import json
import sys

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect
from websockets.sync.server import ServerConnection, serve


def say(**what: object) -> None:
    print(json.dumps(what), flush=True)


def hear(connection: ServerConnection) -> None:
    assert connection.request is not None
    say(offered=connection.request.headers.get("Sec-WebSocket-Extensions"), path=connection.request.path)
    for message in connection:
        say(heard=message)
        connection.send(json.dumps({"type": "response.output_text.delta", "delta": "ok"}))


def main(arguments: list[str]) -> None:
    if arguments == ["serve"]:
        with serve(hear, "127.0.0.5", 0) as server:
            say(port=server.socket.getsockname()[1])
            server.serve_forever()
    url, *texts = arguments
    with connect(url, proxy=None) as connection:
        try:
            for text in texts:
                connection.send(json.dumps({"type": "conversation.item.create", "item": {"text": text}}))
                say(answer=json.loads(connection.recv())["delta"])
        except ConnectionClosed:
            say(closed=True)


if __name__ == "__main__":
    main(sys.argv[1:])
