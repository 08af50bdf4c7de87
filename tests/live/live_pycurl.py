"""One chat request through pycurl: `live_pycurl.py PORT PROMPT`. Run with the system's Python, for the system's libcurl."""

import json
import sys
from io import BytesIO

import pycurl

answer = BytesIO()
curl = pycurl.Curl()
curl.setopt(pycurl.URL, f"https://127.0.0.1:{sys.argv[1]}/v1/chat/completions")
curl.setopt(pycurl.SSL_VERIFYPEER, 0)
curl.setopt(pycurl.SSL_VERIFYHOST, 0)
curl.setopt(pycurl.HTTPHEADER, ["content-type: application/json"])
body = {"model": "range", "messages": [{"role": "user", "content": sys.argv[2]}]}
curl.setopt(pycurl.POSTFIELDS, json.dumps(body))
curl.setopt(pycurl.WRITEDATA, answer)
curl.perform()
print(answer.getvalue().decode(), file=sys.stderr)
