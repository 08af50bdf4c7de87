"""Fixtures of the gateway's tests: upstream services of ours with an authority of their own, and `leeward gateway` itself."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from gateway_running import Running, write_policy
from gateway_upstream import Upstream

from leeward.gateway.authority import Authority


@pytest.fixture(scope="session")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Who signs the certificates of upstream services."""
    return Authority(tmp_path_factory.mktemp("theirs"))


def _upstream(address: str, authority: Authority | None) -> Iterator[Upstream]:
    server = Upstream(address, authority.context(address) if authority else None)
    yield server
    server.close()


@pytest.fixture(scope="module")
def openai(theirs: Authority) -> Iterator[Upstream]:
    yield from _upstream("127.0.0.1", theirs)


@pytest.fixture(scope="module")
def anthropic(theirs: Authority) -> Iterator[Upstream]:
    yield from _upstream("127.0.0.2", theirs)


@pytest.fixture(scope="module")
def other(theirs: Authority) -> Iterator[Upstream]:
    """No AI service."""
    yield from _upstream("127.0.0.3", theirs)


@pytest.fixture(scope="module")
def ollama() -> Iterator[Upstream]:
    """One without TLS."""
    yield from _upstream("127.0.0.4", None)


@pytest.fixture(scope="module")
def gateway(
    tmp_path_factory: pytest.TempPathFactory, theirs: Authority, openai: Upstream, anthropic: Upstream, ollama: Upstream
) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("gateway")
    servers = {
        "openai": openai.url,
        "anthropic": anthropic.url,
        "ollama": ollama.url,
        "aws.bedrock": "https://127.0.0.9",
    }
    servers = {
        "openai": openai.url,
        "anthropic": anthropic.url,
        "ollama": ollama.url,
        "aws.bedrock": "https://127.0.0.9",
    }
    upstreams = [f"--upstream={name}={url}" for name, url in servers.items()]
    policy = write_policy(folder / "policy.yaml")
    running = Running(folder, theirs.path, "--policy", str(policy), *upstreams)
    yield running
    running.kill()


@pytest.fixture(autouse=True)
def fresh(request: pytest.FixtureRequest) -> None:
    for name in ("openai", "anthropic", "other", "ollama"):
        if name in request.fixturenames:
            request.getfixturevalue(name).forget()
