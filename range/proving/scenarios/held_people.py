"""Held out: written without a look at the detectors. Honest people and their tools: installs, notebooks, deployment, backups,
editors, debuggers."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
import subprocess
import tarfile

from proving import answers
from proving.homes import furnish
from proving.hosts import Reply
from proving.scenario import Repeat, honest
from proving.scenarios.held_ai import message
from proving.scenarios.honest_people import index
from proving.scenarios.movement import sshd
from proving.world import ScenarioError, World


def tarball(name: str, files: dict[str, str]) -> bytes:
    """A package as npm's registry has it."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for path, text in files.items():
            member = tarfile.TarInfo(f"package/{path}")
            member.size = len(text)
            archive.addfile(member, io.BytesIO(text.encode()))
    return buffer.getvalue()


@honest(
    "held-npm-ci",
    "npm ci brings twenty packages; the install script of one looks at the machine and builds something",
    repeats={"install": Repeat(150.0, 0.3)},
    tools=("npm", "node", "gcc"),
)
def npm_ci(world: World) -> None:
    packages, locked, names = {}, {}, [f"acme-part-{n}" for n in range(20)]
    build = (
        "const {execSync:x}=require('child_process');require('fs').writeFileSync('a.c','int f(void){return 1;}');"
        "x('uname -m');x('gcc -shared -fPIC -o a.node a.c')"
    )
    for name in names:
        about: dict[str, object] = {"name": name, "version": "1.0.0", "main": "index.js"}
        files = {"index.js": f"module.exports='{name}'\n" + "// text\n" * 2000}
        if name == names[0]:
            about["scripts"] = {"install": "node build.js"}
            files["build.js"] = build
        data = tarball(name, {"package.json": json.dumps(about), **files})
        packages[f"/{name}/-/{name}-1.0.0.tgz"] = data
        integrity = "sha512-" + base64.b64encode(hashlib.sha512(data).digest()).decode()
        entry = {"version": "1.0.0", "resolved": f"https://registry.npmjs.org/{name}/-/{name}-1.0.0.tgz"}
        locked[f"node_modules/{name}"] = {**entry, "integrity": integrity, "hasInstallScript": name == names[0]}
    project = {"name": "web", "version": "1.0.0", "dependencies": dict.fromkeys(names, "1.0.0")}
    registry = world.host("198.51.100.136", "registry.npmjs.org")
    registry.http(
        443, lambda asked: Reply(packages.get(asked.path, b""), 200 if asked.path in packages else 404), tls=True
    )
    world.file("/home/app/web/package.json", json.dumps(project))
    lock = {
        "name": "web",
        "version": "1.0.0",
        "lockfileVersion": 3,
        "requires": True,
        "packages": {"": project, **locked},
    }
    world.file("/home/app/web/package-lock.json", json.dumps(lock))
    with world.loop("install"):
        world.run(
            "npm",
            "ci",
            "--cafile=/srv/ca.pem",
            "--no-audit",
            "--no-fund",
            "--loglevel=error",
            cwd="/home/app/web",
            timeout=120,
        )
        world.run("rm", "-rf", "/home/app/.npm")
    assert world.path("/home/app/web/node_modules/acme-part-19/index.js").exists()


