"""Blind, the third lot: written without a look at the detectors. Honest changes: what is deployed, grows or moves."""

from __future__ import annotations

import os
import socket

from proving import bundles
from proving.scenario import Repeat, honest
from proving.scenarios.blind_third_honest_ai import ROUTER, chat, fresh, providers
from proving.scenarios.movement import talk
from proving.world import World

SHIFT = """
import socket, sys, time
rounds, pause = int(sys.argv[1]), float(sys.argv[2])
for number in range(rounds):
    for target in sys.argv[3:]:
        host, port = target.rsplit(':', 1)
        with socket.create_connection((host, int(port)), 3) as peer:
            peer.sendall(b'PING %d ' % number + b'x' * 200)
            peer.recv(300)
    print('round', flush=True)
    time.sleep(pause)
"""


@honest(
    "blind3-deploy-new-dependency",
    "a service in a container talks to its database and cache all day; its next version talks to a payment partner too",
    minutes=26 * 60.0,
    repeats={"work": Repeat(300.0, 0.2)},
    tools=("runc",),
)
def new_dependency(world: World) -> None:
    """A rolling update in the small: the new container first, then the old one goes. The twin of a service that was taken."""
    for number, (name, port) in enumerate((("db", 5432), ("cache", 6379), ("queue", 5672))):
        world.host(f"10.77.45.{number + 1}", f"{name}.internal").listen(port, talk)
    world.host("203.0.113.113", "api.payments.example").listen(8443, talk)
    world.file("/srv/v1/api.py", SHIFT)
    world.file("/srv/v2/api.py", f"# version 2\n{SHIFT}")
    old = ("db.internal:5432", "cache.internal:6379")
    new = (*old, "queue.internal:5672", "api.payments.example:8443")
    first = bundles.start(world, "python3", "/opt/api.py", "9", "1", *old, binds=[("/srv/v1", "/opt")])
    try:
        world.wait(lambda: "round" in first.said(), "no round", 20)
        world.sleep(1.2)
        with world.loop("work"):
            world.sleep(3.0)
        second = bundles.start(world, "python3", "/opt/api.py", "4", "1", *new, binds=[("/srv/v2", "/opt")])
        try:
            world.wait(lambda: second.said().count("round") >= 2, "the new version does not work", 20)
            first.end()
            world.wait(lambda: second.said().count("round") == 4, "the new version stops", 20)
            world.sleep(1.2)
        finally:
            second.end()
    finally:
        first.end()


@honest(
    "blind3-monday-peak",
    "after a quiet weekend in which two colleagues asked it things, ninety ask the company's assistant within seconds",
    minutes=62 * 60.0,
    repeats={"quiet": Repeat(1200.0, 0.4)},
    tools=("node",),
)
def monday(world: World) -> None:
    """The twin of a spike by somebody with a stolen key: forty-five people, long questions, the same models."""
    found = providers(world)
    fresh(world, "/srv/assistant/keys.json")
    actor = world.start("node", world.file("/srv/assistant/server.js", ROUTER), "3001", "/srv/assistant/keys.json",
                        unit="assistant.service")  # fmt: skip
    world.listening(actor, 3001)
    people = [world.host(f"10.77.46.{number + 1}") for number in range(45)]
    with world.loop("quiet"):
        for person in people[:2]:
            assert chat(world, person, 3001, "openai", "gpt-4o", "what is for lunch") == 200
        world.sleep(1.2)
    for number in range(180):
        text = f"Question {number}. " + "Here is what the customer wrote to us over the weekend. " * (number % 30)
        assert chat(world, people[number % 45], 3001, "openai", ("gpt-4o", "gpt-4o-mini")[number % 2], text) == 200
        world.sleep(0.02)
    world.sleep(1.2)
    actor.stop()
    assert len(found["openai"].requests) == 182


