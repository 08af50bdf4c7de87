"""The names of the range and where they live: the one table that certificates, DNS and servers are made from.

Addresses are host parts; `netns.Net` draws the network (10.x.y.0/24 and a ULA /64) anew for each range, so that two
ranges on one machine never share an address. `v6` says whether the name has an AAAA record: some do, as on the real
internet, so that clients use both families.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Name:
    """A host of the range: `host` the DNS name, `part` its last address byte, `api` the server that answers there
    (a key of `servers.app.APPS`), `tls_port` and `plain_port` where it listens, 0 for not at all."""

    host: str
    part: int
    api: str
    v6: bool = False
    tls_port: int = 443
    plain_port: int = 0


NAMES: tuple[Name, ...] = (
    Name("api.openai.com", 11, "openai"),
    Name("api.anthropic.com", 12, "anthropic", v6=True),
    Name("api.groq.com", 13, "groq"),
    Name("api.mistral.ai", 14, "mistral", v6=True),
    Name("generativelanguage.googleapis.com", 15, "gemini", v6=True),
    Name("bedrock-runtime.us-east-1.amazonaws.com", 16, "bedrock"),
    Name("api.cohere.com", 17, "cohere", v6=True),
    Name("router.huggingface.co", 18, "hugging_face"),
    Name("example.com", 20, "site", v6=True, plain_port=80),
    Name("www.example.com", 20, "site", v6=True),
    Name("ollama.range.test", 30, "ollama", tls_port=0, plain_port=11434),
    Name("vllm.range.test", 31, "vllm", v6=True, tls_port=0, plain_port=8000),
)
"""All names. `range.test` is reserved for tests (RFC 6761 section 6.2), the others are the vendors' own."""

LOOPBACK: tuple[tuple[str, int], ...] = (("ollama", 11434), ("vllm", 8000))
"""Servers that also listen on 127.0.0.1 and ::1 of the clients' namespace, as a local Ollama does: (api, port)."""

DNS_PART = 53
CLIENT_PART = 200
