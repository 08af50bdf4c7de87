"""Recognizers: data files that say what sensitive data looks like, read, checked and made ready for matching.

Every complaint names file and line. A user's file may add recognizers and replace ours by their id.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import msgspec

from leeward.ai.datafile import Record, Schema, load_yaml
from leeward.data import terms
from leeward.data.checks import Check, find_check
from leeward.model.errors import InputError

BUILT_IN = Path(__file__).parent / "recognizers"
_NO_LETTER_BEFORE, _NO_LETTER_AFTER = r"(?<![^\W\d_])", r"(?![^\W\d_])"
_PIECE = re.compile(r"\{\{([a-z_]+)\}\}")
_SCHEMA = Path(__file__).parent / "recognizers.schema.json"


class Expression:
    """A regular expression of Python's, made when it is first needed: a start needs few of the thousand that there are."""

    __slots__ = ("_made", "_make")

    def __init__(self, make: Callable[[], re.Pattern[str]]) -> None:
        self._make = make
        self._made: re.Pattern[str] | None = None

    @classmethod
    def of(cls, text: str, flags: int = 0) -> Expression:
        return cls(functools.partial(re.compile, text, flags))

    @property
    def pattern(self) -> re.Pattern[str]:
        """Raises re.error."""
        if self._made is None:
            self._made = self._make()
        return self._made


_HEAD = 3  # letters
_UNSPACED = "\u2e80"  # scripts from here on put no spaces between words
_LETTERS = re.compile(r"[^\W\d_]+")


class Words:
    """Words that are looked for in text of lower case. The expression for them is tried only where a run of letters begins as one
    of them does, which takes less time."""

    __slots__ = ("_expression", "_heads", "_unspaced")

    def __init__(self, entries: Sequence[str]) -> None:
        self._expression = Expression(functools.partial(_any_of, entries))
        spaced = [entry for entry in entries if entry[0] < _UNSPACED]
        self._unspaced = len(spaced) < len(entries)
        self._heads = _heads(spaced)

    @property
    def pattern(self) -> re.Pattern[str]:
        return self._expression.pattern

    def ends(self, text: str, heads: Heads) -> list[tuple[int, int]]:
        """Start and end of each word, in order. heads: of this text."""
        if self._heads is None or (self._unspaced and not text.isascii()):
            return [hit.span() for hit in self.pattern.finditer(text)]
        found = []
        for head, start in heads:
            if head in self._heads and (hit := self.pattern.match(text, start)) is not None:
                found.append((start, hit.end()))
        return found


Heads = Sequence[tuple[str, int]]


def heads_of(text: str) -> Heads:
    """The first letters of each run of letters of a text, and where it begins."""
    return [(word[0][:_HEAD], word.start()) for word in _LETTERS.finditer(text)]


def _heads(entries: Iterable[str]) -> frozenset[str] | None:
    """The first letters of the run of letters where one of these words begins; None if that cannot be told."""
    found = set()
    for entry in entries:
        run = ""
        for word in entry.lower().split():  # what is between words may be left out
            first = _LETTERS.match(word)
            if first is None:
                if not run:
                    return None
                break
            run += first[0]
            found.add(run[:_HEAD])
            if len(run) >= _HEAD:
                break
            if first.end() < len(word):
                if word[first.end()] == "*":
                    return None
                break
    return frozenset(found)


class Recognizer(msgspec.Struct, frozen=True):
    """One recognizer; the fields are explained in recognizers.schema.json. words: those of context, as they are
    written. source: file and line it was read from."""

    id: str
    kind: str
    patterns: tuple[str, ...]
    confidence: float
    with_context: float
    caseless: bool = False
    min_length: int = 0
    tail: int = 0
    signs: tuple[str, ...] = ()
    reach: int = 0
    exact: Expression | None = None
    around: tuple[int, int] = (0, 0)
    checks: tuple[Check, ...] = ()
    context: Words | None = None
    words: tuple[str, ...] = ()
    rare: bool = False
    against: Words | None = None
    keep: tuple[int, int] = (0, 0)
    unwrap: str = ""
    match: tuple[str, ...] = ()
    never: tuple[str, ...] = ()
    source: str = ""


@functools.cache
def built_in() -> tuple[Recognizer, ...]:
    """The recognizers that come with Leeward."""
    return tuple(load_recognizers(sorted(BUILT_IN.glob("*.yaml"))))


def families(recognizers: Iterable[tuple[int, Recognizer]], most: int) -> list[list[tuple[int, Recognizer]]]:
    """Numbered recognizers by the family of files they come from (`secrets_ai.yaml` is of `secrets`), at most so many together:
    to compile takes more than twice as long for twice as many patterns, and what is looked for together has words in common."""
    found: dict[str, list[tuple[int, Recognizer]]] = {}
    for number, recognizer in recognizers:
        family = recognizer.source.rpartition("/")[2].partition(".")[0].partition("_")[0]
        found.setdefault(family, []).append((number, recognizer))
    return [members[at : at + most] for members in found.values() for at in range(0, len(members), most)]


