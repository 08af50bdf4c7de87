"""What Leeward answered wrongly in `dev`, to learn from. `held` is refused: who reads it can no longer be judged by it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bench.data.records import Match, Text
from bench.data.report import BENIGN
from bench.data.scoring import answers, judge

_AROUND = 40


def show(
    texts: Sequence[Text], found: Mapping[str, list[Match]], half: str, kind: str, threshold: float, most: int
) -> None:
    """Prints up to `most` of each sort: gold not found (-) and wrong matches (+), of kinds that begin with `kind`."""
    if half != "dev":
        raise ValueError("misses are shown of dev only")
    shown = {"-": 0, "+": 0}
    for text in texts:
        if text.half != half or text.id not in found:
            continue
        judged = judge(text, answers("leeward", text, found[text.id], threshold))
        for span, hit, _ in judged.golds:
            if not hit and span.kind.startswith(kind):
                _line("-", text, span.start, span.end, f"{span.kind} {span.form}", shown, most)
        for verdict in judged.verdicts:
            answer = verdict.answer
            if verdict.right is False and answer.kinds[0].startswith(kind):
                benign = " BENIGN" if text.corpus in BENIGN else ""
                _line(
                    "+",
                    text,
                    answer.start,
                    answer.end,
                    f"{answer.kinds[0]} {answer.confidence:.2f}{benign}",
                    shown,
                    most,
                )


def _line(mark: str, text: Text, start: int, end: int, what: str, shown: dict[str, int], most: int) -> None:
    shown[mark] += 1
    if shown[mark] <= most:
        before, after = text.text[max(0, start - _AROUND) : start], text.text[end : end + _AROUND]
        print(f"{mark} {what} [{text.template}] {before!r}<<{text.text[start:end][:80]!r}>>{after!r}")
