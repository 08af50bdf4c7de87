"""A notebook's kernel: kernel.py FILE. Runs the cells, a list of Python texts, one after another in this process, with half a
second between them; a cell's error is shown and the next one runs."""

import json
import sys
import time
import traceback

with open(sys.argv[1]) as file:
    cells = json.load(file)
space = {"__name__": "__main__"}
for cell in cells:
    try:
        exec(cell, space)
    except Exception:
        traceback.print_exc()
    time.sleep(0.5)
