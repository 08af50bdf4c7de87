"""Which kinds of sensitive data a condition is about, so that nobody has to look for others, and whether it is about any.

Invariants: a condition has the same value when data of no other kind than these is found; where that cannot be told they are
{"*"}. One that needs data is never true without.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from leeward.policy.expression import Expr

ANY = frozenset(("*",))


def kinds_of(tree: Expr, constants: Mapping[str, object]) -> frozenset[str]:
    """Patterns: `secret.aws`, `secret.*`. constants: variables whose values are known."""
    found: frozenset[str] = frozenset()
    for here in _tops(tree):
        found |= _one(here, constants)
    return ANY if "*" in found else found


def needs_data(tree: Expr, variables: Mapping[str, Expr]) -> bool:
    """Is it false, whatever else is so, where no data is found? variables: what those that are no constants are made of."""
    if tree.kind == "name":
        return tree.name in variables and needs_data(variables[tree.name], variables)
    if _is_about(tree):  # exists
        start, result = tree.parts[1], tree.parts[4]
        return start.value is False and result.kind == "name" and result.name == "@result"
    if tree.kind != "call":
        return tree.kind == "const" and tree.value is False
    sides = (needs_data(part, variables) for part in tree.parts)
    match tree.name:
        case "_&&_":
            return any(sides)
        case "_||_":
            return all(sides)
        case "@in":
            return _is_data(tree.parts[1])
        case "_>_":
            size, least = tree.parts
            return size.name == "size" and _is_data(size.parts[0]) and isinstance(least.value, int) and least.value >= 0
    return False


def fits(kind: str, patterns: Collection[str]) -> bool:
    """Is the kind one of these?"""
    return kind in patterns or any(pattern.endswith("*") and kind.startswith(pattern[:-1]) for pattern in patterns)


def _tops(tree: Expr) -> Iterable[Expr]:
    """The smallest parts that use the data as a whole: folds over it, `x in kinds`, and bare names elsewhere."""
    if _is_about(tree) or (tree.kind == "call" and tree.name == "@in" and _is_data(tree.parts[1])) or _is_data(tree):
        yield tree
        if not _is_about(tree):
            return
        for part in tree.parts[1:]:  # data inside of a fold over data
            yield from _tops(part)
        return
    for part in tree.parts:
        yield from _tops(part)


def _is_data(tree: Expr) -> bool:
    return tree.kind == "name" and tree.name in ("kinds", "data")


def _is_about(tree: Expr) -> bool:
    return tree.kind == "fold" and _is_data(tree.parts[0])


def _one(tree: Expr, constants: Mapping[str, object]) -> frozenset[str]:
    if tree.kind == "fold":
        step = tree.parts[3]
        # exists: @result || test. exists_one and filter: test ? more : @result. all: something else.
        if step.name == "_||_" and step.parts[0].name == "@result":
            test = step.parts[1]
        elif step.name == "_?_:_" and step.parts[2].name == "@result":
            test = step.parts[0]
        else:
            return ANY
        needed = _needed(test, tree.name, tree.parts[0].name, constants)
        return ANY if needed is None else needed
    if tree.kind == "call" and tree.parts[1].name == "kinds" and isinstance(tree.parts[0].value, str):
        return frozenset((tree.parts[0].value,))
    return ANY


def _needed(test: Expr, variable: str, source: str, constants: Mapping[str, object]) -> frozenset[str] | None:
    """Kinds without which the test is never true; None where it may be true of any."""
    if test.name == "_&&_":
        sides = [_needed(part, variable, source, constants) for part in test.parts]
        return sides[0] if sides[0] is not None else sides[1]
    if test.name == "_||_":
        sides = [_needed(part, variable, source, constants) for part in test.parts]
        return None if sides[0] is None or sides[1] is None else sides[0] | sides[1]
    if test.kind != "call" or len(test.parts) != 2:
        return None
    left, right = test.parts
    if test.name == "_==_" and not _is_kind(left, variable, source):
        left, right = right, left
    if not _is_kind(left, variable, source):
        return None
    if test.name == "startsWith" and isinstance(right.value, str):
        return frozenset((right.value + "*",))
    if test.name == "_==_" and isinstance(right.value, str):
        return frozenset((right.value,))
    if test.name == "@in":
        values = constants.get(right.name) if right.kind == "name" else [part.value for part in right.parts]
        if (
            isinstance(values, list)
            and all(isinstance(value, str) for value in values)
            and right.kind in ("name", "list")
        ):
            return frozenset(values)
    return None


def _is_kind(tree: Expr, variable: str, source: str) -> bool:
    if source == "data":
        return tree.kind == "field" and tree.name == "kind" and tree.parts[0].name == variable
    return tree.kind == "name" and tree.name == variable
