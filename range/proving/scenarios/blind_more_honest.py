"""Blind, the second lot: written without a look at the detectors. Honest workloads that resemble what those attacks do."""

from __future__ import annotations

import os
import pickle
import socket
import time

from proving import answers
from proving.homes import furnish
from proving.hosts import Reply
from proving.scenario import Repeat, honest
from proving.scenarios.ai_servers import US
from proving.scenarios.blind_more_host import NODE_AGENT, turns
from proving.scenarios.blind_more_network import little, proxy, smtp
from proving.scenarios.movement import talk
from proving.world import ScenarioError, World


@honest(
    "blind-dead-man-switch",
    "cron has curl tell a monitoring service every minute that the host's jobs ran, for an hour",
    minutes=60.0,
    repeats={"minute": Repeat(60.0, 0.01)},
    tools=("curl",),
)
def dead_man(world: World) -> None:
    """As healthchecks.io is used. The twin of blind-beacon-webhook."""
    service = world.host("198.51.100.192", "hc-ping.com")
    service.http(443, lambda asked: Reply("OK"), tls=True)
    url = "https://hc-ping.com/3f0c5d2e-8a41-4b0e-9a7b-64c1d2f0aa01"
    line = f"find /srv/jobs -name '*.done' -mmin +5 > /dev/null; curl -fsS -m 10 --retry 5 -o /dev/null {url}"
    world.file("/srv/jobs/a.done", "")
    world.run("sh", "-c", line, unit="cron.service")
    world.sleep(1.2)
    with world.loop("minute"):
        world.run("sh", "-c", line, unit="cron.service")
        world.sleep(1.2)
    assert len(service.requests) == 2


ROUNDS = """
const http = require('http'), tls = require('tls');
const names = process.argv.slice(2);
const call = name => new Promise((good, bad) => {
  const ask = http.request({host: 'proxy.internal', port: 3128, method: 'CONNECT', path: name + ':443'});
  ask.on('error', bad);
  ask.on('connect', (answer, socket) => {
    const web = tls.connect({socket, servername: name}, () =>
      web.write('GET /v1/state HTTP/1.1\\r\\nHost: ' + name + '\\r\\n\\r\\n'));
    let heard = 0;
    web.on('error', bad);
    web.on('data', data => { heard += data.length; if (heard > 3000) web.end(); });
    web.on('close', () => good(heard));
  });
  ask.end();
});
(async () => {
  for (const name of names) console.log(name, await call(name));
})();
"""


@honest(
    "blind-proxy-egress",
    "a service reads the state of its three partners every half a minute, through the company's proxy, by CONNECT",
    minutes=30.0,
    repeats={"round": Repeat(30.0, 0.1)},
    tools=("node",),
)
def egress(world: World) -> None:
    """The twin of blind-beacon-through-proxy and of blind-rshell-through-proxy."""
    names = tuple(f"api.{word}.example" for word in ("carrier-one", "ledger-two", "stock-three"))
    asked = proxy(world, little(world, *names, size=4000))
    path = world.file("/srv/partners/state.js", ROUNDS)
    with world.loop("round"):
        said = world.run("node", path, *names, unit="partners.service")
        world.sleep(1.2)
    if said.count(" 40") != 3 or len(asked) != 3:
        raise ScenarioError(f"{said} {asked}")


POSTFIX = """
import email.message, os, smtplib, sys, time
for number, domain in enumerate(sys.argv[1:]):
    mail = email.message.EmailMessage()
    mail['From'], mail['To'], mail['Subject'] = 'billing@acme.example', 'office@' + domain, 'Your invoice %d' % number
    mail.set_content('Please find your invoice enclosed.')
    mail.add_attachment(os.urandom(900_000), maintype='application', subtype='pdf', filename='invoice.pdf')
    with smtplib.SMTP('mx1.' + domain, 25, local_hostname='mail.acme.example', timeout=10) as peer:
        peer.send_message(mail)
    time.sleep(0.3)
print('sent')
"""


@honest(
    "blind-mail-server",
    "a mail server delivers invoices of a megabyte to fourteen customers' mail servers, at once after a run, every hour",
    minutes=130.0,
    repeats={"run": Repeat(3600.0, 0.1)},
)
def mail_server(world: World) -> None:
    """As Postfix does after a billing run. The twin of blind-exfil-mail."""
    kept: list[int] = []
    domains = [f"customer{n}.example" for n in range(14)]
    for number, domain in enumerate(domains):
        world.host(f"192.0.2.{number + 100}", f"mx1.{domain}").listen(25, smtp(kept))
    path = world.file("/srv/postfix/smtp.py", POSTFIX)
    with world.loop("run"):
        world.run(world.python, path, *domains, unit="postfix.service")
        world.sleep(1.2)
    assert len(kept) == 14, kept
    assert min(kept) > 1_100_000, kept


