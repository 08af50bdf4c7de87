"""`python -m bench.data [--quick] [--only quality|speed] [--no-model] [--json FILE] [--misses KIND]`, or all of it.

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
QUICK = 0.04


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.data", description="How well sensitive data is found.")
    parser.add_argument("--quick", action="store_true", help="a small sample, about a minute")
    parser.add_argument("--only", choices=("quality", "speed"), help="one part")
    parser.add_argument("--json", type=Path, metavar="FILE", help="the raw figures")
    parser.add_argument("--misses", metavar="KIND", help="Leeward's wrong answers in dev, of kinds that begin so")
    parser.add_argument(
        "--no-model", action="store_true", help="Leeward without its name model only, which is much faster"
    )
    parser.add_argument("--most", type=int, default=60, help="how many of them")
    parser.add_argument("--threshold", type=float, default=0.5, help="Leeward's")
    parser.add_argument("--seed", type=int, default=SEED)
    return parser.parse_args()


def _quality(texts: Sequence[Text], options: argparse.Namespace) -> dict[str, object]:
    ours = [tool for tool in report.OURS if tool != "leeward" or (runs.model_is_there() and not options.no_model)]
    if options.misses is not None:
        found = runs.matches(ours[0], [text for text in texts if text.half == "dev"])
        misses.show(texts, found, "dev", options.misses, options.threshold, options.most)
        return {}
    outcome = report.results(
        texts, {tool: runs.matches(tool, texts) for tool in (*ours, *runs.PEERS)}, options.threshold
    )
    chosen = ", ".join(f"{tool} {tried[0].threshold:g}" for tool, tried in outcome.items())
    report.print_labels(texts)
    print(f"thresholds: {chosen}; presidio's is that with its best F1 on dev; the bar takes its best for each kind")
    for halves in (("dev",), ("held",), HALVES):
        report.print_half(outcome, halves)
    for halves in (("dev",), ("held",), HALVES):
        report.print_bar(outcome, halves)
    for name in ("secret", "pii.national_id"):
        report.print_forms(outcome, name)
    for tool in (*ours, "presidio"):
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
        raw["quality"] = _quality(texts, options)
    if options.only != "quality" and options.misses is None:
        print("\nspeed on one core")
        model = ["leeward"] if runs.model_is_there() and not options.no_model else []
        raw["speed"] = speed.ordinary(
            texts, ["leeward-patterns", "leeward-held", *model, "presidio-default"], options.quick
        )
        raw["evil"] = speed.evil(options.quick)
    if options.json:
        options.json.write_text(json.dumps(raw, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
