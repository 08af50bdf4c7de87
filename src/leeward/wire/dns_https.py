"""DNS over HTTPS, as far as a request's head says what is asked: the `dns` parameter of RFC 8484, and `name` and `type` of the
JSON that Google's and Cloudflare's resolvers answer (their documentation). Questions in the body of a POST are not looked at.
Never raises."""

from __future__ import annotations

import base64
import binascii
import re
from urllib.parse import parse_qs

from leeward.model.message import Message
from leeward.wire.dns import DnsMessage, parse_dns

_PATHS = ("/dns-query", "/resolve")
_MOST = 4096  # characters of a query string
_TYPES = {
    "A": 1,
    "NS": 2,
    "CNAME": 5,
    "NULL": 10,
    "PTR": 12,
    "MX": 15,
    "TXT": 16,
    "AAAA": 28,
    "SRV": 33,
    "SVCB": 64,
    "HTTPS": 65,
}
_NAME = re.compile(r"[!-~]{1,255}")


def question_of(request: Message) -> DnsMessage | None:
    """What a resolver is asked by this request; None if it is no such question."""
    path, _, query = request.target.partition("?")
    if request.method != "GET" or not query or not path.endswith(_PATHS):
        return None
    try:
        asked = parse_qs(query[:_MOST], max_num_fields=16)
    except ValueError:
        return None
    if "dns" in asked:
        return _binary(asked["dns"][0])
    name, kind = asked.get("name", [""])[0].rstrip(".").lower(), asked.get("type", ["A"])[0].upper()
    if not _NAME.fullmatch(name):
        return None
    number = int(kind) if kind.isdecimal() and len(kind) <= 5 else _TYPES.get(kind, 0)
    return DnsMessage(0, False, 0, ((name, number),), ())


def _binary(text: str) -> DnsMessage | None:
    try:
        message = parse_dns(base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True))
    except (binascii.Error, ValueError):
        return None
    return message if message is not None and not message.response else None
