"""Held out: written without a look at the detectors. Honest services whose traffic has an attack's rhythm, size or reach."""

from __future__ import annotations

import base64
import hashlib
import os
import socket

from proving import answers
from proving.hosts import Asked, Reply
from proving.scenario import Repeat, honest
from proving.scenarios.held_network import sends
from proving.scenarios.movement import talk
from proving.world import ScenarioError, World


@honest(
    "held-pgdump",
    "every night a database of 12 MB is dumped, packed and put into the company's bucket",
    minutes=50 * 60.0,
    repeats={"night": Repeat(24 * 3600.0, 0.01)},
    tools=("curl", "gzip"),
)
def pgdump(world: World) -> None:
    def database(connection: socket.socket) -> None:
        connection.recv(64)
        connection.sendall(os.urandom(12 << 20))

    world.host("10.77.1.40", "db.internal").listen(5432, database)
    bucket = world.host("198.51.100.131", "acme-dumps.storage.googleapis.com")
    bucket.http(443, lambda asked: Reply(b""), tls=True)
    code = (
        "import socket, sys\ns = socket.create_connection(('db.internal', 5432))\ns.sendall(b'COPY')\n"
        "while d := s.recv(1 << 16):\n    sys.stdout.buffer.write(d)\n"
    )
    dump = world.file("/srv/bin/pg_dump", code)
    (world.path("/srv") / "dumps").mkdir()
    script = (
        f"{world.python} {dump} | gzip -1 > /srv/dumps/app.sql.gz\n"
        "curl -sS -T /srv/dumps/app.sql.gz https://acme-dumps.storage.googleapis.com/app/latest.sql.gz\n"
        "find /srv/dumps -mtime +7 -delete\n"
    )
    world.file("/srv/backup/dump.sh", script)
    with world.loop("night"):
        world.run("sh", "/srv/backup/dump.sh", unit="pg-backup.service")
    assert bucket.received > 12 << 20


@honest(
    "held-telemetry-sdk",
    "an application's SDK posts two kilobytes to its vendor every 60 seconds, for an hour",
    minutes=60.0,
    repeats={"minute": Repeat(60.0)},
    tools=("node",),
)
def telemetry(world: World) -> None:
    vendor = world.host("198.51.100.132", "o450712.ingest.us.sentry.io")
    vendor.http(443, lambda asked: Reply({}), tls=True)
    url = "https://o450712.ingest.us.sentry.io/api/450713/envelope/"
    actor = sends(
        world, "/srv/web/node_modules/@sentry/node/index.js", "web.service", url, "POST", "2000", "3", "0", "4"
    )
    world.sleep(1.5)
    with world.loop("minute"):
        world.sleep(3.0)
    actor.wait()


def frames(connection: socket.socket) -> None:
    """A WebSocket's other end: shakes hands, answers pings (RFC 6455)."""
    stream = connection.makefile("rb")
    key = ""
    while (line := stream.readline().decode().strip()) != "":
        if line.lower().startswith("sec-websocket-key:"):
            key = line.split(":")[1].strip()
    accept = base64.b64encode(hashlib.sha1(f"{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11".encode()).digest()).decode()
    head = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    connection.sendall(f"{head}Sec-WebSocket-Accept: {accept}\r\n\r\n".encode())
    while first := stream.read(2):
        size = first[1] & 0x7F
        mask, data = stream.read(4), stream.read(size)
        data = bytes(byte ^ mask[n % 4] for n, byte in enumerate(data))
        if first[0] & 15 == 9:
            connection.sendall(bytes([0x8A, len(data)]) + data)
        elif first[0] & 15 == 8:
            connection.sendall(bytes([0x88, len(data)]) + data)
            return


@honest(
    "held-websocket-bot",
    "a chat bot holds one WebSocket to Slack and pings every ten seconds, for half an hour",
    minutes=30.0,
    repeats={"ping": Repeat(10.0)},
)
def websocket(world: World) -> None:
    world.host("198.51.100.133", "wss-primary.slack.com").listen(443, frames, tls=True)
    code = (
        "import time\nfrom websockets.sync.client import connect\n"
        "with connect('wss://wss-primary.slack.com/link/', ping_interval=2, ping_timeout=5) as ws:\n    time.sleep(13)\n"
    )
    path = world.file("/srv/bot/bot.py", code)
    actor = world.script(path, unit="bot.service")
    world.sleep(5.0)
    with world.loop("ping"):
        world.sleep(2.0)
    if actor.wait():
        raise ScenarioError(actor.said())


