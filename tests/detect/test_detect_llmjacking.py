"""Stolen access to models: what its dealers do, and what only looks like it."""

from __future__ import annotations

import msgspec
import pytest
from api_acts import INSIDE, SHOP, call, http, process, told, worst

from leeward.ai.catalogue import default_catalogue
from leeward.ai.hearing import Hearing
from leeward.detect.llmjacking import Llmjacking
from leeward.model.activity import ExchangeSeen, HttpSeen
from leeward.model.exchange import Key
from leeward.model.message import Message

JACKING, ENUMERATION = "llmjacking", "model-enumeration"
CLAUDES = [
    f"anthropic.claude-{n}" for n in ("v2", "instant-v1", "3-haiku", "3-sonnet", "3-opus", "3-5-sonnet", "3-7-sonnet")
]
KEY = Key("aws.bedrock", "a" * 16, "authorization")


def bedrock(at: float, model: str, status: int, region: str = "us-east-1", **more: object) -> ExchangeSeen:
    host = f"bedrock-runtime.{region}.amazonaws.com"
    return call(at, provider="aws.bedrock", host=host, model=model, status=status, key=KEY, **more)  # type: ignore[arg-type]


# -- what it must find -------------------------------------------------------------------------------------------------


def test_probing_what_a_key_may_do() -> None:
    """As Sysdig saw it: InvokeModel with max_tokens_to_sample -1; ValidationException means that it may."""
    probes = [bedrock(n, model, 400, max_tokens_to_sample=-1) for n, model in enumerate(CLAUDES)]
    found = told(Llmjacking(), probes)
    assert worst(found, JACKING) in ("high", "critical")
    assert worst(found, ENUMERATION) == "medium"
    assert "impossible-probe" in found[0].evidence[0]["signs"]


def test_the_probe_is_seen_in_the_body_that_bedrock_is_sent() -> None:
    body = b'{"prompt": "Human: hi", "max_tokens_to_sample": -1}'
    headers = [("host", "bedrock-runtime.us-east-1.amazonaws.com"), ("content-type", "application/json")]
    request = Message(
        index=0, method="POST", target="/model/anthropic.claude-v2/invoke", headers=headers, body=body, complete=True
    )
    refusal = Message(
        index=0, status=400, headers=headers[1:], body=b'{"message": "ValidationException"}', complete=True
    )
    (timed,) = Hearing(default_catalogue()).exchanges(headers[0][1], 443, request, refusal)
    assert timed.exchange.gen_ai.request_parameters == {"max_tokens_to_sample": -1}
    assert timed.exchange.http.status == 400


def test_errors_in_a_row_over_models_and_regions_then_success() -> None:
    regions = ("us-east-1", "us-west-2", "eu-west-1", "ap-south-1", "eu-central-1", "ca-central-1")
    tries = [bedrock(n, CLAUDES[4], 403, region) for n, region in enumerate(regions)]
    found = told(Llmjacking(), tries, bedrock(10, CLAUDES[4], 200, "us-gov-west-1"))
    assert worst(found, JACKING) == "medium"


def test_a_list_of_keys_is_tried() -> None:
    tries = [call(n, model="gpt-4", status=401, key=Key("openai", f"{n:016d}")) for n in range(6)]
    assert worst(told(Llmjacking(), tries), JACKING) == "medium"


def test_reading_the_logging_configuration_before_use() -> None:
    asked = http(1, "/logging/modelinvocations", direction="outbound", host="bedrock.us-east-1.amazonaws.com")
    assert worst(told(Llmjacking(), asked), JACKING) == "low"
    off = http(
        2, "/logging/modelinvocations", direction="outbound", host="bedrock.us-east-1.amazonaws.com", method="DELETE"
    )
    assert worst(told(Llmjacking(), asked, off), JACKING) == "high"


def test_a_known_key_used_by_an_odd_program() -> None:
    key = Key("openai", "b" * 16)
    used = [call(n * 600, key=key) for n in range(12)]
    odd = process("/tmp/.cache/x", workload="exe:/tmp/.cache/x")
    assert worst(told(Llmjacking(), used, call(8000, key=key, who=odd)), JACKING) == "medium"


def proxy_traffic(peers: list[str], path: str, identities: int, keys: int) -> list[object]:
    acts: list[object] = []
    for n in range(40):
        acts.append(
            http(n, path, 200, peer=peers[n % len(peers)], method="POST", identity=f"user{n % identities:012d}")
        )
        acts.append(
            call(n + 0.5, key=Key("anthropic", f"key{n % keys:013d}"), provider="anthropic", host="api.anthropic.com")
        )
    return acts