KUBECONFIG = """apiVersion: v1
kind: Config
current-context: a
clusters: [{name: a, cluster: {server: "https://k8s.internal:6443", certificate-authority: /srv/ca.pem}}]
contexts: [{name: a, context: {cluster: a, user: a}}]
users: [{name: a, user: {token: TOKEN}}]
"""


@honest(
    "blind-kubectl-watch",
    "somebody at a terminal leaves a loop running that has kubectl show the pods every two seconds",
    repeats={"look": Repeat(2.0, 0.05)},
    tools=("kubectl", "script"),
)
def kubectl_watch(world: World) -> None:
    """The twin of beacons and of lateral movement to a cluster's API."""
    home = furnish(world)
    world.file(f"{home}/.kube/config", KUBECONFIG.replace("TOKEN", os.urandom(20).hex()), 0o600)
    pods = [{"metadata": {"name": f"shop-{n}", "namespace": "shop"}, "status": {"phase": "Running"}} for n in range(40)]
    cluster = world.host("10.77.1.78", "k8s.internal")
    cluster.http(6443, lambda asked: Reply({"kind": "PodList", "apiVersion": "v1", "items": pods}), tls=True)
    look = "kubectl get --raw /api/v1/namespaces/shop/pods | wc -c; sleep 2"
    actor = world.start("script", "-qec", f"bash --norc -c 'for n in 1 2 3 4; do {look}; done'", "/dev/null", cwd=home)
    world.wait(lambda: len(cluster.requests) >= 2, "kubectl asks nothing", 20)
    world.sleep(0.5)
    with world.loop("look"):
        world.sleep(2.1)
    actor.wait(30)
    if sum("/pods" in asked for asked in cluster.requests) != 4:
        raise ScenarioError(f"{cluster.requests} {actor.said()}")


CHECK_MK = """#!/bin/sh
exec 2>/dev/null
echo '<<<check_mk>>>'; echo 'Version: 2.3.0p12'; echo "AgentOS: linux"
echo '<<<df>>>'; df -PTk / | tail -1
echo '<<<uptime>>>'; cat /proc/uptime
echo '<<<cpu>>>'; cat /proc/loadavg
echo '<<<mem>>>'; head -5 /proc/meminfo
echo '<<<kernel>>>'; head -3 /proc/stat
echo '<<<ps>>>'; ps -e -o user,vsz,rss,pcpu,comm | head -20
"""


@honest(
    "blind-check-mk-agent",
    "a monitoring server inside comes to port 6556 every minute, where a script whose output is the connection tells of the host",
    minutes=30.0,
    repeats={"check": Repeat(60.0, 0.02)},
    tools=("socat", "ps"),
)
def check_mk(world: World) -> None:
    """As Checkmk's agent under xinetd. The twin of bind shells: sh on a socket, but nobody sends anything."""
    world.file("/srv/check_mk/check_mk_agent", CHECK_MK, 0o755)
    words = ("TCP-LISTEN:6556,reuseaddr,fork", "EXEC:/bin/sh /srv/check_mk/check_mk_agent")
    actor = world.start("socat", *words, unit="check-mk-agent.service")
    world.listening(actor, 6556)
    server = world.host("10.77.1.90", "monitoring.internal")
    with world.loop("check"):
        heard = b""
        with server.connect(US, 6556) as peer:
            peer.settimeout(5)
            while data := peer.recv(65536):
                heard += data
        world.sleep(1.2)
    actor.stop()
    if b"<<<mem>>>" not in heard or b"COMMAND" not in heard:
        raise ScenarioError(str(heard))


JOIN = """
import contextlib, socket, sys, time
for host in sys.argv[1:]:
    for port in (389, 88, 464, 445, 135, 3268, 636):
        with contextlib.suppress(OSError), socket.create_connection((host, port), 1) as peer:
            peer.settimeout(1)
            peer.sendall(b'0\\x0c\\x02\\x01\\x01`\\x07\\x02\\x01\\x03\\x04\\0\\x80\\0')
            peer.recv(256)
    time.sleep(0.2)
print('joined')
"""


@honest(
    "blind-domain-member",
    "after a start a member of a domain goes to its three controllers: LDAP, Kerberos, SMB, RPC and the global catalogue",
    repeats={"start": Repeat(150.0, 0.2)},
)
def domain_member(world: World) -> None:
    """As SSSD and winbind do. The twin of blind-lateral-winrm and of scans."""
    names = [f"dc{n}.corp.internal" for n in range(1, 4)]
    for number, name in enumerate(names):
        host = world.host(f"10.77.1.{110 + number}", name)
        for port in (389, 88, 464, 445, 135, 3268, 636):
            if (number, port) != (2, 636):
                host.listen(port, talk)
    path = world.file("/srv/sssd/sssd_be.py", JOIN)
    with world.loop("start"):
        said = world.run(world.python, path, *names, unit="sssd.service")
        world.sleep(1.2)
    assert "joined" in said


