"""Blind, the fourth lot: written without a look at the detectors. Honest use of AI that resembles attacks."""

from __future__ import annotations

import json

from proving import answers
from proving.hosts import Asked, Host, Reply
from proving.scenario import Repeat, honest
from proving.scenarios.ai_servers import US
from proving.world import ACTORS, ScenarioError, World

SWAP = r"""
require 'socket'
require 'net/http'
require 'json'
token, running = ENV.fetch('SWAP_KEY'), nil
server = TCPServer.new('0.0.0.0', 8090)
up = ->(port) { Net::HTTP.get_response('127.0.0.1', '/v1/models', port).code == '200' rescue false }
loop do
  peer = server.accept
  head = {}
  peer.gets
  while (line = peer.gets) && line != "\r\n"
    name, value = line.strip.split(': ', 2)
    head[name.downcase] = value
  end
  body = peer.read(head['content-length'].to_i)
  code, said = 401, '{"error":{"message":"unauthorized"}}'
  if head['authorization'] == "Bearer #{token}"
    model = JSON.parse(body)['model']
    if running.nil? || running[0] != model
      if running
        Process.kill('TERM', running[1])
        Process.wait(running[1])
      end
      port = 5800 + rand(100)
      flags = "-m /srv/models/#{model}.gguf -ngl 99 --ctx-size 8192"
      pid = spawn('sh', '-c', "ulimit -l unlimited; exec /srv/llama/bin/llama-server openai 127.0.0.1 #{port} #{flags}")
      sleep 0.1 until up.call(port)
      running = [model, pid, port]
    end
    answer = Net::HTTP.post(URI("http://127.0.0.1:#{running[2]}/v1/chat/completions"), body)
    code, said = answer.code, answer.body
  end
  peer.write("HTTP/1.1 #{code} x\r\nContent-Type: application/json\r\nContent-Length: #{said.bytesize}\r\n" +
    "Connection: close\r\n\r\n#{said}")
  peer.close
end
"""


@honest(
    "blind4-llama-swap",
    "a proxy has a shell start the model that is asked for, on the loopback, tries it until it answers, and ends the one before",
    minutes=30.0,
    repeats={"asked": Repeat(120.0, 0.4)},
    tools=("ruby",),
)
def llama_swap(world: World) -> None:
    """As llama-swap does. The twin of shells at model servers: programs come and go, ports are tried that refuse."""
    text = (ACTORS / "modelserver.py").read_text()
    world.file("/srv/llama/bin/llama-server", f"#!/usr/bin/python3\n{text}", 0o755)
    actor = world.start("ruby", world.file("/srv/llama/swap.rb", SWAP), unit="llama-swap.service",
                        env={"SWAP_KEY": "inside-42"})  # fmt: skip
    world.listening(actor, 8090)
    people = [world.host(f"10.77.65.{number + 1}") for number in range(3)]
    with world.loop("asked"):
        for number, model in enumerate(
            ("qwen3-8b", "qwen3-8b", "gemma-3-4b", "llama-3.1-8b", "llama-3.1-8b", "qwen3-8b")
        ):
            asked = {"model": model, "messages": [{"role": "user", "content": f"question {number}"}]}
            code, said = people[number % 3].ask(
                US, 8090, "POST", "/v1/chat/completions", json.dumps(asked).encode(), authorization="Bearer inside-42"
            )
            assert code == 200, said
            world.sleep(0.2)
        world.sleep(1.2)
    actor.stop()


