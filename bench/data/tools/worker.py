"""Runs one tool over a file of texts, JSON lines with `id` and `text`; writes JSON lines with `id` and `matches` into another.

    python -m bench.data.tools.worker TOOL IN OUT          [start, end, label, confidence] of each match
    python -m bench.data.tools.worker TOOL IN OUT --time   seconds of processor time for each text, one a line as it is done

TOOL: leeward, leeward-patterns, leeward-held, presidio, presidio-default or detect-secrets. Each is imported only when it is
asked for: they live in environments of their own.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TextIO

from bench.data.records import Match

Find = Callable[[str], list[Match]]


def finder(tool: str) -> Find:
    if tool.startswith("leeward"):
        from bench.data.tools import leeward_tool

        made = {"leeward": leeward_tool.whole_find, "leeward-held": leeward_tool.held_find}
        return made.get(tool, leeward_tool.patterns_find)()
    if tool.startswith("presidio"):
        from bench.data.tools import presidio_tool

        return presidio_tool.find if tool == "presidio" else presidio_tool.default_find()
    from bench.data.tools import detect_secrets_tool

    return detect_secrets_tool.find


def main(tool: str, source: str, target: str, timed: bool) -> None:
    find = finder(tool)
    with Path(source).open(encoding="utf-8") as lines:
        texts = [json.loads(line) for line in lines]
    with Path(target).open("w", encoding="utf-8") as out:
        if timed:
            _times(find, [text["text"] for text in texts], out)
            return
        for text in texts:
            out.write(json.dumps({"id": text["id"], "matches": find(text["text"])}) + "\n")


def _times(find: Find, texts: Sequence[str], out: TextIO) -> None:
    for _ in range(3):
        find("To warm up: call Ada Lovelace on 4242424242424242, ada@example.com, 192.0.2.7")
    for text in texts:
        begun = time.process_time()
        find(text)
        out.write(f"{time.process_time() - begun}\n")
        out.flush()


if __name__ == "__main__":
    os.environ["OMP_NUM_THREADS"] = "1"
    main(*sys.argv[1:4], timed="--time" in sys.argv)
