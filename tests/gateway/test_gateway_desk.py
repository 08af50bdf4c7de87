"""The desk without a network: verdicts that are late, records that nobody has time for, an audit log that cannot be written."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from gateway_running import IBAN, write_policy

from leeward.ai.catalogue import default_catalogue
from leeward.data.exchange import Inspector
from leeward.data.hashing import Keyed
from leeward.data.standard import standard_scanner
from leeward.gateway import desk as module
from leeward.gateway.desk import Conversation, Desk, Ruling
from leeward.gateway.routes import Target
from leeward.gateway.worker import Worker
from leeward.model.exchange import Exchange
from leeward.model.net import Endpoint
from leeward.policy.audit import Audit, AuditError
from leeward.policy.policies import Decision
from leeward.policy.reload import Reloader

CLIENT, OURS = Endpoint("192.0.2.1", 40000), Endpoint("192.0.2.2", 8421)
OPENAI = Target("https", "api.openai.com", 443)


def request(text: str) -> bytes:
    body = json.dumps({"model": "gpt-4o", "messages": [{"role": "user", "content": text}]})
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: api.openai.com\r\nContent-Length: {len(body)}\r\n\r\n"
    return (head + body).encode()


@contextmanager
def desk(folder: Path, fail: str = "open", kind: type[Desk] = Desk) -> Iterator[tuple[Desk, list[Any]]]:
    keyed = Keyed(bytes(32))
    told: list[Any] = []
    reloader = Reloader([write_policy(folder / "policy.yaml", fail=fail)])
    made = kind(
        default_catalogue(), reloader, Inspector(standard_scanner(None, keyed), keyed),
        Audit(folder / "audit.jsonl"), "origin", told.extend,
    )  # fmt: skip
    yield made, told
    made.close()


async def begun(made: Desk) -> Conversation:
    talk, refused = await made.of(made.begin, await made.of(made.arrived, CLIENT, OURS), OPENAI)
    assert refused == ""
    return talk


class Slow(Desk):
    """Decides when it is let."""

    let = threading.Event()

    def decide(self, stage: str, facts: Mapping[str, Any]) -> list[Decision]:
        assert self.let.wait(60)
        return super().decide(stage, facts)


@pytest.mark.parametrize(("fail", "action"), [("open", "allow"), ("closed", "block")])
def test_a_verdict_that_is_late(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fail: str, action: str) -> None:
    monkeypatch.setattr(module, "_LATEST_S", 0.01)
    Slow.let.clear()
    with desk(tmp_path, fail, Slow) as (made, told):

        async def ask() -> Ruling:
            talk = await begun(made)
            data = request(IBAN)
            ruling = await made.ruling(talk, data, len(data))
            Slow.let.set()
            if ruling.action == "allow":
                made.record(len(data), made.sent, talk, None, data)
            made.record(0, made.over, talk)
            return ruling

        assert asyncio.run(ask()).action == action
    assert made.counters["verdicts_late"] == 1
    exchanges = [record for record in told if isinstance(record, Exchange)]
    assert [(one.verdict["action"], one.verdict["why"]) for one in exchanges if one.verdict] == [(action, "deadline")]
    rules = {record.rule for record in told if not isinstance(record, Exchange)}
    assert ("policy-bypassed" in rules) == (action == "allow")


def test_what_is_too_much_to_record_is_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MOST_WAITING", 10)
    with desk(tmp_path) as (made, told):

        async def talk() -> None:
            one, data = await begun(made), request("hello")
            await made.ruling(one, data, len(data))
            made.record(len(data), made.sent, one, None, data)
            made.record(0, made.over, one)

        asyncio.run(talk())
    assert made.counters["pieces_not_recorded"] == 1
    assert told == []


def test_what_cannot_be_written_down_is_not_done(tmp_path: Path) -> None:
    with desk(tmp_path) as (made, told):

        async def ask() -> Ruling:
            talk, data = await begun(made), request(IBAN)
            (tmp_path / "audit.jsonl").unlink()
            (tmp_path / "audit.jsonl").mkdir()
            return await made.ruling(talk, data, len(data))

        with pytest.raises(AuditError):
            asyncio.run(ask())
    assert told == []


def test_a_stage_that_goes_wrong_is_not_swallowed(tmp_path: Path) -> None:
    def wrong() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), desk(tmp_path) as (made, _):
        made.record(0, wrong)


def test_verdicts_come_before_records() -> None:
    worker, gate, made = Worker("test"), threading.Event(), list[str]()
    worker.submit(gate.wait, urgent=False)
    for name in ("a", "b"):
        worker.submit(partial(made.append, f"record {name}"), urgent=False)
        worker.submit(partial(made.append, f"verdict {name}"), urgent=True)
    gate.set()
    worker.close()
    assert made == ["verdict a", "verdict b", "record a", "record b"]