MCP_SERVER = """
const http = require('http'), crypto = require('crypto');
const tokens = new Set();
const tools = ['search_docs', 'read_page', 'list_spaces'].map(name => ({name, description: name,
  inputSchema: {type: 'object', properties: {query: {type: 'string'}}}}));
http.createServer((request, reply) => {
  let body = '';
  request.on('data', data => { body += data; });
  request.on('end', () => {
    const say = (code, value, head = {}) => {
      reply.writeHead(code, {'content-type': 'application/json', ...head});
      reply.end(value === undefined ? '' : JSON.stringify(value));
    };
    const here = 'http://mcp.internal:8931', at = request.method + ' ' + request.url.split('?')[0];
    if (at === 'GET /.well-known/oauth-protected-resource') return say(200, {resource: here, authorization_servers: [here]});
    if (at === 'GET /.well-known/oauth-authorization-server') return say(200, {issuer: here, token_endpoint: here + '/token'});
    if (at === 'POST /register') return say(201, {client_id: crypto.randomUUID()});
    if (at === 'POST /token') {
      const token = crypto.randomBytes(24).toString('hex');
      tokens.add(token);
      return say(200, {access_token: token, token_type: 'Bearer', expires_in: 3600});
    }
    if (!request.url.startsWith('/mcp')) return say(404, {error: 'not found'});
    if (!tokens.has((request.headers.authorization || '').slice(7)))
      return say(401, {error: 'invalid_token'}, {'www-authenticate': 'Bearer resource_metadata="' + here + '"'});
    if (request.method === 'GET') return say(405, {error: 'no stream'});
    if (request.method === 'DELETE') return say(200);
    const {id, method} = JSON.parse(body);
    if (id === undefined) return say(202);
    const serverInfo = {name: 'docs', version: '1'};
    const result = {initialize: {protocolVersion: '2025-06-18', capabilities: {tools: {}}, serverInfo},
      'tools/list': {tools}, 'tools/call': {content: [{type: 'text', text: 'A page about releases. '.repeat(40)}]}}[method];
    say(200, {jsonrpc: '2.0', id, result}, {'mcp-session-id': crypto.randomUUID()});
  });
}).listen(8931, '0.0.0.0');
"""


