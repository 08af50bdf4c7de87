"""What Leeward looks for without and with the user's configuration: our recognizers and finders, and theirs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from leeward.data.gazetteer_finder import NameLists
from leeward.data.hashing import Keyed
from leeward.data.recognizer import built_in
from leeward.data.scanner import Finder, Scanner, every_kind
from leeward.data.source_code import CodeFinder


def standard_scanner(
    config: Path | None = None, keyed: Keyed | None = None, kinds: Callable[[str], bool] = every_kind
) -> Scanner:
    """config: the user's data.yaml; keyed: with which its indexes were made; kinds: whether a kind is looked for, as of Scanner.
    Raises InputError."""
    recognizers = {recognizer.id: recognizer for recognizer in built_in()}
    finders: Sequence[Finder] = [CodeFinder()]
    if config is not None and keyed is not None:
        from leeward.data.custom import load_custom  # few have a configuration

        custom = load_custom(config, keyed)
        recognizers |= {recognizer.id: recognizer for recognizer in custom.recognizers}
        finders = custom.finders
    scanner = Scanner(list(recognizers.values()), [NameLists.default(), *finders], kinds)
    if config is not None:
        scanner.ready()  # the user is to hear of a wrong pattern now
    return scanner
