"""A piece of sensitive data in a payload, and where it was seen before. The JSON of these structs is a contract (DESIGN §6)."""

from __future__ import annotations

import msgspec


class Origin(msgspec.Struct, frozen=True, omit_defaults=True):
    """Where the same value was seen before on this host.

    source: "sql" | "tool" | "vector" (a collection) | "response" (a model's answer). name: what a person calls it, e.g.
    `customers.email`. where: the system it came from, e.g. `postgresql://db/orders`. statement: the SQL statement without its
    literals. time: ISO 8601 of when. process: name of the program that got it.
    """

    source: str
    name: str
    where: str = ""
    statement: str = ""
    time: str = ""
    process: str = ""


class DataMatch(msgspec.Struct, kw_only=True, omit_defaults=True):
    """kind: DESIGN §6. path: JSONPath in the original payload, `$` for plain text. start, end: Unicode code points in the string
    at that path. inner: JSONPath inside that string, when it is JSON itself. confidence: 0 to 1, how often such a match is right.
    detector: recognizer id, `model:<name>`, `exact:<name>`; what had to be undone first stands before it (`base64>visa`).
    sample: masked, for people. hash: keyed, equal for equal values on this installation. side: "request" | "response".
    """

    kind: str
    path: str
    start: int
    end: int
    confidence: float
    detector: str
    sample: str
    hash: str
    side: str = ""
    inner: str = ""
    origins: list[Origin] = []
