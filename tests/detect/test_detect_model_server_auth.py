"""Model servers that answer anybody."""

from __future__ import annotations

import pytest
from api_acts import INSIDE, OUTSIDE, http, listening, process, told, worst

from leeward.ai.catalogue import default_catalogue
from leeward.detect.model_server_auth import ModelServerAuth, asked_at, server_of, servers
from leeward.model.activity import Activity, FlowSeen
from leeward.model.net import Endpoint
from leeward.model.process import Process
from leeward.model.raw import SocketOpened
from leeward.pipeline import Pipeline, Settings

OLLAMA = process("/usr/local/bin/ollama", "serve", workload="systemd:ollama.service")
VLLM = process("/usr/bin/python3.11", "-m", "vllm.entrypoints.openai.api_server", workload="systemd:vllm.service")


@pytest.mark.parametrize(
    ("who", "address", "severity"),
    [
        (OLLAMA, "0.0.0.0", "low"),
        (OLLAMA, "::", "low"),
        (OLLAMA, "10.0.0.2", "low"),
        (VLLM, "203.0.113.2", "medium"),
        (OLLAMA, "127.0.0.1", ""),
        (OLLAMA, "::1", ""),
        (process("/usr/bin/docker-proxy"), "0.0.0.0", "low"),
        (process("/usr/local/bin/ollama", workload="container:o@ollama", image="ollama/ollama:1"), "0.0.0.0", "info"),
    ],
)
def test_listening(who: Process, address: str, severity: str) -> None:
    assert worst(told(ModelServerAuth(), listening(1, who, address, 11434))) == severity


@pytest.mark.parametrize(
    ("peer", "path", "method", "severity"),
    [
        (OUTSIDE, "/api/generate", "POST", "high"),
        (OUTSIDE, "/api/tags", "GET", "high"),
        (OUTSIDE, "/api/delete", "DELETE", "critical"),
        (INSIDE, "/api/generate", "POST", "low"),
        (INSIDE, "/api/pull", "POST", "low"),
        ("127.0.0.1", "/api/pull", "POST", ""),
        (OUTSIDE, "/health", "GET", ""),
        (OUTSIDE, "/", "GET", ""),
    ],
)
def test_answering_without_a_credential(peer: str, path: str, method: str, severity: str) -> None:
    assert worst(told(ModelServerAuth(), http(1, path, 200, peer=peer, method=method, who=OLLAMA))) == severity


def test_shadowray() -> None:
    job = http(1, "/api/jobs/", 200, method="POST", host="198.51.100.4:8265")
    assert worst(told(ModelServerAuth(), job)) == "critical"


@pytest.mark.parametrize("path", ["/api/chat", "/api/generate", "/prompt", "/api/sessions", "/api/v1/run/x", "/"])
def test_public_applications_have_such_paths_too(path: str) -> None:
    site = process("/usr/bin/node", "/srv/site/server.js", workload="systemd:site.service")
    acts = [
        http(n, path, 200, method="POST", who=site, host="chat.example.com", exchange=path == "/api/chat")
        for n in range(5)
    ]
    assert told(ModelServerAuth(), acts, listening(9, site, "0.0.0.0", 3000)) == []


def test_an_exchange_tells_a_model_server_on_any_path() -> None:
    chat = http(1, "/llm/v1/chat/completions", 200, method="POST", exchange=True)
    assert worst(told(ModelServerAuth(), chat)) == "high"


@pytest.mark.parametrize("identity", ["key0000000000001", "?"])
def test_who_shows_a_credential_or_may_have(identity: str) -> None:
    assert told(ModelServerAuth(), http(1, "/api/generate", 200, identity=identity, who=OLLAMA)) == []


@pytest.mark.parametrize("status", [0, 302, 401, 403, 404, 500])
def test_refusing_is_right(status: int) -> None:
    assert told(ModelServerAuth(), http(1, "/api/kernels", status)) == []


def test_it_is_told_once_until_it_gets_worse() -> None:
    detector = ModelServerAuth()
    acts = [http(n, "/api/generate", 200, peer=INSIDE, who=OLLAMA) for n in range(50)]
    assert len(told(detector, acts)) == 1
    assert worst(told(detector, http(60, "/api/generate", 200, who=OLLAMA))) == "high"


def test_the_pipeline_tells_of_listeners() -> None:
    acts: list[Activity] = []
    pipeline = Pipeline(Settings("test", record=acts.append), default_catalogue(), None)
    pipeline.feed(SocketOpened(1, 0, 7, "listener", "tcp", Endpoint("0.0.0.0", 11434), Endpoint("0.0.0.0", 0)))
    assert [(a.flow.state, str(a.flow.dst)) for a in acts if isinstance(a, FlowSeen)] == [
        ("listening", "0.0.0.0:11434")
    ]


def test_the_data() -> None:
    assert len({server.name for server in servers()}) == len(servers())
    for server in servers():
        assert all(
            any(g.rstrip("*") in p or p.rstrip("*") in g for p in server.paths + server.shared) for g in server.grave
        ), server.name
    assert server_of("/usr/bin/python3.11", ("python3", "-m", "mlflow.server")) is not None
    assert asked_at("/api/2.0/mlflow/experiments/search", 0) is not None
    assert asked_at("/index.html", 11434) is None
