"""Program code in a text: which passages, in which language, under which licence, whose.

Lines are judged one by one (languages.yaml says what a line of code begins like; signs at its end say the rest), and passages
are where such lines stand together. Numbers and prompts before lines (`12\t`, `12 | `, `+`, `>>> `) are looked past.
Invariants: linear in the text; data (JSON, YAML, logs) is no code; nothing raises.
"""

from __future__ import annotations

import functools
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import msgspec

from leeward.ai.datafile import Schema, load_yaml
from leeward.data.licences import header_of
from leeward.data.recognizer import by_first_letter
from leeward.model.errors import InputError

_FILE = Path(__file__).parent / "languages.yaml"
_WEIGHTS = (("sure", 3), ("likely", 2))
_FIRST = re.compile(r"[#@]?[A-Za-z_]\w*!?|#!|#\[|</|<[!?]|\S")
# What tools put before a line of code: its number, the sign of a diff, a prompt.
_BEFORE = re.compile(r"(?:[0-9]{1,6}(?:[\t→:]| ?\| ?)|[+-](?=[ \t\w@#}])|>>> |\.\.\. )[ \t]*")
_PADDED = re.compile(rf"\n[^\S\n]*+(?:{_BEFORE.pattern})?")  # where a line begins, in a text between two line breaks
_BEFORE_SIGNS = frozenset("0123456789+->.")
_FENCE = re.compile(r"[ \t]*```+[ \t]*([A-Za-z0-9+#-]*)")
_CODE_END = (";", "{", "}", "(", "[", "\\", "),", "],", "},", "):", "()", "=>", "->", "];", ")")
_COMMENTS = ("//", "/*", "*", "# ", "-- ", '"""', "'''", "<!--", "%", ";;", "##")
_COMMENT_SIGNS = frozenset(comment[0] for comment in _COMMENTS)
_END_SIGNS = frozenset(end[-1] for end in _CODE_END)
_BRACES = frozenset(("}", "{", "};", ");", "})", "],", "},", "),", ")", "]", "('", "*/"))
_SHORT = 3
_MANY_WORDS = 14
_LONG = 240  # characters of a line that are looked at
_MINIFIED = re.compile(r"[;{}()=,]")
_NO_CODE = "json yaml yml toml ini csv tsv xml text txt log output markdown md plain plaintext none http"
_DATA = frozenset(_NO_CODE.split())  # names after ```
_SIGNS, _FEWEST_SIGNS = ("(", ";", "=", "{", "<", "#", "[", ":\n"), 1  # there is no code without them
_LONG_TEXT = 8000  # characters: in less, what is prose is told no faster than it is read
_GAP = 3  # lines of prose after each other end a passage
_HEADER = 2000  # characters before a passage in which its licence may stand
_CERTAIN = ((30, 0.96), (12, 0.93), (6, 0.85), (4, 0.7), (0, 0.55))
_MOST = 64  # passages


class Code(msgspec.Struct, frozen=True, gc=False):
    """A passage of code: characters start to end. language: as in languages.yaml, "" for code of no known one. lines: that are
    not empty. licence: SPDX identifier, `proprietary`, or "". owner: copyright holder, or "". own: it has one of the names that
    the organisation gave. confidence: that this is code."""

    language: str
    lines: int
    licence: str
    owner: str
    start: int
    end: int
    confidence: float
    own: bool = False


class _Passage:
    """Lines under way. tag: the name after the fence, None outside of one. scores, ends: of each line that is not empty."""

    __slots__ = ("ends", "gap", "scores", "start", "tag", "votes")

    def __init__(self, start: int, tag: str | None) -> None:
        self.start, self.tag = start, tag
        self.scores: list[int] = []
        self.ends: list[int] = []
        self.votes: list[tuple[int, str]] = []
        self.gap = 0  # lines of prose since the last line of code

    def finish(self) -> int:
        """Leaves out what follows the last line of code; the number of lines."""
        scores = self.scores
        if self.tag is None:
            while scores and scores[-1] <= 0:
                scores.pop()
        return len(scores)


class CodeFinder:
    """A Finder (scanner.py). names: what only the organisation's own code has: a company's name, a package, a host."""

    kinds = ("code.source",)
    passages = True

    def __init__(self, names: Iterable[str] = ()) -> None:
        self._own = _own_names(names)

    def find(self, text: str) -> Iterator[tuple[str, int, int, float, str]]:
        """`code.source` by `code:<language>`, and `+own`, `+proprietary` or `+open` (has an open licence)."""
        for code in find_code(text, self._own):
            mark = "own" if code.own else code.licence if code.licence in ("", "proprietary") else "open"
            detector = f"code:{code.language or 'unknown'}{'+' + mark if mark else ''}"
            yield "code.source", code.start, code.end, code.confidence, detector


