"""The credential of a request: whose it is by its form, and its fingerprint. The credential itself is never kept.

`redact` replaces credentials in text that is kept (URLs, error messages) by the token `[secret]`.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from urllib.parse import unquote_plus

import msgspec

from leeward.model.exchange import Key
from leeward.model.message import Message

SECRET = "[secret]"
HEADERS = ("authorization", "x-api-key", "api-key", "x-goog-api-key", "cf-aig-authorization", "proxy-authorization")
# Names of query parameters that carry credentials; "key" is Google's, the X-Amz ones are SigV4's.
QUERY_NAMES = frozenset(
    [
        "key",
        "api_key",
        "api-key",
        "apikey",
        "access_token",
        "token",
        "auth",
        "secret",
        "password",
        "sig",
        "signature",
        "code",
        "subscription-key",
        "ocp-apim-subscription-key",
        "client_secret",
        "x-amz-signature",
        "x-amz-credential",
        "x-amz-security-token",
    ]
)
_KEY_NAMES = ("key", "api_key", "api-key", "apikey", "access_token", "token")
_SUBPROTOCOL = "openai-insecure-api-key."  # how browsers, which cannot set headers, give OpenAI's key to a WebSocket
_SIGV4 = re.compile(r"Credential=([A-Z0-9]{16,128})/[^/]*/[^/]*/([a-z0-9-]+)/")
_PAIR = re.compile(r"([?&;#])([^=&;#]*)=([^&;#]*)")
_USER_INFO = re.compile(r"^([a-z][a-z0-9+.-]*:)?//[^/?#@]*@", re.IGNORECASE)


class KeyForm(msgspec.Struct, frozen=True):
    """A provider's key by its form: a regular expression for the whole key, without anchors or groups that capture."""

    provider: str
    pattern: str


class KeyForms:
    """All known forms, compiled once. The first that fits wins, so narrow forms stand before wide ones."""

    def __init__(self, forms: Sequence[KeyForm]) -> None:
        self._providers = [form.provider for form in forms]
        self.patterns = tuple(form.pattern for form in forms)
        body = "|".join(f"({form.pattern})" for form in forms) or "(?!)"
        self._whole = re.compile(f"(?:{body})")
        self._inside = re.compile(f"(?<![A-Za-z0-9_-])(?:{body})")

    def provider(self, secret: str) -> str:
        """Whose key this is, "" if its form does not tell."""
        match = self._whole.fullmatch(secret)
        return self._providers[match.lastindex - 1] if match and match.lastindex else ""

    def found(self, text: str) -> list[tuple[str, str]]:
        """(provider, credential) of each credential of a known form in `text`."""
        return [(self._providers[m.lastindex - 1], m[0]) for m in self._inside.finditer(text) if m.lastindex]

    def redact(self, text: str) -> str:
        """`text` with every credential of a known form replaced."""
        return self._inside.sub(SECRET, text)


def find_key(headers: Iterable[tuple[str, str]], target: str, forms: KeyForms) -> Key | None:
    """The credential of a request: one whose form is known if there is one, else the first found."""
    first: Key | None = None
    for where, secret in _candidates(headers, target):
        sigv4 = _SIGV4.search(secret)
        if sigv4:
            provider = "aws.bedrock" if sigv4[2].startswith("bedrock") else forms.provider(sigv4[1])
            return _key(provider, sigv4[1], where)
        found = _key(forms.provider(secret), secret, where)
        if found.provider:
            return found
        first = first or found
    return first


def fingerprint(secret: str) -> str:
    """What a credential is known by."""
    return hashlib.sha256(secret.encode("utf-8", "surrogateescape")).hexdigest()[:16]


_SESSION_COOKIE = re.compile(
    r"(?i)^(?!.*[cx]srf)(?:.*[-_.])?(?:session\w*|sess|sid|phpsessid|jsessionid|\w*token|auth\w*|jwt|login|username)(?:$|[-_.])"
)


def caller_key(request: Message, forms: KeyForms) -> Key:
    """The credential that a request shows: a key, else the cookies whose names say that they are a session. Its fingerprint is ""
    if it shows none, "?" if its head was cut before that could be seen."""
    key = find_key(request.headers, request.target, forms)
    if key is not None:
        return key
    crumbs = [crumb.strip() for crumb in request.header("cookie").split(";")]
    session = sorted(crumb for crumb in crumbs if _SESSION_COOKIE.search(crumb.partition("=")[0]))
    if session:
        return _key("", ";".join(session), "cookie")
    return Key("", "?" if "cut-head" in request.anomalies or "head-limit" in request.anomalies else "")


def _key(provider: str, secret: str, where: str) -> Key:
    return Key(provider, fingerprint(secret), where)


def _candidates(headers: Iterable[tuple[str, str]], target: str) -> list[tuple[str, str]]:
    """(where, secret) in the order of `HEADERS`, then WebSocket's subprotocols, then the query."""
    given: dict[str, str] = {}
    for name, value in headers:
        given.setdefault(name, value.strip())
    found = []
    for name in HEADERS:
        value = given.get(name, "")
        if name.endswith("authorization"):
            scheme, _, rest = value.partition(" ")
            value = rest.strip() or ("" if scheme.lower() in ("bearer", "basic") else value)
        if value:
            found.append((name, value))
    for word in given.get("sec-websocket-protocol", "").split(","):
        if word.strip().startswith(_SUBPROTOCOL):
            found.append(("sec-websocket-protocol", word.strip()[len(_SUBPROTOCOL) :]))
    for match in _PAIR.finditer(target):
        if match[1] != "#" and match[2].lower() in _KEY_NAMES and match[3]:
            found.append((f"query:{match[2].lower()}", unquote_plus(match[3])))
    return found


def redact_url(url: str, forms: KeyForms) -> str:
    """`url` without credentials: user information, query parameters by name, and keys of known forms anywhere."""
    if "@" in url:
        url = _USER_INFO.sub(lambda found: f"{found[1] or ''}//{SECRET}@", url)
    if "=" in url:
        url = _PAIR.sub(_redact_pair, url)
    return forms.redact(url)


_HEADER = re.compile(
    r"(?i)\b((?:authorization|x-api-key|api-key|x-goog-api-key)\s*[:=]\s*)(?:(?:bearer|basic)\s+)?\S.*"
)
_SECRET_NAME = re.compile(
    r"(?i)^(-{0,2}[\w.-]*(?:api[-_]?key|token|secret|passw(?:or)?d|credentials?))(=.+)?$", re.DOTALL
)


def redact_argv(argv: Iterable[str], forms: KeyForms) -> list[str]:
    """A command line without credentials: keys of known forms, authorization headers, URLs, and what follows an option or
    variable whose name says that it is a secret (`--api-key X`, `OPENAI_API_KEY=X`)."""
    out: list[str] = []
    hide_next = False
    for word in argv:
        named = _SECRET_NAME.match(word)
        if hide_next and not word.startswith("-"):
            out.append(SECRET)
        elif named and named[2]:
            out.append(f"{named[1]}={SECRET}")
        else:
            out.append(redact_url(_HEADER.sub(lambda found: found[1] + SECRET, word), forms))
        hide_next = bool(named and not named[2] and word.startswith("-"))
    return out


def _redact_pair(found: re.Match[str]) -> str:
    name = unquote_plus(found[2]).lower()
    return f"{found[1]}{found[2]}={SECRET}" if name in QUERY_NAMES and found[3] else found[0]
