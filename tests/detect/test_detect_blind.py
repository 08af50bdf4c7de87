"""What cannot be seen is said."""

from __future__ import annotations

from api_acts import SECOND, SHOP, T0, call, told, worst

from leeward.detect.blind import BlindSpot
from leeward.model.activity import Blinded
from leeward.model.process import NOBODY


def blinded(at: int, what: str, reason: str = "", where: str = "", number: int = 1) -> Blinded:
    who = SHOP if what == "content" else NOBODY
    return Blinded(ts=T0 + at * SECOND, process=who, what=what, reason=reason, where=where, number=number)


def test_lost_events_rise_with_how_many() -> None:
    detector = BlindSpot()
    few = told(detector, blinded(1, "lost", "lost_payload", number=12))
    assert worst(few) == "low"
    assert few[0].evidence[0]["threshold"] == 10_000
    assert worst(told(detector, blinded(2, "lost", "lost_payload", number=20_000))) == "medium"
    assert worst(told(detector, blinded(4000, "lost", "lost_payload", number=5))) == "low"


def test_a_dark_conversation_is_one_finding_a_workload_and_reason() -> None:
    detector = BlindSpot()
    found = told(detector, [blinded(n, "content", "no symbols", "api.openai.com") for n in range(3)])
    assert {f.id for f in found} == {found[0].id}
    assert worst(found) == "low"
    other = told(detector, blinded(5, "content", "QUIC is seen as a flow only", "api.openai.com"))
    assert other[0].id != found[0].id


def test_what_could_be_read_and_went_dark_is_worse() -> None:
    detector = BlindSpot()
    assert told(detector, call(1)) == []
    assert worst(told(detector, blinded(2, "content", "no symbols", "api.openai.com"))) == "medium"
    assert worst(told(detector, blinded(3, "content", "no symbols", "api.mistral.ai"))) == "low"


def test_a_probe_that_is_gone() -> None:
    assert worst(told(BlindSpot(), blinded(1, "probe", "libssl.so.3"))) == "medium"
