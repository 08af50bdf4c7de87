"""Honest twins of what is done to AI services: the same calls by those who may."""

from __future__ import annotations

import json
import secrets

from proving import answers, keys
from proving.hosts import Asked, Reply
from proving.scenario import Repeat, honest
from proving.scenarios.ai_servers import server, server_on, shop
from proving.world import World

US = "10.77.0.10"


@honest(
    "metadata-role",
    "an uploader on a cloud machine gets its role's credentials from the metadata service, as the SDK does, every hour",
    minutes=130.0,
    repeats={"hour": Repeat(3600.0)},
)
def metadata_role(world: World) -> None:
    """The twin of metadata-curl: the program itself asks, through its SDK, when it starts and when they run out."""

    def serve(asked: Asked) -> Reply:
        if asked.method == "PUT":
            return Reply("AQAEAtoken", headers={"X-aws-ec2-metadata-token-ttl-seconds": "21600"})
        if asked.path.endswith("security-credentials/"):
            return Reply("uploader-role")
        body = {"Code": "Success", "Type": "AWS-HMAC", "AccessKeyId": "ASIAEXAMPLEEXAMPLE00", "SecretAccessKey": "none"}
        return Reply(
            {**body, "Token": "none", "Expiration": "2099-01-01T00:00:00Z", "LastUpdated": "2026-01-01T00:00:00Z"}
        )

    cloud = world.host("169.254.169.254")
    cloud.http(80, serve)
    path = world.program("/srv/uploader/upload.py", "role.py")
    with world.loop("hour"):
        world.run(world.python, path, unit="uploader.service")
    assert len(cloud.requests) == 3


@honest(
    "team-key",
    "three services of one team have used the same key from their first day on",
    repeats={"work": Repeat(12.0, 0.4)},
)
def team_key(world: World) -> None:
    """The twin of key-stolen."""
    answers.openai(world)
    environment = {"OPENAI_API_KEY": world.keys["OPENAI_API_KEY"]}
    actors = []
    for name in ("search", "summary", "triage"):
        path = world.program(f"/srv/{name}/{name}.py", "chat.py")
        actors.append(world.script(path, "gpt-4o-mini", "2.5", "4", env=environment, unit=f"{name}.service"))
    world.sleep(4.0)
    with world.loop("work"):
        world.sleep(2.5)
    for actor in actors:
        actor.wait()


@honest(
    "own-gateway",
    "a service's base URL is the company's own gateway inside, which has given it a key of its own",
    repeats={"work": Repeat(10.0, 0.4)},
)
def own_gateway(world: World) -> None:
    """The twin of base-url-hijack."""
    gateway = world.host("10.77.1.80", "llm-gateway.internal")
    gateway.http(443, answers.kind, tls=True)
    path = world.program("/srv/app/assistant.py", "chat.py")
    key = f"sk-{secrets.token_urlsafe(16)}"
    environment = {"OPENAI_API_KEY": key, "OPENAI_BASE_URL": "https://llm-gateway.internal/v1"}
    actor = world.script(path, "gpt-4o", "2", "4", env=environment, unit="assistant.service")
    world.sleep(3.0)
    with world.loop("work"):
        world.sleep(2.0)
    actor.wait()
    assert len(gateway.requests) == 4


@honest(
    "gateway-of-ours",
    "our own gateway serves twelve colleagues inside with two keys of ours",
    repeats={"work": Repeat(15.0, 0.3)},
)
def gateway_of_ours(world: World) -> None:
    """The twin of llmjacking-proxy."""
    heard = answers.openai(world)
    ours = ",".join(keys.environment()["OPENAI_API_KEY"] for _ in range(2))
    proxy = world.script(
        world.program("/srv/gateway/gateway.py", "keyproxy.py"), "4000", env={"KEYS": ours}, unit="gateway.service"
    )
    world.listening(proxy, 4000)
    colleagues = [world.host(f"10.77.60.{n}") for n in range(1, 13)]
    with world.loop("work"):
        for number, colleague in enumerate(colleagues):
            body = {"model": "gpt-4o", "messages": [{"role": "user", "content": f"summarise ticket {number}"}]}
            headers = {"authorization": f"Bearer colleague-{number}"}
            path = "/proxy/openai/v1/chat/completions"
            assert colleague.ask(US, 4000, "POST", path, json.dumps(body).encode(), **headers)[0] == 200
            world.sleep(0.2)
    assert len(heard) == 12
    proxy.stop()


