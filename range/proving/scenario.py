"""What a scenario is: what happens, and the truth about it, written down before it is run.

The truth is what the behaviour is, not what a detector makes of it.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass, field

from proving.world import World, need


@dataclass(frozen=True)
class Must:
    """A rule that must fire. workload: text in the id of the workload that it is about; about: text in a name of its subject or
    in its title. within: seconds after the attack began, 0 if nothing is said."""

    rule: str
    workload: str = ""
    about: str = ""
    within: float = 0.0


@dataclass(frozen=True)
class Repeat:
    """How one of the scenario's loops goes on: seconds from one round to the next (0: as long as one took), ± a share."""

    every: float = 0.0
    jitter: float = 0.0


@dataclass(frozen=True)
class Scenario:
    """kind: "attack" | "honest".

    imitates: the public incident (ANCHORS part I §5) or the usual thing that it is in the small. run: does it. must: rules that
    have to fire. may: rules that fit as well (of honest ones: no louder than low all the same). must_not: rules that would be
    wrong; any finding above low is wrong in an honest one. incidents: how many of an attack; 0: not looked at.
    minutes: of how long it is told when judged, its loops repeated; 0: as long as it took. day: judged over 24 hours too.
    tools: programs that it needs. silence: seconds that are watched after it.
    """

    name: str
    title: str
    kind: str
    run: Callable[[World], None]
    imitates: str = ""
    must: tuple[Must, ...] = ()
    may: tuple[str, ...] = ()
    must_not: tuple[str, ...] = ()
    incidents: int = 1
    minutes: float = 0.0
    repeats: dict[str, Repeat] = field(default_factory=dict)
    day: bool = False
    tools: tuple[str, ...] = ()
    silence: float = 5.0

    def missing(self) -> str:
        """Why it cannot run here, "" if it can."""
        absent = need(*self.tools)
        return f"not installed: {' '.join(absent)}" if absent else ""


_known: dict[str, Scenario] = {}


def attack(name: str, title: str, **truth: object) -> Callable[[Callable[[World], None]], Scenario]:
    """Declares the function below it as an attack."""
    return _declare(name, title, "attack", truth)


def honest(name: str, title: str, **truth: object) -> Callable[[Callable[[World], None]], Scenario]:
    """Declares the function below it as an honest workload. It is told for ten minutes unless it says otherwise."""
    return _declare(name, title, "honest", {"minutes": 10.0, **truth})


def _declare(
    name: str, title: str, kind: str, truth: dict[str, object]
) -> Callable[[Callable[[World], None]], Scenario]:
    def declared(run: Callable[[World], None]) -> Scenario:
        if name in _known:
            raise ValueError(f"two scenarios are called {name}")
        if kind == "attack" and not truth.get("must"):
            raise ValueError(f"{name}: an attack that no rule must find")
        _known[name] = Scenario(name, title, kind, run, **truth)  # type: ignore[arg-type]
        return _known[name]

    return declared


def scenarios() -> dict[str, Scenario]:
    """All of them, attacks first."""
    import proving.scenarios as folder

    for module in pkgutil.iter_modules(folder.__path__):
        importlib.import_module(f"proving.scenarios.{module.name}")
    return dict(sorted(_known.items(), key=lambda item: (item[1].kind, item[0])))
