"""What the commands that look for sensitive data share: options, the user's configuration, the model."""

from __future__ import annotations

import sys
import threading
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from leeward.data.exchange import Inspector
from leeward.data.hashing import Keyed
from leeward.data.lineage import Lineage
from leeward.data.model import NameModel, why_not
from leeward.data.scanner import Scanner
from leeward.data.standard import standard_scanner
from leeward.store.paths import state_dir

DataConfig = Annotated[
    Path | None,
    typer.Option(
        "--data-config",
        envvar="LEEWARD_DATA_CONFIG",
        help="Your own patterns, dictionaries, exact data and fingerprints (YAML); else data.yaml in the state directory.",
    ),
]
UseModel = Annotated[
    bool | None,
    typer.Option("--model/--no-model", help="The model for names and addresses; by default where it is installed."),
]
_CONFIG_NAME = "data.yaml"


class Looking(msgspec.Struct, frozen=True):
    """What sensitive data is, on this installation: our recognizers and the user's."""

    scanner: Scanner
    keyed: Keyed

    def ready(self) -> None:
        """Compiles the recognizers before anything is observed: the first payload must not wait for it."""
        saying = "level=info event=preparing what='recognizers are compiled, once on this host: it takes some tens of seconds'"
        said = threading.Timer(1.0, lambda: print(saying, file=sys.stderr, flush=True))
        said.start()
        try:
            self.scanner.ready()
        finally:
            said.cancel()

    def inspector(self) -> Inspector:
        return Inspector(self.scanner, self.keyed, Lineage(self.keyed))


def looking(key: bytes, config: Path | None, state: Path | None = None) -> Looking:
    """Raises InputError if a file of the configuration is wrong."""
    keyed = Keyed(key)
    usual = (state or state_dir()) / _CONFIG_NAME
    path = config or (usual if usual.exists() else None)
    return Looking(standard_scanner(path, keyed), keyed)


def name_model(wanted: bool | None) -> NameModel | None:
    """The model, if it is wanted and there; says on stderr why not, when it is missing."""
    if wanted is False:
        return None
    model = NameModel.load()
    if model is None:
        level = "error" if wanted else "info"
        print(
            f"level={level} event=no_model what='names and addresses by patterns only' why='{why_not()}'",
            file=sys.stderr,
        )
    return model
