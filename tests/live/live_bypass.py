"""Ways to send what must not leave: live_bypass.py WAY PORT KIND [ARGUMENT]. Waits for a line on standard input, then tries.

KIND: plain, card or iban (live_mixed.py). Prints a JSON object: result: the statuses of the answers, or the error's name.
needle: what of the forbidden must not be among the bytes that arrive, as text.
"""

from __future__ import annotations

import base64
import ctypes as C
import gzip
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
import zlib
from collections.abc import Callable
from pathlib import Path

import live_libssl

VALUES = {"plain": "no numbers", "card": "4111 1111 1111 1111", "iban": "DE89 3704 0044 0532 0130 00"}
TEXTS = {
    "plain": "The quick brown fox has {}.",
    "card": "Charge it to my card {} please.",
    "iban": "Pay it to the IBAN {} today.",
}


def body(kind: str, value: str = "", filler: str = "") -> bytes:
    content = filler + TEXTS[kind].format(value or VALUES[kind])
    return json.dumps({"model": "gpt-4o", "messages": [{"role": "user", "content": content}]}).encode()


def head(size: int | None, number: int = 1, host: str = "localhost", extra: str = "") -> bytes:
    length = "transfer-encoding: chunked" if size is None else f"content-length: {size}"
    fields = f"host: {host}\r\nx-number: {number}\r\ncontent-type: application/json\r\n{length}\r\n{extra}\r\n"
    return f"POST /v1/chat/completions HTTP/1.1\r\n{fields}".encode()


class Line:
    """A connection over TLS; each `say` is a call of the library's."""

    def __init__(self, port: int, protocols: tuple[str, ...] = ()) -> None:
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        if protocols:
            context.set_alpn_protocols([*protocols])
        self.tls = context.wrap_socket(socket.create_connection(("127.0.0.1", port), timeout=10))

    def say(self, *calls: bytes) -> None:
        for call in calls:
            sent = self.tls.send(call)
            assert sent == len(call)

    def hear(self) -> int:
        """The status of one answer, 0 if there is none."""
        data = b""
        while b"\r\n\r\n" not in data:
            fresh = self.tls.recv(65536)
            if not fresh:
                return 0
            data += fresh
        first, _, rest = data.partition(b"\r\n\r\n")
        left = int(first.lower().partition(b"content-length:")[2].split(b"\r\n")[0]) - len(rest)
        while left > 0:
            left -= len(self.tls.recv(left))
        return int(first.split(b" ")[1])

    def ask(self, *calls: bytes) -> int:
        self.say(*calls)
        return self.hear()


def cut(data: bytes, size: int) -> list[bytes]:
    return [data[at : at + size] for at in range(0, len(data), size)]


def whole(port: int, kind: str) -> list[int]:
    sent = body(kind)
    return [Line(port).ask(head(len(sent)) + sent)]


def in_pieces(size: int, filler: str = "") -> Callable[[int, str], list[int]]:
    def attempt(port: int, kind: str) -> list[int]:
        sent = body(kind, filler=filler)
        return [Line(port).ask(*cut(head(len(sent)) + sent, size))]

    return attempt


def value_in_two(port: int, kind: str) -> list[int]:
    sent = body(kind)
    at = sent.index(VALUES[kind].encode()) + 9
    return [Line(port).ask(head(len(sent)) + sent[:at], sent[at:])]


def chunked(size: int, calls: bool) -> Callable[[int, str], list[int]]:
    def attempt(port: int, kind: str) -> list[int]:
        pieces = [b"%x\r\n%s\r\n" % (len(piece), piece) for piece in cut(body(kind), size)]
        sent = [head(None), *pieces, b"0\r\n\r\n"]
        return [Line(port).ask(*(sent if calls else [b"".join(sent)]))]

    return attempt


def brotli(data: bytes) -> bytes:
    """As one meta-block that is not compressed (RFC 7932 §9.2): WBITS 16, not the last, MLEN - 1 in four nibbles,
    ISUNCOMPRESSED, padding; then the last, which is empty."""
    header = (len(data) - 1) << 4 | 1 << 20
    return header.to_bytes(3, "little") + data + b"\x03"


def encoded(name: str, encode: Callable[[bytes], bytes]) -> Callable[[int, str], list[int]]:
    def attempt(port: int, kind: str) -> list[int]:
        sent = encode(body(kind))
        return [Line(port).ask(head(len(sent), extra=f"content-encoding: {name}\r\n") + sent)]

    return attempt


