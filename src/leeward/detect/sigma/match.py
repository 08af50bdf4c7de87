"""A Sigma condition as a test of an event: a closure a node, made once.

Invariants: nothing of a rule is evaluated as code; every test is linear in the event's text (literals, RE2). A field without a
value fits nothing but `null` and `exists: false`. What cannot be done is refused here, not left out.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Iterable, Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any

import re2
from sigma.conditions import (
    ConditionAND,
    ConditionFieldEqualsValueExpression,
    ConditionNOT,
    ConditionOR,
    ConditionValueExpression,
)
from sigma.types import (
    CompareOperators,
    Placeholder,
    SigmaBool,
    SigmaCasedString,
    SigmaCIDRExpression,
    SigmaCompareExpression,
    SigmaExists,
    SigmaExpansion,
    SigmaFieldReference,
    SigmaNull,
    SigmaNumber,
    SigmaRegularExpression,
    SigmaRegularExpressionFlag,
    SigmaString,
    SigmaTimestampPart,
    SpecialChars,
)

from leeward.detect.sigma.events import Event, Value
from leeward.model.errors import InputError

Test = Callable[[Event], bool]
_COMPARE: dict[CompareOperators, Callable[[float, float], bool]] = {
    CompareOperators.LT: operator.lt,
    CompareOperators.LTE: operator.le,
    CompareOperators.GT: operator.gt,
    CompareOperators.GTE: operator.ge,
    CompareOperators.NEQ: operator.ne,
}
_FLAGS = {
    SigmaRegularExpressionFlag.IGNORECASE: "i",
    SigmaRegularExpressionFlag.MULTILINE: "m",
    SigmaRegularExpressionFlag.DOTALL: "s",
}
ANY, ONE = SpecialChars.WILDCARD_MULTI, SpecialChars.WILDCARD_SINGLE


class Unsupported(InputError):
    """Something that a rule asks for and that cannot be done here."""


def compiled(node: Any) -> Test:
    """A test for a condition as pySigma parses it. Raises Unsupported."""
    match node:
        case ConditionAND():
            return _all([compiled(arg) for arg in node.args])
        case ConditionOR():
            return _any(node.args)
        case ConditionNOT():
            test = compiled(node.args[0])
            return lambda event: not test(event)
        case ConditionFieldEqualsValueExpression():
            return _field(node.field, node.value)
        case ConditionValueExpression():
            return _keyword(node.value)
    raise Unsupported("a part of the condition is empty")


def _all(tests: Sequence[Test]) -> Test:
    if len(tests) == 2:
        first, second = tests
        return lambda event: first(event) and second(event)

    def every(event: Event) -> bool:
        for test in tests:  # noqa: SIM110 - a third of the time of all()
            if not test(event):
                return False
        return True

    return every


def _one_of(tests: Sequence[Test]) -> Test:
    if len(tests) == 1:
        return tests[0]

    def some(event: Event) -> bool:
        for test in tests:  # noqa: SIM110
            if test(event):
                return True
        return False

    return some


def _any(args: Iterable[Any]) -> Test:
    """Strings of the same field and form are tried together."""
    together: dict[tuple[str, str], list[str]] = {}
    tests: list[Test] = []
    for arg in args:
        form = _form(arg.value) if isinstance(arg, ConditionFieldEqualsValueExpression) else None
        if form is None:
            tests.append(compiled(arg))
        else:
            together.setdefault((arg.field, form[0]), []).append(form[1])
    return _one_of([_FORMS[form](field, tuple(texts)) for (field, form), texts in together.items()] + tests)


def _form(value: Any) -> tuple[str, str] | None:
    """ "is", "starts", "ends" or "contains", with the text, case-folded; None if it is nothing so plain."""
    if not isinstance(value, SigmaString) or isinstance(value, SigmaCasedString):
        return None
    parts = pieces(value)
    shapes = {1: "is" if type(parts[0]) is str else "", 2: "starts" if parts[-1] is ANY else "ends", 3: "contains"}
    texts = [part for part in parts if type(part) is str]
    shape = shapes.get(len(parts), "")
    plain = ONE not in parts and len(texts) == 1 and (shape != "contains" or (parts[0] is ANY and parts[-1] is ANY))
    return (shape, texts[0].casefold()) if shape and plain else None


def pieces(value: SigmaString) -> list[str | SpecialChars]:
    """The parts of a string: texts and wildcards, adjoining texts as one; [""] if it is empty. Raises Unsupported."""
    found: list[str | SpecialChars] = []
    for part in value.s:
        if isinstance(part, Placeholder):
            raise Unsupported(f"placeholder %{part.name}%: there is no list to take its values from")
        if found and isinstance(part, str) and isinstance(found[-1], str):
            found[-1] += part
        elif not (found and part is ANY and found[-1] is ANY):
            found.append(part)
    return found or [""]


def _is(field: str, texts: tuple[str, ...]) -> Test:
    known = frozenset(texts)
    return lambda event: event.low[field] in known


def _starts(field: str, texts: tuple[str, ...]) -> Test:
    return lambda event: (text := event.low[field]) is not None and text.startswith(texts)


def _ends(field: str, texts: tuple[str, ...]) -> Test:
    return lambda event: (text := event.low[field]) is not None and text.endswith(texts)


def _contains(field: str, texts: tuple[str, ...]) -> Test:
    def test(event: Event) -> bool:
        text = event.low[field]
        if text is not None:
            for wanted in texts:
                if wanted in text:
                    return True
        return False

    return test


_FORMS = {"is": _is, "starts": _starts, "ends": _ends, "contains": _contains}


def _field(field: str, value: Any) -> Test:
    match value:
        case SigmaNull():
            return lambda event: event.fields[field] is None
        case SigmaExists():
            return lambda event: (event.fields[field] is not None) == value.exists
        case SigmaBool():
            wanted = str(value.boolean).lower()
            return lambda event: event.low[field] == wanted
        case SigmaCIDRExpression():
            network = value.network
            return lambda event: (address := _address(event.fields[field])) is not None and address in network
        case SigmaCompareExpression():
            return _compare(field, _COMPARE[value.op], value.number.number)
        case SigmaFieldReference():
            return _reference(field, value)
        case SigmaExpansion():
            return _any([ConditionFieldEqualsValueExpression(field, v) for v in value.values])
    form = _form(value)
    if form is not None:
        return _FORMS[form[0]](field, (form[1],))
    fits, cased = _text_test(value), isinstance(value, SigmaCasedString | SigmaRegularExpression)
    return lambda event: (text := _text(event, field, cased)) is not None and fits(text)


def _text(event: Event, field: str, cased: bool) -> str | None:
    if not cased:
        return event.low[field]
    value = event.fields[field]
    return None if value is None else str(value)


def _text_test(value: Any, anywhere: bool = False) -> Callable[[str], bool]:
    """A test of a text, which is case-folded unless the value is cased or a regular expression. anywhere: not of all of it."""
    match value:
        case SigmaTimestampPart():
            raise Unsupported("parts of times (minute, hour, day ...)")
        case SigmaNumber():
            number = str(value.number)
            return (lambda text: number in text) if anywhere else (lambda text: text == number)
        case SigmaRegularExpression():
            return regex(value)
        case SigmaString():
            parts = pieces(value)
            parts = [ANY, *parts, ANY] if anywhere else parts
            if not isinstance(value, SigmaCasedString):
                parts = [part.casefold() if isinstance(part, str) else part for part in parts]
            return _glob(parts) if ONE not in parts else _wildcards(parts)
    raise Unsupported(f"values of the type {type(value).__name__.removeprefix('Sigma')}")


def _glob(parts: Sequence[str | SpecialChars]) -> Callable[[str], bool]:
    """parts: texts and wildcards for any number of characters."""
    if ANY not in parts:
        whole = "".join(part for part in parts if isinstance(part, str))
        return lambda text: text == whole
    texts = [part for part in parts if isinstance(part, str)]
    first = texts.pop(0) if isinstance(parts[0], str) else ""
    last = texts.pop() if isinstance(parts[-1], str) else ""

    def test(text: str) -> bool:
        at, end = len(first), len(text) - len(last)
        if at > end or not text.startswith(first) or not text.endswith(last):
            return False
        for middle in texts:
            at = text.find(middle, at, end)
            if at < 0:
                return False
            at += len(middle)
        return True

    return test


def _wildcards(parts: Sequence[str | SpecialChars]) -> Callable[[str], bool]:
    written = [re2.escape(part) if isinstance(part, str) else ".*" if part is ANY else "." for part in parts]
    pattern = re2.compile(f"(?s){''.join(written)}")
    return lambda text: pattern.fullmatch(_encoded(text)) is not None


def regex(value: SigmaRegularExpression) -> Callable[[str], bool]:
    """Whether the expression fits somewhere in a text, upper and lower case as they are."""
    if value.contains_placeholder():
        raise Unsupported("placeholders in regular expressions")
    pattern = expression(flagged(value))
    return lambda text: pattern.search(_encoded(text)) is not None


def expression(text: str) -> Any:
    """An RE2 expression. Raises Unsupported; RE2 itself would also write on stderr."""
    options = re2.Options()
    options.log_errors = False
    try:
        return re2.compile(text, options)
    except re2.error as error:
        said = error.args[0]
        said = said.decode(errors="replace") if isinstance(said, bytes) else said
        raise Unsupported(f"the regular expression {text} is none of RE2's: {said}") from error


def flagged(value: SigmaRegularExpression) -> str:
    """The expression with its flags inside."""
    flags = "".join(sorted(_FLAGS[flag] for flag in value.flags))
    return f"(?{flags}){value.regexp}" if flags else str(value.regexp)


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "replace")


@functools.lru_cache(maxsize=4096)
def _address(value: Value) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(str(value))
    except ValueError:
        return None


def _compare(field: str, compare: Callable[[float, float], bool], number: float) -> Test:
    def test(event: Event) -> bool:
        value = event.fields[field]
        if isinstance(value, str):
            try:
                value = float(value)  # type: ignore[assignment]
            except ValueError:
                return False
        return value is not None and compare(float(value), number)

    return test


def _reference(field: str, value: SigmaFieldReference) -> Test:
    other, starts, ends = value.field, value.starts_with, value.ends_with

    def test(event: Event) -> bool:
        ours, theirs = event.low[field], event.low[other]
        if ours is None or theirs is None:
            return False
        if starts and ends:
            return theirs in ours
        return ours.startswith(theirs) if starts else ours.endswith(theirs) if ends else ours == theirs

    return test


def _keyword(value: Any) -> Test:
    """A value without a field stands anywhere in the event."""
    if isinstance(value, SigmaExpansion):
        return _one_of([_keyword(v) for v in value.values])
    fits, cased = _text_test(value, anywhere=True), isinstance(value, SigmaCasedString | SigmaRegularExpression)
    return lambda event: any((text := _text(event, field, cased)) is not None and fits(text) for field in event.fields)
