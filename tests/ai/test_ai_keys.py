"""Credentials: found, named by their form, fingerprinted, never kept. The samples are made up here."""

from __future__ import annotations

import hashlib

import pytest

from leeward.ai.catalogue import default_catalogue
from leeward.ai.keys import find_key, redact_argv, redact_url

FORMS = default_catalogue().key_forms
A = "Ab1" * 20
SAMPLES = [
    ("sk-" + "proj-" + A, "openai"),
    ("sk-" + A[:20] + "T3Blbk" + "FJ" + A[:20], "openai"),
    ("sk-" + "ant-api03-" + A, "anthropic"),
    ("sk-" + "or-v1-" + "0a" * 32, "openrouter"),
    ("gsk" + "_" + A[:52], "groq"),
    ("xai" + "-" + A, "x_ai"),
    ("AI" + "za" + A[:35], "gcp.gemini"),
    ("hf" + "_" + "aBcD" * 9, "hugging_face"),
    ("pplx" + "-" + A[:48], "perplexity"),
    ("nvapi" + "-" + A, "nvidia"),
    ("ABSK" + A * 2, "aws.bedrock"),
    ("sk-" + "0123456789abcdef" * 2, ""),
    ("eyJhbGciOi.eyJzdWIi.c2ln", ""),
]


@pytest.mark.parametrize(("secret", "provider"), SAMPLES)
@pytest.mark.parametrize(
    ("header", "template"),
    [("authorization", "Bearer {}"), ("authorization", "{}"), ("x-api-key", "{}"), ("api-key", "{}")],
)
def test_key_by_form_and_fingerprint(secret: str, provider: str, header: str, template: str) -> None:
    found = find_key([("host", "x"), (header, template.format(secret))], "/", FORMS)
    assert found is not None
    assert found.provider == provider
    assert found.header == header
    assert found.fingerprint == hashlib.sha256(secret.encode()).hexdigest()[:16]


def test_the_same_key_has_the_same_fingerprint_wherever_it_travels() -> None:
    secret = "AI" + "za" + A[:35]
    by_header = find_key([("x-goog-api-key", secret)], "/", FORMS)
    by_query = find_key([], f"/v1/models?key={secret}&alt=sse", FORMS)
    assert by_header is not None
    assert by_query is not None
    assert by_header.fingerprint == by_query.fingerprint
    assert by_query.header == "query:key"


def test_a_key_of_known_form_wins_over_another_credential() -> None:
    headers = [("authorization", "Bearer session-token"), ("x-api-key", "sk-" + "ant-" + A)]
    found = find_key(headers, "/", FORMS)
    assert found is not None
    assert (found.provider, found.header) == ("anthropic", "x-api-key")


def test_sigv4_is_known_by_its_access_key_id_and_service() -> None:
    value = "AWS4-HMAC-SHA256 Credential=AKIA" + "B" * 16 + "/20260101/us-east-1/bedrock/aws4_request, Signature=ab"
    found = find_key([("authorization", value)], "/", FORMS)
    assert found is not None
    assert found.provider == "aws.bedrock"
    assert found.fingerprint == hashlib.sha256(("AKIA" + "B" * 16).encode()).hexdigest()[:16]


@pytest.mark.parametrize("headers", [[], [("authorization", "")], [("authorization", "Bearer ")], [("x-api-key", " ")]])
def test_no_credential(headers: list[tuple[str, str]]) -> None:
    assert find_key(headers, "/v1/models", FORMS) is None


URLS = [
    ("h/v1/models?key=abc&alt=sse", "h/v1/models?key=[secret]&alt=sse"),
    ("h/x?a=1&api_key=abc", "h/x?a=1&api_key=[secret]"),
    ("h/x?API-KEY=abc#frag", "h/x?API-KEY=[secret]#frag"),
    ("h/x?api%5Fkey=abc", "h/x?api%5Fkey=[secret]"),
    ("http://u:p@h/x", "http://[secret]@h/x"),
    ("h/sk-" + "ant-" + A + "/x", "h/[secret]/x"),
    ("h/x?monkey=abc&api-version=1", "h/x?monkey=abc&api-version=1"),
    ("h/x?key=", "h/x?key="),
]


@pytest.mark.parametrize(("url", "clean"), URLS)
def test_urls_are_kept_without_secrets(url: str, clean: str) -> None:
    assert redact_url(url, FORMS) == clean


@pytest.mark.parametrize(
    ("argv", "clean"),
    [
        (["curl", "-H", "Authorization: Bearer abc.def"], ["curl", "-H", "Authorization: [secret]"]),
        (["curl", "-H", "x-api-key:abc"], ["curl", "-H", "x-api-key:[secret]"]),
        (["tool", "--api-key", "hunter2", "-v"], ["tool", "--api-key", "[secret]", "-v"]),
        (["tool", "--openai-api-key=hunter2"], ["tool", "--openai-api-key=[secret]"]),
        (["env", "OPENAI_API_KEY=hunter2", "python"], ["env", "OPENAI_API_KEY=[secret]", "python"]),
        (["tool", "--password", "--verbose"], ["tool", "--password", "--verbose"]),
        (["psql", "postgres://u:p@h/db"], ["psql", "postgres://[secret]@h/db"]),
        (["python", "tokenizer.py", "--max-tokens", "5"], ["python", "tokenizer.py", "--max-tokens", "5"]),
    ],
)
def test_command_lines_lose_their_credentials(argv: list[str], clean: list[str]) -> None:
    assert redact_argv(argv, FORMS) == clean
