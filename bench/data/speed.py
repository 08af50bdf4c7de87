"""How long a scan takes on one core: prompts of 2 kB, long texts, and evil ones, whose time must grow as their size does.

Processor time of the scanning alone, each tool in a process of its own after a warm-up: Leeward without its model
(`leeward-patterns`), with the recognizers alone that a policy of secrets, accounts and identity numbers holds calls for
(`leeward-held`), and with its model; presidio in its default configuration. Evil texts are for Leeward's patterns.
"""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Sequence
from random import Random

from bench.data import runs
from bench.data.records import Text

PROMPT = 2000  # characters
STEEP, SHORT = 2.6, 0.3  # ratio of the times when the size doubles; seconds below which it says nothing
LIMIT = 90.0  # seconds that one evil text may take before we stop waiting
# A piece that is repeated up to the size.
EVIL = {
    "a": "a",
    "0": "0",
    "blank": " ",
    "line end": "\n",
    "@": "@",
    "-": "-",
    "quote": '"',
    ".": ".",
    "=": "=",
    "/": "/",
    ":": ":",
    "é": "é",
    "backslash": "\\",
    "digit blank": "1 ",
    "digit hyphen": "4-",
    "a@": "a@",
    "a.": "a.",
    "a@a.a ": "a@a.a ",
    "word ": "word ",
    "Ab1": "Ab1",
    "Name Name ": "Anna Schmidt ",
    "card-like": "4242 4242 4242 424 ",
    "ten digits": "1234567890 ",
    "begin key": "-----BEGIN RSA PRIVATE KEY-----\n",
    "eyJ": "eyJ",
    "eyJ.": "eyJhbGciOi.",
    "sk-": "sk-",
    "AKIA": "AKIA",
    "password=": "password=",
    "key: ": "api_key: ",
    "://a:a@": "://a:a@",
    "base64": "QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVo",
}


def _of_size(texts: Sequence[str], size: int, count: int, random: Random) -> list[str]:
    out = []
    for _ in range(count):
        parts: list[str] = []
        total = 0
        while total < size:
            parts.append(random.choice(texts))
            total += len(parts[-1]) + 1
        out.append("\n".join(parts)[:size])
    return out


def _said(name: str, taken: Sequence[float | None], size: int) -> dict[str, float]:
    ordered = sorted(one for one in taken if one is not None)
    if len(ordered) < len(taken):
        print(f"    {name:28} {len(taken) - len(ordered)} of {len(taken)} not within {LIMIT:g} s")
        return {}
    p50, p99 = statistics.median(ordered), ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))]
    rate, mega = len(ordered) / sum(ordered), size * len(ordered) / sum(ordered) / 1e6
    print(
        f"    {name:28} {rate:9.1f} texts/s {mega:8.3f} MB/s   p50 {p50 * 1e3:9.3f} ms   p99 {p99 * 1e3:9.3f} ms",
        flush=True,
    )
    return {"rate": rate, "p50": p50, "p99": p99}


def ordinary(texts: Sequence[Text], tools: Sequence[str], quick: bool) -> dict[str, object]:
    """Prompts and long texts; mixed is one benign piece after one with something in it.

    Of the long texts 100 kB for presidio and the model, since a megabyte takes them minutes.
    """
    random = Random(7)
    benign = [text.text for text in texts if text.corpus in ("benign", "mined")]
    dense = [text.text for text in texts if text.corpus in ("evaluator", "prompts", "secrets", "ids")]
    mixed = [
        one for pair in zip(random.sample(benign, len(benign)), itertools.cycle(dense), strict=False) for one in pair
    ]
    out: dict[str, object] = {}
    for tool in tools:
        fast = tool in ("leeward-patterns", "leeward-held")
        count = 600 if fast else 15 if quick else 200
        long = 1_000_000 if fast else 100_000
        print(f"  {tool}")
        cases = {
            "2 kB benign": _of_size(benign, PROMPT, count, random),
            "2 kB mixed": _of_size(mixed, PROMPT, count, random),
        }
        if fast or not quick:
            cases[f"{long // 1000} kB benign"] = _of_size(benign, long, 2, random)
            cases[f"{long // 1000} kB mixed"] = _of_size(mixed, long, 2, random)
        taken = iter(runs.seconds(tool, list(itertools.chain(*cases.values())), LIMIT))
        out[tool] = {
            name: _said(name, list(itertools.islice(taken, len(made))), len(made[0])) for name, made in cases.items()
        }
    return out


def nested(depth: int) -> str:
    return '{"a":' * depth + "1" + "}" * depth


def evil(quick: bool) -> dict[str, object]:
    """Seconds for Leeward at one and two megabytes; a ratio above `STEEP` is marked, unless both are short."""
    size = 100_000 if quick else 1_000_000
    print(f"  Leeward on evil texts, seconds at {size / 1e6:g} MB and {2 * size / 1e6:g} MB")
    cases = {name: (piece * (size // len(piece)), piece * (2 * size // len(piece))) for name, piece in EVIL.items()}
    cases["nested JSON 100,000"] = (nested(100_000), nested(200_000))
    random = Random(11)
    digits = "".join(random.choice("0123456789") for _ in range(2 * size))
    cases["random digits"] = (digits[:size], digits)
    noise = "".join(chr(random.randrange(32, 127)) for _ in range(2 * size))
    cases["random ASCII"] = (noise[:size], noise)
    taken = runs.seconds("leeward-patterns", list(itertools.chain(*cases.values())), LIMIT)
    out: dict[str, object] = {}
    for name, one, two in zip(cases, taken[::2], taken[1::2], strict=True):
        out[name] = (one, two)
        if one is None or two is None:
            print(f"    {name:22} more than {LIMIT:g} s  SLOW")
            continue
        ratio = two / one if one else 0.0
        mark = "  NOT LINEAR" if ratio > STEEP and two > SHORT else ""
        print(f"    {name:22} {one:8.3f} {two:8.3f}  ratio {ratio:5.2f}{mark}", flush=True)
    return out
