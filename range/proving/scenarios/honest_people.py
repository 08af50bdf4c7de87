"""Honest people and their tools: builds, installs, notebooks, administration, agents."""

from __future__ import annotations

import json
import os
import subprocess
import zipfile
from io import BytesIO

from proving import answers
from proving.hosts import Asked, Reply
from proving.scenario import Repeat, honest
from proving.scenarios.movement import sshd
from proving.world import World


@honest(
    "backup",
    "a backup service packs a folder and puts it into the bucket that it always uses, 12 MB in all, every hour",
    minutes=130.0,
    repeats={"backup": Repeat(3600.0)},
    day=True,
)
def backup(world: World) -> None:
    store = world.host("198.51.100.60", "acme-backup.s3.eu-central-1.amazonaws.com")
    store.http(443, lambda asked: Reply(b""), tls=True)
    for number in range(12):
        world.file(f"/srv/data/part{number}.bin", os.urandom(1 << 20))
    url = "https://acme-backup.s3.eu-central-1.amazonaws.com/db/latest.tar.gz"
    command = f"tar -cz -C /srv data | curl -sS -T - {url}"
    with world.loop("backup"):
        world.run("sh", "-c", f"{command}; true", unit="backup.service")
    assert store.received > 12 << 20


def wheel(name: str, size: int) -> bytes:
    """A wheel that holds nothing."""
    buffer = BytesIO()
    info = f"{name}-1.0.dist-info"
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(f"{name}/__init__.py", "")
        archive.writestr(f"{name}/data.bin", os.urandom(size))
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        archive.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: range\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(f"{info}/RECORD", "")
    return buffer.getvalue()


def index(world: World) -> list[str]:
    """A package index at the usual place; what it offers."""
    names = ["alpha", "beta", "gamma", "delta"]
    wheels = {name: wheel(name, 300_000) for name in names}

    def serve(asked: Asked) -> Reply:
        parts = asked.path.strip("/").split("/")
        name = parts[1] if len(parts) > 1 else ""
        if parts[0] == "simple" and name in wheels:
            file = f"{name}-1.0-py3-none-any.whl"
            return Reply(f'<!DOCTYPE html><a href="/packages/{name}/{file}">{file}</a>', kind="text/html")
        return Reply(wheels[name]) if parts[0] == "packages" and name in wheels else Reply(b"", 404)

    world.host("198.51.100.61", "pypi.org", "files.pythonhosted.org").http(443, serve, tls=True)
    return names


@honest(
    "package-install",
    "packages are installed from the index, by pip",
    repeats={"install": Repeat(120.0, 0.3)},
)
def package_install(world: World) -> None:
    names = index(world)
    with world.loop("install"):
        world.run(
            world.python, "-m", "pip", "install", "-q", "--no-cache-dir", "--upgrade", "--target", "/srv/lib", *names
        )
    assert world.path("/srv/lib/alpha/data.bin").exists()


@honest(
    "ci-build",
    "a build: clone, compile, test, put the artefact where artefacts go",
    repeats={"build": Repeat(150.0, 0.3)},
    tools=("git", "gcc", "make"),
)
def ci_build(world: World) -> None:
    source = world.path("/srv/upstream")
    source.mkdir()
    (source / "main.c").write_text('#include <stdio.h>\nint main(void){puts("ok");return 0;}\n')
    (source / "Makefile").write_text("app: main.c\n\tgcc -O1 -o app main.c\ntest: app\n\t./app\n")
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@example.com", "-C", str(source)]
    for command in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "first"], ["update-server-info"]):
        subprocess.run([*git, *command], check=True, capture_output=True)

    def files(asked: Asked) -> Reply:
        path = source / ".git" / asked.path.split("?")[0].removeprefix("/acme/app.git/")
        return Reply(path.read_bytes()) if path.is_file() else Reply(b"", 404)

    world.host("198.51.100.62", "git.acme.example").http(443, files, tls=True)
    artefacts = world.host("10.77.1.70", "artifacts.internal")
    artefacts.http(8081, lambda asked: Reply(b"", 201))
    script = (
        "set -e; rm -rf /tmp/job; git clone -q https://git.acme.example/acme/app.git /tmp/job; cd /tmp/job; make -s test; "
        "head -c 4000000 /dev/urandom >> app; curl -sS -T app http://artifacts.internal:8081/app/1; echo done"
    )
    world.file("/srv/runner/job.sh", script)
    with world.loop("build"):
        said = world.run("bash", "/srv/runner/job.sh", unit="gitlab-runner.service")
    assert "done" in said, said
    assert artefacts.received > 4_000_000


