"""Unmodified SDKs with their default URLs in the proving ground: what Leeward saw equals what each sent and got,
live from the kernel and from a capture of the same traffic with its key log."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec
import pytest
from live_run import LEEWARD, Run

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "range"))

pytestmark = [pytest.mark.kernel, pytest.mark.timeout(600)]
#: client → (domain, provider); every one of them runs streamed and not
CLIENTS = {
    "openai_sync": ("api.openai.com", "openai"),
    "openai_async": ("api.openai.com", "openai"),
    "openai_threads": ("api.openai.com", "openai"),
    "openai_tools": ("api.openai.com", "openai"),
    "openai_responses": ("api.openai.com", "openai"),
    "openai_embeddings": ("api.openai.com", "openai"),
    "openai_compatible": ("", "openai_compatible"),
    "anthropic_messages": ("api.anthropic.com", "anthropic"),
    "ollama_client": ("", "ollama"),
    "langchain_openai_client": ("api.openai.com", "openai"),
    "litellm_client": ("api.openai.com", "openai"),
    "curl": ("api.openai.com", "openai"),
    "wget_gnutls": ("api.openai.com", "openai"),
    "node_openai": ("api.openai.com", "openai"),
    "node_anthropic": ("api.anthropic.com", "anthropic"),
    "node_vercel": ("api.openai.com", "openai"),
    "go_http": ("api.openai.com", "openai"),
    "go_http_stripped": ("api.openai.com", "openai"),
    "httpx_h2": ("api.openai.com", "openai"),
    "bedrock_converse": ("bedrock-runtime.us-east-1.amazonaws.com", "aws.bedrock"),
    "gemini_client": ("generativelanguage.googleapis.com", "gcp.gemini"),
    "grpc_gemini": ("", "gcp.gemini"),
    "mistral_client": ("api.mistral.ai", "mistral_ai"),
    "cohere_client": ("api.cohere.com", "cohere"),
    "hf_inference": ("router.huggingface.co", "hugging_face"),
    "openai_realtime": ("api.openai.com", "openai"),
    "gemini_live": ("generativelanguage.googleapis.com", "gcp.gemini"),
    "mcp_stdio": ("", "mcp"),
    "mcp_http": ("", "mcp"),
}
#: Speak where tcpdump sees nothing, or with keys that nobody logs.
NOT_CAPTURED = ("mcp_stdio", "grpc_gemini")
#: Programs that nobody ran before, and that speak within milliseconds.
NEW_FILES = ("go_http", "go_http_stripped")
#: Make others speak for them, and do not know their pids.
SHELLS = ("curl", "wget_gnutls")
KEYS = {
    "openai": "OPENAI_API_KEY",
    "anthropic": "ANTHROPIC_API_KEY",
    "gcp.gemini": "GEMINI_API_KEY",
    "mistral_ai": "MISTRAL_API_KEY",
    "cohere": "CO_API_KEY",
    "hugging_face": "HF_TOKEN",
}


class Traffic(msgspec.Struct):
    """What one round of all clients left. exchanges and replayed: by the marker in their prompt."""

    truths: dict[tuple[str, bool], list[dict[str, Any]]]
    exchanges: dict[str, list[dict[str, Any]]]
    replayed: dict[str, list[dict[str, Any]]]
    lost: dict[str, int]
    keys: dict[str, str]
    captures: list[Path]
    keylog: Path


def marker_of(exchange: dict[str, Any]) -> str:
    """`[[client.run wN cN]]` in what was sent, to a model or to a tool."""
    parts = {name: exchange["gen_ai"][name] for name in ("input", "tool_calls")}
    text = json.dumps(parts, ensure_ascii=False)
    start = text.find("[[")
    return text[start : text.find("]]", start) + 2] if start >= 0 else ""


def by_marker(exchanges: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    for exchange in exchanges:
        found.setdefault(marker_of(exchange), []).append(exchange)
    return found


def replay(path: Path, keylog: Path) -> bytes:
    command = [LEEWARD, "replay", "--json", "--keylog", str(keylog), str(path)]
    return subprocess.run(command, capture_output=True, check=True, timeout=120).stdout


def of_type(lines: bytes, kind: str) -> list[dict[str, Any]]:
    return [e for e in map(json.loads, lines.splitlines()) if e["type"] == kind]


@pytest.fixture(scope="module")
def traffic(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Traffic]:
    run_module = pytest.importorskip("proving.run")
    if not (ROOT / ".venv-range/bin/python").exists():
        pytest.skip("the clients are not installed: make setup-range")
    folder = tmp_path_factory.mktemp("clients")
    truths: dict[tuple[str, bool], list[dict[str, Any]]] = {}
    outer, inner = folder / "eth0.pcap", folder / "lo.pcap"
    running = Run(folder / "state")
    try:
        with run_module.Range(folder / "range", keylog=True) as ground:
            for name in NEW_FILES:  # a file is seen into some 50 ms after it was first run, for good
                if name in run_module.clients():
                    assert ground.client(name).returncode == 0
            with ground.capture(outer, "eth0"), ground.capture(inner, "lo"):
                names = [name for name in CLIENTS if name in run_module.clients()]
                with ThreadPoolExecutor(2) as pool:  # most of a client's time is its start
                    ends = pool.map(lambda name: [ground.client(name, n=2, stream=s) for s in (False, True)], names)
                    for name, both in zip(names, ends, strict=True):
                        for stream, done in zip((False, True), both, strict=True):
                            assert done.returncode == 0, (name, done.stderr)
                            truths[name, stream] = done.truth
            total = sum(len(t) for t in truths.values())
            running.wait(lambda: running.stored() >= total, 20)
            exchanges = [e for e in running.exchanges() if marker_of(e)]
            # clients that log no keys (Node, Go) speak with servers that do
            ground.keylog.write_bytes(ground.keylog.read_bytes() + ground.server_keylog.read_bytes())
            replayed = [e for path in (outer, inner) for e in of_type(replay(path, ground.keylog), "exchange")]
            keys = {provider: ground.env[name] for provider, name in KEYS.items()}
            lost = running.get("/stats")["status"]["lost"]
            yield Traffic(truths, by_marker(exchanges), by_marker(replayed), lost, keys, [outer, inner], ground.keylog)
    finally:
        running.stop()


def usage(ai: dict[str, Any]) -> tuple[int | None, int | None]:
    return ai["input_tokens"], ai["output_tokens"]


def said(truth: dict[str, Any]) -> tuple[int | None, int | None]:
    """Tokens as the client was told, under any of the APIs' names."""
    told = truth["usage"] or {}
    names = (
        ("input_tokens", "prompt_tokens", "prompt_eval_count"),
        ("output_tokens", "completion_tokens", "eval_count"),
    )
    return tuple(next((told[n] for n in group if told.get(n) is not None), None) for group in names)  # type: ignore[return-value]


