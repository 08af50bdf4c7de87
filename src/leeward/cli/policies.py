"""What the commands that enforce policies share: the option, and where the files are."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from leeward.data.hashing import Keyed
from leeward.enforce.judge import scanner_for
from leeward.guard import Enforced
from leeward.policy.audit import Audit
from leeward.policy.policies import Policies
from leeward.store.paths import ensure_private_dir

PolicyFiles = Annotated[
    list[Path],
    typer.Option("--policy", help="A policy file, or a folder of them; may be repeated. See `leeward policy --help`."),
]
FOLDER, AUDIT = "policies", "audit.jsonl"


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