MIGRATE = """
import socket, sys
moved = 0
with socket.create_connection((sys.argv[1], 5432)) as old, socket.create_connection((sys.argv[2], 5432)) as new:
    old.sendall(b'COPY (select * from orders) TO STDOUT')
    while data := old.recv(1 << 16):
        new.sendall(data)
        moved += len(data)
    new.shutdown(socket.SHUT_WR)
    print(moved, new.recv(64).decode())
"""


@honest(
    "blind3-migration-inside",
    "a database's 40 MB are moved once to a new host inside by a program that reads the one and writes the other",
    minutes=30.0,
    repeats={"before": Repeat(60.0, 0.2)},
)
def migration(world: World) -> None:
    """The twin of data that is gathered before it leaves: the target is inside and new."""
    kept: list[int] = []

    def source(connection: socket.socket) -> None:
        connection.recv(256)
        for _ in range(40):
            connection.sendall(os.urandom(1 << 20))

    def target(connection: socket.socket) -> None:
        size = 0
        while data := connection.recv(1 << 16):
            size += len(data)
        kept.append(size)
        connection.sendall(b"DONE")

    world.host("10.77.47.1", "db-old.internal").listen(5432, source)
    world.host("10.77.47.2", "db-new.internal").listen(5432, target)
    world.host("10.77.47.3", "orders.internal").listen(8080, talk)
    program = world.program("/srv/orders/worker.py", "connect.py")
    with world.loop("before"):
        world.script(program, "0.1", "orders.internal:8080", unit="orders.service").wait()
        world.sleep(1.2)
    path = world.file("/srv/migrate/move.py", MIGRATE)
    said = world.run(world.python, path, "db-old.internal", "db-new.internal", unit="migrate.service")
    world.sleep(1.2)
    assert "DONE" in said
    assert kept == [40 << 20]


ASK = """
const [to, model, count, pause] = process.argv.slice(2);
const url = to === 'openai' ? 'https://api.openai.com/v1/chat/completions' : 'https://api.anthropic.com/v1/messages';
const headers = to === 'openai' ? {authorization: 'Bearer ' + process.env.OPENAI_API_KEY}
  : {'x-api-key': process.env.ANTHROPIC_API_KEY, 'anthropic-version': '2023-06-01'};
(async () => {
  for (let n = 0; n < Number(count); n++) {
    const messages = [{role: 'user', content: 'Summarise ticket ' + n + ': the parcel came late'}];
    const answer = await fetch(url, {method: 'POST', headers: {'content-type': 'application/json', ...headers},
      body: JSON.stringify({model, max_tokens: 200, messages})});
    console.log('answered', answer.status, (await answer.text()).length > 100);
    await new Promise(next => setTimeout(next, 1000 * Number(pause)));
  }
})();
"""


@honest(
    "blind3-deploy-other-provider",
    "a service has asked OpenAI every minute for a day; its next version asks Anthropic with a key of its own",
    minutes=26 * 60.0,
    repeats={"ask": Repeat(120.0, 0.2)},
    tools=("node", "rsync"),
)
def other_provider(world: World) -> None:
    """The twin of shadow AI and of a base URL that was changed: the company decided so, and deployed it."""
    found = providers(world)
    path = world.file("/srv/summary/server.js", ASK)
    world.file("/srv/release/server.js", f"// 2.0: Claude\n{ASK}")
    unit = "summary.service"
    actor = world.start("node", path, "openai", "gpt-4o-mini", "4", "2",
                        env={"OPENAI_API_KEY": world.keys["OPENAI_API_KEY"]}, unit=unit)  # fmt: skip
    world.wait(lambda: "true" in actor.said(), "no answer")
    world.sleep(1.2)
    with world.loop("ask"):
        world.sleep(2.0)
    actor.wait(20)
    world.run("rsync", "-a", "--delete", "/srv/release/", "/srv/summary/", unit="deploy.service")
    world.run("node", path, "anthropic", "claude-haiku-4-5", "4", "1.2",
              env={"ANTHROPIC_API_KEY": world.keys["ANTHROPIC_API_KEY"]}, unit=unit)  # fmt: skip
    world.sleep(1.2)
    assert len(found["anthropic"].requests) == 4, actor.said()
