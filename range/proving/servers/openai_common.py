"""What OpenAI's APIs share: keys, errors, model names, response headers."""

from __future__ import annotations

from dataclasses import dataclass

from proving.servers.reply import Ask, Json, Meaning, Reply, json_reply

SNAPSHOTS = {
    "gpt-4o": "gpt-4o-2024-08-06",
    "gpt-4o-mini": "gpt-4o-mini-2024-07-18",
    "gpt-4.1-mini": "gpt-4.1-mini-2025-04-14",
    "o4-mini": "o4-mini-2025-04-16",
}
"""The API answers with the dated snapshot of an alias: request and response model differ."""


@dataclass(frozen=True)
class Flavour:
    """How one vendor's server of this API differs: `vendor` its name, `key_prefix` what a key begins with (empty: any
    or none), `obfuscation` the padding that OpenAI's chunks carry, `snapshots` whether aliases are resolved."""

    vendor: str
    key_prefix: str = ""
    obfuscation: bool = False
    snapshots: bool = False
    base: str = "/v1"

    def model(self, asked: str) -> str:
        """The model that answers."""
        return SNAPSHOTS.get(asked, asked) if self.snapshots else asked


OPENAI = Flavour("openai", "sk-", obfuscation=True, snapshots=True)
GROQ = Flavour("groq", "gsk_", base="/openai/v1")
MISTRAL = Flavour("mistral", "")
HUGGING_FACE = Flavour("hugging_face", "hf_")
GEMINI = Flavour("gemini", "", base="/v1beta/openai")
VLLM = Flavour("vllm")
OLLAMA = Flavour("ollama")


def headers(flavour: Flavour, ask: Ask) -> list[tuple[str, str]]:
    """Response headers that tell the vendor."""
    ident = ask.hash("request")[:32]
    if flavour.vendor == "openai":
        return [
            ("openai-version", "2020-10-01"),
            ("openai-organization", "range-org"),
            ("openai-project", "proj_range"),
            ("openai-processing-ms", "12"),
            ("x-ratelimit-limit-requests", "10000"),
            ("x-ratelimit-remaining-requests", "9999"),
            ("x-request-id", "req_" + ident),
            ("strict-transport-security", "max-age=31536000; includeSubDomains; preload"),
            ("server", "cloudflare"),
            ("cf-ray", ident[:16] + "-FRA"),
        ]
    if flavour.vendor in ("vllm", "ollama"):
        return [("server", "uvicorn")] if flavour.vendor == "vllm" else []
    return [("x-request-id", "req_" + ident), ("server", "cloudflare"), ("cf-ray", ident[:16] + "-FRA")]


def failure(status: int, message: str, kind: str, code: str | None, param: str | None = None) -> Reply:
    """An error document."""
    error: Json = {"error": {"message": message, "type": kind, "param": param, "code": code}}
    return json_reply(error, Meaning(error=code or kind), status=status, indent=2)


def refused(flavour: Flavour, ask: Ask) -> Reply | None:
    """The error of a request that is not let in: no or wrong key, no JSON, a model that stands for an error."""
    key = ask.bearer()
    if flavour.key_prefix and not key:
        return failure(401, "You didn't provide an API key.", "invalid_request_error", None)
    if flavour.key_prefix and (not key.startswith(flavour.key_prefix) or "invalid" in key):
        shown = f"{key[:8]}{'*' * 8}{key[-4:]}"
        text = f"Incorrect API key provided: {shown}. You can find your API key at https://platform.openai.com/account/api-keys."
        return failure(401, text, "invalid_request_error", "invalid_api_key")
    if ask.method != "POST":
        return None
    if not isinstance(ask.data, dict):
        return failure(400, "We could not parse the JSON body of your request.", "invalid_request_error", None)
    model = ask.data.get("model")
    if not isinstance(model, str) or not model:
        return failure(400, "you must provide a model parameter", "invalid_request_error", None)
    match model:
        case "range-429":
            return failure(
                429,
                "You exceeded your current quota, please check your plan and billing details.",
                "insufficient_quota",
                "insufficient_quota",
            )
        case "range-500":
            return failure(
                500, "The server had an error while processing your request. Sorry about that!", "server_error", None
            )
        case "range-404":
            text = f"The model `{model}` does not exist or you do not have access to it."
            return failure(404, text, "invalid_request_error", "model_not_found")
    return None


def models(flavour: Flavour, ask: Ask) -> Reply:
    """`GET /v1/models`."""
    ids = [*SNAPSHOTS, "text-embedding-3-small"] if flavour.vendor == "openai" else [f"{flavour.vendor}-model"]
    data = [{"id": i, "object": "model", "created": 1715367049, "owned_by": flavour.vendor} for i in ids]
    return json_reply({"object": "list", "data": data}, Meaning(operation="models"), indent=2)


def content_text(content: Json) -> str:
    """The text of a message's content: a string, or parts of which those with text count."""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        texts = [p.get("text") or p.get("refusal") or "" for p in content if isinstance(p, dict)]
        return "\n".join(t for t in texts if isinstance(t, str))
    return ""