def in_base64(port: int, kind: str) -> list[int]:
    sent = body("plain", base64.b64encode(TEXTS[kind].format(VALUES[kind]).encode()).decode())
    return [Line(port).ask(head(len(sent)) + sent)]


def escaped_value(kind: str) -> str:
    return "".join(f"\\u{ord(character):04x}" for character in VALUES[kind])


def escaped(port: int, kind: str) -> list[int]:
    sent = body(kind).replace(VALUES[kind].encode(), escaped_value(kind).encode())
    return [Line(port).ask(head(len(sent)) + sent)]


def other_host(port: int, kind: str) -> list[int]:
    sent = body(kind)
    return [Line(port).ask(head(len(sent), host="www.example.org") + sent)]


def two_hosts(port: int, _kind: str, *, together: bool = False) -> list[int]:
    """Two requests on one connection of HTTP/2, the second to a host that is refused."""
    import h2.connection
    import h2.events

    line, talk = Line(port, ("h2",)), h2.connection.H2Connection()
    talk.initiate_connection()
    calls = []
    for stream, host in ((1, "allowed.example"), (3, "denied.example")):
        fields = {":method": "POST", ":scheme": "https", ":authority": host, ":path": "/v1/chat/completions"}
        talk.send_headers(stream, [*fields.items(), ("x-number", str(stream)), ("content-type", "application/json")])
        talk.send_data(stream, body("plain"), end_stream=True)
        calls.append(talk.data_to_send())
    line.say(*([b"".join(calls)] if together else calls[:1]))
    found = two_heard(line, talk)
    return found if together else found + said_and_heard(line, talk, calls[1])


def two_heard(line: Line, talk: object) -> list[int]:
    import h2.events

    while data := line.tls.recv(65536):
        events = talk.receive_data(data)
        if statuses := [int(dict(e.headers)[b":status"]) for e in events if isinstance(e, h2.events.ResponseReceived)]:
            return statuses
    return [0]


def said_and_heard(line: Line, talk: object, call: bytes) -> list[int]:
    try:
        line.say(call)
        return two_heard(line, talk)
    except OSError:
        return [0]


def forked(port: int, kind: str) -> list[int]:
    """The child writes on its parent's connection."""
    line, sent = Line(port), body(kind)
    first = line.ask(head(len(body("plain")), 2) + body("plain"))
    child = os.fork()
    if not child:
        try:
            line.say(head(len(sent)) + sent)
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    line.tls.settimeout(2)
    return [first, line.hear()]


def half_forked(port: int, kind: str) -> list[int]:
    """The parent writes the head and half of the body, its child the rest: for both of them the object is the same."""
    line, sent = Line(port), body(kind)
    at = sent.index(VALUES[kind].encode())
    line.say(head(len(sent)) + sent[:at])
    child = os.fork()
    if not child:
        try:
            line.say(sent[at:])
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    line.tls.settimeout(2)
    return [line.hear()]


def spawned(port: int, kind: str) -> list[int]:
    """By vfork and exec, with its input and output."""
    command = [sys.executable, __file__, "whole", str(port), kind]
    done = subprocess.run(command, input="\n", capture_output=True, text=True, timeout=30)
    return json.loads(done.stdout)["result"]


def threads_meanwhile(port: int, kind: str) -> list[int]:
    """Threads that begin while another is held, and begin more."""
    found: list[int] = []

    def one(number: int) -> None:
        if number < 8:
            again = threading.Thread(target=one, args=(number + 1,))
            again.start()
        sent = body(kind)
        try:
            found.append(Line(port).ask(head(len(sent), number) + sent))
        except OSError:
            found.append(0)
        if number < 8:
            again.join()

    one(1)
    return sorted(found)


