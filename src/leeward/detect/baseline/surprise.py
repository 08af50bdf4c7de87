"""How surprising something new is: minus the binary logarithm of the chance that a period brings anything new.

Theory. A workload's innovations are Bernoulli trials, one a period: something is new in it, or nothing is (Good and Turing's
unseen mass, in time instead of in draws). With the estimator of Krichevsky and Trofimov the chance after T periods, D of them
with news, is (D + 1/2) / (T + 1): a crawler that sees new hosts in every period is never surprised by one; one that saw its three
hosts in its first minutes and nothing new in a week is, by log2(1009 / 1.5) = 9.4 bits. A prior (same image, imported, node)
takes the place of the half: its chance, with the weight of as many periods.

Invariant: no surprise exceeds what was learned: at most log2(2 (T + weight of the prior + 1)) bits.
"""

from __future__ import annotations

import math

import msgspec

PERIOD_S = 600
PERIOD_NS = PERIOD_S * 10**9
DAY = 86400 // PERIOD_S  # periods
_CLASSES = 14
_ENOUGH = 10.0  # periods at an age before the node's own rate of news at that age is worth more than a half
_NODE_WEIGHT = 6.0  # an hour's worth: soon outweighed by what the workload itself does


class Prior(msgspec.Struct, frozen=True):
    """What is expected before the workload itself was seen. kind: "imported" | "same image" | "node" | "none".
    chance: of news in a period. weight: in periods."""

    kind: str
    chance: float
    weight: float


NO_PRIOR = Prior("none", 0.5, 1.0)


def chance_of_news(novel: float, periods: float, prior: Prior) -> float:
    """Between 0 and 1, neither reached. novel: periods with news, of `periods`."""
    least = 0.5 / (periods + prior.weight + 1)
    return min(1.0, max(least, (novel + prior.chance * prior.weight) / (periods + prior.weight)))


def bits(chance: float) -> float:
    return -math.log2(chance) if chance < 1 else 0.0


class News(msgspec.Struct, array_like=True):
    """How often workloads of this node see news of one feature, by how long they were known, and whether it is new to the node
    too.

    periods, novel: by age class (the binary logarithm of the periods known). fresh: news of workloads known for a day;
    new_to_node: those of them that no other workload here knew. All decayed."""

    periods: list[float] = msgspec.field(default_factory=lambda: [0.0] * _CLASSES)
    novel: list[float] = msgspec.field(default_factory=lambda: [0.0] * _CLASSES)
    fresh: float = 0.0
    new_to_node: float = 0.0

    def saw(self, known: float, first_in_period: bool, new_to_node: bool) -> None:
        """A workload that has been known for so many periods sees something new."""
        self.novel[age_class(known)] += first_in_period
        if known >= DAY:
            self.fresh += 1
            self.new_to_node += new_to_node

    def prior(self, known: float, lived: list[float]) -> Prior:
        """The chance of news at this age, from all workloads here. lived: periods by age class."""
        age = age_class(known)
        if lived[age] < _ENOUGH:
            return NO_PRIOR
        return Prior("node", min(1.0, (self.novel[age] + 0.5) / (lived[age] + 1)), _NODE_WEIGHT)

    def node_bits(self) -> float:
        """What it adds that something is new to the whole node."""
        return bits(min(1.0, (self.new_to_node + 0.5) / (self.fresh + 1)))

    def decay(self, factor: float) -> None:
        self.periods = [n * factor for n in self.periods]
        self.novel = [n * factor for n in self.novel]
        self.fresh *= factor
        self.new_to_node *= factor

    def sound(self) -> bool:
        """Is this what this module can have written?"""
        numbers = [*self.periods, *self.novel, self.fresh, self.new_to_node]
        return len(self.periods) == len(self.novel) == _CLASSES and all(0 <= n < 1e15 for n in numbers)


def age_class(known: float) -> int:
    return min(_CLASSES - 1, int(known).bit_length())
