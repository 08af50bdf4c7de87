"""Honest people and programs on a host whose doings look like an attack's: shells on pipes and terminals, debuggers, backups,
tools that read their own credentials, installers that write start-up files."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess

from proving import answers
from proving.homes import furnish
from proving.hosts import Asked, Reply
from proving.scenario import Repeat, honest
from proving.scenarios.supply_chain import index, wheel
from proving.world import ScenarioError, World

APP_UID = 65534


@honest(
    "terminal-session",
    "somebody at a terminal: an interactive bash, commands, a multiplexer with a second shell",
    tools=("script", "tmux"),
    repeats={"session": Repeat(60.0, 0.4)},
)
def terminal(world: World) -> None:
    furnish(world)
    typed = "id\nuname -a\nls -la /home/app\ncd /home/app/project; cat notes.txt\nps aux | head -3\nexit\n"
    world.file("/home/app/typed", typed)
    tmux = (
        "tmux -L lw -f /dev/null new-session -d -s w 'bash --norc -i'; sleep 0.5; "
        "tmux -L lw send-keys -t w 'whoami; ls /srv' Enter; sleep 0.5; tmux -L lw kill-server"
    )
    with world.loop("session"):
        world.run(
            "script",
            "-qec",
            "bash --norc -i",
            "/dev/null",
            cwd="/home/app",
            stdin=str(world.path("/home/app/typed")),
            code=None,
        )
        world.run("script", "-qec", f"bash --norc -c {json.dumps(tmux)}", "/dev/null", cwd="/home/app", code=None)


@honest(
    "runner-pipes",
    "a build runner holds a connection to its server and hands each job to a bash by a pipe",
    repeats={"jobs": Repeat(60.0, 0.3)},
    tools=("gcc",),
)
def runner(world: World) -> None:
    jobs = [
        "echo start;id -un;uname -m;env | wc -l",
        "cd /tmp;echo 'int main(void){return 0;}' > x.c;gcc -o x x.c;./x;echo built",
        "cd /srv;ls;grep -c . ca.pem;true",
    ]
    said: list[str] = []

    def serve(connection: socket.socket) -> None:
        turn = iter(jobs)
        for line in connection.makefile("r"):
            said.append(line.strip())
            if line == "next\n":
                connection.sendall(json.dumps(next(turn)).encode() + b"\n")

    world.host("10.77.1.75", "ci.internal").listen(8443, serve)
    path = world.program("/srv/runner/buildkite-agent", "runner.py")
    with world.loop("jobs"):
        world.script(path, "ci.internal", "8443", "3", unit="buildkite-agent.service").wait()
    if said.count("done 0") != 3:
        raise ScenarioError(str(said))


@honest(
    "agent-bash",
    "a coding agent keeps one bash on pipes and talks to a model about what to run next",
    repeats={"task": Repeat(60.0, 0.4)},
    tools=("git",),
)
def agent_bash(world: World) -> None:
    home = furnish(world)
    commands = [
        "cd project && ls -la",
        "git init -q . ; git status --short",
        "cat a.py",
        "python3 -c 'import a; print(a.one())'",
    ]
    turn = iter(range(1000))

    def serve(asked: Asked) -> Reply:
        number = next(turn) % 5
        if number == 4:
            return Reply(answers.completion("gpt-4o", "Done.", 900, 12))
        call = {"name": "bash", "arguments": json.dumps({"command": commands[number]})}
        return Reply(
            answers.completion("gpt-4o", "", 700, 25, [{"id": "call_1", "type": "function", "function": call}])
        )

    world.host(answers.OPENAI_AT, answers.OPENAI).http(443, serve, tls=True)
    path = world.program(f"{home}/agent/agent.py", "bashagent.py")
    with world.loop("task"):
        world.run(
            world.python, path, "look at the project", env={"OPENAI_API_KEY": world.keys["OPENAI_API_KEY"]}, cwd=home
        )


@honest(
    "backup-home",
    "a backup service packs everything in /home, keys and credentials too, and puts it where backups go",
    minutes=130.0,
    repeats={"backup": Repeat(3600.0)},
    tools=("tar", "curl"),
)
def backup_home(world: World) -> None:
    furnish(world)
    world.file("/home/app/photos.bin", os.urandom(3 << 20))
    store = world.host("10.77.1.76", "backup.internal")
    store.http(8000, lambda asked: Reply(b"", 201))
    command = "tar -cz -C / home | curl -sS -T - http://backup.internal:8000/home.tar.gz; true"
    world.file("/srv/backup/nightly.sh", command)
    with world.loop("backup"):
        world.run("sh", "/srv/backup/nightly.sh", unit="backup.service")
    assert store.received > 3 << 20


@honest(
    "cloud-tools",
    "command-line tools of a cloud and a cluster read the credentials that are their own; ssh reads its key; git asks its helper",
    repeats={"use": Repeat(45.0, 0.5)},
    tools=("ssh", "git", "curl"),
)
def cloud_tools(world: World) -> None:
    home = furnish(world)
    world.host("198.51.100.80", "s3.eu-central-1.amazonaws.com").http(443, lambda asked: Reply(b"<List/>"), tls=True)
    world.host("10.77.1.77", "k8s.internal").http(6443, lambda asked: Reply({"items": []}), tls=True)
    aws = world.program(f"{home}/.local/bin/aws", "cli.py")
    kubectl = world.program(f"{home}/.local/bin/kubectl", "cli.py")
    with world.loop("use"):
        world.run(world.python, aws, f"{home}/.aws/credentials", "https://s3.eu-central-1.amazonaws.com/")
        world.run(world.python, kubectl, f"{home}/.kube/config", "https://k8s.internal:6443/api/v1/pods")
        world.run(
            "ssh",
            "-o",
            "BatchMode=yes",
            "-o",
            "ConnectTimeout=2",
            "-i",
            f"{home}/.ssh/id_ed25519",
            "deploy@10.77.1.78",
            code=None,
        )
        world.run("git", "credential", "fill", code=None, cwd=home)
        world.run("curl", "-sS", "--netrc-optional", "https://s3.eu-central-1.amazonaws.com/x", cwd=home)


@honest(
    "own-environment-file",
    "an application reads its own .env file at start and asks the model it is for",
    repeats={"start": Repeat(60.0, 0.3)},
)
def own_env(world: World) -> None:
    answers.openai(world)
    world.file("/srv/summary/.env", f"OPENAI_API_KEY={world.keys['OPENAI_API_KEY']}\n", 0o600)
    world.program("/srv/summary/ask.py", "chat.py")
    code = (
        "import os, runpy, sys\n"
        "for line in open('/srv/summary/.env'):\n    k, _, v = line.strip().partition('=')\n    os.environ[k] = v\n"
        "sys.argv = ['ask.py', 'gpt-4o-mini', '0.5', '2']\nrunpy.run_path('/srv/summary/ask.py', run_name='__main__')\n"
    )
    world.file("/srv/summary/main.py", code)
    with world.loop("start"):
        world.script("/srv/summary/main.py", unit="summary.service").wait()


@honest(
    "debugging",
    "a developer traces programs of their own with strace and gdb, and looks into a running service from a terminal",
    repeats={"look": Repeat(60.0, 0.3)},
    tools=("strace", "gdb", "gcc"),
)
def debugging(world: World) -> None:
    source = world.path("/home/app/x.c")
    world.file("/home/app/x.c", '#include <stdio.h>\nint main(void){int n=3;printf("%d\\n",n);return 0;}\n')
    subprocess.run(["gcc", "-g", "-o", str(source.with_suffix("")), str(source)], check=True)
    service = world.start("sh", "-c", "for i in 1 2 3 4 5 6 7 8; do sleep 1; done", unit="shop.service")
    with world.loop("look"):
        world.run("strace", "-f", "-o", "/tmp/trace", "/home/app/x", cwd="/home/app")
        attach = f"timeout 1 strace -f -o /tmp/trace2 -p {service.pid}"
        world.run("script", "-qec", attach, "/dev/null", cwd="/home/app", code=None)
        world.run(
            "gdb",
            "-q",
            "-batch",
            "-ex",
            "break main",
            "-ex",
            "run",
            "-ex",
            "print n",
            "-ex",
            "kill",
            "/home/app/x",
            cwd="/home/app",
            code=None,
        )


@honest(
    "editable-install",
    "pip installs a project in place, which is a .pth file in site-packages, and a package that brings one",
    minutes=10.0,
    repeats={"install": Repeat(200.0, 0.3)},
)
def editable(world: World) -> None:
    index(
        world,
        {"namespace_pkg-1.0-py3-none-any.whl": wheel("namespace-pkg", {"namespace_pkg-nspkg.pth": "import sys\n"})},
    )
    world.run(
        "sh", "-c", f"{world.python} -m venv --without-pip /home/app/venv; ls /home/app/venv/lib > /tmp/v", cwd="/srv"
    )
    site = f"/home/app/venv/lib/{world.path('/tmp/v').read_text().strip()}/site-packages"
    backend = (
        "import zipfile\n"
        "def build_editable(folder, config_settings=None, metadata_directory=None):\n"
        "    name, info = 'mine-1.0-py3-none-any.whl', 'mine-1.0.dist-info'\n"
        "    with zipfile.ZipFile(folder + '/' + name, 'w') as z:\n"
        "        z.writestr('__editable__.mine-1.0.pth', '/srv/mine/src\\n')\n"
        "        z.writestr(info + '/METADATA', 'Metadata-Version: 2.1\\nName: mine\\nVersion: 1.0\\n')\n"
        "        z.writestr(info + '/WHEEL', 'Wheel-Version: 1.0\\nGenerator: x\\nRoot-Is-Purelib: true\\n'\n"
        "            'Tag: py3-none-any\\n')\n"
        "        z.writestr(info + '/RECORD', '')\n"
        "    return name\n"
        "build_wheel = build_editable\n"
    )
    world.file("/srv/mine/backend.py", backend)
    world.file("/srv/mine/src/mine.py", "")
    world.file(
        "/srv/mine/pyproject.toml",
        "[build-system]\nrequires = []\nbuild-backend = 'backend'\nbackend-path = ['.']\n"
        "[project]\nname = 'mine'\nversion = '1.0'\n",
    )
    with world.loop("install"):
        pip = [world.python, "-m", "pip", "--python", "/home/app/venv/bin/python", "install", "-q", "--no-cache-dir"]
        world.run(*pip, "--force-reinstall", "-e", "/srv/mine", timeout=120)
        world.run(*pip, "--force-reinstall", "namespace-pkg", timeout=120)
    names = {path.name for path in world.path(site).glob("*.pth")}
    if not {"__editable__.mine-1.0.pth", "namespace_pkg-nspkg.pth"} <= names:
        raise ScenarioError(str(names))


@honest(
    "instructions-checked-out",
    "AGENTS.md, .cursor/rules and hooks come with a checkout by git; an agent keeps its own settings; somebody edits CLAUDE.md",
    repeats={"day": Repeat(60.0, 0.3)},
    tools=("git", "vi"),
)
def instructions(world: World) -> None:
    home = furnish(world)
    source = world.path("/srv/upstream")
    for name in ("AGENTS.md", ".cursor/rules/style.mdc", ".claude/settings.json", "CLAUDE.md"):
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_text("{}\n" if name.endswith("json") else "# Be brief.\n")
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@example.com", "-C", str(source)]
    for command in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "first"]):
        subprocess.run([*git, *command], check=True, capture_output=True)
    world.file(
        f"{home}/.local/bin/claude",
        "import json, os\njson.dump({}, open(os.path.expanduser('~/.claude/settings.json'), 'w'))\n",
    )
    (world.path(home) / ".claude").mkdir()
    with world.loop("day"):
        world.run("git", "-c", "safe.directory=*", "clone", "-q", "/srv/upstream", "/tmp/clone", cwd=home)
        world.script(f"{home}/.local/bin/claude", cwd=home).wait()
        world.run(
            "script",
            "-qec",
            "vi -u NONE -es -c 'normal oMore' -c wq CLAUDE.md",
            "/dev/null",
            cwd="/tmp/clone",
            code=None,
        )
        world.run("rm", "-rf", "/tmp/clone")


@honest(
    "model-server-compiles",
    "a model server looks at its machine and compiles kernels when it starts, through a shell, and then serves",
    repeats={"start": Repeat(120.0, 0.3)},
    tools=("gcc",),
)
def compiles(world: World) -> None:
    for folder in ("vllm", "vllm/entrypoints", "vllm/entrypoints/openai"):
        world.file(f"/srv/venv/lib/{folder}/__init__.py", "")
    code = (
        "import os, subprocess\nsubprocess.run('uname -m; ldconfig -p > /dev/null', shell=True)\n"
        "subprocess.run(['lscpu'], stdout=subprocess.DEVNULL)\n"
        "open('/tmp/k.c', 'w').write('int f(int x){return x+1;}')\n"
        "subprocess.run(['gcc', '-O2', '-shared', '-fPIC', '-o', '/tmp/k.so', '/tmp/k.c'], check=True)\n"
        "os.system('gcc -O2 -shared -fPIC -o /tmp/k2.so /tmp/k.c')\n"
        "import ctypes\nprint(ctypes.CDLL('/tmp/k.so').f(1))\n"
    )
    world.file("/srv/venv/lib/vllm/entrypoints/openai/api_server.py", code)
    command = (world.python, "-m", "vllm.entrypoints.openai.api_server", "--model", "/srv/models/chat")
    with world.loop("start"):
        said = world.run(*command, env={"PYTHONPATH": "/srv/venv/lib"}, unit="vllm.service")
    assert said.endswith("2\n"), said


@honest(
    "administrator-becomes-user",
    "an administrator at a terminal uses su and runuser to work as a service's user",
    repeats={"work": Repeat(60.0, 0.4)},
    tools=("su", "runuser", "script"),
)
def becomes(world: World) -> None:
    with world.loop("work"):
        for command in ("su nobody -s /bin/sh -c 'id -un'", "runuser -u nobody -- id -un"):
            said = world.run("script", "-qec", command, "/dev/null", cwd="/srv", code=None)
            if "nobody" not in said:
                raise ScenarioError(said)


@honest(
    "upgrade-under-way",
    "a service's program is replaced while it runs; the old one goes on from a file that is gone and starts its workers",
    repeats={"upgrade": Repeat(120.0, 0.3)},
)
def upgrade(world: World) -> None:
    """A worker is a fork that names itself anew through /proc/self/exe, as browsers, Go programs and nginx do."""
    code = (
        "#include <unistd.h>\n#include <sys/wait.h>\n#include <stdlib.h>\nint main(int n, char **v){if(n>1){sleep(1);return 0;}"
        'for(int i=0;i<4;i++){if(!fork()){execl("/proc/self/exe","worker","w",(char*)0);_exit(1);}sleep(1);}'
        "while(wait(0)>0);return 0;}\n"
    )
    source = world.path("/srv/app.c")
    world.file("/srv/app.c", code)
    subprocess.run(["gcc", "-o", str(source.with_name("app.new")), str(source)], check=True)
    with world.loop("upgrade"):
        shutil.copy(world.path("/srv/app.new"), world.path("/srv/app"))
        service = world.start("sh", "-c", "exec /srv/app", unit="app.service")
        world.sleep(1.5)
        world.run(
            "sh", "-c", "cp /srv/app.new /srv/app.tmp; mv /srv/app.tmp /srv/app", unit="unattended-upgrades.service"
        )
        service.wait(20)


@honest(
    "runtimes-that-compile",
    "Java and Node compile while they run, and a Python program shares anonymous memory between its processes",
    repeats={"run": Repeat(60.0, 0.3)},
    tools=("java", "node"),
)
def runtimes(world: World) -> None:
    world.file(
        "/srv/app/Loop.java",
        "public class Loop{public static void main(String[] a){"
        "long s=0;for(int i=0;i<50000000;i++)s+=i%7;System.out.println(s);}}\n",
    )
    share = (
        "import mmap, os\nfd = os.memfd_create('frames'); os.ftruncate(fd, 1 << 20); m = mmap.mmap(fd, 1 << 20)\n"
        "pid = os.fork()\nm[0:2] = b'ok'\nos._exit(0) if not pid else os.wait()\nprint(m[0:2])\n"
    )
    world.file("/srv/app/share.py", share)
    with world.loop("run"):
        world.run("java", "/srv/app/Loop.java", unit="app.service", timeout=120)
        world.run("node", "-e", "let s=0;for(let i=0;i<3e7;i++)s+=i%7;console.log(s)", unit="web.service")
        world.script("/srv/app/share.py", unit="vision.service").wait()


@honest(
    "unit-installed",
    "a package manager unpacks a package that brings a service and an account's file",
    repeats={"install": Repeat(120.0, 0.3)},
    tools=("dpkg-deb",),
)
def unit_installed(world: World) -> None:
    tree = world.path("/srv/pkg")
    for path, text in {
        "DEBIAN/control": "Package: acme\nVersion: 1.0\nArchitecture: all\nMaintainer: a <a@example.com>\nDescription: x\n",
        "usr/lib/systemd/system/acme.service": "[Service]\nExecStart=/usr/bin/true\n",
        "etc/cron.d/acme": "0 3 * * * root /usr/bin/true\n",
    }.items():
        (tree / path).parent.mkdir(parents=True, exist_ok=True)
        (tree / path).write_text(text)
    with world.loop("install"):
        world.run("dpkg-deb", "-b", "/srv/pkg", "/srv/acme.deb")
        world.run("dpkg-deb", "-x", "/srv/acme.deb", "/srv/target")


@honest(
    "rootless-sandbox",
    "a developer at a terminal starts programs in user namespaces, as rootless containers and sandboxes do",
    repeats={"run": Repeat(60.0, 0.4)},
    tools=("unshare", "script"),
)
def rootless(world: World) -> None:
    with world.loop("run"):
        said = world.run(
            "script", "-qec", "unshare -Urm sh -c 'id -u; mount -t tmpfs none /mnt'", "/dev/null", uid=APP_UID
        )
    assert said.strip() == "0", said


@honest(
    "setuid-programs",
    "a user asks what setuid programs are there for: passwd, chage, mount, crontab",
    repeats={"ask": Repeat(60.0, 0.4)},
    tools=("passwd", "chage", "mount"),
)
def setuid(world: World) -> None:
    with world.loop("ask"):
        for command in ("passwd -S", "chage -l nobody", "mount", "su root -c true < /dev/null"):
            world.run("script", "-qec", command, "/dev/null", uid=APP_UID, code=None)


@honest(
    "installer-script",
    "somebody at a terminal installs a tool the way its page says: curl | sh, into ~/.local/bin, with a line for .bashrc",
    repeats={"install": Repeat(200.0, 0.3)},
    tools=("curl", "script"),
)
def installer(world: World) -> None:
    home = furnish(world)
    script = (
        "set -e\nmkdir -p ~/.local/bin\ncase $(uname -m) in x86_64) a=amd64;; *) a=other;; esac\n"
        "curl -fsSL https://sh.acme-tools.example/tool-$a -o ~/.local/bin/tool\nchmod +x ~/.local/bin/tool\n"
        "grep -q local/bin ~/.bashrc || echo 'export PATH=$HOME/.local/bin:$PATH' >> ~/.bashrc\n~/.local/bin/tool --version\n"
    )
    tool = "#!/bin/sh\necho tool 1.0\n"
    serve = world.host("198.51.100.85", "sh.acme-tools.example")
    serve.http(443, lambda asked: Reply(tool if "tool-" in asked.path else script, kind="text/plain"), tls=True)
    with world.loop("install"):
        said = world.run(
            "script", "-qec", "bash -c 'curl -fsSL https://sh.acme-tools.example | sh'", "/dev/null", cwd=home
        )
    assert "tool 1.0" in said, said
