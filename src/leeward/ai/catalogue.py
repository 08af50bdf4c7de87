"""Which provider and which API a request is for. All knowledge is in `providers/*.yaml`; this is its reader.

`Catalogue.match` runs for every HTTP request on the host: dictionary look-ups by host and by the path's last segment,
one compiled pattern only for hosts with a `*` inside a label. It returns None for what is not AI.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from leeward.ai.datafile import Record, Schema, load_yaml
from leeward.ai.keys import KeyForm, KeyForms
from leeward.model.errors import InputError

HERE = Path(__file__).parent
BASE = HERE / "providers" / "base.yaml"
#: The base comes first; the others name what it defines.
BUILT_IN = (BASE, *sorted(p for p in BASE.parent.glob("*.yaml") if p != BASE))
SCHEMA = HERE / "providers.schema.json"
UNKNOWN = "unknown"
MAX_MEMO = 4096
_ASSETS = frozenset(
    [
        "js",
        "mjs",
        "css",
        "map",
        "png",
        "jpg",
        "jpeg",
        "gif",
        "svg",
        "webp",
        "ico",
        "woff",
        "woff2",
        "ttf",
        "html",
        "txt",
        "wasm",
        "mp4",
    ]
)
_SILENT = frozenset(("OPTIONS", "HEAD", "CONNECT", "TRACE"))


class Match(msgspec.Struct, frozen=True):
    """api: id of an API of the catalogue, "unknown" for a request to an AI host that no API matches.
    operation: OpenTelemetry's gen_ai.operation.name or "unknown". certain: the host is known; else only path and shape
    say so."""

    provider: str
    api: str
    operation: str
    certain: bool


class Api(msgspec.Struct, frozen=True):
    """anywhere: the provider named when the host is not known, "" when the API is only looked for on known hosts.
    ports: if any, anywhere means on these ports only."""

    id: str
    operation: str
    anywhere: str = ""
    ports: tuple[int, ...] = ()


class Route(msgspec.Struct, frozen=True):
    """segments: the end of the path, last segment first; "*" stands for any one."""

    segments: tuple[str, ...]
    api: Api


class Provider(msgspec.Struct):
    """What the catalogue says about a provider, see providers.schema.json. routes: its own paths, method -> routes."""

    id: str
    name: str
    kind: str = "model"
    hosts: list[str] = []
    ports: list[int] = []
    undecoded: str = "all"
    under: list[str] = []
    keys: list[str] = []
    tells: list[str] = []
    routes: dict[str, list[Route]] = {}


class Catalogue:
    """Immutable once loaded, but for a memo of host names (bounded)."""

    def __init__(self, providers: Iterable[Provider], routes: dict[tuple[str, str], list[Route]]) -> None:
        self.providers = {provider.id: provider for provider in providers}
        self.key_forms = KeyForms([KeyForm(p.id, key) for p in self.providers.values() for key in p.keys])
        self.apis = {route.api.id: route.api for group in routes.values() for route in group}
        self._routes = routes
        self._exact: dict[str, Provider] = {}
        self._suffix: dict[str, Provider] = {}
        globs: list[tuple[str, Provider]] = []
        self._ports: dict[int, str] = {}
        self._tells: dict[str, str] = {}
        self._tell_prefixes: list[tuple[str, str]] = []
        for provider in self.providers.values():
            for host in provider.hosts:
                if host.startswith("*.") and "*" not in host[2:]:
                    self._suffix[host[2:]] = provider
                elif "*" in host:
                    globs.append((re.escape(host).replace(r"\*", "[^.]+"), provider))
                else:
                    self._exact[host] = provider
            for port in provider.ports:
                self._ports.setdefault(port, provider.id)
            for tell in provider.tells:
                if tell.endswith("*"):
                    self._tell_prefixes.append((tell[:-1], provider.id))
                else:
                    self._tells[tell] = provider.id
        self._globs = [provider for _, provider in globs]
        self._glob = re.compile("|".join(f"({pattern})" for pattern, _ in globs) or "(?!)")
        self._with_ports = any(":" in host for host in self._exact)
        self._memo: dict[str, Provider | None] = {}

    def with_hosts(self, hosts: Mapping[str, str]) -> Catalogue:
        """The same, and these hosts (name → provider's id), as far as they are no provider's yet."""
        fresh = {host: provider for host, provider in hosts.items() if self.is_ai_host(host) is None}
        providers = [
            msgspec.structs.replace(p, hosts=[*p.hosts, *(host for host, id_ in fresh.items() if id_ == p.id)])
            for p in self.providers.values()
        ]
        return Catalogue(providers, self._routes)

    def match(self, host: str, port: int, method: str, path: str, headers: list[tuple[str, str]]) -> Match | None:
        """What a request is. host: with or without a port; path: the target, absolute form and query allowed."""
        if method in _SILENT:
            return None
        provider = self._provider(host, port)
        path = _bare(path)
        segments = path.rsplit("/", 5)
        routes = self._routes.get((method, _last(segments[-1])))
        if provider is None:
            if routes is None:
                return None
            return self._anywhere(routes, segments, port, headers)
        for route in provider.routes.get(method, ()):
            if _ends(segments, route.segments):
                return Match(provider.id, route.api.id, route.api.operation, True)
        if not _allowed(provider, path):
            return None
        for route in routes or ():
            if provider.kind != "consumer" and _ends(segments, route.segments):  # chat sites speak APIs of their own
                return Match(provider.id, route.api.id, route.api.operation, True)
        return _undecoded(provider, method, segments[-1])

    def is_ai_host(self, host: str) -> str | None:
        """Provider id of an AI host by its name alone, None for other hosts."""
        provider = self._provider(host, 0)
        return provider.id if provider else None

    def port_hint(self, port: int) -> str:
        """Provider whose local server usually listens on `port`, "" for none. A hint, never a proof."""
        return self._ports.get(port, "")

    def tells(self, headers: Iterable[tuple[str, str]]) -> list[str]:
        """Providers that response headers betray, each once, in the order found."""
        found: dict[str, None] = {}
        for name, _ in headers:
            provider = self._tells.get(name)
            if provider is None and "-" in name:
                provider = next((tell for prefix, tell in self._tell_prefixes if name.startswith(prefix)), None)
            if provider is not None:
                found[provider] = None
        return list(found)

    def _anywhere(
        self, routes: list[Route], segments: list[str], port: int, headers: list[tuple[str, str]]
    ) -> Match | None:
        for route in routes:
            api = route.api
            if not api.anywhere or (api.ports and port not in api.ports) or not _ends(segments, route.segments):
                continue
            if api.id == "openai.models" and any(name == "anthropic-version" for name, _ in headers):
                return Match("anthropic_compatible", "anthropic.models", api.operation, False)
            return Match(api.anywhere, api.id, api.operation, False)
        return None

    def _provider(self, host: str, port: int) -> Provider | None:
        if self._with_ports and f"{host.lower()}:{port}" in self._exact:
            return self._exact[f"{host.lower()}:{port}"]
        try:
            return self._memo[host]
        except KeyError:
            if len(self._memo) >= MAX_MEMO:
                self._memo.clear()
            provider = self._memo[host] = self._find(host)
            return provider

    def _find(self, host: str) -> Provider | None:
        name = host.lower()
        if name in self._exact:
            return self._exact[name]
        name = name.rstrip(".")
        if ":" in name and not name.endswith("]") and name.count(":") == 1:
            name = name.partition(":")[0].rstrip(".")
        if name in self._exact:
            return self._exact[name]
        match = self._glob.fullmatch(name)
        if match and match.lastindex:
            return self._globs[match.lastindex - 1]
        _, dot, parent = name.partition(".")
        while dot:
            if parent in self._suffix:
                return self._suffix[parent]
            _, dot, parent = parent.partition(".")
        return None


def _bare(path: str) -> str:
    """The path of a request target: no scheme and host, no query, no trailing slash."""
    if path[:1] != "/" and "://" in path:
        path = "/" + path.partition("://")[2].partition("/")[2]
    cut = path.find("?")
    if cut >= 0:
        path = path[:cut]
    return path.rstrip("/") if path.endswith("/") else path


def _ends(segments: list[str], wanted: tuple[str, ...]) -> bool:
    if len(segments) <= len(wanted):
        return False
    return all(want in ("*", segments[-1 - i], _last(segments[-1 - i])) for i, want in enumerate(wanted))


def _last(segment: str) -> str:
    """Google's custom methods, `models/NAME:METHOD`, are looked for as `*:METHOD`."""
    return "*:" + segment.rpartition(":")[2] if ":" in segment else segment


def _allowed(provider: Provider, path: str) -> bool:
    return not provider.under or path.startswith(tuple(provider.under))


def _undecoded(provider: Provider, method: str, last: str) -> Match | None:
    """A request to a known host that no API matches: an exchange all the same, unless the catalogue says otherwise."""
    if provider.undecoded == "none" or (provider.undecoded == "posts" and method == "GET"):
        return None
    if method == "GET" and "." in last and last.rpartition(".")[2] in _ASSETS:
        return None
    return Match(provider.id, UNKNOWN, UNKNOWN, True)


def load_catalogue(extra: Sequence[Path] = ()) -> Catalogue:
    """The built-in catalogue with the files of `extra` laid over it, in order. A provider of a known id is added to
    (lists grow, other fields change) unless it says `replace: true`; a host belongs to who names it last.
    Raises InputError with file and line."""
    schema = Schema.read(SCHEMA)
    loader = _Loader()
    for path in (*BUILT_IN, *extra):
        loader.add(path, load_yaml(path, schema))
    return loader.catalogue()


@functools.cache
def default_catalogue() -> Catalogue:
    """The built-in catalogue."""
    return load_catalogue()


class _Loader:
    def __init__(self) -> None:
        self.providers: dict[str, Provider] = {}
        self.apis: dict[str, Api] = {}
        self.routes: dict[tuple[str, str], list[Route]] = {}

    def add(self, path: Path, document: Record) -> None:
        for entry in document.get("apis", []):
            self._api(path, entry)
        hosts: dict[str, int] = {}
        for entry in document.get("providers", []):
            for host in entry.get("hosts", []):
                line = entry.lines["hosts"]
                if host in hosts:
                    raise InputError(f"{path}:{line}: hosts: {host} is already given in line {hosts[host]}")
                hosts[host] = line
            self._provider(path, entry)

    def catalogue(self) -> Catalogue:
        for routes in self.routes.values():
            routes.sort(key=lambda route: -len(route.segments))
        return Catalogue(self.providers.values(), self.routes)

    def _api(self, path: Path, entry: Record) -> None:
        if entry["id"] in self.apis:
            raise InputError(f"{path}:{entry.lines['id']}: id: API {entry['id']} is already known")
        api = Api(entry["id"], entry["operation"])
        self.apis[api.id] = api
        for place in entry["paths"]:
            ports = tuple(place.get("ports", ()))
            placed = msgspec.structs.replace(api, anywhere=place.get("anywhere", ""), ports=ports)
            segments = tuple(reversed(place["path"].strip("/").split("/")))
            for method in entry.get("methods", ["POST"]):
                self.routes.setdefault((method, segments[0]), []).append(Route(segments, placed))

    def _provider(self, path: Path, entry: Record) -> None:
        known = self.providers.get(entry["id"])
        if known is None or entry.get("replace"):
            known = Provider(entry["id"], entry.get("name", entry["id"]))
            self.providers[known.id] = known
        for host in entry.get("hosts", []):
            for other in self.providers.values():
                if host in other.hosts:
                    other.hosts.remove(host)
        for name in ("name", "kind", "undecoded"):
            if name in entry:
                setattr(known, name, entry[name])
        for name in ("hosts", "ports", "under", "tells", "keys"):
            setattr(known, name, [*getattr(known, name), *entry.get(name, [])])
        for pattern in entry.get("keys", []):
            self._check_pattern(path, entry.lines["keys"], pattern)
        known.routes = {**known.routes}
        for route in entry.get("apis", []):
            self._route(path, known, route)

    def _route(self, path: Path, provider: Provider, entry: Record) -> None:
        api = self.apis.get(entry["api"])
        if api is None:
            raise InputError(f"{path}:{entry.lines['api']}: api: no API is called {entry['api']}")
        segments = tuple(reversed(entry["path"].strip("/").split("/")))
        for method in entry.get("methods", ["POST"]):
            provider.routes[method] = [Route(segments, api), *provider.routes.get(method, [])]

    def _check_pattern(self, path: Path, line: int, pattern: str) -> None:
        try:
            groups = re.compile(pattern).groups
        except re.error as error:
            raise InputError(f"{path}:{line}: keys: not a regular expression: {pattern}: {error}") from error
        if groups:
            raise InputError(f"{path}:{line}: keys: use (?:...) for groups: {pattern}")


def describe(catalogue: Catalogue) -> list[dict[str, Any]]:
    """The catalogue as rows for people: provider, name, kind, hosts."""
    return [{"provider": p.id, "name": p.name, "kind": p.kind, "hosts": p.hosts} for p in catalogue.providers.values()]
