"""Posts random bytes again and again: post.py URL SIZE PERIOD COUNT."""

import os
import sys
import time
import urllib.request

url, size, period, count = sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), int(sys.argv[4])
due = time.monotonic()
for _ in range(count):
    request = urllib.request.Request(url, os.urandom(size), {"Content-Type": "application/octet-stream"})
    with urllib.request.urlopen(request, timeout=20) as answer:
        answer.read()
    due += period
    time.sleep(max(0.0, due - time.monotonic()))
