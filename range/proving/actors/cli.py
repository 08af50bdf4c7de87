"""A vendor's command-line tool: reads the credentials that are its own and calls its API with them: cli.py CREDENTIALS URL."""

import sys
import urllib.request

with open(sys.argv[1]) as file:
    secret = file.read().split()[-1].rpartition("=")[2]
request = urllib.request.Request(sys.argv[2], headers={"Authorization": f"AWS4-HMAC-SHA256 Signature={secret[:8]}"})
with urllib.request.urlopen(request, timeout=10) as answer:
    print(len(answer.read()))
