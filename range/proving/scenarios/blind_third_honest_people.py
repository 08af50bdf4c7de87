"""Blind, the third lot: written without a look at the detectors. Honest people and jobs that resemble attacks."""

from __future__ import annotations

import json
import os

from proving.homes import furnish
from proving.hosts import Asked, Reply
from proving.scenario import Repeat, honest
from proving.world import ScenarioError, World

HUSKY = r"""
const fs = require('fs'), { execFileSync } = require('child_process');
execFileSync('git', ['config', 'core.hooksPath', '.husky/_']);
fs.mkdirSync('.husky/_', {recursive: true});
for (const hook of ['pre-commit', 'commit-msg', 'post-checkout', 'post-merge', 'pre-push'])
  fs.writeFileSync('.husky/_/' + hook, '#!/usr/bin/env sh\n. "$(dirname "$0")/h"\n', {mode: 0o755});
fs.writeFileSync('.husky/_/h', 'n=$(basename "$0")\ns=$(dirname "$(dirname "$0")")/$n\n[ ! -f "$s" ] && exit 0\n' +
  'export PATH="node_modules/.bin:$PATH"\nsh -e "$s" "$@"\n');
console.log('husky: hooks are there');
"""
STAGED = r"""
const { execSync } = require('child_process');
const said = execSync('git diff --staged --name-only --diff-filter=ACM', {encoding: 'utf8'});
const names = said.split('\n').filter(n => n.endsWith('.js'));
for (const name of names) execSync('node --check ' + name);
if (names.length) execSync('git add ' + names.join(' '));
console.log('staged', names.length);
"""


@honest(
    "blind3-husky-hooks",
    "somebody at a terminal installs a project, whose husky puts git hooks in; then a commit runs them: a shell, node, git",
    repeats={"commit": Repeat(90.0, 0.5)},
    tools=("node", "npm", "git", "script"),
)
def husky(world: World) -> None:
    """By npm's prepare script. The twin of hooks that are planted for persistence."""
    home = furnish(world)
    site = f"{home}/site"
    world.file(
        f"{site}/package.json", json.dumps({"name": "site", "scripts": {"prepare": "node node_modules/husky/bin.js"}})
    )
    world.file(f"{site}/.gitignore", "node_modules\n")
    world.file(f"{site}/index.js", "console.log(1);\n")
    world.file(f"{site}/.husky/pre-commit", "node node_modules/lint-staged/bin.js\n", 0o755)
    world.file(f"{site}/node_modules/husky/bin.js", HUSKY)
    world.file(f"{site}/node_modules/lint-staged/bin.js", STAGED)
    who = "git config user.name ann; git config user.email ann@acme.example"
    line = (
        f"git init -q . 2>/dev/null; {who}; npm run prepare; date +'console.log(%N);' > index.js; git add -A; "
        "git commit -m change; git log --oneline | head -2"
    )
    with world.loop("commit"):
        said = world.run(
            "script", "-qec", f"bash --norc -c {json.dumps(line)}", "/dev/null", cwd=site, env={"HOME": home}
        )
        world.sleep(0.5)
    if "hooks are there" not in said or "staged 1" not in said:
        raise ScenarioError(said)


HANGS = """
my %seen; my @big = map { 'order ' . $_ } 1 .. 20000;
$| = 1; print "ready\\n";
for (1 .. 60) { $seen{$_} = 'x' x 1000; sleep 1 }
"""


