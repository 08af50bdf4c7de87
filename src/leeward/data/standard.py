"""What Leeward looks for without and with the user's configuration: our recognizers and finders, and theirs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from leeward.data.custom import load_custom
from leeward.data.gazetteer_finder import NameLists
from leeward.data.hashing import Keyed
from leeward.data.recognizer import built_in
from leeward.data.scanner import Finder, Scanner
from leeward.data.source_code import CodeFinder


def standard_scanner(config: Path | None = None, keyed: Keyed | None = None) -> Scanner:
    """config: the user's data.yaml; keyed: with which its indexes were made. Raises InputError."""
    recognizers = {recognizer.id: recognizer for recognizer in built_in()}
    finders: Sequence[Finder] = [CodeFinder()]
    if config is not None and keyed is not None:
        custom = load_custom(config, keyed)
        recognizers |= {recognizer.id: recognizer for recognizer in custom.recognizers}
        finders = custom.finders
    scanner = Scanner(list(recognizers.values()), [NameLists.default(), *finders])
    if config is not None:
        scanner.ready()  # the user is to hear of a wrong pattern now
    return scanner
