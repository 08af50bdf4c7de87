"""Escapes in a text: what they stand for, as edits.

Known are percent-encoding (RFC 3986 §2.1) with `+` for a space in forms, HTML character references, the backslash escapes of JSON
(RFC 8259 §7), JavaScript, Python and C, and quoted-printable (RFC 2045 §6.7). Invariant: linear in the text, whatever it is.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator

from leeward.data.fold import plainer
from leeward.data.rewrite import Edit

MARKS = (b"%", b"&", b"\\", b"+")
"""A text without any of these has no escapes but quoted-printable."""

# Each begins with its mark alone, which `re` looks for as fast as memchr does.
_PERCENT = re.compile(
    r"%(?:(?P<percent>[0-7][0-9A-Fa-f](?:%[0-7][0-9A-Fa-f])*)"
    r"|(?P<percents>[89A-Fa-f][0-9A-Fa-f](?:%[89A-Fa-f][0-9A-Fa-f])*))"
)
_ENTITY = re.compile(r"&(?P<entity>#(?:[0-9]{1,7}|[xX][0-9A-Fa-f]{1,6});?|[A-Za-z][A-Za-z0-9]{1,31};)")
_BACKSLASH = re.compile(
    r"\\(?:(?P<unicode>u[0-9A-Fa-f]{4}(?:\\u[0-9A-Fa-f]{4})*)"
    r"|(?P<hex>x[0-7][0-9A-Fa-f](?:\\x[0-7][0-9A-Fa-f])*)"
    r"|(?P<octal>[01][0-7]{2}(?:\\[01][0-7]{2})*)"
    r"|(?P<octals>[23][0-7]{2}(?:\\[23][0-7]{2})*)"
    r"|(?P<wide>u\{[0-9A-Fa-f]{1,6}\}|U[0-9A-Fa-f]{8})"
    r"|(?P<bytes>x[89A-Fa-f][0-9A-Fa-f](?:\\x[89A-Fa-f][0-9A-Fa-f])*)"
    # a line break or tab written as an escape matters where a letter of it stands before a value
    r"|(?P<space>[nrt])(?=[0-9A-Za-z+/_\\-])"
    r'|(?P<itself>["/])|(?P<twice>\\(?:\\\\)*))'
)
_BY_MARK = (("%", _PERCENT), ("&", _ENTITY), ("\\", _BACKSLASH))
_FAMILY = {"%": "percent", "&": "entity", "\\": "escape"}
_SPACES = {"\\n": "\n", "\\r": "\n", "\\t": "\t"}
_PLUS = re.compile(r"\+(?<=[0-9]\+)(?=[0-9])")
_MOSTLY = 0.9  # of the `=` in quoted-printable, how many are its escapes
_CONTROL = re.compile("[\x00-\x08\x0e-\x1f\x7f]")
_FORM = 256  # characters before a `+` in which its field's name ends
_QUOTED = re.compile(r"=(?:3D|\r?\n|[C-E][0-9A-F]=[89AB][0-9A-F])")
_QUOTED_PIECE = re.compile(r"=(?:(?P<soft>[ \t]{0,8}\r?\n)|(?P<bytes>[0-9A-F]{2}(?:=[0-9A-F]{2})*))")


def escape_edits(text: str) -> list[tuple[str, Edit]]:
    """(family, edit) each: "percent", "entity" or "escape"; in order, without overlaps."""
    found: list[tuple[str, Edit]] = []
    kinds = 0
    for mark, pattern in _BY_MARK:
        if mark in text:
            family = _FAMILY[mark]
            before = len(found)
            edits = filter(None, map(_undone, pattern.finditer(text)))
            found += [(family, edit) for edit in edits if not (len(edit.put) == 1 and _CONTROL.match(edit.put))]
            kinds += len(found) > before
    if "+" in text and "=" in text:
        found += [("percent", edit) for edit in _form_spaces(text)]
        kinds += 1
    if kinds > 1:
        found.sort(key=lambda pair: pair[1].start)
    return found


def _undone(hit: re.Match[str]) -> Edit | None:
    piece, group = hit[0], hit.lastgroup
    start, end = hit.span()
    if group == "percent":
        return Edit(start, end, bytes.fromhex(piece.replace("%", "")).decode("ascii"), 3)
    if group == "percents":
        return _bytes(piece.replace("%", ""), start, end)
    if group == "entity":
        return _entity(piece, start, end)
    if group == "unicode":
        return _unicode(piece, start, end)
    if group == "hex":
        return Edit(start, end, bytes.fromhex(piece.replace("\\x", "")).decode("ascii"), 4)
    if group == "octal":
        return Edit(start, end, "".join(chr(int(part, 8)) for part in piece.split("\\")[1:]), 4)
    if group == "octals":
        return _bytes(bytes(int(part, 8) for part in piece.split("\\")[1:]).hex(), start, end)
    if group == "bytes":
        return _bytes(piece.replace("\\x", ""), start, end)
    if group == "space":
        return Edit(start, end, _SPACES[piece])
    if group == "itself":
        return Edit(start, end, piece[1])
    if group == "twice":
        return Edit(start, end, piece[::2], 2)
    point = int(piece.strip("\\uU{}"), 16)
    return Edit(start, end, plainer(chr(point))) if point < 0x110000 else None


def _bytes(digits: str, start: int, end: int) -> Edit | None:
    """Bytes beyond ASCII are an escape if they are UTF-8."""
    try:
        return Edit(start, end, plainer(bytes.fromhex(digits).decode()))
    except UnicodeDecodeError:
        return None


def _entity(piece: str, start: int, end: int) -> Edit | None:
    if piece[1] == "#" and piece[2] not in "xX":
        point = int(piece.strip("&#;"))
        return Edit(start, end, plainer(chr(point))) if point < 0x110000 else None
    put = html.unescape(piece)
    return Edit(start, end, plainer(put)) if put != piece else None


def _unicode(piece: str, start: int, end: int) -> Edit:
    units = bytes.fromhex(piece.replace("\\u", ""))
    put = units.decode("utf-16-be", "replace")
    if len(put) * 6 == len(piece):
        return Edit(start, end, put, 6) if len(put) > 1 else Edit(start, end, plainer(put))
    return Edit(start, end, put)


def _form_spaces(text: str) -> Iterator[Edit]:
    """`+` between digits in what looks like a field of a form: `card=4111+1111`."""
    for hit in _PLUS.finditer(text):
        at = hit.start()
        low = max(at - _FORM, 0)
        equals = text.rfind("=", low, at)
        if equals >= 0 and max(text.rfind(c, low, at) for c in " \n\"'") < equals:
            yield Edit(at, at + 1, " ")


def quoted_printable(text: str) -> list[Edit]:
    """Edits that undo quoted-printable; none in a text that does not look so: where it does, hardly any `=` is another thing."""
    if "=" not in text or not _QUOTED.search(text):
        return []
    found = []
    escapes = 0
    for hit in _QUOTED_PIECE.finditer(text):
        if hit.lastgroup == "soft":
            found.append(Edit(*hit.span(), ""))
            escapes += 1
            continue
        raw = bytes.fromhex(hit[0].replace("=", ""))
        escapes += len(raw)
        if raw.isascii():
            found.append(Edit(*hit.span(), raw.decode("ascii"), 3))
        else:
            found.append(Edit(*hit.span(), plainer(raw.decode("utf-8", "replace"))))
    if any(_CONTROL.search(edit.put) for edit in found) or escapes < _MOSTLY * text.count("="):
        return []
    return found