@honest(
    "blind3-core-of-a-service",
    "whoever is on call attaches gcore to a service that grows, packs the core and puts it on the company's server for dumps",
    minutes=30.0,
    repeats={"dump": Repeat(400.0, 0.4)},
    tools=("gcore", "perl", "gzip", "curl", "script"),
)
def core(world: World) -> None:
    """The whole of its memory, keys too, goes to a host inside. The twin of memory that is stolen."""
    store = world.host("10.77.1.67", "dumps.internal")
    store.http(443, lambda asked: Reply(b"", 201), tls=True)
    app = world.start("perl", world.file("/srv/orders/worker.pl", HANGS), unit="orders.service", env=world.keys)
    world.wait(lambda: "ready" in app.said(), "the service does not start")
    (world.path("/home") / "app").mkdir(exist_ok=True)
    line = (
        f"ps -o rss= -p {app.pid}; gcore -o /tmp/core {app.pid} 2>&1 | tail -2; gzip -1 -f /tmp/core.{app.pid}; "
        f"curl -sS -T /tmp/core.{app.pid}.gz https://dumps.internal/orders/; rm -f /tmp/core.{app.pid}.gz"
    )
    with world.loop("dump"):
        said = world.run("script", "-qec", f"bash --norc -c {json.dumps(line)}", "/dev/null", cwd="/home/app")
        world.sleep(1.2)
    app.stop()
    if store.received < 200_000:
        raise ScenarioError(f"{store.received} {said}")


LYNIS = """#!/bin/sh
exec 2> /dev/null
report=/srv/lynis/report.dat
{
echo "[+] Users"; awk -F: '($2 == "") { print $1 }' /etc/shadow; awk -F: '($3 == 0) { print $1 }' /etc/passwd
grep -c '^[^:]*:[$]' /etc/shadow
echo "[+] Authentication"; cat /etc/pam.d/common-password; grep PASS /etc/login.defs
ls -la /etc/sudoers.d; cat /etc/sudoers
echo "[+] SSH"; cat /etc/ssh/sshd_config; ls -la /etc/ssh
for home in /home/*; do ls -la $home/.ssh; find $home -maxdepth 2 -name '*_history' -o -name '.rhosts' -o -name '.netrc'; done
find /home -name 'id_*' ! -perm 600
echo "[+] Files"; find /usr/bin /usr/sbin -xdev -perm -4000; find /etc -maxdepth 1 -perm -0002 -type f
echo "[+] Network"; ss -tuln; cat /proc/net/route; cat /etc/resolv.conf
echo "[+] Kernel"; uname -a; cat /proc/cmdline; for f in kernel/dmesg_restrict kernel/kptr_restrict; do cat /proc/sys/$f; done
echo "[+] Processes"; ps -e -o pid,user,comm | head -40; cat /etc/crontab; ls -la /etc/cron.d
} > $report
chmod 600 $report
wc -l < $report
"""


@honest(
    "blind3-lynis-audit",
    "a nightly audit as root reads shadow for empty passwords, sudoers, SSH's settings, readable keys, setuid programs",
    minutes=50 * 60.0,
    repeats={"night": Repeat(24 * 3600.0, 0.01)},
    tools=("awk", "find", "ss", "ps"),
)
def lynis(world: World) -> None:
    """As Lynis does, into a report of root's. The twin of what takes stock before an escalation."""
    furnish(world)
    path = world.file("/srv/lynis/lynis", LYNIS, 0o755)
    with world.loop("night"):
        said = world.run("sh", path, unit="lynis.service")
        world.sleep(0.7)
    if int(said) < 40:
        raise ScenarioError(said)


SUBMISSION = (
    '#include <stdio.h>\nint main(void){long a,b;while(scanf("%ld %ld",&a,&b)==2)printf("%ld\\n",a+b);return 0;}\n'
)
JUDGE = """#!/bin/sh
set -e
box=$(mktemp -d /tmp/box-XXXXXX)
cp "$1" $box/a.c
gcc -O1 -o $box/a $box/a.c
chmod 755 $box $box/a
seq 1 200 | paste - - > $box/in
unshare --mount --pid --ipc --net --uts --fork --mount-proc sh -c "
  mount -t tmpfs -o size=4m,nosuid,nodev tmpfs /mnt
  exec setpriv --reuid 65534 --regid 65534 --clear-groups --no-new-privs --bounding-set=-all --inh-caps=-all \\
    sh -c 'ulimit -t 2; ulimit -f 100; exec $box/a'" < $box/in > $box/out
sum=$(awk '{ s += $1 } END { print s }' $box/out)
rm -rf $box
echo "judged $sum"
"""


