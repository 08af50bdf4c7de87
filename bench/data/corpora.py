"""Makes the corpora: the same seed and share give the same texts. Run by the interpreter of `.venv-presidio`, which has Faker:

    PYTHONHASHSEED=0 python -m bench.data.corpora FILE --seed N --cache FOLDER [--share 0..1]

`evaluator`: presidio-evaluator's templates. `prompts`: our own, of the shapes that prompts have. `secrets`: a secret in
configuration, code, logs, curl, prose. `ids`: one number with the word for it, or without. `benign`: developer prompts that
hold nothing. `mined`: real code and documentation. `code`: prose with and without source code. A text of `secrets` or `ids`
is in `dev` only if its template and its form are, and the same for `held`.
"""

from __future__ import annotations

import argparse
import itertools
import os
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from random import Random

from bench.data import evaluator, items, mined
from bench.data.pieces import Context, Piece, fill, json_escaped, on_lines
from bench.data.records import HALVES, Text, half_of, write
from bench.data.templates import Template, load
from bench.data.values import people, secrets
from bench.data.values.makers import MAKERS

ALL = ("secret", "pii", "financial", "health", "internal")
# What people call a number often names a country; prose around a secret names products and hosts.
NUMBERS = tuple(
    f"pii.{kind}"
    for kind in [
        "person",
        "email",
        "phone",
        "address",
        "ip",
        "mac",
        "national_id",
        "passport",
        "driver_licence",
        "date_of_birth",
    ]
)
NUMBERS += ("secret", "financial", "health", "internal")
SECRETS = (
    "secret",
    "financial",
    *(f"pii.{kind}" for kind in ["person", "email", "phone", "address", "national_id", "passport"]),
    "health",
)
SIZES = {"evaluator": 2400, "prompts": 28, "benign": 6000, "mined": 6000, "code": 800}  # prompts: of each template


def _snake(text: str) -> str:
    return re.sub(r"\W+", "_", text).strip("_").lower()


def _camel(text: str) -> str:
    first, *others = _snake(text).split("_")
    return first + "".join(word.capitalize() for word in others)


def _named(slot: str, text: str) -> dict[str, Piece | str]:
    """A name as templates may want it written."""
    snake = _snake(text)
    ways = {
        "": text,
        ".snake": snake,
        ".camel": _camel(text),
        ".dotted": snake.replace("_", "."),
        ".upper": text.upper(),
    }
    return {slot + way: written for way, written in ways.items()}


_WRAPPERS: dict[str, Callable[[Piece], Piece]] = {
    "": lambda piece: piece,
    "+escaped": json_escaped,
    "+quoted": lambda piece: on_lines(piece, "> "),
    "+indented": lambda piece: on_lines(piece, "    "),
}


def prompts(times: int, seed: int, cache: Path) -> Iterator[Text]:
    """Each template of our own `times` times, now and then escaped as inside JSON, quoted or indented."""
    random = Random(f"prompts {seed}")
    known: dict[str, Piece | str] = {"companies": str(evaluator.fetch(cache) / "companies_and_organizations.csv")}
    templates = [(file, template) for file in ("english", "languages", "machines") for template in load(file)]
    for number, (file, template) in itertools.product(range(times), templates):
        context = Context(random, random.choice(people.LOCALES[template.language]), known)
        piece = fill(template.text, MAKERS, context)
        wrapper = random.choice(list(_WRAPPERS)) if random.random() < 0.25 else ""
        name = f"{file}.{template.name}"
        piece = _WRAPPERS[wrapper](piece)
        yield Text(
            f"{name}-{number}",
            "prompts",
            name + wrapper,
            half_of(name),
            template.language,
            piece.text,
            piece.spans,
            ALL,
        )


def _by_half(file: str) -> dict[str, list[Template]]:
    templates = load(file)
    return {half: [t for t in templates if half_of(f"{file}.{t.name}") == half] for half in HALVES}


