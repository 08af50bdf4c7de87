"""Keys in the beginning of what servers answer."""

from __future__ import annotations

import random
import string
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leeward.ai.catalogue import load_catalogue
from leeward.ai.keys import fingerprint
from leeward.keyfinder import KeyFinder
from leeward.model.raw import FoundKey

FINDER = KeyFinder(load_catalogue().key_forms, Counter())
LETTERS = string.ascii_letters + string.digits


def key(seed: int, start: str = "sk-proj-", size: int = 48) -> str:
    return start + "".join(random.Random(seed).choices(LETTERS, k=size))


@pytest.mark.parametrize(
    ("text", "provider", "secret"),
    [
        (f'window.CONFIG = {{"openaiKey": "{key(1)}"}};', "openai", key(1)),
        (
            f"<script>window.ENV={{ANTHROPIC_API_KEY:'{key(2, 'sk-ant-api03-')}'}}</script>",
            "anthropic",
            key(2, "sk-ant-api03-"),
        ),
        (f'{{"a":[{{"groq":"{key(3, "gsk_")}"}}]}}', "groq", key(3, "gsk_")),
        (f"<a href=/x?key={key(4, 'AIza', 35)}>", "gcp.gemini", key(4, "AIza", 35)),
        (key(5), "openai", key(5)),
    ],
)
def test_a_key_is_known_by_its_fingerprint(text: str, provider: str, secret: str) -> None:
    found = FINDER.answered(text.encode())
    assert found == (FoundKey(provider, fingerprint(secret), "answer"),)
    assert secret not in repr(found)


@pytest.mark.parametrize(
    "text",
    [
        "",
        '<div class="sk-admin-dashboard-card sk-service-worker-settings sk-proj-navigation-bar"></div>',
        "const key = `sk-proj-${process.env.SUFFIX}`; // sk-ant-your-key-here",
        "OPENAI_API_KEY=sk-proj-xxxxxxxxxxxxxxxxxxxxxxxxxxxx",
        '"key": "sk-proj-EXAMPLEabcdefghijk1234567890"',
        "fw_backgroundcolorpicker()",
    ],
)
def test_what_is_no_key(text: str) -> None:
    assert FINDER.answered(text.encode()) == ()


def test_at_most_four() -> None:
    text = " ".join(key(n) for n in range(9))
    assert [k.fingerprint for k in FINDER.answered(text.encode())] == [fingerprint(key(n)) for n in range(4)]


@given(
    st.lists(
        st.one_of(st.binary(max_size=40), st.sampled_from([b"sk-proj-", b"sk-ant-", b"AIza", key(1).encode()])),
        max_size=40,
    )
)
def test_any_bytes(pieces: list[bytes]) -> None:
    assert len(FINDER.answered(b"".join(pieces))) <= 4


def test_a_key_of_many_short_parts() -> None:
    """Of a random key that may have hyphens, no part need be long; names of classes have no long one either."""
    chance = random.Random(3)
    body = "".join("-" if n % 7 == 6 else chance.choice(LETTERS) for n in range(93))
    (found,) = FINDER.answered(f"<td>sk-ant-api03-{body}AA</td>".encode())
    assert found.provider == "anthropic"
    names = "sk-ant-Icon-button-Hover-2 sk-admin-Panel-Button-primary-Large sk-or-v1-tooltip-container-Grid-12-24-Wide"
    assert FINDER.answered(f"<div class='{names}'>".encode()) == ()
