"""Where a request goes: by CONNECT or an absolute target (the client knows a proxy), or by the provider's name in the path.

Invariant: a target is a scheme, a host and a port that were all said by the client, the catalogue or the command line; what
cannot be placed is a `NoRoute` with what to do about it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from urllib.parse import urlsplit

import msgspec

from leeward.ai.catalogue import Catalogue
from leeward.model.errors import InputError
from leeward.placing import bare

_PORTS = {"http": 80, "https": 443}
#: Of one connection (RFC 9110 §7.6.1), or meant for us.
_HOPS = frozenset(
    "connection keep-alive proxy-connection proxy-authenticate proxy-authorization te trailer transfer-encoding upgrade".split()  # noqa: SIM905
)
_ASKED_OF_US = frozenset(("expect", "content-length", "host"))

Headers = list[tuple[bytes, bytes]]


class NoRoute(Exception):
    """Says what is wrong and what to do."""


class Target(msgspec.Struct, frozen=True):
    """host: a name or an address, as in the server's certificate."""

    scheme: str
    host: str
    port: int

    @property
    def authority(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"


class Upstream(msgspec.Struct, frozen=True):
    """Where a provider's requests go: its base URL. path: "" or begins with "/"."""

    target: Target
    path: str = ""


def parse_upstreams(options: Sequence[str], catalogue: Catalogue) -> dict[str, Upstream]:
    """From `PROVIDER=URL` each. Raises InputError."""
    found: dict[str, Upstream] = {}
    for text in options:
        provider, equals, url = text.partition("=")
        if not equals or provider not in catalogue.providers:
            raise InputError(
                f"--upstream {text}: give PROVIDER=URL; {provider or 'that'} is no provider of the catalogue"
            )
        found[provider] = _upstream(text, url)
    return found


def _upstream(text: str, url: str) -> Upstream:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise InputError(f"--upstream {text}: no URL: {error}") from error
    if parts.scheme not in _PORTS or not parts.hostname or parts.query or parts.username:
        raise InputError(f"--upstream {text}: give a URL such as https://host or http://host:port/path")
    host = parts.hostname
    return Upstream(Target(parts.scheme, host, port or _PORTS[parts.scheme]), parts.path.rstrip("/"))


def of_connect(authority: str) -> Target:
    """RFC 9110 §9.3.6: host and port. Raises NoRoute."""
    host, colon, port = authority.rpartition(":")
    host = host.strip("[]").rstrip(".").lower()
    if not colon or not host or not (port.isascii() and port.isdigit() and 0 < int(port) < 65536):
        raise NoRoute("CONNECT needs host:port")
    return Target("https", host, int(port))


def of_absolute(target: str) -> tuple[Target, str]:
    """The target and the rest of `http://host/path?query`. Raises NoRoute."""
    try:
        parts = urlsplit(target)
        port = parts.port
    except ValueError as error:
        raise NoRoute("the request's target is no URL") from error
    if parts.scheme not in _PORTS or not parts.hostname:
        raise NoRoute("the request's target is no URL with http or https")
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Target(parts.scheme, parts.hostname, port or _PORTS[parts.scheme]), path


def of_path(target: str, catalogue: Catalogue, upstreams: Mapping[str, Upstream]) -> tuple[Target, str]:
    """The target and the path there of `/PROVIDER/path?query`. Raises NoRoute."""
    name, _, rest = target[1:].partition("/")
    upstream = upstreams.get(name)
    if upstream is not None:
        return upstream.target, f"{upstream.path}/{rest}"
    provider = catalogue.providers.get(name)
    if provider is None:
        raise NoRoute("the path has to begin with a provider's name, as in /openai/v1/chat/completions")
    host = next((host for host in provider.hosts if "*" not in host and ":" not in host), "")
    if not host:
        raise NoRoute(f"{name} has no host of its own: start the gateway with --upstream {name}=URL")
    return Target("https", host, 443), f"/{rest}"


def same_host(target: Target, host_header: str) -> bool:
    """Is a request's Host header that of the connection that it came on?"""
    return bare(host_header) in ("", target.host)


def onward(headers: Headers, target: Target, *, keep_upgrade: bool = False) -> Headers:
    """A request's headers as they go on, without those of its framing. keep_upgrade: it asks for a WebSocket; extensions are not
    offered then, since compressed messages could not be looked through."""
    names = _HOPS | _named(headers)
    if keep_upgrade:
        names = (names - {"connection", "upgrade"}) | {"sec-websocket-extensions"}
    names |= _ASKED_OF_US
    kept = [(name, value) for name, value in headers if name.lower().decode("latin-1") not in names]
    return [(b"Host", target.authority.encode()), *kept]


def back(headers: Headers) -> Headers:
    """A response's headers as they go to the client; content-length stays, it is true."""
    names = _HOPS | _named(headers)
    return [(name, value) for name, value in headers if name.lower().decode("latin-1") not in names]


def _named(headers: Headers) -> set[str]:
    """Headers that `Connection` says are of this connection only."""
    values = [value for name, value in headers if name.lower() == b"connection"]
    named = {part.strip().lower() for value in values for part in value.decode("latin-1").split(",")}
    return named - {"", "close", "content-length", "host", "authorization", "content-type"}
