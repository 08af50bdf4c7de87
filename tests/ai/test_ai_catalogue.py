"""The catalogue: which requests are AI, whose, and what a user's file may change."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest

from leeward.ai.catalogue import BASE, SCHEMA, Catalogue, default_catalogue, load_catalogue
from leeward.ai.datafile import Schema, load_yaml
from leeward.ai.decode import DIALECTS
from leeward.ai.shape import STREAM
from leeward.ai.yamlfile import parse_yaml
from leeward.model.errors import InputError

HOSTED = [
    ("api.openai.com", "POST", "/v1/chat/completions", "openai", "openai.chat", "chat"),
    ("API.OpenAI.com:443", "POST", "/v1/responses", "openai", "openai.responses", "chat"),
    ("eu.api.openai.com", "POST", "/v1/embeddings", "openai", "openai.embeddings", "embeddings"),
    ("api.openai.com", "GET", "/v1/models?limit=2", "openai", "openai.models", "list_models"),
    ("api.openai.com", "POST", "/v1/completions/", "openai", "openai.completions", "text_completion"),
    ("api.openai.com", "POST", "/v1/audio/transcriptions", "openai", "openai.transcriptions", "transcription"),
    ("api.anthropic.com", "POST", "/v1/messages?beta=true", "anthropic", "anthropic.messages", "chat"),
    ("api.anthropic.com", "POST", "/v1/messages/count_tokens", "anthropic", "anthropic.count_tokens", "count_tokens"),
    ("api.anthropic.com", "GET", "/v1/models", "anthropic", "anthropic.models", "list_models"),
    (
        "corp.openai.azure.com",
        "POST",
        "/openai/deployments/gpt/chat/completions?api-version=2024-10-21",
        "azure.ai.openai",
        "openai.chat",
        "chat",
    ),
    ("bedrock-runtime.eu-west-1.amazonaws.com", "POST", "/model/x/converse", "aws.bedrock", "bedrock.converse", "chat"),
    (
        "generativelanguage.googleapis.com",
        "POST",
        "/v1beta/models/gemini-2.5-pro:generateContent",
        "gcp.gemini",
        "gemini.generate",
        "generate_content",
    ),
    ("us-central1-aiplatform.googleapis.com", "POST", "/v1/projects/x", "gcp.vertex_ai", "unknown", "unknown"),
    ("huggingface.co", "GET", "/o/m/resolve/main/f.bin", "hugging_face_hub", "huggingface.download", "download_model"),
    ("api.groq.com", "POST", "/openai/v1/chat/completions", "groq", "openai.chat", "chat"),
    ("api.deepseek.com", "POST", "/anthropic/v1/messages", "deepseek", "anthropic.messages", "chat"),
    ("openrouter.ai", "POST", "/api/v1/chat/completions", "openrouter", "openai.chat", "chat"),
    ("ollama.com", "POST", "/api/chat", "ollama", "ollama.chat", "chat"),
    ("x.cloud.databricks.com", "POST", "/serving-endpoints/m/invocations", "databricks", "openai.chat", "chat"),
    ("claude.ai", "POST", "/api/organizations/o/chat_conversations/c/completion", "claude_ai", "unknown", "unknown"),
    ("api.anthropic.com.", "POST", "http://api.anthropic.com/v1/messages", "anthropic", "anthropic.messages", "chat"),
]


@pytest.mark.parametrize(("host", "method", "path", "provider", "api", "operation"), HOSTED)
def test_known_hosts(host: str, method: str, path: str, provider: str, api: str, operation: str) -> None:
    found = default_catalogue().match(host, 443, method, path, [])
    assert found is not None
    assert (found.provider, found.api, found.operation, found.certain) == (provider, api, operation, True)


ANYWHERE = [
    ("localhost:8000", 8000, "POST", "/v1/chat/completions", "openai_compatible", "openai.chat"),
    ("llm.corp", 443, "POST", "/chat/completions", "openai_compatible", "openai.chat"),
    (
        "gw.corp",
        443,
        "POST",
        "/team/openai/deployments/g/chat/completions?api-version=1",
        "openai_compatible",
        "openai.chat",
    ),
    ("gw.corp", 443, "POST", "/openai/deployments/g/completions", "openai_compatible", "openai.completions"),
    ("10.1.2.3", 80, "POST", "/v1/embeddings", "openai_compatible", "openai.embeddings"),
    ("10.1.2.3", 80, "POST", "/v1/responses", "openai_compatible", "openai.responses"),
    ("10.1.2.3", 80, "GET", "/v1/models", "openai_compatible", "openai.models"),
    ("gw", 80, "POST", "/v1/messages", "anthropic_compatible", "anthropic.messages"),
    ("127.0.0.1:11434", 11434, "POST", "/api/chat", "ollama", "ollama.chat"),
    ("[::1]:11434", 11434, "POST", "/api/generate", "ollama", "ollama.generate"),
    ("box", 11434, "POST", "/api/embed", "ollama", "ollama.embed"),
    ("box", 11434, "GET", "/api/version", "ollama", "ollama.version"),
    ("box", 11434, "DELETE", "/api/delete", "ollama", "ollama.delete"),
]


@pytest.mark.parametrize(("host", "port", "method", "path", "provider", "api"), ANYWHERE)
def test_unknown_hosts_by_path(host: str, port: int, method: str, path: str, provider: str, api: str) -> None:
    found = default_catalogue().match(host, port, method, path, [])
    assert found is not None
    assert (found.provider, found.api, found.certain) == (provider, api, False)


def test_models_with_anthropic_version_header_is_anthropics() -> None:
    found = default_catalogue().match("gw", 80, "GET", "/v1/models", [("anthropic-version", "2023-06-01")])
    assert found is not None
    assert (found.provider, found.api) == ("anthropic_compatible", "anthropic.models")


NOT_AI = [
    ("example.com", "GET", "/"),
    ("example.com", "POST", "/v1/chat"),
    ("example.com", "POST", "/completions"),
    ("example.com", "GET", "/v1/chat/completions"),
    ("example.com", "POST", "/xchat/completions"),
    ("example.com", "GET", "/api/version"),
    ("example.com", "GET", "/models"),
    ("notopenai.com", "POST", "/v1/audio/speech"),
    ("api.openai.com.evil.example", "POST", "/v1/files"),
    ("openai.azure.com", "POST", "/x"),
    ("api.openai.com", "OPTIONS", "/v1/chat/completions"),
    ("claude.ai", "GET", "/api/bootstrap"),
    ("chatgpt.com", "GET", "/assets/app.js"),
    ("x.cloud.databricks.com", "POST", "/api/2.0/sql"),
    ("s3.amazonaws.com", "GET", "/bucket"),
    ("", "", ""),
]


@pytest.mark.parametrize(("host", "method", "path"), NOT_AI)
def test_what_is_not_ai(host: str, method: str, path: str) -> None:
    assert default_catalogue().match(host, 443, method, path, []) is None


def test_hosts_by_name_alone() -> None:
    catalogue = default_catalogue()
    assert catalogue.is_ai_host("API.openai.com") == "openai"
    assert catalogue.is_ai_host("bedrock-runtime.us-east-1.amazonaws.com") == "aws.bedrock"
    assert catalogue.is_ai_host("huggingface.co") == "hugging_face_hub"
    assert catalogue.is_ai_host("a.b.pinecone.io") == "pinecone"
    assert catalogue.is_ai_host("token-plan-cn.xiaomimimo.com") == "xiaomi"
    assert catalogue.is_ai_host("example.com") is None
    assert catalogue.is_ai_host("") is None
    assert catalogue.port_hint(11434) == "ollama"
    assert catalogue.port_hint(22) == ""


def test_every_provider_can_be_found_by_a_host_a_port_or_as_a_fallback() -> None:
    catalogue = default_catalogue()
    fallbacks = {"openai_compatible", "anthropic_compatible", "llama_cpp"}
    for provider in catalogue.providers.values():
        assert provider.hosts or provider.ports or provider.id in fallbacks, provider.id
        for host in provider.hosts:
            example = host[2:] if host.startswith("*.") else host
            example = ("sub." + example if host.startswith("*.") else example).replace("*", "x1")
            assert catalogue.is_ai_host(example) == provider.id, host


def test_every_api_has_a_decoder_and_every_decoder_an_api() -> None:
    assert set(default_catalogue().apis) == set(DIALECTS) - {STREAM}  # that one is told by its shape alone


def test_key_patterns_are_narrow() -> None:
    for provider in default_catalogue().providers.values():
        for pattern in provider.keys:
            for plain in ("password", "Bearer", "EMPTY", "sk-" + "a" * 32, "0123456789abcdef" * 2):
                assert not re.fullmatch(pattern, plain), (provider.id, pattern)


def test_built_in_file_passes_its_schema_and_the_schema_is_understood() -> None:
    assert load_yaml(BASE, Schema.read(SCHEMA))["providers"]
    with pytest.raises(ValueError, match="oneOf"):
        Schema({"properties": {"a": {"oneOf": []}}})


def _with(tmp_path: Path, text: str) -> Catalogue:
    path = tmp_path / "mine.yaml"
    path.write_text(text, encoding="utf-8")
    return load_catalogue([path])


def test_user_file_adds_overrides_and_replaces(tmp_path: Path) -> None:
    catalogue = _with(
        tmp_path,
        """