def own_library(port: int, kind: str) -> list[int]:
    """Through a libssl from a folder of one's own: `wait` seconds after it was loaded."""
    folder, wait = sys.argv[4].split(":")
    lib = live_libssl.load(f"{folder}/libssl.so.3")
    time.sleep(float(wait))
    pointer, call = C.c_void_p, live_libssl.call
    context = call(lib, "SSL_CTX_new", pointer, pointer)(call(lib, "TLS_client_method", pointer)())
    tls = call(lib, "SSL_new", pointer, pointer)(context)
    sock = socket.create_connection(("127.0.0.1", port))
    call(lib, "SSL_set_fd", C.c_int, pointer, C.c_int)(tls, sock.fileno())
    call(lib, "SSL_ctrl", C.c_long, pointer, C.c_int, C.c_long, C.c_char_p)(tls, 55, 0, b"api.openai.com")  # its name
    assert call(lib, "SSL_connect", C.c_int, pointer)(tls) == 1
    sent = head(len(body(kind))) + body(kind)
    room = C.create_string_buffer(1 << 16)
    written = call(lib, "SSL_write", C.c_int, pointer, C.c_char_p, C.c_int)(tls, sent, len(sent))
    if written != len(sent):
        return [0]
    count = call(lib, "SSL_read", C.c_int, pointer, pointer, C.c_int)(tls, room, len(room))
    return [int(room.raw[:count].split(b" ")[1])] if count > 0 else [0]


def own_signals(port: int, kind: str) -> list[int]:
    """With handlers for the signals that a hold uses; the last numbers are how often they ran, before and after its own."""
    heard: list[int] = []
    numbers = (signal.SIGURG, signal.SIGWINCH, signal.SIGCONT)
    for number in numbers:
        signal.signal(number, lambda number, _frame: heard.append(number))
    line, sent = Line(port), body(kind)
    found = [line.ask(head(len(sent)) + sent) for _ in range(10)]
    before = len(heard)
    for number in numbers:
        os.kill(os.getpid(), number)
        found.append(line.ask(head(len(sent)) + sent))
    return [*found, before, *sorted(heard)]


def many(port: int, kind: str) -> list[int]:
    """A request a line of its input, until that ends."""
    line, sent, found = Line(port), body(kind), []
    for number, _ in enumerate(sys.stdin):
        try:
            found.append(line.ask(head(len(sent), number) + sent))
        except OSError:
            found.append(0)
            line = Line(port)
        print(found[-1], flush=True)
    return found


def in_the_clear(port: int, kind: str, *, file: bool = False) -> list[int]:
    """HTTP without TLS; with `file` its body is sent by the kernel, from a file."""
    sent = body(kind)
    with socket.create_connection(("127.0.0.1", port), timeout=10) as line:
        line.sendall(head(len(sent)) if file else head(len(sent)) + sent)
        if file:
            with (Path(__file__).parent / "body").open("w+b") as stored:
                stored.write(sent)
                stored.flush()
                assert os.sendfile(line.fileno(), stored.fileno(), 0, len(sent)) == len(sent)
        return [int((line.recv(65536) or b"- 0").split(b" ")[1])]


WAYS: dict[str, Callable[[int, str], list[int]]] = {
    "whole": whole,
    "pieces-1": in_pieces(1),
    "pieces-100": in_pieces(100),
    "pieces-16k": in_pieces(16384, "Please read this and answer. " * 2000),
    "value-in-two": value_in_two,
    "chunked": chunked(7, False),
    "chunked-calls": chunked(40, True),
    "gzip": encoded("gzip", lambda data: gzip.compress(data, mtime=0)),
    "deflate": encoded("deflate", zlib.compress),
    "br": encoded("br", brotli),
    "unknown-encoding": encoded("x-own", lambda data: data[::-1]),
    "base64": in_base64,
    "escaped": escaped,
    "other-host": other_host,
    "two-hosts": two_hosts,
    "two-hosts-together": lambda port, kind: two_hosts(port, kind, together=True),
    "forked": forked,
    "half-forked": half_forked,
    "spawned": spawned,
    "threads": threads_meanwhile,
    "own-library": own_library,
    "own-signals": own_signals,
    "many": many,
    "clear": in_the_clear,
    "sendfile": lambda port, kind: in_the_clear(port, kind, file=True),
}


def needle(way: str, kind: str) -> bytes:
    if way in ("gzip", "deflate", "br", "unknown-encoding"):
        encode = {"gzip": lambda data: gzip.compress(data, mtime=0), "deflate": zlib.compress, "br": brotli}
        return encode.get(way, lambda data: data[::-1])(body(kind))
    if way == "base64":
        return base64.b64encode(TEXTS[kind].format(VALUES[kind]).encode())
    return (escaped_value(kind) if way == "escaped" else VALUES[kind]).encode()


def main(way: str, port: str, kind: str, *_: str) -> None:
    sys.stdin.readline()
    try:
        result: object = WAYS[way](int(port), kind)
    except (OSError, AssertionError) as error:
        result = type(error).__name__
    print(json.dumps({"result": result, "needle": needle(way, kind).decode("latin-1")}), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