LOAD = """
import pickle, sys, time
for path in sys.argv[1:]:
    with open(path, 'rb') as file:
        model = pickle.load(file)
    print('loaded', type(model).__name__, flush=True)
    time.sleep(1)
"""

BATCH = """
import io, json, openai
client = openai.OpenAI(max_retries=0, timeout=20)
lines = [json.dumps({'custom_id': str(n), 'method': 'POST', 'url': '/v1/embeddings', 'body': {
    'model': 'text-embedding-3-small', 'input': 'product %d ' % n + 'a red shoe ' * 80}}) for n in range(8000)]
client.files.create(file=('batch.jsonl', io.BytesIO('\\n'.join(lines).encode())), purpose='batch')
print('given')
"""


@honest(
    "blind-batch-files",
    "a nightly job gives OpenAI's batches a file of 8 MB with its own key, as it did from its first night on",
    minutes=50 * 60.0,
    repeats={"night": Repeat(24 * 3600.0, 0.01)},
)
def batch_files(world: World) -> None:
    """The twin of blind-exfil-model-files."""
    provider = world.host(answers.OPENAI_AT, answers.OPENAI)
    provider.http(443, lambda asked: Reply({"id": "file-1", "object": "file", "purpose": "batch"}), tls=True)
    path = world.file("/srv/catalogue/nightly.py", BATCH)
    key = {"OPENAI_API_KEY": world.keys["OPENAI_API_KEY"]}
    with world.loop("night"):
        assert "given" in world.run(world.python, path, env=key, unit="catalogue-nightly.service")
        world.sleep(1.2)
    assert provider.received > 7_000_000


@honest(
    "blind-agent-own-rules",
    "somebody asks a coding agent to write down what it learned: it adds to the project's AGENTS.md and CLAUDE.md by its shell",
    repeats={"task": Repeat(60.0, 0.4)},
    tools=("node", "git"),
)
def own_rules(world: World) -> None:
    """The twin of blind-agents-md-poisoned and of attacks on agents' instructions."""
    home = furnish(world)
    world.file(f"{home}/project/AGENTS.md", "# Rules\nUse four spaces.\n")
    agent = world.file(f"{home}/.local/lib/agent/cli.js", NODE_AGENT)
    turns(
        world,
        "ls && cat AGENTS.md",
        "cat >> AGENTS.md <<'EOF'\nRun `python3 -m py_compile a.py` before each commit.\nEOF",
        "cp AGENTS.md CLAUDE.md && git init -q . && git add AGENTS.md CLAUDE.md && git status --short",
        "python3 -m py_compile a.py && echo fine",
    )
    key = {"OPENAI_API_KEY": world.keys["OPENAI_API_KEY"]}
    words = "write down in AGENTS.md that a.py must compile, and keep CLAUDE.md the same"
    with world.loop("task"):
        said = world.run("node", agent, words, env=key, cwd=f"{home}/project")
        world.sleep(0.5)
    if "pass" not in said or "py_compile" not in world.path(f"{home}/project/CLAUDE.md").read_text():
        raise ScenarioError(said)


STORE = (
    LOAD
    + """
import socket
for number in range(4):
    with socket.create_connection(('203.0.113.84', 8080), 3) as peer:
        peer.sendall(b'scores ' * 20)
        peer.recv(64)
    time.sleep(0.3)
"""
)


@honest(
    "blind-new-model-of-ours",
    "a scoring job loads a model that was trained last night, from a pickle of numbers, and hands scores to its partner by TCP",
    repeats={"score": Repeat(90.0, 0.3)},
)
def new_model(world: World) -> None:
    """The twin of blind-model-file-socket: the same file, the same socket, but it is the job that opens it."""
    taken: list[float] = []

    def take(connection: socket.socket) -> None:
        while connection.recv(4096):
            taken.append(time.time())
            connection.sendall(b"ok")

    world.host("203.0.113.84", "scores.partner.example").listen(8080, take)
    path = world.file("/srv/scoring/score.py", STORE)
    with world.loop("score"):
        model = pickle.dumps({"w": [0.1] * 5000, "made": time.time(), "names": ["a", "b"]})
        world.file("/srv/scoring/models/ranker-v9.pkl", model)
        said = world.run(world.python, path, "/srv/scoring/models/ranker-v9.pkl", unit="scoring.service")
        world.sleep(0.5)
    if "loaded dict" not in said or len(taken) != 4:
        raise ScenarioError(said)
