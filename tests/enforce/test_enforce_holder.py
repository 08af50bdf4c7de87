"""What the holder has to say to an agent that is busy."""

from __future__ import annotations

from collections import Counter, deque

from leeward.enforce.holder import Holder
from leeward.enforce.messages import FromHolder, Receiver, Taken, pair


def test_what_the_agent_has_no_room_for_is_told_when_it_has() -> None:
    ours, theirs = pair()
    ours.setblocking(False)
    theirs.setblocking(False)
    holder = object.__new__(Holder)
    holder._agent, holder._unsent, holder.counters, holder.ended = ours, deque(), Counter(), False
    for number in range(3000):
        holder._to_agent(Taken(number, "x" * 2000))
    assert holder._unsent
    receiver, heard = Receiver(FromHolder), []
    while len(heard) < 3000:
        try:
            found = receiver.next(theirs)
        except BlockingIOError:
            holder._tell_agent()
            continue
        assert found is not None
        heard.append(found[0].pid)
    assert heard == list(range(3000))
    assert not holder._unsent
    assert not holder.counters
    for number in range(20_000):
        holder._to_agent(Taken(number, "x" * 2000))
    assert len(holder._unsent) == 4096
    assert holder.counters["agent_not_told"] > 10_000
    theirs.close()
    ours.close()