def load_recognizers(paths: Iterable[Path]) -> list[Recognizer]:
    """All recognizers of these files; one whose id comes again replaces the earlier. Raises InputError."""
    schema = Schema.read(_SCHEMA)
    found: dict[str, Recognizer] = {}
    for path in paths:
        here: set[str] = set()
        document = load_yaml(path, schema)
        for record in document["recognizers"]:
            recognizer = _built(record, path, document.get("define", {}))
            if recognizer.id in here:
                raise InputError(f"{path}:{record.line}: id: {recognizer.id} is given twice in this file")
            here.add(recognizer.id)
            found[recognizer.id] = recognizer
    return list(found.values())


def _built(record: Record, path: Path, define: dict[str, str]) -> Recognizer:
    def complain(field: str, what: object) -> InputError:
        return InputError(f"{path}:{record.lines.get(field, record.line)}: {record['id']}: {field}: {what}")

    flags = re.IGNORECASE if record.get("caseless") else re.NOFLAG
    try:
        exact = Expression.of(_filled(record["exact"], define), flags) if "exact" in record else None
        if exact is not None and path.parent != BUILT_IN:  # ours are compiled by the tests
            exact.pattern  # noqa: B018 - it is compiled by being asked for
    except (re.error, KeyError) as error:
        raise complain("exact", error) from error
    try:
        patterns = tuple(_filled(pattern, define) for pattern in record.get("patterns", ()))
        signs = tuple(_filled(sign, define) for sign in record.get("signs", ()))
    except KeyError as error:
        raise complain("patterns", error) from error
    try:
        checks = tuple(find_check(name) for name in record.get("check", ()))
    except ValueError as error:
        raise complain("check", error) from error
    if ("terms" in record) == ("patterns" in record):
        raise complain("patterns", "needs either patterns or terms")
    if "terms" in record:
        try:
            listed = terms.read_terms(path.parent / record["terms"])
        except (OSError, ValueError) as error:
            raise complain("terms", error) from error
        patterns, checks = terms.patterns(listed), (*checks, terms.is_term(listed))
        exact = Expression(lambda: terms.WHOLE)
        record |= {"caseless": True, "around": list(terms.AROUND)}
    pairs = {name: record.get(name, [0, 0]) for name in ("keep", "around")}
    for name, pair in pairs.items():
        if len(pair) != 2:
            raise complain(name, "needs two numbers")
    if "around" in record and exact is None:
        raise complain("around", "needs exact, which says what around the trigger is the match")
    if bool(signs) != ("reach" in record):
        raise complain("signs", "needs reach, the bytes of the longest match, and reach needs signs")
    if record.get("context") and "with_context" not in record:
        raise complain("context", "needs with_context, the confidence that it gives")
    return Recognizer(
        id=record["id"],
        kind=record["kind"],
        patterns=patterns,
        confidence=record["confidence"],
        with_context=record.get("with_context", record["confidence"]),
        caseless=record.get("caseless", False),
        min_length=record.get("min_length", 0),
        tail=record.get("tail", 0),
        signs=signs,
        reach=record.get("reach", 0),
        exact=exact,
        checks=checks,
        context=words(record.get("context", ())),
        words=tuple(record.get("context", ())),
        rare=record.get("rare", False),
        against=words(record.get("against", ())),
        keep=(pairs["keep"][0], pairs["keep"][1]),
        around=(pairs["around"][0], pairs["around"][1]),
        unwrap=record.get("unwrap", ""),
        match=tuple(record["examples"]["match"]),
        never=tuple(record["examples"]["not"]),
        source=f"{path}:{record.line}",
    )


def _filled(expression: str, define: dict[str, str]) -> str:
    """With the pieces that {{name}} stands for. Raises KeyError for a name that is not defined."""
    return _PIECE.sub(lambda name: f"(?:{define[name[1]]})", expression)


def words(entries: Sequence[str]) -> Words | None:
    """These words in text of lower case; None for no words. Words of scripts that put no spaces between words need no boundary;
    `_` and digits are boundaries, so that `customer_ssn` and `ssn2` have the word ssn."""
    return Words(entries) if entries else None


def _any_of(entries: Iterable[str]) -> re.Pattern[str]:
    forms: dict[tuple[bool, bool], list[str]] = {}
    for entry in sorted(set(entries), key=len, reverse=True):
        word, open_end = entry.removesuffix("*").lower(), entry.endswith("*")
        text = r"[\s_./-]*".join(map(re.escape, word.split()))
        spaced = word[0] < _UNSPACED
        bounds = (spaced and word[0].isalpha(), spaced and word[-1].isalpha() and not open_end)
        forms.setdefault(bounds, []).append(text)
    return re.compile(
        "|".join(
            f"{_NO_LETTER_BEFORE if before else ''}(?:{by_first_letter(texts)}){_NO_LETTER_AFTER if after else ''}"
            for (before, after), texts in forms.items()
        )
    )


def by_first_letter(texts: Iterable[str]) -> str:
    """Alternatives, those that begin alike together: several times as fast for a long list."""
    groups: dict[str, list[str]] = {}
    for text in texts:
        first = 2 if text.startswith("\\") else 1
        groups.setdefault(text[:first], []).append(text[first:])
    return "|".join(f"{first}(?:{'|'.join(rest)})" for first, rest in groups.items())
