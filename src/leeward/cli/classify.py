"""`leeward classify`: sensitive data in files, directories, standard input; in text or in JSON, with paths."""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer
from rich.progress import Progress

from leeward.ai.jsontext import load
from leeward.cli.looking import DataConfig, Looking, UseModel, looking, name_model
from leeward.cli.output import console, edge, json_line, print_line, table
from leeward.data.documents import Text, plain, step, texts_of
from leeward.data.inner import inner_paths
from leeward.data.masking import masked, sample, token
from leeward.data.media import Reader, kind_of
from leeward.data.model import NameModel
from leeward.data.scanner import FLOOR, Found, resolve
from leeward.detect.rule import rules
from leeward.model.data import DataMatch
from leeward.model.errors import InputError
from leeward.model.finding import SEVERITIES
from leeward.store.paths import data_key, state_dir

_MOST_BYTES = 64 << 20
_HEADS = ("file", "kind", "value", "where", ("sure", "right"), "by")
_SKIPPED = frozenset((".git", ".hg", ".svn", "node_modules", "__pycache__", ".venv"))
_FORMATS = ("auto", "text", "json", "jsonl")


class _Document(msgspec.Struct):
    """One file. shape: "text" | "json" | "jsonl". value: the decoded JSON, for jsonl the list of lines."""

    name: str
    shape: str
    text: str
    value: Any = None


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command("classify")(classify)