def _own_names(names: Iterable[str]) -> re.Pattern[str] | None:
    parts = [r"(?<![^\W_])" + re.escape(name) + r"(?![^\W_])" for name in names if name]
    return re.compile("|".join(parts), re.IGNORECASE) if parts else None


def find_code(text: str, own: re.Pattern[str] | None = None) -> list[Code]:
    """Passages of code in `text`, in order."""
    if len(text) < 24:
        return []
    fenced = "```" in text
    breaks = text.count("\n")
    if not fenced and breaks < 2:
        return _minified(text)
    if not _has_many(text, _SIGNS, max(_FEWEST_SIGNS, breaks // 12)):
        return []
    found = []
    for passage in _passages(text, fenced):
        code = _judged(text, passage, own)
        if code is not None:
            found.append(code)
        if len(found) == _MOST:
            break
    return found


def _has_many(text: str, signs: Iterable[str], least: int) -> bool:
    for sign in signs:
        least -= text.count(sign)
        if least <= 0:
            return True
    return False


def _passages(text: str, fenced: bool) -> Iterator[_Passage]:
    """Each run of lines that may be code. In a long text prose is skipped up to a line that is sure or likely, or a fence."""
    here: _Passage | None = None
    above = -1  # where the comment begins that stands above what comes
    long = len(text) > _LONG_TEXT
    score_of = _Scored().__getitem__ if long else _score
    padded = f"\n{text}\n" if long else ""
    at, begin, strong = 0, 0, -1 if long else len(text)
    for raw in text.split("\n"):
        start, at = at, at + len(raw) + 1
        if start > strong and here is None and above < 0:
            strong = _next_strong(padded, start, score_of)
            if strong > len(text):
                return
            begin = _prose_before(text, start, strong, score_of)
        if start < begin:
            continue
        line = raw.strip()
        if not line:
            continue
        if fenced and line.startswith("```") and (fence := _FENCE.match(raw)):
            if here is not None:
                yield here
            here = _Passage(at, fence[1].lower()) if here is None or here.tag is None else None
            continue
        score, votes = score_of(line)
        if here is None:
            if score <= 0:
                comment = score == 0 and line.startswith(_COMMENTS)
                above = (start if above < 0 else above) if comment else -1
                continue
            here = _Passage(start if above < 0 else above, None)
            above = -1
        here.scores.append(score)
        here.ends.append(start + len(raw))
        if score > 0:
            here.gap = 0
            if votes:
                here.votes += votes
        elif score < 0 and here.tag is None:
            here.gap += 1
            if here.gap == _GAP:
                yield here
                here = None
    if here is not None:
        yield here


def _next_strong(padded: str, at: int, score_of: _ScoreOf) -> int:
    """Where the next line begins, at or behind `at`, that is a fence, or sure or likely; behind the text where none is. padded:
    the text between two line breaks, in which a line break stands where in the text its line begins."""
    for hit in _strong_line().finditer(padded, at):
        line = padded[hit.start() : padded.find("\n", hit.end())].strip()
        if line.startswith("```") or score_of(line)[0] > 1:
            return hit.start()
    return len(padded)


def _prose_before(text: str, at: int, before: int, score_of: _ScoreOf) -> int:
    """Where to begin to read, from `at` on, to know the passage of the line at `before`: behind prose that ends any other."""
    prose = 0
    while before > at and prose < _GAP:
        start = text.rfind("\n", at, before - 1) + 1 or at
        line, before = text[start : before - 1].strip(), start
        score = score_of(line)[0] if line else 0
        prose = 0 if score > 0 else prose - min(score, 0)
    return before


@functools.cache
def _strong_line() -> re.Pattern[str]:
    """What lines begin like that are fences, or may be sure or likely."""
    words, _ = _rules()
    heads = by_first_letter([*(re.escape(w) + r"\b" * (w[-1].isalnum() or w[-1] == "_") for w in words), "```"])
    return re.compile(f"{_PADDED.pattern}(?:{heads})")


_Votes = Sequence[tuple[int, str]]
"""Weight and language."""
_ScoreOf = Callable[[str], tuple[int, _Votes]]


class _Scored(dict[str, tuple[int, _Votes]]):
    """Lines of a text as `_score` gives them: the same are seen again and again."""

    def __missing__(self, line: str) -> tuple[int, _Votes]:
        scored = self[line] = _score(line)
        return scored


def _score(line: str) -> tuple[int, _Votes]:
    """How much a line looks like code: 3 sure, 2 likely, 1 signs of it, 0 neither, -1 prose. What is sure or likely votes for its
    languages."""
    sign = line[0]
    if sign in _COMMENT_SIGNS and line.startswith(_COMMENTS):
        return 0, ()
    if len(line) < _SHORT:
        return (1 if line in _BRACES else 0), ()
    if sign in _BEFORE_SIGNS and (before := _BEFORE.match(line)):
        line = line[before.end() :]
        if not line:
            return 0, ()
    if len(line) > _LONG:
        line = line[:_LONG]
    rules, heads = _rules()
    if line[:3] in heads or line[:2] in heads or line[0] in rules:
        word = _FIRST.match(line)[0]  # type: ignore[index]
        best = 0
        votes = []
        for weight, language, form in rules.get(word) or rules.get(word[0]) or ():
            if form.match(line):
                votes.append((weight, language))
                if weight > best:
                    best = weight
        if best:
            return best, votes
    spaces = line.count(" ")
    last = line[-1]
    if spaces < _MANY_WORDS and ((last in _END_SIGNS and line.endswith(_CODE_END)) or _has_signs(line)):
        return 1, ()
    return (-1 if spaces > 3 or last in ".?!" else 0), ()


def _has_signs(line: str) -> bool:
    if "=" in line:
        return " = " in line or "==" in line or " += " in line or " => " in line or " := " in line or " != " in line
    return "()" in line or "::" in line or " -> " in line or " && " in line or " || " in line


@functools.cache
def _rules() -> tuple[dict[str, list[tuple[int, str, re.Pattern[str]]]], frozenset[str]]:
    """Forms by the first word of a line, and what such a word begins with: up to three characters."""
    found: dict[str, list[tuple[int, str, re.Pattern[str]]]] = {}
    for language in load_yaml(_FILE, Schema.read(_FILE.with_suffix(".schema.json")))["languages"]:
        for field, weight in _WEIGHTS:
            for word, form in language.get(field, {}).items():
                try:
                    pattern = re.compile(form)
                except re.error as error:
                    raise InputError(f"{_FILE}:{language.lines[field]}: {language['name']}: {word}: {error}") from error
                found.setdefault(word, []).append((weight, language["name"], pattern))
    return found, frozenset(word[:3] for word in found)


@functools.cache
def _fences() -> dict[str, str]:
    """Names after ``` → language."""
    found: dict[str, str] = {}
    for language in load_yaml(_FILE, Schema.read(_FILE.with_suffix(".schema.json")))["languages"]:
        found |= dict.fromkeys([language["name"], *language.get("fences", ())], language["name"])
    return found


def _judged(text: str, passage: _Passage, own: re.Pattern[str] | None) -> Code | None:
    """The passage as code, None when it is none."""
    lines = passage.finish()
    scores = passage.scores
    sure, likely = scores.count(3), scores.count(2)
    strong, signs, prose = sure + likely, sure + likely + scores.count(1), scores.count(-1)
    named = _fences().get(passage.tag or "", "")
    if passage.tag is not None:
        enough = lines and passage.tag not in _DATA and (named or strong or 2 * signs > lines)
    else:
        enough = signs >= 3 and (sure >= 2 or strong >= 4 or (sure and likely))
    if not enough or signs < 1.5 * prose:
        return None
    start, end = passage.start, passage.ends[lines - 1]
    licence, owner = header_of(text[max(start - _HEADER, 0) : end])
    mine = own is not None and own.search(text, start, end) is not None
    least = next(confidence for count, confidence in _CERTAIN if signs >= count)
    certain = round(min(least + 0.1 * (bool(named) or bool(licence) or sure >= 3), 0.98), 2)
    return Code(named or _elected(passage.votes), lines, licence, owner, start, end, certain, mine)


def _elected(votes: Iterable[tuple[int, str]]) -> str:
    """The language with the most votes; what is common to a family counts for a language of it only if nothing else does."""
    sums: Counter[str] = Counter()
    for weight, language in votes:
        sums[language] += weight
    family = sums.pop("c-family", 0)
    for wide, narrow in (("javascript", "typescript"), ("c", "c++")):
        if sums[narrow]:
            sums[narrow] += sums.pop(wide, 0)
    best = max(sorted(sums), key=sums.__getitem__, default="")
    return best if best and sums[best] else ("c" if family else "")


def _minified(text: str) -> list[Code]:
    """Code without line breaks."""
    if len(text) < 500 or text[:1] in "{[" or ("function(" not in text and "=>" not in text):
        return []
    signs = len(_MINIFIED.findall(text, 0, 20_000))
    if signs < 0.08 * min(len(text), 20_000):
        return []
    return [Code("javascript", 1, *header_of(text[:4000]), 0, len(text), 0.8)]