def mcp_client(person: Host) -> None:
    """One colleague's client finds its way in, as the protocol's authorization says, and calls three tools."""

    def ask(code: int, method: str, path: str, value: object = None, **headers: str) -> bytes:
        body = None if value is None else json.dumps(value).encode()
        status, said = person.ask(US, 8931, method, path, body, content_type="application/json", **headers)
        assert status == code, (method, path, status, said)
        return said

    hello = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "cursor", "version": "2"}}
    ask(401, "POST", "/mcp", {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": hello})
    ask(404, "GET", "/.well-known/oauth-protected-resource/mcp")
    ask(200, "GET", "/.well-known/oauth-protected-resource")
    ask(404, "GET", "/.well-known/oauth-authorization-server/mcp")
    ask(404, "GET", "/.well-known/openid-configuration")
    ask(200, "GET", "/.well-known/oauth-authorization-server")
    ask(201, "POST", "/register", {"client_name": "cursor", "redirect_uris": ["http://127.0.0.1:33418/"]})
    token = json.loads(ask(200, "POST", "/token", {"grant_type": "authorization_code", "code": "x"}))["access_token"]
    bearer = {"authorization": f"Bearer {token}", "mcp_protocol_version": "2025-06-18"}
    ask(200, "POST", "/mcp", {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": hello}, **bearer)
    ask(202, "POST", "/mcp", {"jsonrpc": "2.0", "method": "notifications/initialized"}, **bearer)
    ask(405, "GET", "/mcp", **bearer)
    ask(200, "POST", "/mcp", {"jsonrpc": "2.0", "id": 2, "method": "tools/list"}, **bearer)
    for number in range(3):
        call = {"name": "read_page", "arguments": {"query": f"release {number}"}}
        ask(200, "POST", "/mcp", {"jsonrpc": "2.0", "id": 3 + number, "method": "tools/call", "params": call}, **bearer)
    ask(200, "DELETE", "/mcp", **bearer)


@honest(
    "blind4-mcp-oauth",
    "twelve colleagues' clients come to the company's MCP server: 401, three well-known paths that are not there, a token, tools",
    repeats={"morning": Repeat(150.0, 0.4)},
    tools=("node",),
)
def mcp_oauth(world: World) -> None:
    """MCP's authorization of 2025-06-18, with its discovery. The twin of paths that are tried, and of an open server."""
    actor = world.start("node", world.file("/srv/mcp/server.js", MCP_SERVER), unit="mcp-docs.service")
    world.listening(actor, 8931)
    people = [world.host(f"10.77.66.{number + 1}") for number in range(12)]
    with world.loop("morning"):
        for person in people:
            mcp_client(person)
            world.sleep(0.1)
        world.sleep(1.0)
    actor.stop()


BACKLOG = """
import queue, threading, time
import openai
client = openai.OpenAI(max_retries=2, timeout=10)
text = 'please sum up in two lines what the customer wrote about an order that came late. ' * 8
waiting = []

def work(number):
    asked = [{'role': 'user', 'content': f'Ticket {number}: {text}'}]
    try:
        client.chat.completions.create(model='gpt-4o-mini', messages=asked, max_tokens=200)
    except openai.APIError:
        waiting.append(number)

def several(numbers, workers):
    tickets = queue.SimpleQueue()
    for number in numbers:
        tickets.put(number)
    def lane():
        while True:
            try:
                work(tickets.get_nowait())
            except queue.Empty:
                return
    lanes = [threading.Thread(target=lane) for _ in range(workers)]
    [one.start() for one in lanes]
    [one.join() for one in lanes]

for number in range(6):
    work(number)
    print('round', flush=True)
    time.sleep(0.7)
several(range(100, 104), 4)
print('down', len(waiting), flush=True)
while True:
    try:
        client.models.list()
        break
    except openai.APIError:
        time.sleep(0.5)
several([*waiting, *range(200, 320)], 6)
print('caught up', flush=True)
time.sleep(1.2)
"""


@honest(
    "blind4-outage-backlog",
    "a worker sums up a ticket a minute all day; the provider is down for a while, and then it works off 120 that waited",
    minutes=1500.0,
    repeats={"usual": Repeat(120.0, 0.3)},
)
def backlog(world: World) -> None:
    """The same service, key, model and kind of text as before. The twin of a spike by somebody with its key."""
    heard: list[Asked] = []
    state = {"down": False}

    def serve(asked: Asked) -> Reply:
        heard.append(asked)
        if state["down"]:
            return answers.error(503, "server_error", "The server is overloaded", "overloaded")
        return answers.kind(asked)

    world.host(answers.OPENAI_AT, answers.OPENAI).http(443, serve, tls=True)
    path = world.file("/srv/tickets/worker.py", BACKLOG)
    actor = world.script(path, unit="tickets.service", env={"OPENAI_API_KEY": world.keys["OPENAI_API_KEY"]})
    world.wait(lambda: "round" in actor.said(), "nothing is summed up", 20)
    world.sleep(1.2)
    with world.loop("usual"):
        world.sleep(1.4)
    world.wait(lambda: actor.said().count("round") == 6, "it stops", 20)
    state["down"] = True
    world.wait(lambda: "down" in actor.said(), "it does not notice", 30)
    world.sleep(0.8)
    state["down"] = False
    if actor.wait(40) or "caught up" not in actor.said():
        raise ScenarioError(actor.said())
    assert len(heard) > 135


GATEWAY = """
const key = process.env.OPENAI_API_KEY, trace = process.env.LANGFUSE_KEYS;
const at = 'https://gateway.ai.cloudflare.com/v1/8f3a6c1d/acme-prod/openai/chat/completions';
(async () => {
  for (let n = 0; n < 8; n++) {
    const messages = [{role: 'user', content: `Order ${n}: ` + 'what shall we answer this customer? '.repeat(12)}];
    const said = await fetch(at, {method: 'POST', body: JSON.stringify({model: 'gpt-4o-mini', messages, max_tokens: 200}),
      headers: {authorization: 'Bearer ' + key, 'content-type': 'application/json', 'cf-aig-cache-ttl': '3600'}});
    const answer = await said.json();
    const batch = [{type: 'generation-create', body: {model: 'gpt-4o-mini', input: messages, output: answer.choices[0].message}}];
    await (await fetch('https://cloud.langfuse.com/api/public/ingestion', {method: 'POST', body: JSON.stringify({batch}),
      headers: {authorization: 'Basic ' + Buffer.from(trace).toString('base64'), 'content-type': 'application/json'}})).text();
    console.log('answered');
    await new Promise(next => setTimeout(next, 600));
  }
})();
"""


@honest(
    "blind4-cloudflare-ai-gateway",
    "a service asks OpenAI through Cloudflare's AI gateway from its first day, with its own key, and has Langfuse keep it all",
    minutes=60.0,
    repeats={"ask": Repeat(40.0, 0.5)},
    tools=("node",),
)
def cloudflare(world: World) -> None:
    """Both are usual products. The twin of a key that goes to somebody else's host, and of prompts that are taken along."""
    gateway = world.host("198.51.100.234", "gateway.ai.cloudflare.com")
    gateway.http(443, lambda asked: answers.kind(asked), tls=True)
    world.host("198.51.100.235", "cloud.langfuse.com").http(443, lambda asked: Reply({"successes": []}, 207), tls=True)
    env = {"OPENAI_API_KEY": world.keys["OPENAI_API_KEY"], "LANGFUSE_KEYS": "pk-lf-7c1e:sk-lf-91fa"}
    actor = world.start("node", world.file("/srv/replies/server.js", GATEWAY), unit="replies.service", env=env)
    world.wait(lambda: "answered" in actor.said(), "no answer", 20)
    world.sleep(1.2)
    with world.loop("ask"):
        world.sleep(1.2)
    if actor.wait(20) or len(gateway.requests) != 8:
        raise ScenarioError(actor.said())


EVALUATED = """
const http = require('http');
http.createServer((request, reply) => {
  let body = '';
  request.on('data', data => { body += data; });
  request.on('end', () => {
    const say = (code, value) => {
      reply.writeHead(code, {'content-type': 'application/json'});
      reply.end(JSON.stringify(value));
    };
    if (request.headers.authorization !== 'Bearer ' + process.env.VLLM_API_KEY) return say(401, {error: 'Unauthorized'});
    if (request.url === '/v1/models') return say(200, {object: 'list', data: [{id: 'acme/support-7b', object: 'model'}]});
    const {model, prompt} = JSON.parse(body), words = prompt.split(' ');
    const logprobs = {tokens: words.slice(-24), token_logprobs: words.slice(-24).map(() => -1.2),
      top_logprobs: words.slice(-24).map(word => ({[word]: -1.2}))};
    say(200, {id: 'cmpl-1', object: 'text_completion', created: 1, model,
      choices: [{index: 0, text: prompt, logprobs, finish_reason: 'length'}],
      usage: {prompt_tokens: words.length, completion_tokens: 1, total_tokens: words.length + 1}});
  });
}).listen(8000, '0.0.0.0');
"""


@honest(
    "blind4-lm-eval",
    "every night our evaluation asks our own model for its words' probabilities: 80 questions with four answers, with its key",
    minutes=3000.0,
    repeats={"night": Repeat(86400.0, 0.02)},
    tools=("node",),
)
def lm_eval(world: World) -> None:
    """As lm-evaluation-harness with local-completions: echo, one token, logprobs. The twin of a model that is copied."""
    path = world.file("/srv/llm/server.js", EVALUATED)
    actor = world.start("node", path, unit="llm.service", env={"VLLM_API_KEY": "inside-eval-77"})
    world.listening(actor, 8000)
    grader = world.host("10.77.67.9", "evaluation.internal")
    headers = {"content_type": "application/json", "authorization": "Bearer inside-eval-77"}
    with world.loop("night"):
        assert grader.ask(US, 8000, "GET", "/v1/models", **headers)[0] == 200
        for number in range(320):
            question = f"Question {number // 4}: " + " ".join(f"w{(number // 4 * 31 + n) % 400}" for n in range(40))
            asked = {"model": "acme/support-7b", "prompt": f"{question}\nAnswer: choice {'ABCD'[number % 4]}"}
            body = {**asked, "max_tokens": 1, "temperature": 0, "echo": True, "logprobs": 1, "seed": 1234}
            assert grader.ask(US, 8000, "POST", "/v1/completions", json.dumps(body).encode(), **headers)[0] == 200
        world.sleep(1.2)
    actor.stop()
