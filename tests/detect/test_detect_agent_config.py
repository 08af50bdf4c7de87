"""Who writes what agents and Pythons obey."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from detect_acts import NULL, TTY, found, proc, started, system, worst

from leeward.detect.agent_config import AgentConfig
from leeward.model.process import Process

SETTINGS = "/home/bob/.claude/settings.json"
NPM = proc("/usr/bin/node /usr/lib/node_modules/npm/bin/npm-cli.js install x")
SCRIPT = proc("node postinstall.js", proc("sh -c 'node postinstall.js'", NPM), cwd="/home/bob/app/node_modules/x")


def severity(
    process: Process, path: str = SETTINGS, label: str = "agent-config", streams: Any = NULL, **more: Any
) -> str:
    acts = [started(process, streams), system(process, "open", 1, path=path, label=label, **{"number": 1, **more})]
    return worst(found(AgentConfig(), *acts))


@pytest.mark.parametrize(
    ("process", "expected"),
    [
        (SCRIPT, "high"),
        (proc("sh -c 'echo x > y'", proc("pip install x")), "high"),
        (
            proc("node x.js", proc("sh -c x", proc("npm install x", proc("claude")))),
            "high",
        ),  # the install is nearer than the agent
        (proc("python3 app.py", proc("/usr/bin/python3 -m gunicorn app")), "high"),
        (proc("/tmp/claude"), "high"),
        (proc("python3 x.py"), "medium"),
        (proc("curl -o x http://x"), "medium"),
        (proc("claude"), ""),
        (proc("/usr/bin/node /usr/lib/node_modules/@anthropic-ai/claude-code/cli.js"), ""),
        (proc("tee x", proc("bash -c 'tee x'", proc("codex"))), ""),
        (proc("vim x"), ""),
        (proc("git checkout main"), ""),
        (proc("chezmoi apply"), ""),
        (proc("/usr/bin/python3 /home/bob/.ansible/tmp/x/AnsiballZ_copy.py"), ""),
        (proc("node install.cjs", NPM, cwd="/usr/lib/node_modules/@anthropic-ai/claude-code"), ""),
        (proc("restic restore latest"), ""),
        (proc("tar xf cache.tgz", proc("/opt/actions-runner/bin/Runner.Worker")), "low"),
        (proc("python3 make_docs.py", proc("bash x.sh", proc("/opt/actions-runner/bin/Runner.Worker"))), "low"),
        (proc("containerd"), ""),
    ],
)
def test_agent_configuration(process: Process, expected: str) -> None:
    assert severity(process) == expected


def test_instructions_of_a_project_are_less_than_settings_of_a_user() -> None:
    script = proc("bash scaffold.sh")
    assert severity(script, "/srv/app/CLAUDE.md") == "low"
    assert severity(script, "/home/bob/.claude/skills/x/SKILL.md") == "medium"
    assert severity(script, "/home/bob/.claude/hooks/pre.sh") == "medium"
    assert severity(SCRIPT, "/srv/app/AGENTS.md") == "high"


def test_a_person_at_a_terminal() -> None:
    assert severity(proc("cp x y"), streams=TTY) == ""
    assert severity(proc("node setup-skills.js", proc("npm exec setup-skills")), streams=TTY) == "low"


@pytest.mark.parametrize(
    ("process", "name", "expected"),
    [
        (proc("/usr/bin/python3 -m pip install -e ."), "__editable__.app-1.0.pth", ""),
        (proc("/usr/bin/python3 /usr/bin/pip install setuptools"), "distutils-precedence.pth", ""),
        (proc("uv sync"), "_virtualenv.pth", ""),
        (proc("/usr/bin/python3 -m pip install sphinxcontrib-x"), "sphinxcontrib_x-1.0-py3.11-nspkg.pth", ""),
        (proc("/usr/bin/python3 -m pip install litellm"), "litellm_init.pth", "medium"),
        (proc("/usr/bin/python3 setup.py install", proc("pip install x")), "evil.pth", "high"),
        (proc("/usr/bin/python3 setup.py develop", proc("pip install x")), "easy-install.pth", ""),
        (SCRIPT, "x.pth", "high"),
        (SCRIPT, "distutils-precedence.pth", "high"),
        (proc("/usr/bin/python3 -c x", proc("/usr/bin/python3 -Im ensurepip")), "distutils-precedence.pth", ""),
        (proc("tar xf cache.tgz"), "x.pth", "low"),
        (proc("/usr/bin/python3 setup.py develop"), "easy-install.pth", ""),
        (proc("/usr/bin/python3 app.py"), "x.pth", "high"),
        (proc("/usr/bin/python3 app.py"), "__editable__.x.pth", "high"),
        (proc("sh -c x"), "sitecustomize.py", "high"),
        (proc("/usr/bin/dpkg --unpack x"), "sitecustomize.py", ""),
    ],
)
def test_files_that_run_at_every_start_of_python(process: Process, name: str, expected: str) -> None:
    assert severity(process, f"/usr/lib/python3/site-packages/{name}", "python-startup") == expected


def test_reading_and_failing_are_nothing() -> None:
    assert severity(SCRIPT, number=0) == ""
    assert severity(SCRIPT, failed=True) == ""
    assert severity(SCRIPT, label="ssh-key") == ""


def test_a_rename_into_place_counts() -> None:
    told = found(AgentConfig(), system(SCRIPT, "rename", path=SETTINGS, source="/tmp/x", label="agent-config"))
    assert worst(told) == "high"
    assert told[0].evidence[1]["pid"] == NPM.pid


PIP_RUNNER = "/home/app/venv/bin/python /usr/lib/python3.11/site-packages/pip/__pip-runner__.py install"


def test_pip_that_runs_itself_with_another_python() -> None:
    pip = proc(f"{PIP_RUNNER} -e .", proc("python3 -m pip --python /home/app/venv/bin/python install -e ."))
    pip = msgspec.structs.replace(pip, exe="/usr/bin/python3.11")
    for path in (
        "/tmp/pip-build-env-k7jvk_30/site/sitecustomize.py",
        "/home/app/venv/lib/python3.11/site-packages/__editable__.mine-1.0.pth",
    ):
        assert not severity(pip, path, "python-startup")
    evil = "/home/app/venv/lib/python3.11/site-packages/litelm_init.pth"
    assert severity(pip, evil, "python-startup") == "medium"
    script = proc("sh -c 'python3 build.py'", pip)
    assert severity(script, evil, "python-startup") == "high"


@pytest.mark.parametrize(
    ("process", "path", "expected"),
    [
        (proc("tar xz -C /home/bob", proc("sh -c 'curl x | tar xz -C /home/bob'", workload="shop")), SETTINGS, "medium"),
        (proc("cp /srv/x /home/bob/.codex/config.toml", proc("bash -c 'cp x y'", workload="shop")), SETTINGS, "medium"),
        (proc("tar xz -C /srv/shop", proc("sh -c 'tar xz'", workload="shop")), "/srv/shop/AGENTS.md", "low"),
        (proc("tar xz -C /home/bob", proc("sh /usr/lib/restore.sh", workload="restore")), SETTINGS, "low"),
        (proc("tar xz", proc("sh -c 'tar xz'", proc("/opt/actions-runner/bin/Runner.Worker", workload="ci"))), SETTINGS, "low"),
    ],
)  # fmt: skip
def test_what_a_service_has_a_shell_unpack_over_a_home(process: Process, path: str, expected: str) -> None:
    assert severity(process, path) == expected
