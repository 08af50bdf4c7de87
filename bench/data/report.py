"""The figures of one run: what is computed from judged texts, and how it is printed. No I/O but `print`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from bench.data.mapping import countries, known
from bench.data.records import HALVES, Match, Text, covers
from bench.data.scoring import Score, Tally, answers, judge, score

OURS = ("leeward", "leeward-patterns")  # as `leeward classify` is, and without its model; the first that ran is judged
GRID = (0.0, 0.3, 0.4, 0.5, 0.6, 0.85)  # thresholds tried for presidio
BINS = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 1.01)
BENIGN = ("benign", "mined")
ENOUGH = 200  # gold spans that a row needs to be judged against the peers
BAR = 0.9  # of the better peer's F1
Found = Mapping[str, Mapping[str, list[Match]]]  # by tool as it was run, by text


@dataclass(slots=True)
class Alarms:
    """False alarms in texts that hold nothing. texts: those with one at or above the confidence. rows: by row and bin."""

    total: int = 0
    texts: Counter[float] = field(default_factory=Counter)
    rows: Counter[tuple[str, float]] = field(default_factory=Counter)
    unlabelled: Counter[str] = field(default_factory=Counter)


@dataclass(slots=True)
class Result:
    tool: str
    threshold: float
    tally: Tally
    alarms: Alarms
    bins: dict[float, list[int]]  # matches and right ones by confidence, over all texts


def _bin(confidence: float) -> float:
    return max((edge for edge in BINS if edge <= confidence), default=0.0)


def evaluate(tool: str, texts: Iterable[Text], found: Mapping[str, list[Match]], threshold: float) -> Result:
    result = Result(tool, threshold, Tally(), Alarms(), {edge: [0, 0] for edge in (0.0, *BINS[:-1])})
    for text in texts:
        if text.id not in found:
            continue
        matches = found[text.id]
        judged = judge(text, answers(tool, text, matches, threshold))
        if text.corpus in BENIGN:
            _alarms(result.alarms, text, matches, judged.verdicts, threshold)
        else:
            result.tally.add(text, judged)
        for verdict in judged.verdicts:
            if verdict.right is not None:
                counts = result.bins[_bin(verdict.answer.confidence)]
                counts[0] += 1
                counts[1] += verdict.right
    return result


def _alarms(alarms: Alarms, text: Text, matches: Sequence[Match], verdicts: Sequence, threshold: float) -> None:
    wrong = [verdict for verdict in verdicts if verdict.right is False]
    alarms.total += 1
    for edge in BINS[:-1]:
        alarms.texts[edge] += any(verdict.answer.confidence >= edge for verdict in wrong)
    for verdict in wrong:
        alarms.rows[verdict.row, _bin(verdict.answer.confidence)] += 1
    for match in matches:
        if match.confidence >= threshold and not covers(text.labels, match.label):
            alarms.unlabelled[match.label] += 1


def results(texts: Sequence[Text], found: Found, threshold: float) -> dict[str, list[Result]]:
    """Each tool at its threshold; presidio at all of `GRID`, first the one with the best F1 over all its rows on `dev`."""
    out: dict[str, list[Result]] = {}
    for tool in OURS:
        if tool in found:
            out[tool] = [evaluate(tool, texts, found[tool], threshold)]
    for tool in ("presidio", "presidio-all") if "presidio" in found else ():
        tried = [evaluate(tool, texts, found["presidio"], edge) for edge in GRID]
        out[tool] = sorted(tried, key=lambda result: -score(result.tally, ("dev",), known(tool)).f1)
    if "detect-secrets" in found:
        out["detect-secrets"] = [evaluate("detect-secrets", texts, found["detect-secrets"], 0.0)]
    return out


def rows(outcome: Mapping[str, list[Result]]) -> list[str]:
    tally = next(iter(outcome.values()))[0].tally
    return sorted({name for _, name in tally.gold})


def first(outcome: Mapping[str, list[Result]]) -> str:
    return next(iter(outcome))


def best_peer(outcome: Mapping[str, list[Result]], halves: Sequence[str], name: str) -> tuple[str, Score] | None:
    """The better peer in a row, presidio with whichever threshold is best in this row: the reading that is kindest to it."""
    found = [
        (tool, score(result.tally, halves, [name]))
        for tool, tried in outcome.items()
        if tool not in OURS and name in known(tool)
        for result in tried
    ]
    return max(found, key=lambda pair: pair[1].f1, default=None)


def verdict(outcome: Mapping[str, list[Result]], halves: Sequence[str], name: str) -> str:
    """`ok`, `BELOW` or why the row is not compared."""
    mine = first(outcome)
    if mine not in OURS:
        return ""
    ours, peer = score(outcome[mine][0].tally, halves, [name]), best_peer(outcome, halves, name)
    if peer is None:
        return "no peer"
    ratio = ours.f1 / peer[1].f1 if peer[1].f1 else float("inf")
    mark = ("ok" if ratio >= BAR else "BELOW") if ours.n >= ENOUGH else "few"
    return f"{mark} {ratio:.2f} of {peer[0]}"


def _cell(result: Score | None) -> str:
    return f"{result.precision:.3f} {result.recall:.3f} {result.f1:.3f}" if result else "    -     -     -"


def print_half(outcome: Mapping[str, list[Result]], halves: Sequence[str]) -> None:
    tools = list(outcome)
    print(f"\n{' + '.join(halves)}: precision, recall, F1")
    print(f"  {'kind':22} {'n':>6}  " + "  ".join(f"{tool:17}" for tool in tools))
    for name in rows(outcome):
        scores = {tool: score(tried[0].tally, halves, [name]) for tool, tried in outcome.items() if _knows(tool, name)}
        n = score(next(iter(outcome.values()))[0].tally, halves, [name]).n
        cells = "  ".join(f"{_cell(scores.get(tool)):17}" for tool in tools)
        print(f"  {name:22} {n:6}  {cells}  {verdict(outcome, halves, name)}")
    for label, average in (("micro, own kinds", _micro), ("macro, own kinds", _macro)):
        cells = "  ".join(f"{_cell(average(outcome[tool][0].tally, halves, _own(outcome, tool))):17}" for tool in tools)
        print(f"  {label:22} {'':6}  {cells}")
    for tool in tools if tools[0] in OURS else ():
        if tool not in OURS:
            shared = _own(outcome, tool)
            ours, theirs = (_micro(outcome[name][0].tally, halves, shared).f1 for name in (tools[0], tool))
            print(f"  on the kinds of {tool}: F1 micro {ours:.3f} ({tools[0]}) to {theirs:.3f}")


def print_bar(outcome: Mapping[str, list[Result]], halves: Sequence[str]) -> None:
    """The rows that are large enough and below the better peer."""
    verdicts = {name: verdict(outcome, halves, name) for name in rows(outcome)}
    judged = [name for name, said in verdicts.items() if said.startswith(("ok", "BELOW"))]
    below = [f"{name} ({said.removeprefix('BELOW ')})" for name, said in verdicts.items() if said.startswith("BELOW")]
    print(f"\n{' + '.join(halves)}: {len(judged)} kinds with {ENOUGH} spans and more that a peer knows;", end=" ")
    print(f"below {BAR} of the better peer's F1: {', '.join(below) or 'none'}")


def print_labels(texts: Iterable[Text]) -> None:
    """What each corpus labels; answers of other kinds are left out there."""
    print("labelled completely, and so judged, in")
    for corpus, labels in dict.fromkeys((text.corpus, text.labels) for text in texts):
        print(f"  {corpus}: {', '.join(labels)}")


def _knows(tool: str, name: str) -> bool:
    return tool in OURS or name in known(tool)


def _own(outcome: Mapping[str, list[Result]], tool: str) -> list[str]:
    return [name for name in rows(outcome) if _knows(tool, name)]


def _micro(tally: Tally, halves: Sequence[str], names: Sequence[str]) -> Score:
    return score(tally, halves, names)


def _macro(tally: Tally, halves: Sequence[str], names: Sequence[str]) -> Score:
    each = [one for one in (score(tally, halves, [name]) for name in names) if one.n]
    count = len(each) or 1
    return Score(0, sum(one.precision for one in each) / count, sum(one.recall for one in each) / count)


def by_form(
    outcome: Mapping[str, list[Result]], name: str, halves: Sequence[str] = HALVES
) -> dict[str, dict[str, tuple[int, int, int]]]:
    """Form (its part before the dot) to tool to gold, found, named."""
    out: dict[str, dict[str, tuple[int, int, int]]] = {}
    for tool, tried in outcome.items():
        if not _knows(tool, name):
            continue
        for (half, row_name, form), counts in tried[0].tally.forms.items():
            if row_name == name and half in halves:
                group = form if name != "secret" and name != "pii.national_id" else form.split(".")[0]
                known_before = out.setdefault(group, {}).get(tool, (0, 0, 0))
                out[group][tool] = tuple(a + b for a, b in zip(known_before, counts, strict=True))  # type: ignore[assignment]
    return out


def print_forms(outcome: Mapping[str, list[Result]], name: str) -> None:
    """Recall by issuer or country: n, and for each tool found, and named as what it is."""
    print(f"\n{name}, recall (and with the right name) by form, both halves")
    forms = by_form(outcome, name)
    for form in sorted(forms):
        cells = []
        for tool, (gold, found, named) in forms[form].items():
            asked = name != "pii.national_id" or tool in OURS or form in countries(tool)
            cells.append(f"{tool} {found / gold:.2f} ({named / gold:.2f})" if asked else f"{tool} -")
        print(f"  {form:18} {next(iter(forms[form].values()))[0]:5}  " + "  ".join(f"{cell:28}" for cell in cells))


def print_calibration(result: Result) -> None:
    print(f"\n{result.tool}: how often matches of a confidence are right (labelled and benign texts)")
    for low, high in pairwise(BINS):
        count, right = result.bins[low]
        print(f"  {low:.2f} to {min(high, 1.0):.2f}: {right / count if count else float('nan'):.3f}  n {count}")


def print_alarms(outcome: Mapping[str, list[Result]]) -> None:
    print("\nfalse alarms in benign texts, by confidence")
    for tool, tried in outcome.items():
        alarms = tried[0].alarms
        at = ", ".join(f">= {edge:g}: {alarms.texts[edge]}" for edge in BINS[:-1])
        print(f"  {tool} (threshold {tried[0].threshold:g}), texts with one, of {alarms.total}: {at}")
        for name in sorted({name for name, _ in alarms.rows}):
            counts = {edge: alarms.rows[name, edge] for edge in (0.0, *BINS[:-1]) if alarms.rows[name, edge]}
            print(f"    {name:22} " + "  ".join(f"{edge:g}+: {count}" for edge, count in counts.items()))
        if tool in OURS and alarms.unlabelled:
            print(
                "    not judged (may be true): "
                + ", ".join(f"{kind} {count}" for kind, count in sorted(alarms.unlabelled.items()))
            )


def as_json(outcome: Mapping[str, list[Result]]) -> dict[str, object]:
    """Everything that is printed, and more: scores by half, row and threshold, forms, bins, alarms."""
    out: dict[str, object] = {}
    for tool, tried in outcome.items():
        out[tool] = [
            {
                "threshold": result.threshold,
                "scores": {
                    half: {name: score(result.tally, (half,), [name])._asdict() for name in _own(outcome, tool)}
                    for half in HALVES
                },
                "forms": {" ".join(key): counts for key, counts in result.tally.forms.items()},
                "bins": {str(edge): counts for edge, counts in result.bins.items()},
                "alarms": {f"{name} {edge:g}": count for (name, edge), count in result.alarms.rows.items()},
                "texts_with_alarm": {str(edge): count for edge, count in result.alarms.texts.items()},
            }
            for result in tried
        ]
    out["bar"] = {half: {name: verdict(outcome, (half,), name) for name in rows(outcome)} for half in HALVES}
    return out