@honest(
    "blind3-code-judge",
    "a judge of programs compiles what came in and runs each as nobody in new namespaces, with a tmpfs and no capabilities",
    repeats={"judge": Repeat(20.0, 0.5)},
    tools=("gcc", "unshare", "setpriv", "paste", "seq"),
)
def judge(world: World) -> None:
    """As contest judges, and systemd-run's sandboxes, do. The twin of programs from nowhere, and of ways out of namespaces."""
    path = world.file("/srv/judge/judge.sh", JUDGE, 0o755)
    with world.loop("judge"):
        for number in range(3):
            world.file(f"/srv/queue/{number}.c", f"/* {os.urandom(4).hex()} */\n{SUBMISSION}")
            said = world.run("sh", path, f"/srv/queue/{number}.c", unit="judge.service")
            assert said.split() == ["judged", "20100"], said
        world.sleep(0.5)


ACME = """#!/bin/sh
set -e
dir=/srv/acme.sh/shop.acme.example_ecc; mkdir -p $dir
ca=https://acme-v02.api.letsencrypt.org dns=https://api.cloudflare.com/client/v4/zones/8f1c
say() { curl -sS -m 10 --user-agent acme.sh/3.1.0 "$@"; }
say $ca/directory > /dev/null
say -I $ca/acme/new-nonce > /dev/null
openssl ecparam -name prime256v1 -genkey -noout -out $dir/shop.key; chmod 600 $dir/shop.key
openssl req -new -key $dir/shop.key -subj /CN=shop.acme.example -out $dir/shop.csr
printf x | openssl dgst -sha256 -sign $dir/shop.key | openssl base64 -A | tr '/+' '_-' | tr -d '=' > $dir/jws
say -X POST -H 'Content-Type: application/jose+json' -d @$dir/jws $ca/acme/new-order > /dev/null
txt=$(openssl rand -base64 32 | tr '/+=' '_-x')
say -H "Authorization: Bearer $CF_Token" -d "{\\"type\\":\\"TXT\\",\\"content\\":\\"$txt\\"}" $dns/dns_records > /dev/null
for n in 1 2 3 4 5 6; do
  say -H 'accept: application/dns-json' "https://cloudflare-dns.com/dns-query?name=_acme-challenge.shop.acme.example&type=TXT"
  sleep 0.4
done > $dir/answers
say -X POST -d @$dir/jws $ca/acme/chall/1 > /dev/null
say -X POST -d @$dir/shop.csr $ca/acme/finalize/1 > /dev/null
say $ca/acme/cert/1 > $dir/fullchain.cer
say -X DELETE -H "Authorization: Bearer $CF_Token" $dns/dns_records/1 > /dev/null
cat $dir/shop.key $dir/fullchain.cer > $dir/haproxy.pem; chmod 600 $dir/haproxy.pem
eval "$RELOAD"
"""


@honest(
    "blind3-acme-dns",
    "cron has acme.sh renew a certificate by DNS: keys by openssl, TXT records by an API, asked for by DNS over HTTPS",
    minutes=50 * 60.0,
    repeats={"night": Repeat(24 * 3600.0, 0.03)},
    tools=("curl", "openssl"),
)
def acme(world: World) -> None:
    """The twin of tunnels by DNS over HTTPS and of shell scripts that pack something and send it by curl."""

    def serve(asked: Asked) -> Reply:
        if "/acme/cert/" in asked.path:
            return Reply("-----BEGIN CERTIFICATE-----\n" + "MIIB" * 300 + "\n-----END CERTIFICATE-----\n")
        return Reply({"status": "valid", "success": True}, headers={"Replay-Nonce": os.urandom(16).hex()})

    for number, name in enumerate(("acme-v02.api.letsencrypt.org", "api.cloudflare.com", "cloudflare-dns.com")):
        world.host(f"198.51.100.{224 + number}", name).http(443, serve, tls=True)
    path = world.file("/srv/acme.sh/acme.sh", ACME, 0o755)
    given = {"CF_Token": os.urandom(20).hex(), "RELOAD": "echo reload haproxy"}
    with world.loop("night"):
        said = world.run("sh", path, "--cron", env=given, unit="cron.service")
        world.sleep(1.2)
    if "reload haproxy" not in said:
        raise ScenarioError(said)
