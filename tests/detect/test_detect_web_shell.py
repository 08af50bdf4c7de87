"""Rule `unexpected-process`, as far as it is seen without a policy: a server that runs what requests say."""

from __future__ import annotations

import pytest
from detect_acts import exchange, flow, found, proc, started, worst

from leeward.detect.web_shell import WebShell
from leeward.model.activity import Activity
from leeward.model.process import Process


def asked(server: Process, *commands: str, every: float = 1.0, requests: bool = True) -> list[Activity]:
    """Each command a shell's, each after a request of its own."""
    acts: list[Activity] = [flow(server, "203.0.113.9:50000", inbound=True)]
    for n, command in enumerate(commands):
        if requests:
            acts.append(flow(server, f"203.0.113.9:{50001 + n}", n * every, inbound=True, received=300))
        acts.append(started(proc(f"sh -c '{command}'", server), at=n * every + 0.01))
    return acts


def php() -> Process:
    return proc("php -S 0.0.0.0:8086 -t /srv/site", workload="site.service")


def test_who_looks_round_through_a_server() -> None:
    told = found(WebShell(), *asked(php(), "id", "uname -a", "ls -la /home", "ps aux | wc -l", "df -h", "netstat -an"))
    assert [f.severity for f in told] == ["medium"]
    assert told[0].subject["server"] == "/usr/bin/php"
    assert told[0].evidence[0]["margin"] == 0


def test_the_whole_of_a_status_page_at_once_is_nothing() -> None:
    assert not found(WebShell(), *asked(php(), "id", "uname -a", "ps aux", "df -h", requests=False))
    assert not found(WebShell(), *asked(php(), "uptime", "df -h", "ps aux", "free", "netstat -an", "who"))


def test_conversions_are_nothing() -> None:
    assert not found(WebShell(), *asked(php(), "convert a b", "ffprobe c", "exiftool d", "id", "gs e"))


def test_slowly_over_hours_is_nothing() -> None:
    assert not found(WebShell(), *asked(php(), "id", "uname -a", "ps aux", "df -h", every=1200))


@pytest.mark.parametrize("server", ["/usr/bin/sshd -D", "jupyter-lab", "gitlab-runner run"])
def test_who_runs_commands_for_a_living(server: str) -> None:
    assert not found(WebShell(), *asked(proc(server), "id", "uname -a", "ps aux", "df -h"))


def test_an_agents_tools_are_another_rules_business() -> None:
    agent = proc("python3 /srv/agent.py")
    assert not found(WebShell(), exchange(agent), *asked(agent, "id", "uname -a", "ps aux", "df -h"))


def test_state_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("leeward.detect.web_shell._MOST", 10)
    detector = WebShell()
    assert worst(found(detector, *[flow(php(), "203.0.113.9:5", inbound=True) for _ in range(40)])) == ""
    assert detector.counters["web_shell_evicted"] == 30