def ids(share: float, seed: int) -> Iterator[Text]:
    random = Random(f"ids {seed}")
    templates = _by_half("ids")
    for item in items.items():
        family = item.name.split(".")[0]
        half = half_of(item.name)
        # A family of one item is in both halves, by template.
        halves = HALVES if item.name in ("email", "record", "mac", "host") else (half,)
        for half, number in itertools.product(halves, range(max(1, round(items.TIMES[family] * share / len(halves))))):
            fitting = [t for t in templates[half] if item.bare or "bare" not in t.options]
            template = random.choice(fitting)
            context = Context(
                random, item.locale, _named("word", random.choice(item.words)) | {"value": item.make(random)}
            )
            piece = fill(template.text, MAKERS, context)
            yield Text(
                f"{item.name}-{half}-{number}",
                "ids",
                f"ids.{template.name}",
                half,
                "en",
                piece.text,
                piece.spans,
                NUMBERS,
            )


def planted(share: float, seed: int) -> Iterator[Text]:
    """Secrets, each form in templates that fit it."""
    random = Random(f"secrets {seed}")
    templates, passwords = _by_half("secrets"), _by_half("passwords")
    for form in secrets.forms():
        half = half_of(f"secret.{form.name}")
        is_password = form.name.startswith("password.")
        fitting = [t for t in templates[half] if form.bare or "bare" not in t.options]
        if is_password:
            fitting = [t for t in fitting if "said" not in t.options] + passwords[half]
        for number in range(max(1, round((60 if is_password else 16) * share))):
            template = random.choice(fitting)
            part = _named("var", form.variable) | {"said": form.said, "value": form.make(random)}
            piece = fill(template.text, MAKERS, Context(random, "en_US", part))
            name = f"secrets.{template.name}"
            yield Text(
                f"{form.name}-{number}", "secrets", name, half, template.language, piece.text, piece.spans, SECRETS
            )


def snippets(share: float, seed: int) -> Iterator[Text]:
    random = Random(f"snippets {seed}")
    templates = _by_half("snippets")
    for name, make in secrets.snippets().items():
        half = half_of(f"secret.{name}")
        for number in range(max(1, round(16 * share))):
            template = random.choice(templates[half])
            piece = fill(template.text, MAKERS, Context(random, "en_US", {"value": make(random)}))
            if random.random() < 0.2:
                piece = json_escaped(piece)
            yield Text(
                f"{name}-{number}", "secrets", f"snippets.{template.name}", half, "en", piece.text, piece.spans, SECRETS
            )


def benign(count: int, seed: int) -> Iterator[Text]:
    random = Random(f"benign {seed}")
    templates = load("benign")
    for number in range(count):
        template = templates[number % len(templates)]
        piece = fill(template.text, MAKERS, Context(random, "en_US"))
        name = f"benign.{template.name}"
        yield Text(f"benign-{number}", "benign", name, half_of(name), "en", piece.text, piece.spans, ALL)


def checked(texts: Iterable[Text]) -> Iterator[Text]:
    """The same texts. Raises ValueError for a label that does not stand on a value."""
    for text in texts:
        for span in text.spans:
            value = text.text[span.start : span.end]
            if span.end > len(text.text) or not value or value != value.strip():
                raise ValueError(f"{text.id}: a label on {value!r}")
        yield text


def everything(share: float, seed: int, cache: Path) -> Iterator[Text]:
    """share: of the whole size; 1 is what is reported."""

    def size(corpus: str) -> int:
        return max(1, round(SIZES[corpus] * share))

    yield from evaluator.texts(size("evaluator"), seed, cache)
    yield from prompts(size("prompts"), seed, cache)
    yield from planted(share, seed)
    yield from snippets(share, seed)
    yield from ids(share, seed)
    yield from benign(size("benign"), seed)
    yield from mined.texts(size("mined"), seed)
    yield from mined.code_texts(size("code"), seed)


def main() -> None:
    parser = argparse.ArgumentParser(description="Makes the corpora.")
    parser.add_argument("file", type=Path)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--share", type=float, default=1.0)
    parser.add_argument("--cache", type=Path, required=True)
    options = parser.parse_args()
    if os.environ.get("PYTHONHASHSEED") != "0":
        parser.error("without PYTHONHASHSEED=0 the texts are not the same each time")
    partial = options.file.with_suffix(".partial")
    write(partial, checked(everything(options.share, options.seed, options.cache)))
    partial.replace(options.file)


if __name__ == "__main__":
    main()