@honest(
    "crawler",
    "a crawler fetches two pages of each of 150 sites, as fast as they answer",
    repeats={"crawl": Repeat(60.0, 0.3)},
)
def crawler(world: World) -> None:
    page = Reply("<html><body>" + "text " * 3000 + "</body></html>", kind="text/html")
    urls = []
    for number in range(150):
        name = f"www.site-{number}.example"
        world.host(f"{('192.0.2', '203.0.113')[number % 2]}.{10 + number}", name).http(80, lambda asked: page)
        urls += [f"http://{name}/", f"http://{name}/about"]
    path = world.program("/srv/crawler/crawl.py", "poll.py")
    with world.loop("crawl"):
        world.run(world.python, path, ",".join(urls), "0", "1", unit="crawler.service", timeout=90)


@honest(
    "notebook",
    "somebody at a notebook: packages, a data set of 8 MB, shell commands, a few questions to a model",
    repeats={"cell": Repeat(90.0, 0.5)},
)
def notebook(world: World) -> None:
    names = index(world)
    answers.openai(world)
    data = os.urandom(8 << 20)
    world.host("198.51.100.63", "huggingface.co").http(443, lambda asked: Reply(data), tls=True)
    world.host("198.51.100.64", "raw.githubusercontent.com").http(443, lambda asked: Reply(b"a,b\n" * 5000), tls=True)
    chat = world.program("/home/app/lib/ask.py", "chat.py")
    cells = [
        ["bash", "-c", "ls -la /home/app; df -h | head -3"],
        [world.python, "-m", "pip", "install", "-q", "--no-cache-dir", "--target", "/home/app/site", names[0]],
        [
            "bash",
            "-c",
            "curl -sSL -o /home/app/d.parquet https://huggingface.co/datasets/acme/d/resolve/main/d.parquet",
        ],
        ["bash", "-c", "curl -sSL https://raw.githubusercontent.com/acme/d/main/x.csv | head -2"],
        [world.python, chat, "gpt-4o", "0.5", "3"],
        ["bash", "-c", "head -c 200 /home/app/d.parquet | xxd | head -3; git --version"],
    ]
    world.file("/home/app/cells.json", json.dumps(cells))
    kernel = world.program("/home/app/venv/ipykernel_launcher.py", "cells.py")
    environment = {"OPENAI_API_KEY": world.keys["OPENAI_API_KEY"]}
    with world.loop("cell"):
        world.run(
            world.python, kernel, "/home/app/cells.json", env=environment, unit="jupyter.service", cwd="/home/app"
        )


@honest(
    "ssh-administration",
    "an administrator's playbook goes over SSH to fourteen hosts inside, from a terminal",
    tools=("ssh", "script"),
    repeats={"play": Repeat(240.0, 0.3)},
)
def administration(world: World) -> None:
    """The hosts speak the protocol's beginning only, so the connections end there."""

    for number in range(14):
        world.host(f"10.77.50.{number + 1}", f"node{number + 1}.internal").listen(22, sshd)
    hosts = " ".join(f"node{n + 1}.internal" for n in range(14))
    options = "-o BatchMode=yes -o StrictHostKeyChecking=no -o UserKnownHostsFile=/tmp/known -o ConnectTimeout=3"
    world.file("/home/app/play.sh", f"for h in {hosts}; do ssh {options} deploy@$h uptime; sleep 0.2; done; true\n")
    with world.loop("play"):
        world.run("script", "-qec", "bash /home/app/play.sh", "/dev/null", cwd="/home/app", code=None)
    assert sum(name.startswith("node14") for name, _, _ in world.names.asked) > 0