def classify(
    files: Annotated[
        list[str] | None,
        typer.Argument(help="Files or directories; - or nothing for standard input.", show_default=False),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a match.")] = False,
    redact: Annotated[bool, typer.Option("--redact", help="Print the text with tokens where the data stood.")] = False,
    shape: Annotated[
        str,
        typer.Option(
            "--format", help="auto (by the file's name; standard input by its first character), text, json, jsonl."
        ),
    ] = "auto",
    min_confidence: Annotated[float, typer.Option(help="Leave out what is less sure.", min=0, max=1)] = FLOOR,
    kind: Annotated[
        list[str] | None, typer.Option(help="Only this kind or family (pii, secret.aws); may be repeated.")
    ] = None,
    fail_on: Annotated[
        str, typer.Option(help="Exit with 1 if anything is as bad as this: info, low, medium, high, critical.")
    ] = "",
    model: UseModel = None,
    config: DataConfig = None,
) -> None:
    """Finds sensitive data: people, money, health, credentials, source code. Values are shown masked."""
    with edge():
        _check_options(shape, fail_on)
        look = looking(data_key(state_dir()), config)
        names = name_model(model)
        worst = -1
        rows: list[tuple[Any, ...]] = []
        for document in _documents(files or ["-"], shape):
            texts = _texts(document)
            found = [f for f in _found(look, names, texts, min_confidence) if _wanted(f.kind, kind)]
            worst = max([worst, *(_badness(f.kind) for f in found)])
            if redact:
                sys.stdout.write(_redacted(document, texts, found, look))
                continue
            for match in _matches(found, texts, look):
                if as_json:
                    json_line({"type": "match", "file": document.name, **msgspec.to_builtins(match)})
                else:
                    where = f"{match.path}{' ' + match.inner if match.inner else ''} {match.start}-{match.end}"
                    rows.append((document.name, match.kind, match.sample, where, match.confidence, match.detector))
        if not as_json and not redact:
            _print(rows)
    if fail_on and worst >= SEVERITIES.index(fail_on):
        raise typer.Exit(1)


def _check_options(shape: str, fail_on: str) -> None:
    if shape not in _FORMATS:
        raise InputError(f"--format {shape}: say {', '.join(_FORMATS)}")
    if fail_on and fail_on not in SEVERITIES:
        raise InputError(f"--fail-on {fail_on}: say {', '.join(SEVERITIES)}")


def _print(rows: list[tuple[Any, ...]]) -> None:
    if rows:
        console().print(table(_HEADS, rows))
    print_line(f"{len(rows)} matches" if rows else "nothing found")


def _found(look: Looking, names: NameModel | None, texts: list[Text], floor: float) -> list[Found]:
    found = look.scanner.scan(texts, floor)
    if names is None:
        return found
    for number, matches in enumerate(names.find([t.text for t in texts], [t.label for t in texts])):
        for kind, start, end, confidence, detector in matches:
            if confidence >= floor:
                found.append(Found(kind, number, start, end, confidence, detector, texts[number].text[start:end]))
    return resolve(found)


def _matches(found: list[Found], texts: list[Text], look: Looking) -> Iterator[DataMatch]:
    starts: dict[int, list[int]] = {}
    for match in found:
        starts.setdefault(match.text, []).append(match.start)
    inner = {number: iter(inner_paths(texts[number].text, at)) for number, at in starts.items()}
    for match in found:
        text = texts[match.text]
        yield DataMatch(
            kind=match.kind, path=text.path, start=match.start, end=match.end, confidence=round(match.confidence, 3),
            detector=match.detector, sample=sample(match.value, match.keep), hash=look.keyed.text(match.value),
            inner=next(inner[match.text]),
        )  # fmt: skip


def _wanted(kind: str, kinds: list[str] | None) -> bool:
    return not kinds or any(kind == k or kind.startswith(f"{k.removesuffix('.*')}.") for k in kinds)


def _badness(kind: str) -> int:
    """The worst that any rule about requests says of this kind, as a place in SEVERITIES; -1 for none."""
    severities = (rule.severity_of(kind) for rule in rules().values() if rule.side == "request")
    return max((SEVERITIES.index(severity) for severity in severities if severity), default=-1)


def _texts(document: _Document) -> list[Text]:
    return list(plain(document.text)) if document.shape == "text" else texts_of(document.value)


def _redacted(document: _Document, texts: list[Text], found: list[Found], look: Looking) -> str:
    spans: dict[str, list[tuple[int, int, str]]] = {}
    for match in found:
        put = token(match.kind, look.keyed.text(match.value))
        spans.setdefault(texts[match.text].path, []).append((match.start, match.end, put))
    if document.shape == "text":
        return masked(document.text, spans.get("$", ()))
    lines = document.value if document.shape == "jsonl" else [document.value]
    paths = [f"$[{i}]" for i in range(len(lines))] if document.shape == "jsonl" else ["$"]
    clean = [_masked_value(line, path, spans) for line, path in zip(lines, paths, strict=True)]
    return "".join(msgspec.json.encode(line).decode() + "\n" for line in clean)


def _masked_value(value: Any, path: str, spans: dict[str, list[tuple[int, int, str]]]) -> Any:
    if isinstance(value, dict):
        return {key: _masked_value(child, path + step(key), spans) for key, child in value.items()}
    if isinstance(value, list):
        return [_masked_value(child, f"{path}[{i}]", spans) for i, child in enumerate(value)]
    return masked(str(value), spans[path]) if path in spans else value


def _documents(names: list[str], shape: str) -> Iterator[_Document]:
    paths = list(_paths(names))
    with Progress(transient=True, disable=len(paths) < 20 or not sys.stderr.isatty()) as progress:
        for path in progress.track(paths, description="classify"):
            raw = sys.stdin.buffer.read(_MOST_BYTES + 1) if path == "-" else _bytes(Path(path))
            if len(raw) > _MOST_BYTES:
                _skip(path, f"longer than {_MOST_BYTES >> 20} MiB: split it")
            elif (text := _text(raw)) is None:
                _skip(path, "no text")
            else:
                yield _shaped(path, text, shape)


def _paths(names: list[str]) -> Iterator[str]:
    for name in names:
        path = Path(name)
        if name == "-" or path.is_file():
            yield name
        elif path.is_dir():
            for folder, folders, inside in os.walk(path):
                folders[:] = sorted(set(folders) - _SKIPPED)
                yield from (p for file in sorted(inside) if os.path.isfile(p := os.path.join(folder, file)))
        else:
            raise InputError(f"{name}: no such file or directory: name one, or - for standard input")


def _bytes(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(_MOST_BYTES + 1)
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}: name a file that can be read") from error


def _text(raw: bytes) -> str | None:
    """The text of a file (of a PDF, an office or compressed file what can be read of it), None for what has none."""
    kind = kind_of(raw)
    if not kind and b"\0" not in raw[:8192]:
        return raw.decode("utf-8-sig", "replace")
    texts = [text for _, text in Reader(_MOST_BYTES, Counter()).read(raw) if text] if kind else []
    return "\n".join(texts) if texts else None


def _skip(name: str, why: str) -> None:
    print(f"level=warning event=skipped file={name} why='{why}'", file=sys.stderr)


def _shaped(name: str, text: str, shape: str) -> _Document:
    suffix = Path(name).suffix.lower()
    if shape == "auto":
        shape = {".json": "json", ".jsonl": "jsonl", ".ndjson": "jsonl"}.get(suffix, "text")
        if name == "-" and text.lstrip()[:1] in ("{", "["):
            shape = "json" if load(text).exact else "text"
    if shape == "jsonl":
        lines = [load(line) for line in text.splitlines() if line.strip()]
        return _Document(name, shape, text, [line.value for line in lines])
    if shape == "json" and (read := load(text)).exact:
        return _Document(name, shape, text, read.value)
    return _Document(name, "text", text)
