"""An agent whose tool is one bash that stays, on pipes; what to run, the model says: bashagent.py TASK."""

import json
import subprocess
import sys

import openai

client = openai.OpenAI(max_retries=0, timeout=10)
shell = subprocess.Popen(["bash"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
parameters = {"type": "object", "properties": {"command": {"type": "string"}}, "required": ["command"]}
function = {"name": "bash", "description": "Runs a command in the shell.", "parameters": parameters}
messages = [{"role": "user", "content": sys.argv[1]}]
while True:
    answer = client.chat.completions.create(
        model="gpt-4o", messages=messages, tools=[{"type": "function", "function": function}]
    )
    message = answer.choices[0].message
    messages.append(message.model_dump(exclude_none=True))
    if not message.tool_calls:
        break
    for call in message.tool_calls:
        shell.stdin.write(json.loads(call.function.arguments)["command"] + "\necho __done__\n")
        shell.stdin.flush()
        output = ""
        while not output.endswith("__done__\n"):
            output += shell.stdout.readline()
        messages.append({"role": "tool", "tool_call_id": call.id, "content": output[-2000:]})
shell.stdin.close()
shell.wait()
print(message.content)
