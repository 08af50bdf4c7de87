"""Patterns of names: what fits, what the kernel can tell, and that both ways to look say the same."""

from __future__ import annotations

import re

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from leeward.ai.catalogue import default_catalogue
from leeward.enforce.names import Patterns, canonical, kernel_hash

LABELS = st.from_regex(r"[ab-]{1,4}", fullmatch=True)
NAMES = st.lists(LABELS, min_size=1, max_size=5).map(".".join)
FORMS = st.sampled_from(["{0}", "*.{0}", "*-{0}.{1}", "{2}-*.{0}", "{2}.*.{0}"])


@st.composite
def patterns(draw: st.DrawFn) -> str:
    return draw(FORMS).format(draw(NAMES), draw(NAMES), draw(LABELS))


def expected(pattern: str, name: str) -> bool:
    any_number = pattern.startswith("*.")
    body = re.escape(pattern[2:] if any_number else pattern).replace(r"\*", "[^.]+")
    return re.fullmatch((r"(?:[^.]+\.)+" if any_number else "") + body, name) is not None


@given(patterns(), NAMES)
def test_a_pattern_fits_what_it_says(pattern: str, name: str) -> None:
    assume(kernel_hash(pattern) is not None)
    first = name.split(".")[0]
    assume(not first.startswith("-") and not first.endswith("-"))  # no host is called so (RFC 952)
    assert (Patterns({pattern: 1}).answer(name) == 1) == expected(pattern, name)


@pytest.mark.parametrize(
    "ordered",
    [
        ("a-b.c.d.test", "*-b.c.d.test", "*.c.d.test", "*.d.test", "*.test"),
        ("a-b.c.d.test", "a-b.*.d.test", "*.c.d.test", "*.test"),
        ("a-b.c.d.test", "a-*.c.d.test", "*.c.d.test"),
    ],
)
def test_the_best_fitting_pattern_answers(ordered: tuple[str, ...]) -> None:
    for first in range(len(ordered)):
        assert Patterns({p: n for n, p in enumerate(ordered) if n >= first}).answer("a-b.c.d.test") == first


@pytest.mark.parametrize("pattern", ["a.*.*.b", "a*b.test", "*", "a.b.*.test", "x" * 256])
def test_what_the_kernel_cannot_tell_is_told_by_address(pattern: str) -> None:
    assert kernel_hash(pattern) is None
    assert Patterns({pattern: 1}).by_address_only == (pattern,)
    assert Patterns({pattern: 1}).hashes == {}


def test_a_glob_of_another_form_still_fits_here() -> None:
    assert Patterns({"a.*.*.b": 1}).answer("a.x.y.b") == 1


def test_all_patterns_of_the_catalogue_are_known_to_the_kernel() -> None:
    hosts = [host for provider in default_catalogue().providers.values() for host in provider.hosts]
    assert [host for host in hosts if kernel_hash(canonical(host)) is None] == []


@pytest.mark.parametrize(("name", "bare"), [("API.Test.", "api.test"), ("a.test:443", "a.test"), ("::1", "::1")])
def test_canonical(name: str, bare: str) -> None:
    assert canonical(name) == bare
