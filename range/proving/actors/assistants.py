"""Fetches its orders from threads of the Assistants API and leaves its answers there: assistants.py PERIOD COUNT. What
passes is random bytes in base64; nothing is done with it. Speaks by urllib, as a program that has no business with
models would."""

import base64
import json
import os
import sys
import time
import urllib.request

period, count = float(sys.argv[1]), int(sys.argv[2])
HEADERS = {
    "Authorization": f"Bearer {os.environ['API_TOKEN']}",
    "OpenAI-Beta": "assistants=v2",
    "Content-Type": "application/json",
    "User-Agent": "Microsoft-WNS/10.0",
}


def call(method, path, body=None):
    data = json.dumps(body).encode() if body is not None else None
    request = urllib.request.Request(f"https://api.openai.com/v1{path}", data, HEADERS, method=method)
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.load(answer)


due = time.monotonic()
for _ in range(count):
    call("GET", "/assistants?limit=20")
    thread = call("POST", "/threads", {})["id"]
    result = base64.b64encode(os.urandom(900)).decode()
    call("POST", f"/threads/{thread}/messages", {"role": "user", "content": result})
    call("GET", f"/threads/{thread}/messages")
    call("DELETE", f"/threads/{thread}")
    due += period
    time.sleep(max(0.0, due - time.monotonic()))
