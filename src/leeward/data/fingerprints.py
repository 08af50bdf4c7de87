"""Fingerprints of documents and source files: which of them a text has a part of, reflowed, re-indented, in other case.

An index has the keyed hashes of winnowed shingles (shingles.py) and the names of the documents, no text. What stands in many
documents of an index (headers, licences) says nothing about one and is left out. Invariants: 8 bytes a shingle; finding is
linear in the text and logarithmic in the index.
"""

from __future__ import annotations

import os
from array import array
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

from leeward.data import indexfile
from leeward.data.hashing import Keyed
from leeward.data.licences import header_of
from leeward.data.media import Reader
from leeward.data.shingles import hashes_of, spans_of, winnowed, words_of
from leeward.model.errors import InputError

_MAGIC = "leeward-fingerprints 1"
_DOCUMENT_BITS = 20
_MOST_DOCUMENTS = 1 << _DOCUMENT_BITS
_LEAST = 6
"""Shingles that must be found near each other: 60 words in a row have as many (shingles.py: one in each 8 of their 53 hashes)."""
_NEAR = 48  # words from one found shingle to the next
_DENSE = 0.35  # of the shingles there, how many must be the document's
_COMMON = 16  # documents with the same shingle: more, and it is a form that many share
_SURE = 12
_MOST_FILE = 8 << 20
_SKIPPED = frozenset(
    (
        ".git",
        ".hg",
        ".svn",
        "node_modules",
        "vendor",
        "third_party",
        "__pycache__",
        ".venv",
        "venv",
        "dist",
        "build",
        "target",
    )
)
_LICENCES = ("license", "licence", "copying", "notice", "copyright", "authors", "changelog")
_COMMENTS = ("#", "//", "/*", "*", "--", "<!--", '"""', "'''", ";", "%")
_HEADER_LINES = 80


class FingerprintIndex:
    """Documents by their shingles. Not for adding and finding by two threads."""

    def __init__(self, keyed: Keyed) -> None:
        self._keyed = keyed
        self._names: list[str] = []
        self._sizes = array("I")
        self._entries = array("Q")
        self._added: set[int] = set()

    def __len__(self) -> int:
        """How many documents it has."""
        return len(self._names)

    def add(self, name: str, text: str) -> int:
        """Adds a document; returns the number of its shingles (0: too short to be known again). Raises InputError if it is
        full."""
        kept = set(winnowed(hashes_of(words_of(text))))
        if len(kept) < _LEAST:
            return 0
        if len(self._names) == _MOST_DOCUMENTS:
            raise InputError(f"{name}: an index has at most {_MOST_DOCUMENTS} documents: make a second one")
        document = len(self._names)
        self._names.append(name)
        self._sizes.append(len(kept))
        self._added.update(self._key(value) << _DOCUMENT_BITS | document for value in kept)
        return len(kept)

    def _key(self, value: int) -> int:
        return self._keyed.number(f"{value:x}") >> _DOCUMENT_BITS

    def _ready(self) -> array[int]:
        """The entries in order, without those that many documents share."""
        if self._added:
            entries = sorted(self._added.union(self._entries))
            self._added = set()
            shared = Counter(entry >> _DOCUMENT_BITS for entry in entries)
            self._entries = array("Q", [entry for entry in entries if shared[entry >> _DOCUMENT_BITS] <= _COMMON])
        return self._entries

    def find(self, text: str) -> list[tuple[str, float, int, int]]:
        """(name, share of the document, first character, last) of each document of which there is enough in `text`."""
        return [(name, share, start, end) for name, share, start, end, _ in self.matches(text)]

    def matches(self, text: str) -> list[tuple[str, float, int, int, int]]:
        """The same with the number of shingles found."""
        hashes = hashes_of(words_of(text))
        kept = winnowed(hashes)
        entries = self._ready()
        found: dict[int, list[int]] = defaultdict(list)
        for position, value in enumerate(kept):
            key = self._key(value) << _DOCUMENT_BITS
            at = bisect_left(entries, key)
            while at < len(entries) and entries[at] < key + _MOST_DOCUMENTS:
                found[entries[at] - key].append(position)
                at += 1
        clusters = [
            (document, positions)
            for document, hits in found.items()
            if len(hits) >= _LEAST
            for positions in _clusters(hits)
        ]
        return self._placed(text, hashes, kept, clusters) if clusters else []

    def _placed(
        self, text: str, hashes: list[int], kept: list[int], clusters: list[tuple[int, list[int]]]
    ) -> list[tuple[str, float, int, int, int]]:
        """Clusters of kept shingles as characters."""
        where: dict[int, list[int]] = defaultdict(list)
        for word, value in enumerate(hashes):
            where[value].append(word)
        begins = _words_of_kept(kept, where)
        spans = spans_of(text)
        placed = []
        for document, positions in clusters:
            distinct = len({kept[position] for position in positions})
            first, last = begins[positions[0]], begins[positions[-1]] + len(spans) - len(hashes)
            if distinct >= _LEAST and last < len(spans):
                share = min(distinct / self._sizes[document], 1.0)
                placed.append((self._names[document], share, spans[first][0], spans[last][1], distinct))
        return sorted(placed, key=lambda match: (match[2], -match[4]))

    def save(self, path: Path) -> None:
        """Writes the index. Raises InputError."""
        entries = self._ready()
        indexfile.save(path, _MAGIC, self._keyed, {"names": self._names}, {"sizes": self._sizes, "entries": entries})

    @classmethod
    def load(cls, path: Path, keyed: Keyed) -> FingerprintIndex:
        """Reads an index that `save` wrote. Raises InputError."""
        header, arrays = indexfile.load(path, _MAGIC, keyed)
        names = header.get("names")
        index = cls(keyed)
        if (
            not isinstance(names, list)
            or len(names) != len(arrays["sizes"])
            or not all(isinstance(n, str) for n in names)
        ):
            raise InputError(f"{path}: is broken (names): make it again with `leeward data index`")
        index._names, index._sizes, index._entries = names, arrays["sizes"], arrays["entries"]
        mask = _MOST_DOCUMENTS - 1
        if any((entry & mask) >= len(names) for entry in index._entries) or 0 in index._sizes:
            raise InputError(f"{path}: is broken (documents): make it again with `leeward data index`")
        return index


