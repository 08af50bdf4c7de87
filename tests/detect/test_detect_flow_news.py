"""What detectors are told of a flow: once that it began, and bytes that add up to its totals."""

from __future__ import annotations

from leeward.activities import Activities
from leeward.ai.catalogue import load_catalogue
from leeward.model.activity import FlowSeen
from leeward.model.net import Endpoint
from leeward.model.raw import SocketOpened, SocketStats
from leeward.wire.dns import NameTable
from leeward.wire.flows import FlowTable

HERE, THERE = Endpoint("10.0.0.5", 40000), Endpoint("203.0.113.7", 443)


def test_a_flow_begins_once_and_its_bytes_add_up() -> None:
    flows, activities = FlowTable("boot", NameTable()), Activities(load_catalogue().key_forms, None)
    socket = flows.opened(SocketOpened(1, 7, 0, "client", "tcp", HERE, THERE))
    told = [activities.flow(socket, 1, None)]
    for ts, total, closed in ((2, 100, False), (3, 250, False), (4, 300, True)):
        flows.stats(SocketStats(ts, 7, total, total * 2, 1, 1, closed))
        told.append(activities.flow(socket, ts, None))
    told.append(activities.flow(socket, 5, None))  # why its content is not visible, told after it closed
    seen = [activity for activity in told if isinstance(activity, FlowSeen)]
    assert [one.began for one in seen] == [True, False, False, False, False]
    assert [one.ended for one in seen] == [False, False, False, True, True]
    assert sum(one.sent for one in seen) == 300
    assert sum(one.received for one in seen) == 600


def test_the_same_addresses_again_are_another_flow() -> None:
    activities = Activities(load_catalogue().key_forms, None)
    for start in (1, 100):
        flows = FlowTable("capture", NameTable())
        socket = flows.opened(SocketOpened(start, 0, 0, "client", "tcp", HERE, THERE))
        socket.flow.bytes_sent = 500 // start
        told = activities.flow(socket, start, None)
        assert isinstance(told, FlowSeen)
        assert told.began
        assert told.sent == 500 // start
