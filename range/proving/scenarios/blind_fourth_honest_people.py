"""Blind, the fourth lot: written without a look at the detectors. Honest developers who resemble attackers."""

from __future__ import annotations

import io
import json
import os
import tarfile
from collections.abc import Sequence

from proving.homes import furnish
from proving.hosts import Reply
from proving.scenario import Repeat, honest
from proving.world import ScenarioError, World

INSTALL = """set -e
commit=7d842fb85a0275a4a8e4d7e040d2625abbf7f084
at=$HOME/.vscode-server/cli/servers/Stable-$commit
echo "platform==$(uname -s)==$(uname -m)==$(whoami)"
mkdir -p $at && cd $at
if [ ! -f server/bin/code-server ]; then
  curl -fsSL --retry 3 -o s.tar.gz https://update.code.visualstudio.com/commit:$commit/server-linux-x64/stable
  tar -xzf s.tar.gz && rm s.tar.gz
fi
head -c 16 /dev/urandom | base64 | tr -d '\\n' > .token && chmod 600 .token
VSCODE_AGENT_FOLDER=$HOME/.vscode-server nohup server/bin/code-server --start-server --host=127.0.0.1 --port=0 \
  --connection-token-file $at/.token > .log 2>&1 < /dev/null &
echo $! > .pid
for n in $(seq 40); do grep -q 'listening on' .log && break; sleep 0.1; done
echo "listeningOn==$(sed -n 's/.*listening on //p' .log)=="
"""
CODE_SERVER = """
const net = require('net'), fs = require('fs'), { spawn } = require('child_process');
const token = fs.readFileSync(process.argv[process.argv.indexOf('--connection-token-file') + 1], 'utf8');
const door = net.createServer(peer => {
  let shell = null;
  peer.on('data', data => {
    if (!shell) {
      if (!data.toString().startsWith(token)) return peer.destroy();
      spawn('git', ['-C', process.env.HOME + '/project', 'status', '-z', '-uall']);
      spawn('sh', ['-c', 'ps -ax -o pid=,ppid=,pcpu=,pmem=,command= > /dev/null']);
      shell = spawn('script', ['-qfc', 'bash --norc -i', '/dev/null'], {cwd: process.env.HOME + '/project'});
      shell.stdout.on('data', said => peer.write(said));
      shell.on('exit', () => { peer.end(); door.close(); });
      return;
    }
    shell.stdin.write(data);
  });
});
door.listen(0, '127.0.0.1', () => console.log('Extension host agent listening on ' + door.address().port));
"""
FORWARD = r"""
use IO::Socket::INET; $| = 1;
my ($port, $token, @typed) = @ARGV;
my $server = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $port) or die;
print $server $token; $server->flush;
for my $line (@typed) { select(undef, undef, undef, 0.6); print $server "$line\n"; $server->flush }
while (sysread($server, my $said, 4096)) { print $said }
"""


@honest(
    "blind4-vscode-remote",
    "somebody's editor comes by SSH: a script on bash's input fetches its server and leaves it running, for a terminal",
    minutes=60.0,
    repeats={"visit": Repeat(600.0, 0.4)},
    tools=("bash", "curl", "node", "script", "perl", "tar"),
)
def vscode(world: World) -> None:
    """As VS Code's Remote - SSH; SSH forwards the port. The twin of a dropper and of a shell whose ends are a connection."""
    home = furnish(world)
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        start = '#!/bin/sh\nexec /usr/bin/node "$(dirname "$(readlink -f "$0")")/../out/server-main.js" "$@"\n'
        padding = os.urandom(1_000_000)
        for name, text in (("bin/code-server", start.encode()), ("out/server-main.js", CODE_SERVER.encode()),
                           ("extensions/pack", padding)):  # fmt: skip
            entry = tarfile.TarInfo(f"server/{name}")
            entry.size, entry.mode = len(text), 0o755
            archive.addfile(entry, io.BytesIO(text))
    store = world.host("198.51.100.236", "update.code.visualstudio.com")
    store.http(443, lambda asked: Reply(packed.getvalue()), tls=True)
    script = world.file("/srv/sent/install.sh", INSTALL)
    forward = world.file("/srv/ssh/session.pl", FORWARD)
    with world.loop("visit"):
        said = world.run("bash", stdin=str(world.path(script)), unit="ssh.service", env={"HOME": home}, cwd=home)
        port = said.partition("listeningOn==")[2].partition("==")[0]
        if not port.isdigit():
            raise ScenarioError(said)
        token = next(world.path(home).glob(".vscode-server/cli/servers/*/.token")).read_text()
        typed = ("ls -la", "git log --oneline | head -3", "python3 -m py_compile a.py", "echo $((6 * 7))", "exit")
        seen = world.run("perl", forward, port, token, *typed, unit="ssh.service")
        world.sleep(0.5)
    if "42" not in seen:
        raise ScenarioError(seen)


SHOP = """
let total = 0;
const basket = [[2, 9.5], [1, 20], [3, 4]];
for (const [count, price] of basket) {
  total += count * price;
  debugger;
}
console.log('total', total);
"""
CART = """
public class Cart {
  static int add(int a, int b) { return a + b; }
  public static void main(String[] words) throws Exception {
    int total = 0;
    for (int n = 0; n < 5; n++) total = add(total, n);
    System.out.println("total " + total);
  }
}
"""


def typed(pause: float, lines: Sequence[str]) -> str:
    """Somebody who types these, with time between them."""
    return "(" + "".join(f"sleep {pause}; echo {json.dumps(line)}; " for line in lines) + f"sleep {pause})"


@honest(
    "blind4-debuggers-by-port",
    "a developer at a terminal steps through programs of their own with node inspect and with jdb, which speak to them by TCP",
    repeats={"look": Repeat(120.0, 0.4)},
    tools=("node", "java", "jdb", "script"),
)
def debuggers(world: World) -> None:
    """Ports 9229 and 5005 of the loopback. The twin of somebody who takes a service by its debugger's port."""
    home = furnish(world)
    world.file(f"{home}/project/shop.js", SHOP)
    world.file(f"{home}/project/Cart.java", CART)
    node = f"{typed(0.5, ['cont', 'exec total', 'cont', 'exec total', '.exit'])} | node inspect shop.js"
    options = "transport=dt_socket,server=y,suspend=y,address=127.0.0.1:5005"
    java = (
        f"java -agentlib:jdwp={options} Cart.java & sleep 0.8; "
        f"{typed(0.5, ['threads', 'cont'])} | jdb -attach 127.0.0.1:5005; wait"
    )
    world.file(f"{home}/project/look.sh", f"{node}\n{java}\n")
    with world.loop("look"):
        said = world.run("script", "-qec", "bash --norc look.sh", "/dev/null", cwd=f"{home}/project", timeout=40)
        world.sleep(0.5)
    if "39" not in said or "total 10" not in said:
        raise ScenarioError(said)
