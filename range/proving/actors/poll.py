"""Asks URLs again and again, a connection each time: poll.py URL[,URL...] PERIOD COUNT."""

import sys
import time
import urllib.request

urls, period, count = sys.argv[1].split(","), float(sys.argv[2]), int(sys.argv[3])
due = time.monotonic()
for _ in range(count):
    for url in urls:
        with urllib.request.urlopen(url, timeout=5) as answer:
            answer.read()
    due += period
    time.sleep(max(0.0, due - time.monotonic()))