@honest(
    "held-apt-update",
    "apt-get brings its lists up to date, as its timer has it do",
    repeats={"update": Repeat(120.0, 0.3)},
    tools=("apt-get",),
)
def apt_update(world: World) -> None:
    text = "".join(
        f"Package: acme{n}\nVersion: 1.{n}\nArchitecture: all\nFilename: ./acme{n}.deb\nSize: 10\nSHA256: {'0' * 64}\n\n"
        for n in range(200)
    )
    archive = world.host("198.51.100.137", "deb.debian.org")
    archive.http(80, lambda asked: Reply(text) if asked.path.endswith("/Packages") else Reply(b"", 404))
    world.file("/srv/apt/sources.list", "deb [trusted=yes allow-insecure=yes] http://deb.debian.org/acme ./\n")
    world.file("/srv/apt/status", "")
    for folder in ("state/lists/partial", "cache/archives/partial"):
        (world.path("/srv/apt") / folder).mkdir(parents=True)
    options = {
        "Dir::State": "/srv/apt/state", "Dir::Cache": "/srv/apt/cache", "Dir::Etc::sourcelist": "/srv/apt/sources.list",
        "Dir::Etc::sourceparts": "-", "Dir::State::status": "/srv/apt/status", "APT::Sandbox::User": "root",
    }  # fmt: skip
    words = [word for name, value in options.items() for word in ("-o", f"{name}={value}")]
    with world.loop("update"):
        world.run("apt-get", "-q", *words, "update", unit="apt-daily.service", code=None)
    if not any(asked.endswith("Packages") for asked in archive.requests):
        raise ScenarioError(str(archive.requests))


@honest(
    "held-rsync-deploy",
    "a deployment puts a site of 6 MB on three web servers inside by rsync and has them restart by SSH",
    minutes=20.0,
    repeats={"deploy": Repeat(300.0, 0.3)},
    tools=("rsync", "ssh"),
)
def deploy(world: World) -> None:
    """rsync's own daemon is at the other end; SSH ends after its beginning."""
    target = world.path("/srv") / "target"
    target.mkdir()
    settings = world.path("/srv") / "rsyncd.conf"
    settings.write_text(f"use chroot = no\nuid = root\ngid = root\n[site]\npath = {target}\nread only = false\n")
    daemon = world.net.beyond(
        lambda: subprocess.Popen(["rsync", "--daemon", "--no-detach", f"--config={settings}"], stdin=subprocess.DEVNULL)
    )
    try:
        for number in range(3):
            world.host(f"10.77.52.{number + 1}", f"web{number + 1}.internal").listen(22, sshd)
        world.sleep(0.5)
        for number in range(6):
            world.file(f"/srv/build/asset{number}.js", os.urandom(1 << 20))
        options = "-o BatchMode=yes -o StrictHostKeyChecking=no -o UserKnownHostsFile=/tmp/known -o ConnectTimeout=3"
        script = (
            "for n in 1 2 3; do rsync -a --delete --ignore-times /srv/build/ rsync://web$n.internal/site/ || exit 1\n"
            f"ssh {options} deploy@web$n.internal systemctl restart site; sleep 0.5; done; echo deployed\n"
        )
        world.file("/srv/deploy/deploy.sh", script)
        with world.loop("deploy"):
            said = world.run("bash", "/srv/deploy/deploy.sh", unit="deploy.service")
        if "deployed" not in said:
            raise ScenarioError(said)
        assert (target / "asset5.js").stat().st_size == 1 << 20
    finally:
        daemon.terminate()
        daemon.wait(5)


