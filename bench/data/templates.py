"""Reads templates: `### name | language | options`, each followed by its text; what stands before the first is a remark."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

_HEAD = re.compile(r"^### ([a-z0-9_]+) \| ([a-z]{2})(?: \| (.+))?$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Template:
    name: str
    language: str
    options: frozenset[str]
    text: str


def load(file: str) -> list[Template]:
    """The templates of `templates/<file>.txt`, in order. Raises ValueError if two have one name or a head is not understood."""
    content = (Path(__file__).parent / "templates" / f"{file}.txt").read_text(encoding="utf-8")
    heads = list(_HEAD.finditer(content))
    if len(heads) != content.count("\n### "):
        raise ValueError(f"templates/{file}.txt: a head is not `### name | language | options`")
    ends = [head.start() for head in heads[1:]] + [len(content)]
    found = [
        Template(head[1], head[2], frozenset((head[3] or "").split()), content[head.end() + 1 : end].rstrip("\n"))
        for head, end in zip(heads, ends, strict=True)
    ]
    if len({template.name for template in found}) != len(found):
        raise ValueError(f"templates/{file}.txt: two templates have one name")
    return found