@honest(
    "held-polling-runner",
    "a build runner asks its server for a job every three seconds, runs what comes with a bash and sends back what it said",
    repeats={"polls": Repeat(15.0, 0.2)},
    tools=("gcc",),
)
def polling_runner(world: World) -> None:
    script = (
        "id -un; uname -a\ncd /tmp; echo 'int main(void){return 0;}' > x.c; gcc -o x x.c; ./x; ls -la x; echo built\n"
    )
    asked_for = iter(range(1000))
    said: list[bytes] = []

    def serve(asked: Asked) -> Reply:
        if asked.method != "POST":
            said.append(asked.body)
            return Reply({}, 202)
        number = next(asked_for)
        return Reply({"id": number, "script": script}, 201) if number % 4 == 2 else Reply(b"", 204)

    world.host("198.51.100.134", "gitlab.acme.example").http(443, serve, tls=True)
    path = world.program("/srv/bin/gitlab-runner", "pollrunner.py")
    actor = world.script(path, "https://gitlab.acme.example", "3", "8", unit="gitlab-runner.service")
    world.sleep(2.0)
    with world.loop("polls"):
        world.sleep(12.0)
    actor.wait()
    if not any(b"built" in text for text in said):
        raise ScenarioError(str(said))


@honest(
    "held-log-stream",
    "a log shipper sends 8 kB a second through one TLS connection to its vendor, for half an hour",
    minutes=30.0,
    repeats={"flush": Repeat()},
    tools=("node",),
)
def log_stream(world: World) -> None:
    vendor = world.host("198.51.100.135", "logs-prod-012.grafana.net")
    vendor.http(443, lambda asked: Reply(b"", 204), tls=True)
    url = "https://logs-prod-012.grafana.net/loki/api/v1/push"
    actor = sends(world, "/srv/alloy/alloy.js", "alloy.service", url, "POST", "8000", "1", "0.1", "10", "kept")
    world.sleep(3.0)
    with world.loop("flush"):
        world.sleep(4.0)
    actor.wait()


@honest(
    "held-lease-renewal",
    "a controller renews its lease at the cluster's API every two seconds, to the tenth, through one connection",
    minutes=20.0,
    repeats={"renew": Repeat()},
    tools=("node",),
)
def lease(world: World) -> None:
    api = world.host("10.77.1.6", "kubernetes.default.svc.cluster.local")
    api.http(6443, lambda asked: Reply({"kind": "Lease"}), tls=True)
    url = "https://kubernetes.default.svc.cluster.local:6443/apis/coordination.k8s.io/v1/namespaces/a/leases/c"
    actor = sends(world, "/srv/controller/main.js", "controller.service", url, "PUT", "420", "2", "0", "8", "kept")
    world.sleep(3.0)
    with world.loop("renew"):
        world.sleep(8.0)
    actor.wait()


@honest(
    "held-autoscaler-twenty",
    "twenty replicas of a service start within half a minute; each goes to its database, cache, queue, search and six peers",
    repeats={"scale": Repeat(250.0, 0.4)},
)
def autoscaler(world: World) -> None:
    targets = []
    for number, (name, port) in enumerate((("db", 5432), ("cache", 6379), ("queue", 5672), ("search", 9200))):
        world.host(f"10.77.1.{140 + number}", f"{name}.internal").listen(port, talk)
        targets.append(f"{name}.internal:{port}")
    for number in range(6):
        world.host(f"10.77.1.{150 + number}").listen(7946, talk)
        targets.append(f"10.77.1.{150 + number}:7946")
    program = world.program("/srv/shop/api.py", "service.py")
    start = world.program("/srv/shop/worker.py", "connect.py")
    replicas = []
    with world.loop("scale"):
        for number in range(20):
            replicas.append(world.script(program, str(9000 + number), unit="shop.service"))
            world.script(start, "0.02", *targets, unit="shop.service").wait()
        for replica in replicas:
            replica.stop()


@honest(
    "held-embedding-thousand",
    "a job has a thousand short texts embedded, eight at a time, by the provider that it always uses",
    repeats={"batch": Repeat(200.0, 0.2)},
)
def embedding_thousand(world: World) -> None:
    heard = answers.openai(world)
    code = (
        "import concurrent.futures as c, openai\nclient = openai.OpenAI(max_retries=0, timeout=20)\n"
        "def one(n):\n    text = f'product {n}: a thing of colour {n % 17} and size {n % 5}'\n"
        "    return client.embeddings.create(model='text-embedding-3-small', input=[text])\n"
        "with c.ThreadPoolExecutor(8) as pool:\n    print(len(list(pool.map(one, range(1000)))))\n"
    )
    path = world.file("/srv/index/products.py", code)
    environment = {"OPENAI_API_KEY": world.keys["OPENAI_API_KEY"]}
    with world.loop("batch"):
        world.run(world.python, path, env=environment, unit="indexer.service", timeout=120)
    assert len(heard) == 1000


@honest(
    "held-restart-loop",
    "a service whose database is not there yet ends at once, and is started again a second later, for ten minutes",
    repeats={"life": Repeat()},
)
def restart_loop(world: World) -> None:
    code = (
        "import socket, sys\nprint(open('/srv/api/config.toml').read())\ntry:\n"
        "    socket.create_connection(('db.internal', 5432), 2)\nexcept OSError as error:\n    sys.exit(str(error))\n"
    )
    world.host("10.77.1.40", "db.internal")
    world.file("/srv/api/config.toml", "[db]\nhost = 'db.internal'\n")
    path = world.file("/srv/api/main.py", code)
    for _ in range(2):
        world.run(world.python, path, unit="api.service", code=1)
        world.sleep(1.0)
    with world.loop("life"):
        world.run(world.python, path, unit="api.service", code=1)
        world.sleep(1.0)


