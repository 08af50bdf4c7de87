"""Every scenario's recorded log, judged: what must be found is found, what is honest is left alone."""

import gzip
import re
from pathlib import Path

import pytest
from proving.judge import judge, told_of
from proving.ranging import RECORDED, recorded_path
from proving.scenario import scenarios

from leeward.ai.catalogue import load_catalogue
from leeward.detect.eventlog import EventLog, read_log

CATALOGUE = load_catalogue()
#: What is not found yet as the truth wants it, and why. A scenario leaves this list when it is.
OPEN: dict[str, str] = {}
NAMES = [
    pytest.param(name, marks=pytest.mark.xfail(reason=OPEN[name], strict=True)) if name in OPEN else name
    for name in scenarios()
]


@pytest.mark.parametrize("name", NAMES)
def test_the_truth_holds(name: str) -> None:
    scenario = scenarios()[name]
    log = read_log(recorded_path(scenario))
    verdict = judge(scenario, log, told_of(scenario, log, CATALOGUE))
    assert verdict.activities > 0
    assert verdict.good, verdict


def test_no_log_is_left_over() -> None:
    assert {path.name for path in RECORDED.iterdir()} == {recorded_path(s).name for s in scenarios().values()}


def test_no_log_has_a_key_in_it() -> None:
    forms = re.compile(rb"sk-(?:proj|ant)-|T3BlbkFJ|AKIA[A-Z2-7]{16}|gsk_[A-Za-z0-9]{20}|AIza[A-Za-z0-9_-]{30}")
    assert [path.name for path in RECORDED.iterdir() if forms.search(gzip.decompress(path.read_bytes()))] == []


def test_logs_are_small() -> None:
    assert {path.name for path in RECORDED.iterdir() if path.stat().st_size > 150_000} == set()


def test_a_log_is_of_its_scenario() -> None:
    logs: dict[Path, EventLog] = {recorded_path(s): read_log(recorded_path(s)) for s in scenarios().values()}
    assert all(path.name.startswith(f"{log.head.name}.") for path, log in logs.items())