@honest(
    "held-notebook-providers",
    "somebody at a notebook installs packages and asks five providers the same question, to compare them",
    repeats={"cells": Repeat(120.0, 0.4)},
)
def providers(world: World) -> None:
    names = index(world)
    answers.openai(world)
    chat = answers.completion("m", "Paris.", 14, 3)
    gemini = {"candidates": [{"content": {"parts": [{"text": "Paris."}], "role": "model"}, "finishReason": "STOP"}]}
    for number, (name, body) in enumerate(
        {
            "api.anthropic.com": message("claude-sonnet-4-5", "Paris."),
            "api.mistral.ai": chat,
            "api.groq.com": chat,
            "generativelanguage.googleapis.com": gemini,
        }.items()
    ):
        reply = Reply(body)
        world.host(f"198.51.100.{12 + number}", name).http(443, lambda asked, reply=reply: reply, tls=True)  # type: ignore[misc]
    talked = "[{'role': 'user', 'content': 'What is the capital of France?'}]"
    chats = "".join(
        f"r = httpx.post('https://{host}/chat/completions', headers={{'Authorization': 'Bearer ' + e['{key}']}},\n"
        f"    json={{'model': '{model}', 'messages': {talked}}})\nprint(r.status_code)\n"
        for host, key, model in (
            ("api.openai.com/v1", "OPENAI_API_KEY", "gpt-4o"),
            ("api.mistral.ai/v1", "MISTRAL_API_KEY", "mistral-large-latest"),
            ("api.groq.com/openai/v1", "GROQ_API_KEY", "llama-3.3-70b-versatile"),
        )
    )
    cells = [
        f"import subprocess, sys\nsubprocess.run([sys.executable, '-m', 'pip', 'install', '-q', '--no-cache-dir', '--target', "
        f"'/home/app/site', '{names[0]}', '{names[1]}'], check=True)",
        f"import httpx, os\ne = os.environ\n{chats}",
        "r = httpx.post('https://api.anthropic.com/v1/messages', headers={'x-api-key': e['ANTHROPIC_API_KEY'],\n"
        "    'anthropic-version': '2023-06-01'},\n"
        f"    json={{'model': 'claude-sonnet-4-5', 'max_tokens': 64, 'messages': {talked}}})\n"
        "print(r.status_code)",
        "r = httpx.post('https://generativelanguage.googleapis.com/v1beta/models/gemini-2.0-flash:generateContent',\n"
        "    headers={'x-goog-api-key': e['GEMINI_API_KEY']}, json={'contents': [{'parts': [{'text': 'Capital?'}]}]})\n"
        "print(r.status_code)",
    ]
    world.file("/home/app/cells.json", json.dumps(cells))
    kernel = world.program("/home/app/venv/ipykernel_launcher.py", "kernel.py")
    vendors = ("OPENAI", "ANTHROPIC", "MISTRAL", "GROQ", "GEMINI")
    environment = {f"{vendor}_API_KEY": world.keys[f"{vendor}_API_KEY"] for vendor in vendors}
    command = (world.python, kernel, "/home/app/cells.json")
    with world.loop("cells"):
        said = world.run(*command, env=environment, unit="jupyter.service", cwd="/home/app")
    if said.count("200") != 5:
        raise ScenarioError(said)


@honest(
    "held-backup-agent",
    "a backup program reads all of /home, keys too, and accounts in /etc, and puts 9 MB where it always does, every hour",
    minutes=130.0,
    repeats={"hour": Repeat(3600.0, 0.02)},
)
def backup_agent(world: World) -> None:
    """One process reads and sends; nothing else is between."""
    furnish(world)
    world.file("/home/app/photos.bin", os.urandom(9 << 20))
    store = world.host("198.51.100.138", "s3.us-west-002.backblazeb2.com")
    store.http(443, lambda asked: Reply(b""), tls=True)
    code = (
        "import hashlib, os, urllib.request as u, zlib\nfiles = ['/etc/passwd', '/etc/shadow', '/etc/group', '/etc/hosts']\n"
        "for folder, _, names in os.walk('/home'):\n    files += [os.path.join(folder, n) for n in names]\n"
        "pack = b''.join(zlib.compress(open(f, 'rb').read(), 1) for f in sorted(files))\n"
        "for at in range(0, len(pack), 4 << 20):\n    part = pack[at:at + (4 << 20)]\n"
        "    url = 'https://s3.us-west-002.backblazeb2.com/acme-restic/data/' + hashlib.sha256(part).hexdigest()\n"
        "    u.urlopen(u.Request(url, part, method='PUT'), timeout=20).read()\n"
    )
    path = world.file("/srv/bin/restic", code)
    with world.loop("hour"):
        world.run(world.python, path, "backup", "/home", "/etc", unit="restic-backup.service")
    assert store.received > 9 << 20


