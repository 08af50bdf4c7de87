"""`python -m bench.data [--quick] [--only quality|speed] [--json FILE] [--misses KIND] [--seed N]`: the whole, both halves.

Prints the figures of the peers beside Leeward's. --quick: a small sample, about a minute. --misses KIND: what Leeward
answered wrongly in `dev`, of kinds that begin so ('' for all), to learn from; of `held` there is no such list, on purpose.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from bench.data import misses, report, runs, speed
from bench.data.records import HALVES, Text

SEED = 20261125
QUICK = 0.06


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.data", description="How well sensitive data is found.")
    parser.add_argument("--quick", action="store_true", help="a small sample, about a minute")
    parser.add_argument("--only", choices=("quality", "speed"), help="one part")
    parser.add_argument("--json", type=Path, metavar="FILE", help="the raw figures")
    parser.add_argument("--misses", metavar="KIND", help="Leeward's wrong answers in dev, of kinds that begin so")
    parser.add_argument("--most", type=int, default=60, help="how many of them")
    parser.add_argument("--threshold", type=float, default=0.5, help="Leeward's")
    parser.add_argument("--seed", type=int, default=SEED)
    return parser.parse_args()


def _quality(texts: Sequence[Text], threshold: float, wanted: str | None, most: int) -> dict[str, object]:
    found = {tool: runs.matches(tool, texts) for tool in runs.PEERS}
    if runs.leeward_is_there():
        found = {"leeward": runs.matches("leeward", texts)} | found
    if wanted is not None:
        misses.show(texts, found["leeward"], "dev", wanted, threshold, most)
        return {}
    outcome = report.results(texts, found, threshold)
    chosen = ", ".join(f"{tool} {tried[0].threshold:g}" for tool, tried in outcome.items())
    report.print_labels(texts)
    print(f"thresholds: {chosen}; presidio's is that with its best F1 on dev; the bar takes its best for each kind")
    for halves in (("dev",), ("held",), HALVES):
        report.print_half(outcome, halves)
    for halves in (("dev",), ("held",), HALVES) if "leeward" in outcome else ():
        report.print_bar(outcome, halves)
    for name in ("secret", "pii.national_id"):
        report.print_forms(outcome, name)
    for tool in ("leeward", "presidio"):
        if tool in outcome:
            report.print_calibration(outcome[tool][0])
    report.print_alarms(outcome)
    return report.as_json(outcome)


def main() -> None:
    options = _options()
    texts = runs.corpora(QUICK if options.quick else 1.0, options.seed)
    sizes = {
        corpus: sum(text.corpus == corpus for text in texts) for corpus in dict.fromkeys(text.corpus for text in texts)
    }
    print("texts: " + ", ".join(f"{corpus} {count}" for corpus, count in sizes.items()), flush=True)
    raw: dict[str, object] = {"texts": sizes, "seed": options.seed, "quick": options.quick}
    if options.only != "speed":
        raw["quality"] = _quality(texts, options.threshold, options.misses, options.most)
    if options.only != "quality" and options.misses is None:
        print("\nspeed on one core")
        ours = ["leeward"] if runs.leeward_is_there() else []
        raw["speed"] = speed.ordinary(texts, [*ours, "presidio-default"], options.quick)
        raw["evil"] = speed.evil(options.quick) if ours else {}
    if options.json:
        options.json.write_text(json.dumps(raw, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