NODE_RETRY = """
const net = require('net');
const targets = [['db1.internal', 5432], ['db2.internal', 5432], ['db3.internal', 5432], ['cache.internal', 6379]];
const until = Date.now() + 1000 * Number(process.argv[2]);
function attempt(n) {
  if (Date.now() > until) return;
  const [host, port] = targets[n % 4];
  const c = net.connect(port, host);
  c.on('error', () => setTimeout(attempt, 250, n + 6));
}
for (let n = 0; n < 6; n++) attempt(n);
"""


@honest(
    "held-retry-storm",
    "a service's six workers try three databases and a cache again and again while all of them are down",
    repeats={"storm": Repeat()},
    tools=("node",),
)
def retry_storm(world: World) -> None:
    for number, name in enumerate(("db1", "db2", "db3", "cache")):
        world.host(f"10.77.1.{160 + number}", f"{name}.internal")
    path = world.file("/srv/orders/server.js", NODE_RETRY)
    actor = world.start("node", path, "8", unit="orders.service")
    world.sleep(2.0)
    with world.loop("storm"):
        world.sleep(5.0)
    actor.wait()


@honest(
    "held-uptime-monitor",
    "a monitor asks 25 of the company's public sites every 30 seconds whether they are there",
    minutes=20.0,
    repeats={"round": Repeat(30.0)},
)
def uptime(world: World) -> None:
    names = [f"{word}-{region}.acme.example" for word in ("www", "shop", "api", "docs", "status") for region in "abcde"]
    for number, name in enumerate(names):
        world.host(f"192.0.2.{number + 20}", name).http(
            443, lambda asked: Reply("<html>ok</html>", kind="text/html"), tls=True
        )
    path = world.program("/srv/uptime/monitor.py", "poll.py")
    urls = ",".join(f"https://{name}/" for name in names)
    actor = world.script(path, urls, "5", "3", unit="uptime-kuma.service")
    world.sleep(3.5)
    with world.loop("round"):
        world.sleep(5.0)
    actor.wait()


@honest(
    "held-rates-poller",
    "a shop asks a partner's API for exchange rates every minute, for an hour, and gets a few kilobytes of them",
    minutes=60.0,
    repeats={"minute": Repeat(60.0, 0.01)},
)
def rates(world: World) -> None:
    partner = world.host("198.51.100.140", "api.rates-partner.example")

    def serve(asked: Asked) -> Reply:
        return Reply(
            {"base": "EUR", "rates": {f"C{n:02}": round(1 + n * 0.37, 4) for n in range(160 + len(partner.requests))}}
        )

    partner.http(443, serve, tls=True)
    path = world.program("/srv/shop/rates.py", "poll.py")
    actor = world.script(
        path, "https://api.rates-partner.example/v1/latest?base=EUR", "3", "4", unit="shop-rates.service"
    )
    world.sleep(1.5)
    with world.loop("minute"):
        world.sleep(3.0)
    actor.wait()


@honest(
    "held-model-push",
    "a training job puts its model of 32 MB on Hugging Face's hub, in four parts, when it is done, twice a day",
    minutes=26 * 60.0,
    repeats={"push": Repeat(12 * 3600.0, 0.05)},
)
def model_push(world: World) -> None:
    world.host("198.51.100.141", "huggingface.co").http(443, lambda asked: Reply({"upload": True}), tls=True)
    storage = world.host("198.51.100.142", "hf-hub-lfs-us-east-1.s3-accelerate.amazonaws.com")
    storage.http(443, lambda asked: Reply(b""), tls=True)
    world.file("/srv/train/out/model.safetensors", os.urandom(32 << 20))
    code = (
        "import httpx, os\nheaders = {'Authorization': 'Bearer ' + os.environ['HF_TOKEN']}\n"
        "batch = 'https://huggingface.co/acme/chat.git/info/lfs/objects/batch'\nhttpx.post(batch, headers=headers, json={})\n"
        "with open('/srv/train/out/model.safetensors', 'rb') as f:\n    for n in range(4):\n"
        "        httpx.put(f'https://hf-hub-lfs-us-east-1.s3-accelerate.amazonaws.com/repos/a/b?partNumber={n}',\n"
        "            content=f.read(8 << 20)).raise_for_status()\n"
        "httpx.post('https://huggingface.co/api/models/acme/chat/commit/main', headers=headers, json={'files': []})\n"
    )
    path = world.file("/srv/train/push.py", code)
    with world.loop("push"):
        world.run(world.python, path, env={"HF_TOKEN": world.keys["HF_TOKEN"]}, unit="train.service")
    assert storage.received == 32 << 20