def calls(items: list[dict[str, Any]]) -> list[tuple[str, Any]]:
    """Name and arguments, parsed: Anthropic's and Ollama's are objects on the wire."""
    rows = []
    for item in items:
        arguments = item.get("arguments", item.get("input"))
        rows.append((item["name"], json.loads(arguments) if isinstance(arguments, str) else arguments))
    return rows


def same(exchange: dict[str, Any], truth: dict[str, Any]) -> None:
    """The exchange is what the client sent and got, byte for byte."""
    ai = exchange["gen_ai"]
    if truth["api"] == "mcp":
        assert ai["operation"] == "execute_tool"
        assert calls(ai["tool_calls"]) == calls(truth["tool_calls"])
        assert "".join(m["content"] for m in ai["output"]) == "".join(truth["texts"])
        assert (exchange["error"] is not None) == bool(truth["error"])
        return
    assert ai["request_model"] == truth["model"].removeprefix("models/")
    if truth["api"] != "openai.embeddings":
        texts = [m["content"] for m in ai["output"]]
        assert "".join(texts) == "".join(truth["texts"])
        assert calls(ai["tool_calls"]) == calls(truth["tool_calls"])
    sent = truth["request"].get("messages") or truth["request"].get("input") or truth["request"].get("prompt")
    wanted = sent if isinstance(sent, str) else sent[-1].get("content")
    if isinstance(wanted, str):
        assert wanted in [m["content"] for m in ai["input"]]
    if any(said(truth)) and ai["output_tokens"] is not None:
        assert usage(ai)[0] == said(truth)[0]
    assert exchange["http"]["status"] == (101 if truth["api"] in ("openai.realtime", "gemini.live") else 200)
    assert exchange["evidence"]["complete"]
    assert not exchange["evidence"]["truncated"]
    assert not exchange["evidence"]["gap"]