@honest(
    "model-picker",
    "a chat page of ours asks our model server which models there are, every ten seconds, and for one of them",
    repeats={"look": Repeat(10.0)},
)
def model_picker(world: World) -> None:
    """The twin of model-enumeration."""
    actor = server_on(world, "0.0.0.0", "ollama", "/srv/bin/ollama", 11434, "serve", unit="ollama.service")
    page = world.host("10.77.1.81", "chat.internal")
    chat = {"model": "llama3.1:8b", "messages": [{"role": "user", "content": "good morning"}], "stream": False}
    with world.loop("look"):
        assert page.ask(US, 11434, "GET", "/api/tags")[0] == 200
        assert page.ask(US, 11434, "POST", "/api/show", json.dumps({"model": "llama3.1:8b"}).encode())[0] == 200
        assert page.ask(US, 11434, "POST", "/api/chat", json.dumps(chat).encode())[0] == 200
        world.sleep(0.5)
    actor.stop()


@honest(
    "ray-own-jobs",
    "the cluster's own scheduler submits a training job to Ray, which runs a Python program",
    repeats={"job": Repeat(120.0, 0.3)},
)
def ray_own_jobs(world: World) -> None:
    """The twin of ray-jobs: the job API runs what it is given with a shell; here it comes from inside and trains."""
    actor = server(world, "ray", "/srv/venv/bin/ray", 8265, "start", "--head", unit="ray.service")
    scheduler = world.host("10.77.1.82", "airflow.internal")
    train = world.file(
        "/srv/jobs/train.py", "import time\nfor step in range(3):\n    print('step', step)\n    time.sleep(0.3)\n"
    )
    job = {"entrypoint": f"{world.python} {train} --epochs 3"}
    with world.loop("job"):
        assert scheduler.ask(US, 8265, "GET", "/api/version")[0] == 200
        assert scheduler.ask(US, 8265, "POST", "/api/jobs/", json.dumps(job).encode())[0] == 200
        world.sleep(2.0)
    actor.stop()


@honest(
    "langflow-own-code",
    "somebody of ours has Langflow check a component's code: nothing is started",
    repeats={"check": Repeat(30.0, 0.3)},
)
def langflow_own(world: World) -> None:
    """The twin of langflow-code."""
    words = ("run", "--host", "0.0.0.0", "--port", "7860")
    actor = server(world, "langflow", "/srv/venv/bin/langflow", 7860, *words, unit="langflow.service")
    person = world.host("10.77.60.20")
    code = "@staticmethod\ndef shout(text):\n    return text.upper()\n"
    with world.loop("check"):
        assert person.ask(US, 7860, "GET", "/api/v1/version")[0] == 200
        assert person.ask(US, 7860, "POST", "/api/v1/validate/code", json.dumps({"code": code}).encode())[0] == 200
        world.sleep(1.0)
    actor.stop()


@honest(
    "export-pages",
    "a synchronisation inside reads all invoices, page after page, with its service's token",
    repeats={"sync": Repeat(120.0)},
)
def export_pages(world: World) -> None:
    """The twin of api-id-walking."""
    actor = shop(world)
    sync = world.host("10.77.1.83", "crm-sync.internal")
    with world.loop("sync"):
        for page in range(1, 81):
            status, _ = sync.ask(US, 8080, "GET", f"/v1/items/list?page={page}", authorization="Bearer service-crm")
            assert status == 200
            world.sleep(0.03)
    actor.stop()


@honest(
    "mistaken-password",
    "a client's password was changed and it goes on with the old one for a while: six times refused, then right",
    repeats={"morning": Repeat(180.0, 0.3)},
)
def mistaken(world: World) -> None:
    """The twin of api-denied-burst."""
    actor = shop(world)
    client = world.host("10.77.1.84", "billing-client.internal")
    with world.loop("morning"):
        for number in range(12):
            token = "Bearer old" if number < 6 else "Bearer good"
            status, _ = client.ask(US, 8080, "GET", "/v1/private/report", authorization=token)
            assert status == (403 if number < 6 else 200)
            world.sleep(0.4)
    actor.stop()
