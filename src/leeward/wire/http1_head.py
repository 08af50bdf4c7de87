"""HTTP/1 heads: what one says, and how the body after it is delimited (RFC 9112).

Invariants: pure functions of the head's bytes; never raise. A head is read by llhttp; what llhttp refuses is read
forgivingly here, because the peer may have accepted it. Its `anomalies` then hold "odd-head", and what is odd by name
if that is known.
"""

from __future__ import annotations

import enum
import re

import httptools
import msgspec

from leeward.model.message import Message

METHOD = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,32}\Z")
_VERSION = re.compile(rb"[ \t](?i:HTTP)/(\d\.\d)\Z")
STATUS_LINE = re.compile(
    rb"(?i:HTTP)/(\d\.\d)[ \t]++(\d{3})(?:[ \t]([^\r\n]*+))?\r?\n"
)  # possessive: linear on any input
_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+\Z")  # RFC 9110 §5.6.2
_DIGITS = re.compile(r"[0-9]+\Z", re.ASCII)
_LARGEST = (1 << 63) - 1  # a length beyond this overflows a signed 64-bit counter somewhere on the way
_FIELDS = 1024  # fields kept of one head; llhttp has no bound, Apache's is 100


class Framing(enum.Enum):
    """How a body is delimited. LOST: it cannot be known (and no two recipients need agree)."""

    NONE = enum.auto()
    LENGTH = enum.auto()
    CHUNKED = enum.auto()
    CLOSE = enum.auto()
    TUNNEL = enum.auto()
    LOST = enum.auto()


class Body(msgspec.Struct, frozen=True):
    """What a head says of the body. length: for LENGTH. codings: to be undone, in the order they were applied."""

    framing: Framing
    length: int = 0
    codings: tuple[str, ...] = ()


NO_BODY = Body(Framing.NONE)


# -- what it says ----------------------------------------------------------------------------------------------------


def request_line(data: bytes | bytearray) -> tuple[str, str, str] | None:
    """(method, target, version) of the line that `data` begins with, None if it is no request line. HTTP/0.9 is not
    one: without a version, any two words would be."""
    line = bytes(data[: data.index(b"\n")]).rstrip(b"\r \t")
    version = _VERSION.search(line, max(0, len(line) - 9))
    method, _, target = line[: len(line) - 9].replace(b"\t", b" ").partition(b" ")
    if version is None or not METHOD.match(method) or b"\r" in target:
        return None
    return method.decode("latin-1"), target.strip(b" ").decode("latin-1"), version[1].decode("latin-1")


def whole_lines(data: bytes) -> bytes:
    """A head that was cut, as one: its whole lines, and the empty one. A whole head as it is, without what follows it."""
    end = data.find(b"\r\n\r\n")
    return data[: end + 4] if end >= 0 else data[: data.rfind(b"\n") + 1] + b"\r\n"


class _Callbacks:
    """What llhttp tells."""

    __slots__ = ("fields", "text", "whole")

    def __init__(self) -> None:
        self.fields: list[tuple[str, str]] = []
        self.text = b""
        self.whole = False

    def on_url(self, part: bytes) -> None:
        self.text += part

    on_status = on_url

    def on_header(self, name: bytes, value: bytes) -> None:
        # llhttp trims blanks before a value, not always after
        self.fields.append((name.decode("latin-1").lower(), value.decode("latin-1").strip(" \t")))

    def on_headers_complete(self) -> None:
        self.whole = True


def read_request(head: bytes, index: int, start: int) -> Message | None:
    """The request that `head` (up to and with its empty line) is; None if its first line is not a request line."""
    told = _Callbacks()
    parser = httptools.HttpRequestParser(told)
    message = Message(index=index, start=start)
    if _strict(parser, told, head):
        message.method, message.target = parser.get_method().decode("latin-1"), told.text.decode("latin-1")
        message.version, message.headers = parser.get_http_version(), told.fields
        return message
    line = request_line(head)
    if line is None:
        return None
    message.method, message.target, message.version = line
    _forgiving(head, head.index(b"\n") + 1, message)
    return message


def read_response(head: bytes, index: int, start: int) -> Message | None:
    """The response that `head` is; None if its first line is not a status line."""
    told = _Callbacks()
    parser = httptools.HttpResponseParser(told)
    message = Message(index=index, start=start)
    if _strict(parser, told, head):
        message.status, message.reason = parser.get_status_code(), told.text.decode("latin-1")
        message.version, message.headers = parser.get_http_version(), told.fields
        return message
    line = STATUS_LINE.match(head)
    if line is None:
        return None
    version, status, reason = line.groups()
    message.version, message.status = version.decode("latin-1"), int(status)
    message.reason = (reason or b"").decode("latin-1")
    _forgiving(head, line.end(), message)
    return message


def _strict(parser: httptools.HttpRequestParser | httptools.HttpResponseParser, told: _Callbacks, head: bytes) -> bool:
    """Does llhttp, as strict as it can be, take the head? A new parser a head: one that refused is of no more use, and
    none can be told that a response has no body."""
    if b"\n " in head or b"\n\t" in head:
        return False
    try:
        parser.feed_data(head)
    except httptools.HttpParserUpgrade:
        return told.whole
    except httptools.HttpParserError:
        return False
    return told.whole and len(told.fields) <= _FIELDS


