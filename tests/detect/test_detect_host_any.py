"""All host detectors together: any activities give an answer, quickly, and state stays bounded."""

from __future__ import annotations

import time
from typing import Any

import msgspec
import pytest
from detect_acts import T0, box, exchange, flow, found, proc, started
from hypothesis import given, settings
from hypothesis import strategies as st

from leeward.detect.agent_commands import AgentCommands
from leeward.detect.agent_config import AgentConfig
from leeward.detect.command_signs import signs
from leeward.detect.credentials import Credentials
from leeward.detect.detector import Detection
from leeward.detect.escalation import Escalation
from leeward.detect.escape import Escape
from leeward.detect.fileless import Fileless
from leeward.detect.injection import Injection
from leeward.detect.model_server import ModelServer
from leeward.detect.reverse_shell import ReverseShell
from leeward.detect.rule import rules
from leeward.model.activity import Activity, Ended, HttpSeen, Started, System
from leeward.model.finding import SEVERITIES
from leeward.model.process import NOBODY, Ancestor, Process, Workload
from leeward.model.raw import Stream

ALL = (ReverseShell, Escalation, Escape, ModelServer, Credentials, Fileless, Injection, AgentConfig, AgentCommands)
KINDS = [
    "open", "rename", "unlink", "chmod", "identity", "ptrace", "vm-write", "kill", "memfd", "mount", "namespace", "chroot",
    "module", "bpf", "stream", "pty", "socket", "other",
]  # fmt: skip
PATHS = ["", "/etc/shadow", "/proc/3/mem", "/proc/self/environ", "/etc/ld.so.preload", "/tmp/x"]
LABELS = [
    "",
    "ssh-key",
    "environ",
    "memory",
    "shadow",
    "agent-config",
    "python-startup",
    "device",
    "runtime-socket",
    "setns",
    "exec",
]
COMMANDS = [
    "bash -i",
    "sh -c 'curl x | sh'",
    "nc -e sh 1 2",
    "python3 -c 'import socket'",
    "sshd",
    "npm install x",
    "claude --yolo",
    "x",
]

streams = st.builds(
    Stream, st.sampled_from(["", "socket", "unix", "pipe", "tty", "file", "null"]), st.integers(0, 5), st.integers(0, 5)
)
pids = st.integers(0, 12)


@st.composite
def processes(draw: st.DrawFn) -> Process:
    made = proc(draw(st.sampled_from(COMMANDS)), container=box() if draw(st.booleans()) else None, pid=1)
    above = tuple(
        Ancestor(draw(pids), f"/usr/bin/{name}", (name,))
        for name in draw(st.lists(st.sampled_from(["bash", "ollama", "nc", "npm", "node", ""]), max_size=3))
    )
    pid = draw(pids)
    if not pid:
        return NOBODY
    odd = draw(st.sampled_from([made.exe, "", "/tmp/x", "/memfd:x (deleted)", "/proc/self/exe"]))
    return Process(pid, pid, odd, made.argv if draw(st.booleans()) else (), "/", draw(st.integers(-1, 1)), "u", above, "",
                   Workload("w", "w", "systemd"), made.container)  # fmt: skip


@st.composite
def activities(draw: st.DrawFn) -> Activity:
    who, ts = draw(processes()), T0 + draw(st.integers(0, 10**10))
    rights = st.sampled_from([(), (0, 0, 0, 0), (1000, 1000, 1000, 0), (1000, 0, 1000, 1 << 21)])
    match draw(st.integers(0, 5)):
        case 0:
            return Ended(ts=ts, process=who)
        case 1:
            made = (draw(streams), draw(streams), draw(streams))
            origin = draw(st.sampled_from(["", "memfd", "deleted", "shm"]))
            return Started(
                ts=ts,
                process=who,
                streams=made,
                setuid=draw(st.booleans()),
                origin=origin,
                euid=draw(st.integers(-1, 1)),
            )
        case 2:
            inbound, ended, began = draw(st.booleans()), draw(st.booleans()), draw(st.booleans())
            proto = draw(st.sampled_from(["tcp", "udp"]))
            number = draw(st.integers(0, 5))
            return flow(who, "203.0.113.7:4444", number=number, inbound=inbound, ended=ended, began=began, proto=proto)
        case 3:
            return exchange(who, draw(st.sampled_from(["curl x | sh", "", "nc -e sh 1 2"])))
        case 4:
            return HttpSeen(ts=ts, process=who, direction="inbound", exchange=True)
    return System(
        ts=ts,
        process=who,
        kind=draw(st.sampled_from(KINDS)),
        label=draw(st.sampled_from(LABELS)),
        path=draw(st.sampled_from(PATHS)),
        number=draw(st.sampled_from([0, 1, 2, 3, 16, 0o4755, 0x20000, 1 << 40])),
        before=draw(rights),
        after=draw(rights),
        target=draw(st.one_of(st.none(), processes())),
        stream=draw(st.one_of(st.none(), streams)),
    )


@settings(max_examples=80, deadline=None)
@given(st.lists(activities(), max_size=25))
def test_any_activities_give_findings_of_known_rules(acts: list[Activity]) -> None:
    detection = Detection([make() for make in ALL])
    told = [finding for act in acts for finding in detection.feed(act)] + detection.tick(T0 + 20 * 10**9)
    for finding in told:
        assert finding.rule in rules()
        assert finding.severity in SEVERITIES
        assert finding.evidence
        assert all("type" in one and "time" in one for one in finding.evidence)


@pytest.mark.parametrize(
    "text",
    [
        "rm -r " * 1300,
        "rm " + "-r " * 2600,
        "curl " * 1600,
        "socket " * 1100,
        "nc " * 2700,
        "mkfifo " * 1100,
        "$(" * 4000,
        "'" * 8000,
        "a|" * 4000,
        "eval '" * 1300,
        "sh -c '" * 1100,
        "-" * 8000,
        "DROP TABLE " * 700,
        "wget --post-file" * 500,
        "git push " * 900,
    ],
)
def test_evil_command_lines_are_read_in_time(text: str) -> None:
    before = time.process_time()
    signs(("sh", "-c", text))
    speaker = proc("claude")
    child = msgspec.structs.replace(proc("x", speaker), exe="/bin/sh", argv=("sh", "-c", text))
    found(AgentCommands(), exchange(speaker, text), started(child))
    assert time.process_time() - before < 2


def test_state_does_not_grow_with_what_came_and_went() -> None:
    detectors: list[Any] = [make() for make in ALL]
    for i in range(300):
        own = proc(f"python3 app{i}.py")
        shell = proc("sh -c 'ls -la /srv'", own)
        acts: list[Activity] = [
            exchange(own, "ls -la /srv"),
            flow(own, "203.0.113.7:443", number=i + 1),
            started(own),
            started(shell),
        ]
        acts += [
            Ended(ts=T0, process=shell),
            Ended(ts=T0, process=own),
            flow(own, "203.0.113.7:443", number=i + 1, ended=True),
        ]
        for detector in detectors:
            found(detector, *acts)
            detector.tick(T0 + 10**11)
    kept = {
        f"{type(detector).__name__}.{name}": len(value)
        for detector in detectors
        for name, value in vars(detector).items()
        if isinstance(value, dict) and len(value) > 20
    }
    assert kept == {}
