"""Which program an interpreter runs: the script, module or class in its arguments. Pure tables and one scan.

Invariant: any argv gives an answer; an option that is not in a table is taken as one without a value.
"""

from __future__ import annotations

import posixpath
import re

import msgspec


class Family(msgspec.Struct, frozen=True):
    """How a family of interpreters reads its arguments.

    valued: options whose value is the next word. code: words after which a program text stands. module: options after
    which a module's name stands; file: a script's path. stdin: the program is read from standard input. verbs: words
    before the script that are not it. clusters: short options may be joined, the last may take a value ("-um mod"),
    a value may be joined too ("-mmod"). bare: what is named without an option is a module or class, not a path.
    """

    valued: frozenset[str] = frozenset()
    code: frozenset[str] = frozenset()
    module: frozenset[str] = frozenset()
    file: frozenset[str] = frozenset()
    stdin: frozenset[str] = frozenset({"-"})
    verbs: frozenset[str] = frozenset()
    clusters: bool = False
    bare: bool = False


def _words(words: str) -> frozenset[str]:
    return frozenset(words.split())


_PYTHON = Family(_words("-W -X --check-hash-based-pycs"), _words("-c"), _words("-m"), clusters=True)
_NODE = Family(
    _words("-r --require --import --loader --experimental-loader -C --conditions --input-type --env-file --title"),
    _words("-e --eval -p --print -pe"),
)
_SHELL = Family(_words("-o +o -O +O --rcfile --init-file"), _words("-c"), stdin=_words("- -s"), clusters=True)
_PERL = Family(_words("-I -M -m -F -0 -i -x -C"), _words("-e -E"), clusters=True)
_JAVA_VALUED = _words(
    """-cp -classpath --class-path -p --module-path --upgrade-module-path --add-modules --add-opens
    --add-exports --add-reads --limit-modules --patch-module --enable-native-access"""
)
_JAVA = Family(_JAVA_VALUED, module=_words("-m --module"), file=_words("-jar"), bare=True)

FAMILIES: tuple[tuple[re.Pattern[str], Family], ...] = tuple(
    (re.compile(pattern), family)
    for pattern, family in (
        (r"(?:python|pypy)\d?(?:\.\d+)?t?d?", _PYTHON),
        (r"node(?:js)?\d*", _NODE),
        (r"bun", Family(_words("-r --preload --cwd -c --config"), _words("-e --eval"), verbs=_words("run x"))),
        (r"deno", Family(_words("-c --config --import-map -L"), _words("eval"), verbs=_words("run serve"))),
        (r"ruby\d?(?:\.\d+)*", Family(_words("-I -r -C -E --encoding"), _words("-e"))),
        (r"perl\d?(?:\.\d+)*", _PERL),
        (r"php\d?(?:\.\d+)?", Family(_words("-c -d -z"), _words("-r"), file=_words("-f"))),
        (r"lua(?:jit)?\d?(?:\.\d+)?", Family(_words("-l"), _words("-e"))),
        (r"Rscript", Family(code=_words("-e"))),
        (r"java", _JAVA),
        (r"dotnet", Family(_words("--runtimeconfig --depsfile --additionalprobingpath"), verbs=_words("exec"))),
        (r"pwsh", Family(_words("-ExecutionPolicy -WorkingDirectory"), _words("-c -Command"), file=_words("-f -File"))),
        (r"(?:ba|da|z|a|k|mk|c|tc|fi)?sh\d?", _SHELL),
    )
)

_VERSION = re.compile(r"[\d.]+t?d?$")
_BOXES = ("busybox", "toybox")
_SCAN = 256
"""Words looked at."""


class Script(msgspec.Struct, frozen=True):
    """interpreter: its name without version. kind: "file" | "module" | "code" | "" (interactive, standard input).
    target: path as written, or module or class; "" for code."""

    interpreter: str
    kind: str = ""
    target: str = ""


def script_of(exe: str, argv: tuple[str, ...]) -> Script | None:
    """What the interpreter `exe` runs by its arguments; None when `exe` is no interpreter."""
    name, words = posixpath.basename(exe), argv[:_SCAN]
    if name in _BOXES:  # the applet is argv[0], or the first word after it
        if words and posixpath.basename(words[0]) in _BOXES:
            words = words[1:]
        name = posixpath.basename(words[0]) if words else name
    family = next((family for pattern, family in FAMILIES if pattern.fullmatch(name)), None)
    if family is None:
        return None
    kind, target = _scan(family, words[1:])
    return Script(_VERSION.sub("", name) or name, kind if target or kind == "code" else "", target)


def _scan(family: Family, words: tuple[str, ...]) -> tuple[str, str]:
    plain = "module" if family.bare else "file"
    at = 0
    while at < len(words):
        word, following = words[at], words[at + 1] if at + 1 < len(words) else ""
        at += 1
        if word in family.stdin:
            return "", ""
        if word == "--":
            return plain, following
        meaning, value = _meaning(family, word)
        if meaning == "code":
            return "code", ""
        if meaning in ("module", "file"):
            return meaning, value or following
        if meaning == "valued":
            at += not value
        elif not word.startswith(("-", "+")) and word not in family.verbs:
            return plain, word
    return "", ""


def _meaning(family: Family, word: str) -> tuple[str, str]:
    """What an option is ("" for one without a value, or no option), and the value that is joined to it."""
    meanings = (("code", family.code), ("module", family.module), ("file", family.file), ("valued", family.valued))
    for meaning, options in meanings:
        if word in options:
            return meaning, ""
    if family.clusters and word[:1] == "-" and word[:2] != "--":
        for at, letter in enumerate(word[1:], 2):
            for meaning, options in meanings:
                if f"-{letter}" in options:
                    return meaning, word[at:]
    return "", ""
