"""An agent with one tool, a shell: agent.py TASK. Goes on until the model asks for nothing more."""

import json
import subprocess
import sys

import openai

client = openai.OpenAI(max_retries=0, timeout=10)
parameters = {"type": "object", "properties": {"command": {"type": "string"}}, "required": ["command"]}
function = {"name": "run_shell", "description": "Runs a command in the project's folder.", "parameters": parameters}
messages = [{"role": "system", "content": "You are a careful engineer."}, {"role": "user", "content": sys.argv[1]}]
while True:
    answer = client.chat.completions.create(
        model="gpt-4o", messages=messages, tools=[{"type": "function", "function": function}]
    )
    message = answer.choices[0].message
    messages.append(message.model_dump(exclude_none=True))
    if not message.tool_calls:
        break
    for call in message.tool_calls:
        command = json.loads(call.function.arguments)["command"]
        done = subprocess.run(
            ["sh", "-c", command], capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL
        )
        output = (done.stdout + done.stderr)[-2000:]
        messages.append({"role": "tool", "tool_call_id": call.id, "content": output})
print(message.content)