providers:
  - id: acme
    name: Acme gateway
    kind: gateway
    hosts: [llm.acme.example, "*.llm.acme.example", "10.0.0.5:9000", api.x.ai]
    apis:
      - {path: /talk/v2, api: openai.chat}
    keys: ['acme-[0-9]{8}']
    tells: [x-acme]
  - id: openai
    hosts: [openai.acme.example]
  - id: groq
    replace: true
    name: Other
    hosts: [groq.acme.example]
""",
    )
    found = catalogue.match("llm.acme.example", 443, "POST", "/talk/v2", [])
    assert found is not None
    assert (found.provider, found.api, found.certain) == ("acme", "openai.chat", True)
    assert catalogue.match("10.0.0.5", 9000, "GET", "/x", []) is not None
    assert catalogue.match("10.0.0.5", 9001, "GET", "/x", []) is None
    assert catalogue.is_ai_host("api.x.ai") == "acme"
    assert catalogue.is_ai_host("openai.acme.example") == catalogue.is_ai_host("api.openai.com") == "openai"
    assert catalogue.is_ai_host("api.groq.com") is None
    assert catalogue.key_forms.provider("acme-12345678") == "acme"
    assert catalogue.tells([("x-acme", "1"), ("x-litellm-version", "2")]) == ["acme", "litellm"]
    assert default_catalogue().is_ai_host("api.x.ai") == "x_ai"


BAD = [
    ("providers:\n  - id: a\n    hots: [x]\n", "mine.yaml:3: providers[0].hots: unknown field"),
    ("providers:\n  - name: a\n", "mine.yaml:2: providers[0]: needs id"),
    ("providers:\n  - id: a\n    hosts: ['http://x']\n", "mine.yaml:3: providers[0].hosts[0]: must match"),
    ("providers:\n  - id: a\n    kind: moon\n", "mine.yaml:3: providers[0].kind: must be one of"),
    ("providers:\n  - id: a\n    ports: [70000]\n", "mine.yaml:3: providers[0].ports[0]: must be at most"),
    ("providers:\n  - id: a\n    ports: [true]\n", "mine.yaml:3: providers[0].ports[0]: must be of type integer"),
    ("providers:\n  - id: a\n    id: b\n", "mine.yaml:3: providers[0].id: given twice"),
    ("providers:\n  - id: a\n    keys: ['(']\n", "mine.yaml:3: keys: not a regular expression"),
    ("providers:\n  - id: a\n    keys: ['(x)']\n", "mine.yaml:3: keys: use"),
    ("providers:\n  - id: a\n    apis: [{path: /x, api: no.such}]\n", "mine.yaml:3: api: no API is called no.such"),
    (
        "providers:\n  - {id: a, hosts: [h.x]}\n  - {id: b, hosts: [h.x]}\n",
        "mine.yaml:3: hosts: h.x is already given in line 2",
    ),
    (
        "apis:\n  - {id: openai.chat, operation: chat, paths: [{path: /x}]}\n",
        "mine.yaml:2: id: API openai.chat is already",
    ),
    ("providers: {}\n", "mine.yaml:1: providers: must be of type array"),
    ("- a\n", "mine.yaml:1: must be a mapping"),
    ("a: [\n", "mine.yaml:2: not YAML"),
    ("a: b: c\n", "mine.yaml:1: not YAML"),
    ("", "mine.yaml:1: must be a mapping"),
]


@pytest.mark.parametrize(("text", "message"), BAD)
def test_errors_name_file_and_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        _with(tmp_path, text)
    assert message in str(caught.value)


def test_missing_file_is_an_input_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        load_catalogue([tmp_path / "absent.yaml"])


def test_deep_yaml_is_refused() -> None:
    with pytest.raises(InputError):
        parse_yaml("a: " + "[" * 100 + "]" * 100, "x", Schema({"type": "object"}))


def test_match_is_fast_enough_for_every_request() -> None:
    """A generous bound (measured: 1 to 3 µs): it must not grow with the catalogue."""
    catalogue = default_catalogue()
    best = min(_timed(catalogue) for _ in range(5))
    assert best < 50e-6


def _timed(catalogue: Catalogue) -> float:
    headers = [("content-type", "application/json")]
    began = time.perf_counter()
    for _ in range(300):
        catalogue.match("www.example.com", 443, "GET", "/a/b/c.html?x=1", headers)
        catalogue.match("api.openai.com", 443, "POST", "/v1/chat/completions", headers)
    return (time.perf_counter() - began) / 600


def test_memo_of_hosts_is_bounded() -> None:
    catalogue = load_catalogue()
    for i in range(10_000):
        catalogue.is_ai_host(f"h{i}.example")
    assert len(catalogue._memo) <= 4096