def matched(traffic: Traffic, name: str, stream: bool, found: dict[str, list[dict[str, Any]]]) -> list[tuple[Any, Any]]:
    """(exchange, truth) pairs of one client's run: one exchange each, in order within a marker (tool loops share one)."""
    if (name, stream) not in traffic.truths:
        pytest.skip(f"{name} is not installed: make setup-range")
    truths: dict[str, list[dict[str, Any]]] = {}
    for truth in traffic.truths[name, stream]:
        truths.setdefault(truth["marker"], []).append(truth)
    pairs = []
    for marker, group in truths.items():
        exchanges = sorted(found.get(marker, []), key=lambda e: e["time"])
        how = [(e["process"]["pid"] if e["process"] else 0, e["evidence"]["joined"]) for e in exchanges]
        assert len(exchanges) == len(group), f"{marker}: {how} for {len(group)} requests"
        pairs += zip(exchanges, sorted(group, key=lambda t: t["started"]), strict=True)
    return pairs


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("name", list(CLIENTS))
def test_live(traffic: Traffic, name: str, stream: bool) -> None:
    domain, provider = CLIENTS[name]
    pairs = matched(traffic, name, stream, traffic.exchanges)
    assert pairs
    for exchange, truth in pairs:
        same(exchange, truth)
        assert exchange["gen_ai"]["provider"] == provider
        assert exchange["process"]["pid"] == truth["pid"] or name in SHELLS
        assert exchange["workload"]["name"]
        if domain:
            assert (exchange["network"]["domain"], exchange["network"]["tls"]["sni"]) == (domain, domain)
            if (key := traffic.keys.get(provider)) is not None:
                assert exchange["key"]["fingerprint"] == hashlib.sha256(key.encode()).hexdigest()[:16]
                assert exchange["key"]["provider"] in (provider, "")
                assert key not in json.dumps(exchange)
        if exchange["gen_ai"]["stream"] and provider != "mcp":
            assert 0 < exchange["gen_ai"]["time_to_first_token_ms"] <= exchange["duration_ms"]


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("name", [name for name in CLIENTS if name not in NOT_CAPTURED])
def test_replayed(traffic: Traffic, name: str, stream: bool) -> None:
    """The capture gives the same exchanges as the kernel did, ids, times and processes aside."""
    live = matched(traffic, name, stream, traffic.exchanges)
    again = matched(traffic, name, stream, traffic.replayed)
    for (one, _), (two, truth) in zip(live, again, strict=True):
        same(two, truth)
        timeless = [{k: v for k, v in e["gen_ai"].items() if k != "time_to_first_token_ms"} for e in (one, two)]
        assert timeless[0] == timeless[1]
        assert (one["key"], one["error"], one["http"]) == (two["key"], two["error"], two["http"])
        assert one["network"]["src"] == two["network"]["src"]
        assert one["network"]["domain"] == two["network"]["domain"]


def test_nothing_was_lost(traffic: Traffic) -> None:
    assert traffic.lost == dict.fromkeys(traffic.lost, 0)


def test_replay_twice_is_the_same_to_the_byte(traffic: Traffic) -> None:
    for path in traffic.captures:
        assert replay(path, traffic.keylog) == replay(path, traffic.keylog)


def test_a_key_log_that_does_not_fit(traffic: Traffic, tmp_path: Path) -> None:
    """No exchange, no traceback; the coverage says which AI hosts were not seen into, and why."""
    other = tmp_path / "keys"
    other.write_text("CLIENT_RANDOM " + "00" * 32 + " " + "11" * 48 + "\n")
    lines = replay(traffic.captures[0], other)
    assert of_type(lines, "exchange") == []
    coverage = of_type(lines, "coverage")
    assert {"api.openai.com", "api.anthropic.com"} <= {s for row in coverage for s in row["services"]}
    assert all(row["visible"] == "metadata" and row["reason"] for row in coverage)


def test_a_truncated_capture(traffic: Traffic, tmp_path: Path) -> None:
    path = tmp_path / "cut.pcap"
    data = traffic.captures[0].read_bytes()
    path.write_bytes(data[: len(data) // 2 + 3])
    lines = replay(path, traffic.keylog)
    (stats,) = of_type(lines, "stats")
    assert stats["counters"]["truncated_capture"] == 1
    assert 0 < stats["exchanges"] < len(traffic.replayed)


def test_java_is_told_to_be_unseen(tmp_path: Path) -> None:
    """Its TLS is its own: no exchange, but the connection, whose it is, how much passed, and why there is no more."""
    run_module = pytest.importorskip("proving.run")
    if "java_http" not in run_module.clients():
        pytest.skip("java is not installed")
    with run_module.Range(tmp_path / "range") as ground:
        command = [LEEWARD, "exec", "--no-model", "--json", "--", "env", *(f"{k}={v}" for k, v in ground.env.items())]
        command += [f"RANGE_TRUTH={tmp_path}/truth", "RANGE_RUN=x", "ip", "netns", "exec", ground.net.client]
        command += [*run_module.client_script("java_http"), "--n", "2"]
        done = subprocess.run(command, capture_output=True, timeout=120)
        assert done.returncode == 0, done.stderr
    pids = {json.loads(line)["pid"] for line in (tmp_path / "truth").read_text().splitlines()}
    assert of_type(done.stdout, "exchange") == []
    flows = [f for f in of_type(done.stdout, "flow") if f["sni"] == "api.openai.com"]
    assert flows
    last = flows[-1]
    assert (last["provider"], {last["pid"]}) == ("openai", pids)
    assert last["content"].startswith("not visible: ")
    assert "Java" in last["content"]
    assert min(last["bytes_sent"], last["bytes_received"]) > 500
    coverage = [c for s in of_type(done.stdout, "stats") for c in s["coverage"]]
    assert [(c["visible"], "Java" in c["reason"], c["services"]) for c in coverage] == [
        ("metadata", True, ["api.openai.com"])
    ]