@honest(
    "agent-with-tools",
    "a coding agent: a model says which commands, and they are ordinary ones: ls, git status, grep, a test run",
    repeats={"task": Repeat(45.0, 0.4)},
    tools=("git",),
)
def agent(world: World) -> None:
    commands = [
        "ls -la",
        "git --version",
        "grep -rn def . | head -5",
        "python3 -m unittest -q",
        "cat notes.txt",
        "wc -l a.py",
    ]
    turn = iter(range(10_000))

    def serve(asked: Asked) -> Reply:
        number = next(turn)
        if number % 7 == 6:
            return Reply(answers.completion("gpt-4o", "Done: all tests pass.", 900, 12))
        command = json.dumps({"command": commands[number % 7]})
        call = {"id": f"call_{number}", "type": "function", "function": {"name": "run_shell", "arguments": command}}
        return Reply(answers.completion("gpt-4o", "", 700 + 50 * number, 25, [call]))

    world.host(answers.OPENAI_AT, answers.OPENAI).http(443, serve, tls=True)
    world.file("/home/app/project/a.py", "def one():\n    return 1\n")
    world.file("/home/app/project/notes.txt", "remember the milk\n")
    path = world.program("/home/app/agent/agent.py", "agent.py")
    environment = {"OPENAI_API_KEY": world.keys["OPENAI_API_KEY"]}
    with world.loop("task"):
        world.run(world.python, path, "fix the failing test", env=environment, cwd="/home/app/project")


@honest(
    "nightly-cron",
    "every night: old files away, logs packed, a report sent to the usual place",
    minutes=26 * 60.0,
    repeats={"night": Repeat(24 * 3600.0, 0.01)},
)
def nightly(world: World) -> None:
    report = world.host("198.51.100.65", "reports.acme.example")
    report.http(443, lambda asked: Reply({"ok": True}), tls=True)
    world.file("/srv/log/app.log", "line\n" * 40_000)
    script = (
        "find /tmp -name '*.old' -mtime +7 -delete; gzip -kf /srv/log/app.log; tar -cf /tmp/r.tar -C /srv log/app.log.gz; "
        "curl -sS -F report=@/tmp/r.tar https://reports.acme.example/nightly; rm -f /tmp/r.tar"
    )
    world.file("/srv/cron/nightly", script)
    with world.loop("night"):
        world.run("sh", "/srv/cron/nightly", unit="cron.service")
    assert report.requests == ["POST /nightly"]


@honest(
    "inventory-agent",
    "a company's own agent asks its server every hour what is wanted, takes stock of the machine and posts it",
    minutes=130.0,
    repeats={"hour": Repeat(3600.0, 0.05)},
)
def inventory(world: World) -> None:
    """The twin of held-http-implant: it asks who and where it is too, all at once."""
    stock = world.host("198.51.100.66", "inventory.acme.example")
    stock.http(443, lambda asked: Reply({"collect": ["users", "system", "processes"]}), tls=True)
    code = (
        "import httpx, subprocess\nwith httpx.Client(base_url='https://inventory.acme.example') as client:\n"
        "    client.get('/v1/wanted').raise_for_status()\n"
        "    stock = {c: subprocess.run(c.split(), capture_output=True, text=True).stdout\n"
        "             for c in ('id', 'whoami', 'uname -a', 'df -h', 'ps aux', 'lsblk')}\n"
        "    client.post('/v1/stock', json=stock).raise_for_status()\n"
    )
    path = world.file("/srv/inventory/agent.py", code)
    with world.loop("hour"):
        world.run(world.python, path, unit="inventory.service")
    assert stock.requests == ["GET /v1/wanted", "POST /v1/stock"]
