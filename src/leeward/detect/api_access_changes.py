"""What a caller of an API was not let change, by kind of thing.

Invariants: pure; at most `MOST` things of one caller, names of at most `_LONGEST` characters.
"""

from __future__ import annotations

import msgspec

from leeward.detect.routes import route
from leeward.model.activity import HttpSeen

CHANGES = frozenset(("POST", "PUT", "PATCH", "DELETE"))  # RFC 9110, 9.2.1 and RFC 5789: the methods that are not safe
MOST = 48
_LONGEST = 64


class Thing(msgspec.Struct):
    """verbs: methods that were refused. refused, good: changes, since the first that was refused."""

    verbs: set[str]
    refused: int = 0
    good: int = 0


def thing_of(path: str) -> str:
    """What a change is of, the route without the id at its end: `/users` for `/users` (a new one) and for `/users/17`."""
    return route(path).template.removesuffix("/{}")[:_LONGEST]


def count_change(things: dict[str, Thing], activity: HttpSeen, refused: bool) -> None:
    """Reads do not count, and what is neither refused nor let in neither."""
    if activity.method not in CHANGES:
        return
    name = thing_of(activity.path)
    thing = things.get(name)
    if refused:
        if thing is None:
            if len(things) >= MOST:
                return
            thing = things[name] = Thing(verbs=set())
        thing.verbs.add(activity.method)
        thing.refused += activity.sampled
    elif activity.status < 400 and thing is not None:
        thing.good += activity.sampled
