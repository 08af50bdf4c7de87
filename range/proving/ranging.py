"""`leeward range list|run|record`: scenarios under the real sensor or from recorded logs, judged, in a table.

The command is in leeward/cli/range.py; this is what it does.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from leeward.ai.catalogue import Catalogue, load_catalogue
from leeward.detect.eventlog import SUFFIX, read_log, write_log
from leeward.model.errors import InputError
from proving.files import REPOSITORY
from proving.judge import DAY_S, Verdict, judge, told_of
from proving.scenario import Scenario, scenarios
from proving.world import ScenarioError

RECORDED = REPOSITORY / "tests/range/recorded"
HEADS = ("scenario", "kind", "expected", "found", "seconds to detect", "margin", "incidents", "told", "wrong")


def chosen(names: Iterable[str]) -> list[Scenario]:
    """By name, or by kind ("attack", "honest"), or all."""
    known = scenarios()
    picked: dict[str, Scenario] = {}
    for name in names:
        fits = {n: s for n, s in known.items() if name in ("all", n, s.kind)}
        if not fits:
            raise InputError(f"{name}: no such scenario: leeward range list names them")
        picked |= fits
    return list(picked.values())


def recorded_path(scenario: Scenario) -> Path:
    """Where its log is kept."""
    return RECORDED / f"{scenario.name}{SUFFIX}"


def verdicts(picked: Iterable[Scenario], *, recorded: bool, day: bool = False) -> Iterator[Verdict]:
    """Runs each and judges it. recorded: from its log, for which nothing is started. day: over 24 hours, of those that say so."""
    catalogue = load_catalogue()
    for scenario in picked:
        if recorded:
            yield from _judged(scenario, recorded_path(scenario), catalogue, day)
        elif reason := scenario.missing():
            yield Verdict(scenario.name, scenario.kind, scenario.title, [], {}, skipped=reason)
        else:
            yield _live(scenario, catalogue)


def _judged(scenario: Scenario, path: Path, catalogue: Catalogue, day: bool) -> Iterator[Verdict]:
    log = read_log(path)
    if not day:
        yield judge(scenario, log, told_of(scenario, log, catalogue))
    elif scenario.day:
        yield judge(scenario, log, told_of(scenario, log, catalogue, seconds=DAY_S), DAY_S)


def _live(scenario: Scenario, catalogue: Catalogue) -> Verdict:
    from proving.recording import record

    try:
        made = record(scenario)
    except ScenarioError as error:
        problem = [f"it did not happen: {error}"]
        return Verdict(scenario.name, scenario.kind, scenario.title, [], {}, problems=problem)
    told = told_of(scenario, made.log, catalogue)
    if not scenario.minutes:  # what was found while it happened counts, with the time at which it was told
        told = msgspec.structs.replace(told, findings=made.findings, incidents=made.incidents, first=made.first)
    verdict = judge(scenario, made.log, told)
    verdict.problems += [f"the sensor lost {count} ({name})" for name, count in made.lost.items()]
    return verdict


def keep(picked: Iterable[Scenario]) -> Iterator[tuple[Scenario, Path, str]]:
    """Runs each and writes its log; with the reason for those that could not be."""
    from proving.recording import record

    RECORDED.mkdir(parents=True, exist_ok=True)
    for scenario in picked:
        reason = scenario.missing()
        if not reason:
            try:
                made = record(scenario)
                write_log(recorded_path(scenario), made.log)
                reason = "lost: " + ", ".join(made.lost) if made.lost else ""
            except ScenarioError as error:
                reason = str(error)
        yield scenario, recorded_path(scenario), reason


def row(verdict: Verdict) -> tuple[str, ...]:
    """For the table."""
    wrong = [*(f"missed {m}" for m in verdict.missed), *verdict.false_alarms, *verdict.problems]
    return (
        verdict.scenario,
        verdict.kind,
        " ".join(verdict.expected) or "-",
        " ".join(f"{rule}:{severity}" for rule, severity in verdict.found.items()) or "-",
        " ".join(f"{seconds:g}" for seconds in verdict.seconds.values()),
        " ".join(f"{rule}:{margin:.2g}" for rule, margin in verdict.margin.items()),
        str(verdict.incidents),
        _length(verdict.told_s),
        f"skipped: {verdict.skipped}" if verdict.skipped else "; ".join(wrong),
    )


def _length(seconds: float) -> str:
    return (
        f"{seconds:.0f} s"
        if seconds < 120
        else f"{seconds / 60:.0f} min"
        if seconds < 7200
        else f"{seconds / 3600:.0f} h"
    )


def as_record(verdict: Verdict) -> dict[str, Any]:
    """For JSON."""
    return {"type": "verdict", "good": verdict.good, **msgspec.to_builtins(verdict)}
