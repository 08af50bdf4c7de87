"""What a program was given when it began: keys that lie open, variables that matter; no credential comes out."""

from __future__ import annotations

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from leeward.ai.catalogue import load_catalogue
from leeward.model.raw import FoundKey, ProcessExec
from leeward.surroundings import surrounded

FORMS = load_catalogue().key_forms
OPENAI = "sk-proj-" + "a1B2" * 40
ANTHROPIC = "sk-ant-api03-" + "aB3-" * 23 + "aB3"


def begun(*argv: str, **environ: str) -> ProcessExec:
    event = ProcessExec(1, 2, 1, 3, 0, "/bin/x", argv)
    return surrounded(event, b"".join(f"{n}={v}\0".encode() for n, v in environ.items()), FORMS)


def places(event: ProcessExec) -> list[tuple[str, str, str]]:
    return [(key.provider, key.where, key.name) for key in event.keys]


def test_keys_in_the_environment_and_on_the_command_line() -> None:
    event = begun("curl", "-H", f"Authorization: Bearer {OPENAI}", f"--api-key={ANTHROPIC}", OPENAI_API_KEY=OPENAI)
    assert places(event) == [
        ("openai", "argv", "H"),
        ("anthropic", "argv", "api-key"),
        ("openai", "environ", "OPENAI_API_KEY"),
    ]
    assert event.keys[0].fingerprint == event.keys[2].fingerprint != event.keys[1].fingerprint
    assert all(OPENAI not in repr(key) and ANTHROPIC not in repr(key) for key in event.keys)


def test_the_same_key_in_two_variables() -> None:
    assert places(begun("x", A=OPENAI, B=OPENAI)) == [("openai", "environ", "A"), ("openai", "environ", "B")]


def test_variables_that_matter() -> None:
    event = begun(
        "x", LD_PRELOAD="/tmp/a.so", OPENAI_BASE_URL="http://evil.test/v1", HTTPS_PROXY="http://u:secret@p.test:1",
        https_proxy="http://p.test", HOME="/root", PATH="/bin", MY_ENDPOINT="x", TERM="xterm",
    )  # fmt: skip
    assert event.variables == (
        ("LD_PRELOAD", "/tmp/a.so"),
        ("OPENAI_BASE_URL", "http://evil.test/v1"),
        ("HTTPS_PROXY", "http://[secret]@p.test:1"),
        ("https_proxy", "http://p.test"),
        ("MY_ENDPOINT", "x"),
    )


def test_an_ordinary_program_is_left_as_it_is() -> None:
    event = ProcessExec(1, 2, 1, 3, 0, "/bin/ls", ("ls", "-l", "/a/very/long/path/that/is/no/key/at/all"))
    assert surrounded(event, b"HOME=/root\0PATH=/usr/bin\0", FORMS) is event


def test_much_is_bounded() -> None:
    many = {f"A{n}_BASE_URL": "http://" + "x" * 9999 for n in range(99)} | {f"K{n}": OPENAI for n in range(99)}
    event = begun("x", **many)
    assert (len(event.variables), len(event.keys)) == (16, 16)
    assert max(len(value) for _, value in event.variables) == 512


@given(st.binary(max_size=300), st.lists(st.text(max_size=60), max_size=4))
def test_any_bytes(environ: bytes, argv: list[str]) -> None:
    event = surrounded(ProcessExec(1, 2, 1, 3, 0, "/x", tuple(argv)), environ, FORMS)
    assert all(isinstance(key, FoundKey) for key in event.keys)
    assert msgspec.structs.replace(event, keys=(), variables=()) == ProcessExec(1, 2, 1, 3, 0, "/x", tuple(argv))
