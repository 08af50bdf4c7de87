"""Who can reach a workload and who did, and that findings say so."""

from __future__ import annotations

from network_activities import NOON, SECOND, connection, flow, process, seen

from leeward.detect.detector import occurrence
from leeward.detect.findings import Findings
from leeward.detect.reach import Reach
from leeward.model.activity import Ended, System

SHOP = "systemd:shop.service"


def test_posture_of_a_server() -> None:
    reach, who = Reach(), process()
    for address in ("127.0.0.1", "10.0.0.5", "0.0.0.0"):
        listener = flow(address, 8080, direction="inbound", src="0.0.0.0", source_port=0, pid=who.pid)
        listener.state = "listening"
        reach.feed(seen(who, listener, NOON, began=True))
    for n, src in enumerate(("203.0.113.5", "203.0.113.6", "10.0.0.7", "127.0.0.1")):
        reach.feed(seen(who, flow("10.0.0.5", 8080, src=src, direction="inbound"), NOON + n * SECOND, began=True))
    for activity in connection(who, "198.51.100.4", NOON, domain="api.example.com"):
        reach.feed(activity)
    reach.feed(System(ts=NOON, kind="route", path="0.0.0.0/0", source="via 10.9.0.1 dev tun0"))
    reach.feed(System(ts=NOON, kind="device", source="tun0", label="tun"))
    posture = reach.posture(SHOP)
    assert posture is not None
    assert posture["exposure"] == "any"
    assert [one["exposure"] for one in posture["listening"]] == ["loopback", "private", "any"]
    inbound = posture["inbound"]
    assert (inbound["outside"], inbound["inside"], inbound["this_host"]) == (2, 1, 1)
    assert [peer["peer"] for peer in inbound["peers"][:2]] == ["203.0.113.6", "203.0.113.5"]
    assert posture["outbound"]["destinations"][0]["peer"] == "api.example.com"
    assert posture["routes"][0]["over"] == "via 10.9.0.1 dev tun0"
    assert posture["devices"][0]["kind"] == "tun"


def test_a_process_that_ends_listens_no_longer() -> None:
    reach, who = Reach(), process()
    listener = flow("0.0.0.0", 8080, direction="inbound", src="0.0.0.0", source_port=0, pid=who.pid)
    listener.state = "listening"
    reach.feed(seen(who, listener, NOON, began=True))
    reach.feed(Ended(ts=NOON, process=who))
    posture = reach.posture(SHOP)
    assert posture is not None
    assert posture["exposure"] == ""


def test_it_is_bounded() -> None:
    reach, who = Reach(), process()
    for n in range(1000):
        reach.feed(seen(who, flow(f"198.51.{n >> 8}.{n & 255}"), NOON + n, began=True))
        reach.feed(System(ts=NOON, kind="route", path=str(n), source="dev eth0"))
    posture = reach.posture(SHOP)
    assert posture is not None
    assert posture["outbound"]["outside"] == 1000
    assert len(posture["outbound"]["destinations"]) == 8
    assert reach.counters["reach_peers_evicted"] == 1000 - 256


def test_a_finding_carries_it_from_its_first_telling_on() -> None:
    reach, who, findings = Reach(), process(), Findings()
    findings.posture = reach.posture
    for activity in connection(who, "198.51.100.4", NOON):
        reach.feed(activity)
    for n in range(2):
        told = findings.add(occurrence("beaconing", who, NOON, ""), NOON + n * 2 * SECOND)
        assert told[0].network is not None
        assert told[0].network["outbound"]["outside"] == 1


def test_a_workload_without_traffic() -> None:
    assert Reach().posture(SHOP) is None
    assert Reach().posture("") is None