def _words_of_kept(kept: list[int], where: dict[int, list[int]]) -> list[int]:
    """The word at which each kept shingle begins: those in order go on from word to word."""
    begins = []
    at = 0
    for value in kept:
        words = where[value]
        at = words[min(bisect_left(words, at), len(words) - 1)]
        begins.append(at)
    return begins


def _clusters(hits: list[int]) -> Iterator[list[int]]:
    """Runs of positions that are near each other and dense enough."""
    apart = _NEAR // 4  # kept shingles in as many words, about
    first = 0
    for number in range(1, len(hits) + 1):
        if number < len(hits) and hits[number] - hits[number - 1] <= apart:
            continue
        run = hits[first:number]
        first = number
        if len(run) >= _LEAST and len(run) >= _DENSE * (run[-1] - run[0] + 1):
            yield run


class DocumentFinder:
    """A Finder (scanner.py): passages of the documents of an index, as kind `custom.<name>`."""

    passages = True

    def __init__(self, name: str, index: FingerprintIndex) -> None:
        self._name = name
        self.kinds = (f"custom.{name}",)
        self._index = index

    def find(self, text: str) -> Iterator[tuple[str, int, int, float, str]]:
        """Detectors are `document:<name of the index>/<name of the document>`."""
        for document, _, start, end, shingles in self._index.matches(text):
            yield (
                f"custom.{self._name}",
                start,
                end,
                0.95 if shingles >= _SURE else 0.85,
                f"document:{self._name}/{document}",
            )


def build_fingerprints(paths: Iterable[Path], out: Path, keyed: Keyed) -> tuple[int, int]:
    """Makes an index of files and of all files in directories; (documents, files left out because they are short or no text)."""
    index = FingerprintIndex(keyed)
    left_out = 0
    for root in paths:
        for path, name in _files(root):
            text = _text(path)
            left_out += not (text and index.add(name, without_licence(text)))
    index.save(out)
    return len(index), left_out


def _files(root: Path) -> Iterator[tuple[Path, str]]:
    if root.is_file():
        yield root, root.name
        return
    if not root.is_dir():
        raise InputError(f"{root}: no such file or directory")
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(set(folders) - _SKIPPED)
        for name in sorted(names):
            path = Path(folder, name)
            if path.is_file() and not name.lower().startswith(_LICENCES):
                yield path, f"{root.name}/{path.relative_to(root)}"


def _text(path: Path) -> str:
    """The text of a text file, a PDF or an office file; "" for anything else."""
    try:
        with path.open("rb") as file:
            raw = file.read(_MOST_FILE)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error
    reader = Reader(_MOST_FILE, Counter())
    return "\n".join(text for _, text in reader.read(raw) if text) if raw else ""


def without_licence(text: str) -> str:
    """A source file without the comment at its head that says an open licence: many files have the same."""
    licence, _ = header_of(text)
    if licence in ("", "proprietary"):
        return text
    lines = text.split("\n")
    for number, line in enumerate(lines[:_HEADER_LINES]):
        if line.strip() and not line.lstrip().startswith(_COMMENTS) and not header_of(line)[0]:
            return "\n".join(lines[number:]) if number else text
    return text