def _forgiving(head: bytes, position: int, message: Message) -> None:
    """Reads the fields as a careless recipient would, and names what is odd about them."""
    odd = message.anomalies
    text = head[position:].decode("latin-1")
    if "\n" in text.replace("\r\n", ""):
        odd.append("bare-lf")
    if "\0" in text:
        odd.append("nul-in-header")
    fields: list[tuple[str, str]] = []
    for line in text.split("\n"):
        line = line.rstrip("\r")
        if line[:1] in (" ", "\t") and fields:
            # RFC 9112 §5.2: "replace each received obs-fold with one or more SP octets"
            _note(odd, "obs-fold")
            name, value = fields[-1]
            fields[-1] = (name, f"{value} {line.strip(' ' + chr(9))}")
            continue
        if not line:
            continue
        if len(fields) == _FIELDS:
            _note(odd, "header-limit")
            message.truncated = True
            break
        name, colon, value = line.partition(":")
        if name.rstrip(" \t") != name and colon:
            # RFC 9112 §5.1: "No whitespace is allowed between the field name and colon"
            _note(odd, "space-before-colon")
            name = name.rstrip(" \t")
        if not colon or not _TOKEN.match(name):
            _note(odd, "bad-header-line")
        fields.append((name.lower(), value.strip(" \t")))
    message.headers = fields
    odd.append("odd-head")


def _note(anomalies: list[str], name: str) -> None:
    if name not in anomalies:
        anomalies.append(name)


# -- how the body is delimited (RFC 9112 §6.3) -----------------------------------------------------------------------


def request_body(message: Message) -> Body:
    """The body after this request's head."""
    lengths, transfer, content = _relevant(message)
    if transfer:
        body = _transfer(message, transfer, content, lengths)
        if body.framing is Framing.CHUNKED or not lengths:
            return body
        # "a request that has [...] chunked not the final encoding [...] cannot be determined reliably"
    if not lengths:
        # "If this is a request message and none of the above are true, then the message body length is zero"
        return NO_BODY
    length = _length(message, lengths)
    if length is None:
        return Body(Framing.LOST)
    return Body(Framing.LENGTH, length, content) if length else NO_BODY


def response_body(message: Message, method: str) -> Body:
    """The body after this response's head; `method`: of its request."""
    status = message.status
    if status < 200 or status in (204, 304) or method == "HEAD":
        # "Any response to a HEAD request and any response with a 1xx, 204 or 304 status code is always terminated by
        # the first empty line after the header fields, regardless of the header fields present"
        return NO_BODY
    if method == "CONNECT" and status < 300:
        # "Any 2xx response to a CONNECT request implies that the connection will become a tunnel immediately after
        # the empty line that concludes the header fields. A client MUST ignore any Content-Length or Transfer-Encoding"
        return Body(Framing.TUNNEL)
    lengths, transfer, content = _relevant(message)
    if transfer:
        return _transfer(message, transfer, content, lengths)
    length = _length(message, lengths) if lengths else None
    if length is None:
        # "Otherwise, this is a response message without a declared message body length, so [it] is determined by the
        # number of octets received prior to the server closing the connection"
        return Body(Framing.CLOSE, 0, content)
    return Body(Framing.LENGTH, length, content) if length else NO_BODY


def _relevant(message: Message) -> tuple[list[str], list[str], tuple[str, ...]]:
    """(content-length values, transfer codings, content codings), in wire order."""
    lengths: list[str] = []
    transfer: list[str] = []
    content: list[str] = []
    for name, value in message.headers:
        if name == "content-length":
            lengths.append(value)
        elif name == "transfer-encoding":
            transfer += _codings(value)
        elif name == "content-encoding":
            content += _codings(value)
    return lengths, transfer, tuple(content)


def _codings(value: str) -> list[str]:
    """Names in a coding list, lower case ("All content codings are case-insensitive"), parameters left out."""
    return [part.partition(";")[0].strip(" \t").lower() for part in value.split(",")]


def _transfer(message: Message, transfer: list[str], content: tuple[str, ...], lengths: list[str]) -> Body:
    odd = message.anomalies
    if lengths:
        # "the Transfer-Encoding overrides the Content-Length. Such a message might indicate an attempt to perform
        # request smuggling (Section 11.2) or response splitting (Section 11.1)"
        odd.append("content-length-and-transfer-encoding")
    if message.version == "1.0":
        # §6.1: "MUST treat the message as if the framing is faulty"
        odd.append("transfer-encoding-in-http10")
    names = [name for name in transfer if name not in ("", "identity")]
    if names.count("chunked") > 1:
        odd.append("chunked-twice")
    codings = content + tuple(name for name in names if name != "chunked")
    if names and names[-1] == "chunked":
        return Body(Framing.CHUNKED, 0, codings)
    # "If a Transfer-Encoding header field is present in a response and the chunked transfer coding is not the final
    # encoding, the message body length is determined by reading the connection until it is closed by the server"
    odd.append("transfer-encoding-not-chunked")
    return Body(Framing.LOST if message.method else Framing.CLOSE, 0, codings)


def _length(message: Message, values: list[str]) -> int | None:
    """The length, None if there is no telling.

    "if the field value consists of [...] comma-separated list [...] all values in the list are valid, and all values
    in the list are the same (in which case, the message is processed with that single value)"
    """
    parts = [part.strip(" \t") for value in values for part in value.split(",")]
    digits = [part.lstrip("0") or "0" for part in parts if _DIGITS.match(part)]  # 1*DIGIT: zeros may lead
    good = [int(part) for part in digits if len(part) < 32 and int(part) <= _LARGEST]
    if len(good) < len(parts):
        message.anomalies.append("bad-content-length")
        return None
    if len(good) > 1:
        same = len(set(good)) == 1
        message.anomalies.append("duplicate-content-length" if same else "conflicting-content-length")
    return good[0]
