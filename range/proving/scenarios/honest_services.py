"""Honest services: regular, busy, talkative, and nothing is wrong."""

from __future__ import annotations

import os
import socket

from proving import answers
from proving.hosts import Asked, Reply
from proving.scenario import Repeat, honest
from proving.scenarios.ai_servers import shop
from proving.world import World

US = "10.77.0.10"


def ok(asked: Asked) -> Reply:
    """Everything is fine."""
    return Reply({"status": "ok"})


@honest(
    "health-checks",
    "a load balancer asks a service every 30 seconds, the service asks its own dependency as often",
    repeats={"check": Repeat(30.0)},
    day=True,
)
def health_checks(world: World) -> None:
    balancer = world.host("10.77.1.20", "lb.internal")
    orders = world.host("10.77.1.30", "orders.internal")
    orders.http(80, ok)
    service = shop(world)
    checker = world.program("/srv/shop/check.py", "poll.py")
    poller = world.script(checker, "http://orders.internal/health", "3", "3", unit="shop.service")
    world.sleep(1.5)
    with world.loop("check"):
        assert balancer.ask(US, 8080, "GET", "/health", user_agent="ELB-HealthChecker/2.0")[0] == 200
        world.sleep(3.0)
    poller.wait()
    assert len(orders.requests) == 3
    service.stop()


@honest(
    "prometheus",
    "forty targets inside are scraped every 15 seconds",
    repeats={"scrape": Repeat(15.0)},
)
def prometheus(world: World) -> None:
    page = b"".join(b'node_cpu_seconds_total{cpu="%d"} 1234.5\n' % n for n in range(80))
    targets = []
    for number in range(40):
        port = (9100, 8080, 9090, 9187)[number % 4]
        world.host(f"10.77.40.{number + 1}").http(port, lambda asked: Reply(page, kind="text/plain"))
        targets.append(f"http://10.77.40.{number + 1}:{port}/metrics")
    scraper = world.program("/srv/prometheus/prometheus.py", "poll.py")
    actor = world.script(scraper, ",".join(targets), "4", "3", unit="prometheus.service")
    world.sleep(2.5)
    with world.loop("scrape"):
        world.sleep(4.0)
    actor.wait()


@honest(
    "log-shipper",
    "a log shipper sends 20 kB every two seconds to its collector, over TLS",
    repeats={"flush": Repeat(2.0, 0.05)},
)
def log_shipper(world: World) -> None:
    """The same rhythm as a beacon's: but the collector is everybody's, and what goes there is what a shipper sends."""
    intake = world.host("198.51.100.50", "http-intake.logs.datadoghq.eu")
    intake.http(443, lambda asked: Reply({}, 202), tls=True)
    path = world.program("/srv/datadog-agent/agent.py", "post.py")
    url = "https://http-intake.logs.datadoghq.eu/api/v2/logs"
    actor = world.script(path, url, "20000", "2", "8", unit="datadog-agent.service")
    world.sleep(5.0)
    with world.loop("flush"):
        world.sleep(4.0)
    actor.wait()


@honest(
    "pollers",
    "time is asked of two servers every 64 seconds, updates every five minutes",
    repeats={"ntp": Repeat(64.0, 0.02), "updates": Repeat(300.0, 0.1)},
    day=True,
)
def pollers(world: World) -> None:
    reply = bytes([0x24]) + os.urandom(47)
    for number in (1, 2):
        world.host(f"198.51.100.{120 + number}", f"{number}.debian.pool.ntp.org").udp(123, lambda data: reply)
    archive = world.host("198.51.100.123", "deb.debian.org")
    archive.http(80, lambda asked: Reply(b"Origin: Debian\n" * 400, kind="text/plain"))
    chrony = world.script(world.program("/srv/sbin/timesyncd.py", "ntp.py"), "2", "3", unit="systemd-timesyncd.service")
    world.sleep(1.0)
    with world.loop("ntp"):
        world.sleep(2.0)
    chrony.wait()
    with world.loop("updates"):
        url = "http://deb.debian.org/debian/dists/stable/InRelease"
        world.run("curl", "-sS", "-o", "/tmp/InRelease", url, unit="apt-daily.service")


@honest(
    "load-test",
    "our own API is asked 900 times in a few seconds by a load generator inside",
    repeats={"load": Repeat(120.0)},
)
def load_test(world: World) -> None:
    actor = shop(world)
    generator = world.host("10.77.1.99", "loadgen.internal")
    with world.loop("load"):
        for number in range(900):
            path = f"/v1/items/{(number * 7919) % 100_000}" if number % 10 else "/health"
            status, _ = generator.ask(US, 8080, "GET", path, authorization="Bearer load-test", user_agent="k6/0.49.0")
            assert status == 200
    actor.stop()


