"""What the commands that enforce policies share: the option, and where the files are."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from leeward.data.hashing import Keyed
from leeward.enforce.judge import scanner_for
from leeward.guard import Enforced
from leeward.model.errors import InputError
from leeward.policy.audit import Audit
from leeward.policy.policies import Policies
from leeward.store.paths import ensure_private_dir

PolicyFiles = Annotated[
    list[Path],
    typer.Option("--policy", help="A policy file, or a folder of them; may be repeated. See `leeward policy --help`."),
]
FOLDER, AUDIT = "policies", "audit.jsonl"
_LOOK_SECONDS = 2.0  # as often as the guard looks at the policies that it has


def enforced(paths: list[Path], key: bytes, config: Path | None, state: Path) -> Enforced | None:
    """The policies at these paths, else those in the state directory's folder `policies`; None if there are none. Raises
    InputError."""
    usual = state / FOLDER
    if not paths and usual.is_dir() and any(usual.glob("*.y*ml")):
        paths = [usual]
    if not paths:
        return None
    policies = Policies.load(paths)
    if policies.kinds:  # what the judge needs is compiled before anything is watched
        scanner_for(policies, config, Keyed(key)).ready()
    ensure_private_dir(state)
    return Enforced(tuple(path.resolve() for path in paths), key, config, Audit(state / AUDIT))


class FirstPolicies:
    """Where Leeward began without policies: looks whether somebody has put some into the usual folder since."""

    def __init__(self, key: bytes, config: Path | None, state: Path) -> None:
        self._key, self._config, self._state = key, config, state
        self._looked = time.monotonic()
        self._complaint = ""

    def step(self, enforce: Callable[[Enforced], None]) -> None:
        """Every two seconds. What is wrong with them is told on stderr, once; they are tried again."""
        if time.monotonic() - self._looked < _LOOK_SECONDS:
            return
        self._looked = time.monotonic()
        try:
            found = enforced([], self._key, self._config, self._state)
            if found is not None:
                enforce(found)
        except InputError as error:
            if str(error) != self._complaint:
                self._complaint = str(error)
                print(f"level=error event=policies_refused what={self._complaint!r}", file=sys.stderr)
