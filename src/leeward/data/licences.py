"""Licence and owner of code, from the words at its head. Identifiers are those of SPDX; `proprietary` is ours."""

from __future__ import annotations

import re

_HEAD = 6000  # characters
_HINTS = (
    "licen",
    "copyright",
    "(c)",
    "©",
    "confidential",
    "proprietary",
    "permission",
    "reserved",
    "reservad",
    "réserv",
)
_ASCII_HINTS = tuple(hint for hint in _HINTS if hint.isascii())
_SPDX = re.compile(r"spdx-license-identifier:\s*([\w.+-]+)")
# Words, in lower case, that stand in the headers of these licences and hardly elsewhere.
_PHRASES = (
    ("MIT", ("permission is hereby granted, free of charge", "mit license", "under the mit ", "mit-license")),
    ("Apache-2.0", ("licensed under the apache license", "apache license, version 2")),
    ("AGPL-3.0", ("gnu affero general public license",)),
    ("LGPL-2.1", ("gnu lesser general public license", "gnu library general public license")),
    ("GPL-2.0", ("gnu general public license", "under the gpl", "gplv2", "gplv3")),
    ("BSD-3-Clause", ("redistribution and use in source and binary forms", "bsd-style license", "3-clause bsd", "2-clause bsd")),
    ("MPL-2.0", ("mozilla public license",)),
    ("ISC", ("permission to use, copy, modify, and/or distribute", "permission to use, copy, modify, and distribute")),
    ("EPL-2.0", ("eclipse public license",)),
    ("Unlicense", ("released into the public domain",)),
)  # fmt: skip
_SECRET = (
    "proprietary", "confidential", "trade secret", "internal use only", "do not distribute", "do not copy", "do not share",
    "do not disclose", "unauthorized copying", "unauthorised copying", "unauthorized use", "unauthorized reproduction",
    "unauthorized distribution", "not for public release", "not for distribution", "company private",
)  # fmt: skip
_RESERVED = ("all rights reserved", "alle rechte vorbehalten", "tous droits réservés", "todos los derechos reservados")
_MARKS = ("copyright", "(c)", "©")
_OWNER = re.compile(
    r"(?:[ \t]+(?:copyright|\(c\)|©|by))*[ \t:,]*"
    r"(?P<year>[12][0-9]{3}(?:[ \t]*[-–,][ \t]*(?:[12][0-9]{3}|present|now))*[ \t,]*)*(?:by[ \t]+)?"
    r"(?P<name>[^\W\d_][^\n<>(){}\"*/]{1,60})",
    re.IGNORECASE,
)
_AFTER_OWNER = re.compile(
    r"[.,;]?\s*(?:(?:all rights reserved|alle rechte|tous droits|todos los derechos).*|licensed under.*"
    r"|and (?:contributors|others).*)?$",
    re.IGNORECASE,
)
_NO_OWNER = frozenset("holder holders owner notice law and statement license licence".split())  # noqa: SIM905
_MOST_MARKS = 8


def header_of(text: str) -> tuple[str, str]:
    """(licence, owner) of code that begins so; "" for what is not said."""
    head = text[:_HEAD]
    folded = head.lower()
    if len(folded) != len(head):  # a few letters grow
        folded = "".join(c.lower() if len(c.lower()) == 1 else c for c in head)
    if not any(hint in folded for hint in (_ASCII_HINTS if folded.isascii() else _HINTS)):
        return "", ""
    owner = _owner(head, folded)
    spdx = _SPDX.search(folded)
    if spdx is not None and not spdx[1].startswith("licenseref"):
        return head[spdx.start(1) : spdx.end(1)], owner
    for name, phrases in _PHRASES:
        if any(phrase in folded for phrase in phrases):
            return name, owner
    reserved = bool(owner) and any(words in folded for words in _RESERVED)
    secret = spdx is not None or reserved or any(words in folded for words in _SECRET)
    return ("proprietary" if secret else ""), owner


def _owner(head: str, folded: str) -> str:
    at = 0
    for _ in range(_MOST_MARKS):
        found = [(where, mark) for mark in _MARKS if (where := folded.find(mark, at)) >= 0]
        if not found:
            break
        where, mark = min(found)
        at = where + len(mark)
        hit = _OWNER.match(head, at)
        if hit is None or (mark == "(c)" and not hit["year"]):
            continue  # `(c)` stands in code as well
        name = _AFTER_OWNER.sub("", hit["name"].split(". ")[0]).strip(" .,;:-")
        if name and name.split()[0].lower().strip(":") not in _NO_OWNER:
            return name
    return ""
