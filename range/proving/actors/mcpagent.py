"""An agent with a shell and the tools of an MCP server that it starts: mcpagent.py TASK COMMAND... (the server's). Goes on until
the model asks for nothing more."""

import json
import subprocess
import sys

import openai

client = openai.OpenAI(max_retries=0, timeout=10)
server = subprocess.Popen(sys.argv[2:], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)


def ask(number, method, params):
    server.stdin.write(json.dumps({"jsonrpc": "2.0", "id": number, "method": method, "params": params}) + "\n")
    server.stdin.flush()
    return json.loads(server.stdout.readline())["result"]


ask(
    1,
    "initialize",
    {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "agent", "version": "1"}},
)
offered = ask(2, "tools/list", {})["tools"]
text = {"type": "object", "properties": {"command": {"type": "string"}}, "required": ["command"]}
tools = [{"name": "run_shell", "description": "Runs a command in the project's folder.", "parameters": text}]
tools += [{"name": t["name"], "description": t["description"], "parameters": t["inputSchema"]} for t in offered]
functions = [{"type": "function", "function": tool} for tool in tools]
messages = [{"role": "system", "content": "You are a careful engineer."}, {"role": "user", "content": sys.argv[1]}]
while True:
    message = client.chat.completions.create(model="gpt-4o", messages=messages, tools=functions).choices[0].message
    messages.append(message.model_dump(exclude_none=True))
    if not message.tool_calls:
        break
    for call in message.tool_calls:
        words = json.loads(call.function.arguments)
        if call.function.name == "run_shell":
            done = subprocess.run(
                ["sh", "-c", words["command"]], capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL
            )
            output = (done.stdout + done.stderr)[-2000:]
        else:
            answer = ask(len(messages), "tools/call", {"name": call.function.name, "arguments": words})
            output = answer["content"][0]["text"]
        messages.append({"role": "tool", "tool_call_id": call.id, "content": output})
print(message.content)
server.stdin.close()
server.wait(5)
