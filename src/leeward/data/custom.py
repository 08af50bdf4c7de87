"""What is sensitive for the user: patterns, dictionaries, tables, documents, hosts and code of their own, from one YAML file.

The fields are explained in custom.schema.json. Every complaint names file and line.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec

from leeward.ai.datafile import Record, Schema, load_yaml
from leeward.data.checks import find_check
from leeward.data.dictionary import DictionaryFinder
from leeward.data.exact import ExactFinder, ExactIndex
from leeward.data.fingerprints import DocumentFinder, FingerprintIndex
from leeward.data.hashing import Keyed
from leeward.data.recognizer import Recognizer, load_recognizers, words
from leeward.data.scanner import Finder, Scanner
from leeward.data.source_code import CodeFinder
from leeward.model.errors import InputError

_SCHEMA = Path(__file__).parent / "custom.schema.json"
_CONFIDENCE, _HOST = 0.9, 0.95
_MOST_WORDS = 200_000
_MOST_FILE = 8 << 20


class Custom(msgspec.Struct):
    """recognizers: to be put beside ours, in the place of those that have the same id. finders: for Scanner."""

    recognizers: list[Recognizer]
    finders: list[Finder]


def load_custom(path: Path, keyed: Keyed) -> Custom:
    """The configuration in `path`. Raises InputError "file:line: field: what is wrong"."""
    document = load_yaml(path, Schema.read(_SCHEMA))
    folder = path.parent
    recognizers = load_recognizers(folder / name for name in document.get("recognizers", ()))
    recognizers += [_pattern(record, path) for record in document.get("patterns", ())]
    if document.get("hosts"):
        recognizers.append(_hosts(document["hosts"], f"{path}:{document.lines['hosts']}"))
    _once(recognizers, path)
    finders: list[Finder] = [CodeFinder(document.get("owners", ()))]
    finders += [_dictionary(record, path) for record in document.get("dictionaries", ())]
    for record in document.get("exact", ()):
        index = ExactIndex.load(folder / record["index"], keyed)
        finders.append(ExactFinder(record["name"], index, record.get("together", 1)))
    for record in document.get("fingerprints", ()):
        finders.append(DocumentFinder(record["name"], FingerprintIndex.load(folder / record["index"], keyed)))
    return Custom(recognizers, finders)


def _once(recognizers: Iterable[Recognizer], path: Path) -> None:
    seen: dict[str, str] = {}
    for recognizer in recognizers:
        if recognizer.id in seen:
            raise InputError(
                f"{recognizer.source}: name: {recognizer.id} is given twice, first at {seen[recognizer.id]}"
            )
        seen[recognizer.id] = recognizer.source or str(path)


def _pattern(record: Record, path: Path) -> Recognizer:
    source = f"{path}:{record.line}"
    whole = record.get("whole_words", True)
    pattern = rf"\b(?:{record['pattern']})\b" if whole else record["pattern"]
    try:
        re.compile(pattern)
        checks = tuple(find_check(name) for name in record.get("check", ()))
    except (re.error, ValueError) as error:
        raise InputError(f"{source}: {record['name']}: {error}") from error
    confidence = record.get("confidence", _CONFIDENCE)
    recognizer = Recognizer(
        id=record["name"],
        kind=record.get("kind", f"custom.{record['name']}"),
        patterns=(pattern,),
        confidence=confidence,
        with_context=record.get("with_context", confidence),
        caseless=record.get("caseless", False),
        checks=checks,
        context=words(record.get("context", ())),
        match=tuple(record.get("examples", ())),
        source=source,
    )
    _try(recognizer)
    return recognizer


def _try(recognizer: Recognizer) -> None:
    """Compiles the pattern and looks whether it finds its examples, so that the user hears of it now."""
    scanner = Scanner([recognizer])
    scanner.ready()
    for example in recognizer.match:
        if not scanner.scan_text(example, 0.0):
            raise InputError(f"{recognizer.source}: examples: {recognizer.id} does not match {example}")


def _dictionary(record: Record, path: Path) -> DictionaryFinder:
    complaint = f"{path}:{record.line}: {record['name']}"
    entries = {*record.get("words", ()), *_lines(record, path)}
    if not entries:
        raise InputError(f"{complaint}: has no words: give words or file")
    if len(entries) > _MOST_WORDS:
        raise InputError(f"{complaint}: has more than {_MOST_WORDS} words: make an exact index of them")
    try:
        return DictionaryFinder(
            record["name"], entries, record.get("confidence", _CONFIDENCE), record.get("caseless", True)
        )
    except ValueError as error:
        raise InputError(f"{complaint}: {error}") from error


def _lines(record: Record, path: Path) -> Iterator[str]:
    if "file" not in record:
        return
    name = path.parent / record["file"]
    try:
        with name.open(encoding="utf-8-sig") as file:
            text = file.read(_MOST_FILE + 1)
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}:{record.lines['file']}: file: {name} cannot be read: {error}") from error
    if len(text) > _MOST_FILE:
        raise InputError(f"{path}:{record.lines['file']}: file: {name} is longer than {_MOST_FILE >> 20} MiB")
    yield from (line.strip() for line in text.splitlines() if len(line.strip()) > 1 and not line.startswith("#"))


def _hosts(suffixes: Iterable[str], source: str) -> Recognizer:
    names = "|".join(sorted(re.escape(suffix.lower().strip(".")) for suffix in suffixes))
    return Recognizer(
        id="own-host",
        kind="internal.host",
        patterns=(rf"\b[a-z0-9_-][a-z0-9_.-]*\.(?:{names})\b",),
        confidence=_HOST,
        with_context=_HOST,
        caseless=True,
        source=source,
    )
