"""Who gets in: tokens, sessions, hosts, origins, headers. Default deny, for every route there is."""

from __future__ import annotations

import re
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from api_server import BASE, World, make_world
from fastapi import FastAPI
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from store_samples import exchange

from leeward.api import tokens as token_module
from leeward.api.guard import COOKIE, LOCAL_NAMES, PUBLIC
from leeward.api.tokens import TokenError, TokenStore


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = make_world(tmp_path)
    made.store.add(exchange(1))
    made.store.flush()
    yield made
    made.store.close()


def all_routes(app: FastAPI) -> list[tuple[str, str]]:
    """(method, path) of every route, those of included routers too."""
    found = []

    def walk(routes: Any, prefix: str) -> None:
        for route in routes:
            inner = getattr(route, "original_router", None)
            if inner is not None:
                walk(inner.routes, prefix)
            else:
                found.extend((method, prefix + route.path) for method in sorted(route.methods))

    walk(app.routes, "")
    return found


def test_api_every_route_needs_someone(world: World) -> None:
    routes = all_routes(world.app)
    assert {path for _, path in routes} >= {
        "/api/v1/exchanges", "/api/v1/exchanges/{id}", "/api/v1/flows", "/api/v1/coverage", "/api/v1/stats",
        "/api/v1/stream", "/api/v1/health", "/api/v1/openapi.json", "/", "/login", "/logout",
    }  # fmt: skip
    for role_header in ({}, {"authorization": "Bearer wrong"}, {"cookie": f"{COOKIE}=wrong"}):
        client = world.client("")
        for method, path in routes:
            response = client.request(method, path.replace("{id}", "x"), headers=role_header)
            if (method, path) in PUBLIC:
                assert response.status_code in (200, 401), (method, path)
                assert "my prompt text" not in response.text
                assert "api.openai.com" not in response.text
            else:
                assert response.status_code == 401, (method, path, role_header)


def test_api_a_route_added_later_is_closed(world: World) -> None:
    world.app.add_api_route("/api/v1/new", lambda: "secret")
    assert world.client("").get("/api/v1/new").status_code == 401
    assert world.client("").get("/no/such/path").status_code == 401
    assert world.client("viewer").get("/api/v1/new").status_code == 200


@pytest.mark.parametrize(
    "header",
    ["Bearer", "Bearer ", "Basic {token}", "{token}", "Bearer {token}x", "Bearer {hash}", "Bearer \xff", "bearer  x y"],
)
def test_api_wrong_credentials(world: World, header: str) -> None:
    token = world.secrets["admin"]
    value = header.format(token=token, hash=token_module.digest(token))
    client = world.client("")
    response = client.get("/api/v1/coverage", headers={"authorization": value.encode("latin-1")})
    assert response.status_code == 401
    assert response.headers["www-authenticate"].startswith("Bearer")


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost:8420", "[::1]:8420", "LOCALHOST", "leeward.example:443"])
def test_api_known_hosts(world: World, host: str) -> None:
    assert world.client("viewer").get("/api/v1/coverage", headers={"host": host}).status_code == 200


@pytest.mark.parametrize(
    "host",
    ["evil.example", "127.0.0.1.evil.example", "evil.example:8420", "", "localhost.", "[::1].evil", "@localhost"],
)
@pytest.mark.parametrize("path", ["/", "/api/v1/health", "/api/v1/exchanges"])
def test_api_dns_rebinding_is_refused(world: World, host: str, path: str) -> None:
    assert world.client("admin").get(path, headers={"host": host}).status_code == 421


def test_api_headers_of_every_answer(world: World) -> None:
    for path, role in (
        ("/", ""),
        ("/", "admin"),
        ("/api/v1/exchanges", ""),
        ("/api/v1/stats", "admin"),
        ("/x", "admin"),
    ):
        headers = world.client(role).get(path).headers
        assert headers["content-security-policy"].startswith("default-src 'none'")
        assert "unsafe" not in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-frame-options"] == "DENY"
        assert headers["cache-control"] == "no-store"
        assert headers["cross-origin-resource-policy"] == "same-origin"
    answer = world.client("admin").get("/api/v1/stats", headers={"origin": "https://evil.example"})
    assert not [name for name in answer.headers if name.startswith("access-control")]
    assert world.client("").options("/api/v1/stats", headers={"origin": "https://evil.example"}).status_code == 401


def login(world: World, role: str, **headers: str) -> Any:
    client = world.client("", follow_redirects=False)
    return client, client.post("/login", data={"token": world.secrets[role]}, headers=headers)


def test_api_login_gives_a_session_that_is_not_the_token(world: World) -> None:
    client, response = login(world, "viewer", origin=BASE)
    assert response.status_code == 303
    cookie = response.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert world.secrets["viewer"] not in cookie
    assert client.get("/api/v1/coverage").status_code == 200
    assert client.get("/api/v1/me").json() == {"name": "a-viewer", "role": "viewer"}
    assert client.post("/logout", headers={"origin": BASE}).status_code == 303
    assert client.get("/api/v1/coverage").status_code == 401


