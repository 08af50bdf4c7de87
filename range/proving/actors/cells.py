"""Runs commands one after another, as the cells of a notebook: cells.py FILE. A cell's failure is shown and the next one runs."""

import json
import subprocess
import sys
import time

with open(sys.argv[1]) as file:
    cells = json.load(file)
for command in cells:
    print(command, subprocess.run(command, check=False).returncode, flush=True)
    time.sleep(0.3)
