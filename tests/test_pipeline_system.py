"""System calls on their way through the pipeline."""

from __future__ import annotations

import pytest

from leeward.ai.catalogue import load_catalogue
from leeward.data.exchange import Inspector
from leeward.data.hashing import Keyed
from leeward.data.lineage import Lineage
from leeward.data.standard import standard_scanner
from leeward.model.activity import Activity, System
from leeward.model.finding import Finding
from leeward.model.process import NOBODY, Process, Workload
from leeward.model.raw import ProcessExec, ProcessExited, ProcessStarted, SystemCalled
from leeward.pipeline import Pipeline, Settings


class Processes:
    """Processes with numbers below 100 are of one workload, the others each of their own."""

    def feed(self, event: ProcessStarted | ProcessExec | ProcessExited) -> None: ...

    def get(self, pid: int, ts: int) -> Process:
        name = "one" if pid < 100 else str(pid)
        return Process(pid, 1, f"/bin/{pid}", (), "", 0, "", (), "", Workload(f"exe:{name}", name, "executable"))

    def stdio_client(self, pid: int, pipe: int, ts: int) -> int:
        return 0


CARD = "4111111111111111"


def activities(*events: SystemCalled, watched: range = range(1000)) -> list[Activity]:
    told: list[Activity] = []
    settings = Settings("origin", watched=watched.__contains__, record=told.append)
    pipeline = Pipeline(settings, load_catalogue(), Processes())
    for event in events:
        pipeline.feed(event)
    return told


@pytest.mark.parametrize(("sender", "target", "told"), [(1, 2, 0), (1, 100, 1), (100, 101, 1)])
def test_only_signals_to_another_workload_are_told(sender: int, target: int, told: int) -> None:
    assert len(activities(SystemCalled(1, sender, "kill", number=9, target=target))) == told


def test_an_activity_has_who_did_it_and_to_whom() -> None:
    (found,) = activities(SystemCalled(1, 7, "ptrace", number=16, target=8))
    assert isinstance(found, System)
    assert (found.process.exe, found.target and found.target.exe, found.number) == ("/bin/7", "/bin/8", 16)


def test_the_hosts_own_changes_are_nobodys() -> None:
    (found,) = activities(SystemCalled(1, 0, "route", "10.0.0.0/8", "tun0"), watched=range(0))
    assert found.process == NOBODY


def test_others_are_not_shown() -> None:
    assert activities(SystemCalled(1, 7, "memfd", source="x"), watched=range(8, 9)) == []


def test_customers_numbers_in_paths_are_kept_nowhere() -> None:
    """Files are masked as they are seen; of requests, whose ids tell who walks through them, only what a finding quotes."""
    keyed = Keyed(b"k" * 32)
    told: list[Activity] = []
    inspector = Inspector(standard_scanner(), keyed, Lineage(keyed))
    pipeline = Pipeline(Settings("origin", record=told.append), load_catalogue(), Processes(), inspector=inspector)
    pipeline.feed(SystemCalled(1, 7, "open", path=f"/home/a/.aws/card-{CARD}", label="cloud-credentials"))
    (found,) = told
    assert isinstance(found, System)
    assert found.path.startswith("/home/a/.aws/card-")
    assert CARD not in found.path
    evidence = [
        {"type": "http", "path": f"/pay/{CARD}"},
        {"type": "http", "paths": [f"/pay/{CARD}", "/pay"], "answered": 2},
    ]
    fresh = Finding(
        id="1", rule="api-access-violation", title="walks", severity="low", confidence=0.5, evidence=evidence
    )
    (kept,) = pipeline.discovery.findings.add(fresh, 1)
    assert CARD not in str(kept)
    assert kept.evidence[1]["paths"][1] == "/pay"
    assert kept.evidence[1]["answered"] == 2