def test_api_session_ends_with_its_time_and_its_token(world: World) -> None:
    client, _ = login(world, "viewer")
    other, _ = login(world, "analyst")
    world.tokens.revoke("a-viewer")
    world.tokens.create("a-viewer", "viewer")  # the same name again is not the same token
    assert client.get("/api/v1/coverage").status_code == 401
    assert other.get("/api/v1/coverage").status_code == 200
    world.clock["mono"] = 12 * 3600 + 1
    assert other.get("/api/v1/coverage").status_code == 401


@pytest.mark.parametrize("body", [b"", b"token=", b"token=wrong", b"\xff\xfe", b"{", b'{"token": 5}', b"a" * 10_000])
def test_api_bad_logins(world: World, body: bytes) -> None:
    response = world.client("").post("/login", content=body)
    assert response.status_code == 401
    assert "set-cookie" not in response.headers
    assert "<form" in response.text


def test_api_login_takes_json_too(world: World) -> None:
    client = world.client("", follow_redirects=False)
    assert client.post("/login", json={"token": world.secrets["admin"]}).status_code == 303


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.example"},
        {"origin": "http://127.0.0.1:3000"},
        {"origin": "null"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
    ],
)
def test_api_requests_from_other_sites_are_refused(world: World, headers: dict[str, str]) -> None:
    assert login(world, "admin", **headers)[1].status_code == 403
    client, _ = login(world, "admin")
    assert client.get("/api/v1/stats", headers=headers).status_code == 403
    assert client.post("/logout", headers=headers).status_code == 403
    assert client.get("/api/v1/stats", headers={"sec-fetch-site": "same-origin"}).status_code == 200
    assert client.get("/", headers={"sec-fetch-site": "none"}).status_code == 200


def test_api_tokens_are_kept_as_hashes_in_a_private_file(tmp_path: Path) -> None:
    path = tmp_path / "state" / "tokens.json"
    store = TokenStore(path)
    secret = store.ensure()
    assert secret is not None
    assert len(secret) >= 43 + len(token_module.PREFIX)
    assert store.ensure() is None
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert secret not in path.read_text()
    who = TokenStore(path).authenticate(secret)
    assert who is not None
    assert (who.name, who.role) == ("admin", "admin")
    assert who.may("viewer")
    assert store.authenticate("") is None


def test_api_local_cli_token(tmp_path: Path) -> None:
    store, held = TokenStore(tmp_path / "tokens.json"), tmp_path / "cli-token"
    store.ensure_local_cli(held)
    first = held.read_text()
    assert stat.S_IMODE(held.stat().st_mode) == 0o600
    assert store.ensure() is not None, "the command line's token is not the first token"
    store.ensure_local_cli(held)
    assert held.read_text() == first
    held.write_text("lost")
    store.ensure_local_cli(held)
    who = store.authenticate(held.read_text().strip())
    assert who is not None
    assert (who.name, who.role) == ("local-cli", "admin")
    assert store.authenticate(first.strip()) is None
    assert [token.name for token in store.entries()] == ["admin", "local-cli"]


def test_api_token_changes_elsewhere_count_at_once(tmp_path: Path) -> None:
    here, there = TokenStore(tmp_path / "t"), TokenStore(tmp_path / "t")
    secret = there.create("x", "viewer")
    assert here.authenticate(secret)
    assert there.revoke("x")
    assert not there.revoke("x")
    assert here.authenticate(secret) is None


@pytest.mark.parametrize("damage", ["{", "[]", '{"tokens":[{"name":"x","role":"king","hash":"00"}]}', None, "mode"])
def test_api_damaged_token_file_lets_nobody_in(tmp_path: Path, damage: str | None) -> None:
    path = tmp_path / "tokens.json"
    store = TokenStore(path)
    secret = store.create("x", "admin")
    assert store.authenticate(secret)
    if damage is None:
        path.unlink()
    elif damage == "mode":
        path.chmod(0o666)
        path.write_text(path.read_text() + " ")
    else:
        path.write_text(damage)
    assert store.authenticate(secret) is None
    assert store.counters["token_file_unreadable"] == 1
    if damage is not None:
        with pytest.raises(TokenError, match=r"tokens\.json"):
            store.create("y", "viewer")


@pytest.mark.parametrize(("name", "role"), [("", "viewer"), ("a b", "viewer"), ("x" * 65, "viewer"), ("ok", "king")])
def test_api_token_names_and_roles(tmp_path: Path, name: str, role: str) -> None:
    with pytest.raises(TokenError):
        TokenStore(tmp_path / "t").create(name, role)


def test_api_token_names_are_unique(tmp_path: Path) -> None:
    store = TokenStore(tmp_path / "t")
    store.create("x", "viewer")
    with pytest.raises(TokenError, match="already"):
        store.create("x", "admin")


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    host=st.one_of(
        st.text(st.characters(max_codepoint=255, exclude_characters="\r\n\0"), max_size=30),
        st.tuples(st.sampled_from(LOCAL_NAMES), st.text("0123456789:.@[]/ax", max_size=8)).map("".join),
    )
)
def test_api_only_exact_hosts(world: World, host: str) -> None:
    status = world.client("admin").get("/api/v1/health", headers={"host": host.encode("latin-1")}).status_code
    known = "|".join(re.escape(name) for name in (*LOCAL_NAMES, "leeward.example"))
    assert (status == 200) == bool(re.fullmatch(f"({known})(:[0-9]{{0,5}})?", host.strip(), re.IGNORECASE))