def test_a_reverse_proxy_in_front_of_keys() -> None:
    strangers = [f"203.0.113.{n}" for n in range(8)]
    assert worst(told(Llmjacking(), proxy_traffic(strangers, "/v1/chat/completions", 8, 1)), JACKING) == "medium"  # type: ignore[arg-type]
    pool = proxy_traffic(strangers, "/proxy/anthropic/v1/messages", 8, 4)
    assert worst(told(Llmjacking(), pool), JACKING) == "high"  # type: ignore[arg-type]
    assert told(Llmjacking(), proxy_traffic([INSIDE], "/proxy/anthropic/v1/messages", 8, 4)) == []  # type: ignore[arg-type]


def test_a_relay_that_asks_nobody_who_he_is() -> None:
    strangers = [f"203.0.113.{n}" for n in range(8)]
    anybody = [
        msgspec.structs.replace(act, identity="") if isinstance(act, HttpSeen) else act
        for act in proxy_traffic(strangers, "/v1/messages", 8, 1)
    ]
    assert worst(told(Llmjacking(), anybody), JACKING) == "medium"  # type: ignore[arg-type]


def test_a_stranger_asks_for_models_by_their_names() -> None:
    asked = [http(n, f"/v1/models/llama-{n}", 404, agent=f"a{n}") for n in range(12)]
    found = told(Llmjacking(), http(0, "/v1/models", 200), asked)
    assert worst(found, ENUMERATION) == "medium"
    assert found[0].workload is not None
    assert found[0].workload.id == SHOP.workload.id
    assert told(Llmjacking(), [http(n * 10, "/v1/models/llama-1", 200) for n in range(200)]) == []


def test_checking_keys_at_many_services() -> None:
    hosts = ("api.openai.com", "api.anthropic.com", "api.mistral.ai", "api.groq.com", "api.deepseek.com")
    lists = [
        call(n, operation="list_models", host=host, model="", key=Key("openai", f"{n:016d}"))
        for n, host in enumerate(hosts)
    ]
    assert worst(told(Llmjacking(), lists), ENUMERATION) == "medium"


# -- what looks like it ------------------------------------------------------------------------------------------------


def test_a_wrong_key_or_model_in_a_configuration() -> None:
    assert told(Llmjacking(), [call(n * 2, status=401, key=KEY) for n in range(400)]) == []
    assert told(Llmjacking(), [call(n * 2, status=404, model="gpt-9", key=KEY) for n in range(400)]) == []


def test_a_gateway_for_users_inside() -> None:
    inside = [f"10.0.0.{n}" for n in range(50)]
    assert told(Llmjacking(), proxy_traffic(inside, "/v1/chat/completions", 30, 3)) == []  # type: ignore[arg-type]


def test_a_chatbot_for_the_public_pays_with_its_own_key() -> None:
    strangers = [f"203.0.113.{n}" for n in range(8)]
    assert told(Llmjacking(), proxy_traffic(strangers, "/api/chat", 8, 1)) == []  # type: ignore[arg-type]


def test_a_gateway_that_is_known_as_one() -> None:
    litellm = process("/usr/bin/python3.11", "/usr/local/bin/litellm", workload="systemd:litellm.service")
    strangers = [f"203.0.113.{n}" for n in range(8)]
    acts = proxy_traffic(strangers, "/v1/chat/completions", 8, 2)
    assert told(Llmjacking(), [msgspec.structs.replace(act, process=litellm) for act in acts]) == []  # type: ignore[type-var]


def test_overload_is_nobodys_refusal() -> None:
    assert told(Llmjacking(), [bedrock(n, CLAUDES[n % 7], 429 if n % 2 else 503) for n in range(100)]) == []


def test_an_evaluation_of_many_models_is_low() -> None:
    calls = [call(n, model=f"model-{n % 20}", host="openrouter.ai", provider="openrouter", key=KEY) for n in range(200)]
    found = told(Llmjacking(), calls)
    assert worst(found, ENUMERATION) == "low"
    assert worst(found, JACKING) == ""


def test_health_checks_list_models() -> None:
    assert (
        told(Llmjacking(), [call(n * 10, operation="list_models", model="", host="vllm.internal") for n in range(1000)])
        == []
    )


@pytest.mark.parametrize("image", ["app:2", "app@sha256:" + "0" * 64])
def test_a_deploy_is_no_new_place(image: str) -> None:
    key = Key("openai", "b" * 16)
    old, new = process(image="app:1", workload="pod:a/web/app"), process(image=image, workload="pod:a/web/app")
    detector = Llmjacking()
    assert told(detector, [call(n * 600, key=key, who=old) for n in range(12)], call(8000, key=key, who=new)) == []


def test_a_second_service_with_the_key_is_not_jacking() -> None:
    key = Key("openai", "b" * 16)
    other = process("/usr/bin/node", "/srv/b.js", workload="systemd:b.service")
    assert told(Llmjacking(), [call(n * 600, key=key) for n in range(12)], call(8000, key=key, who=other)) == []
    assert SHOP.pid