@honest(
    "token-refresh",
    "a client's token runs out now and then: one 401, a new one, and on it goes",
    repeats={"hour": Repeat(20.0, 0.2)},
)
def token_refresh(world: World) -> None:
    actor = shop(world)
    client = world.host("10.77.1.60", "mobile-gateway.internal")
    with world.loop("hour"):
        assert client.ask(US, 8080, "GET", "/v1/private/profile")[0] == 401
        for _ in range(6):
            assert client.ask(US, 8080, "GET", "/v1/private/profile", authorization="Bearer good")[0] == 200
            world.sleep(0.3)
    actor.stop()


@honest(
    "autoscaling",
    "six replicas of one service start one after another; each opens its database and its cache",
    repeats={"scale": Repeat(200.0, 0.5)},
)
def autoscaling(world: World) -> None:
    def talk(connection: socket.socket) -> None:
        while connection.recv(4096):
            connection.sendall(b"+OK\r\n" * 20)

    world.host("10.77.1.40", "db.internal").listen(5432, talk)
    world.host("10.77.1.41", "cache.internal").listen(6379, talk)
    program = world.program("/srv/shop/api.py", "service.py")
    worker = world.program("/srv/shop/worker.py", "connect.py")
    replicas = []
    with world.loop("scale"):
        for number in range(6):
            replica = world.script(program, "8080", f"10.77.0.{11 + number}", unit="shop.service")
            targets = ["db.internal:5432", "cache.internal:6379"] * 3
            world.script(worker, "0.2", *targets, unit="shop.service").wait()
            replicas.append(replica)
            world.sleep(0.5)
        for replica in replicas:
            replica.stop()


@honest(
    "local-model",
    "Ollama listens on this host's loopback only and answers a program beside it",
    repeats={"work": Repeat(10.0, 0.3)},
)
def local_model(world: World) -> None:
    from proving.scenarios.ai_servers import server_on

    actor = server_on(world, "127.0.0.1", "ollama", "/srv/bin/ollama", 11434, "serve", unit="ollama.service")
    path = world.program("/srv/notes/tag.py", "chat.py")
    environment = {"OPENAI_API_KEY": "ollama", "OPENAI_BASE_URL": "http://127.0.0.1:11434/v1"}
    client = world.script(path, "llama3.1:8b", "2", "4", env=environment)
    world.sleep(3.0)
    with world.loop("work"):
        world.sleep(2.0)
    client.wait()
    actor.stop()


@honest(
    "embedding-batch",
    "a batch job sends 6 MB of documents to the provider's embeddings that the service has always used",
    repeats={"batch": Repeat(60.0, 0.2)},
)
def embedding_batch(world: World) -> None:
    heard = answers.openai(world)
    path = world.program("/srv/index/embed.py", "embed.py")
    environment = {"OPENAI_API_KEY": world.keys["OPENAI_API_KEY"]}
    with world.loop("batch"):
        world.run(world.python, path, "12", "500000", env=environment, unit="indexer.service")
    assert len(heard) == 12


@honest(
    "cdn-names",
    "a service asks for many long names of content networks, some of which are not there",
    repeats={"round": Repeat(20.0, 0.3)},
)
def cdn_names(world: World) -> None:
    def edge(name: str, kind: int) -> bytes | None:
        if len(name) % 9 == 0:
            return None
        return socket.inet_aton(f"198.51.100.{150 + len(name) % 40}") if kind == 1 else b""

    domains = ("cloudfront.net", "akamaiedge.net", "fastly.net", "s3.amazonaws.com", "edgekey.net")
    for domain in domains:
        world.names.below(domain, edge)
    path = world.program("/srv/proxy/warm.py", "names.py")
    with world.loop("round"):
        world.run(world.python, path, ",".join(domains), "60", "0.05", unit="edge-proxy.service")
    assert len(world.names.asked) >= 60


@honest(
    "batch-chat",
    "a nightly job asks a model four hundred different questions in a row about the day's tickets, with its own key",
    repeats={"night": Repeat(300.0)},
)
def batch_chat(world: World) -> None:
    answers.openai(world)
    path = world.program("/srv/tickets/nightly.py", "chat.py")
    environment = {"OPENAI_API_KEY": world.keys["OPENAI_API_KEY"]}
    command = (world.python, path, "gpt-4o-mini", "0.02", "400", "120")
    with world.loop("night"):
        said = world.run(*command, env=environment, unit="tickets.service")
    assert "400 asked, 0 errors" in said