@honest(
    "held-editor-rules",
    "a developer changes AGENTS.md, .cursor/rules and .vscode/mcp.json in an editor, and CLAUDE.md by sed at a terminal",
    repeats={"day": Repeat(60.0, 0.4)},
    tools=("node", "script", "sed"),
)
def editor(world: World) -> None:
    home = furnish(world)
    for name in ("AGENTS.md", "CLAUDE.md", ".cursor/rules/style.mdc", ".vscode/mcp.json"):
        world.file(f"{home}/project/{name}", "{}\n" if name.endswith("json") else "# Be brief.\n")
    code = (
        "const f=require('fs'),p=process.env.HOME+'/project/';"
        "for(const n of ['AGENTS.md','.cursor/rules/style.mdc'])f.writeFileSync(p+n,'# Be brief.\\n\\nUse tabs.\\n');"
        "f.writeFileSync(p+'.vscode/mcp.json',JSON.stringify({servers:{docs:{command:'npx',args:['docs-mcp']}}}))"
    )
    path = world.file(f"{home}/.vscode-server/cli/servers/Stable-1a2b/server/out/server-main.js", code)
    with world.loop("day"):
        world.run("node", path, "--type=fileWatcher", cwd=home)
        sed = "bash --norc -c \"sed -i 's/brief/kind/' CLAUDE.md; git diff --stat; true\""
        world.run("script", "-qec", sed, "/dev/null", cwd=f"{home}/project", code=None)
        world.sleep(0.5)


@honest(
    "held-debugger-attach",
    "a developer at a terminal attaches gdb and strace to a program of their own that hangs, and looks at its memory",
    repeats={"look": Repeat(60.0, 0.3)},
    tools=("gdb", "strace", "script"),
)
def attach(world: World) -> None:
    code = "import time\nprint('up', flush=True)\nfor _ in range(600):\n    time.sleep(0.1)\n"
    path = world.file("/home/app/project/hangs.py", code)
    mine = world.script(path, cwd="/home/app/project")
    world.wait(lambda: "up" in mine.said(), "it does not start")
    with world.loop("look"):
        for look in (
            f"gdb -q -batch -p {mine.pid} -ex bt -ex 'x/4xg $sp' -ex 'info threads'",
            f"timeout 2 strace -f -e trace=all -p {mine.pid}",
            f'bash --norc -c \'head -3 /proc/{mine.pid}/maps; tr "\\0" "\\n" < /proc/{mine.pid}/environ | grep PATH\'',
        ):
            world.run("script", "-qec", look, "/dev/null", cwd="/home/app/project", code=None)
    mine.stop()


NOTEBOOK_TERMINAL = """
import os, pty, select, socket
listener = socket.create_server(('0.0.0.0', 8888))
while True:
    peer, _ = listener.accept()
    pid, terminal = pty.fork()
    if not pid:
        os.execv('/bin/bash', ['bash', '-l'])
    while True:
        ready, _, _ = select.select([peer, terminal], [], [])
        try:
            data = peer.recv(4096) if peer in ready else b''
            if peer in ready and not data:
                break
            os.write(terminal, data) if data else None
            peer.sendall(os.read(terminal, 4096)) if terminal in ready else None
        except OSError:
            break
    os.close(terminal)
    os.waitpid(pid, 0)
    peer.close()
"""


@honest(
    "held-notebook-terminal",
    "somebody opens a terminal in the notebook server's page, from a laptop inside, and works in it",
    repeats={"visit": Repeat(120.0, 0.3)},
)
def notebook_terminal(world: World) -> None:
    furnish(world)
    path = world.file("/home/app/venv/bin/jupyter-lab", NOTEBOOK_TERMINAL)
    server = world.script(path, "--ip=0.0.0.0", "--port=8888", unit="jupyter.service", cwd="/home/app")
    world.listening(server, 8888)
    laptop = world.host("10.77.60.21")
    with world.loop("visit"), laptop.connect("10.77.0.10", 8888) as page:
        for typed in ("ls -la", "df -h | head -3", "git -C project status", "python3 -c 'print(6 * 7)'", "exit"):
            page.sendall(typed.encode() + b"\n")
            world.sleep(0.7)
        said = page.recv(65536)
    if b"42" not in said:
        raise ScenarioError(repr(said[-300:]))
    server.stop()
