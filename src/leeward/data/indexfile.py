"""Files of indexes that hold keyed hashes and no text: one line of magic, a header in JSON, arrays of integers.

The header says how long each array is. Integers are little-endian. Invariants: what is read fits what the header says, or it is
refused; a file made with the key of another installation is refused, since nothing in it could be found.
"""

from __future__ import annotations

import os
import sys
from array import array
from pathlib import Path
from typing import Any

import msgspec

from leeward.data.hashing import Keyed
from leeward.model.errors import InputError

_MOST_HEADER = 64 << 20
_MOST_BYTES = 2 << 30
_MARK = "leeward index"


def save(path: Path, magic: str, keyed: Keyed, header: dict[str, Any], arrays: dict[str, array[int]]) -> None:
    """Writes the file anew, readable by its owner only. Raises InputError where that cannot be."""
    sizes = {name: [values.typecode, len(values)] for name, values in arrays.items()}
    head = msgspec.json.encode(header | {"arrays": sizes, "key": keyed.text(_MARK)})
    part = path.with_name(path.name + ".part")
    try:
        with open(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(f"{magic}\n{len(head)}\n".encode() + head)
            for values in arrays.values():
                file.write(_little(values).tobytes())
        part.replace(path)
    except OSError as error:
        raise InputError(f"{path}: cannot be written: {error.strerror}") from error


def load(path: Path, magic: str, keyed: Keyed) -> tuple[dict[str, Any], dict[str, array[int]]]:
    """(header, arrays). Raises InputError for a file that is not of this sort, broken, or of another key."""
    try:
        with path.open("rb") as file:
            if file.readline(64) != f"{magic}\n".encode():
                raise InputError(
                    f"{path}: is no index of this sort and version: make it again with `leeward data index`"
                )
            size = int(file.readline(16))
            if not 0 < size <= _MOST_HEADER:
                raise ValueError("the header is too long")
            header = msgspec.json.decode(file.read(size), type=dict[str, Any])
            arrays = {name: _read(file, code, count) for name, (code, count) in header.pop("arrays").items()}
            if file.read(1):
                raise ValueError("there is more than the header says")
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error
    except (msgspec.MsgspecError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise InputError(f"{path}: is broken ({error}): make it again with `leeward data index`") from error
    if header.get("key") != keyed.text(_MARK):
        raise InputError(f"{path}: was made with the key of another installation: make it again here")
    return header, arrays


def _read(file: Any, code: str, count: int) -> array[int]:
    if code not in ("Q", "I", "B") or not count >= 0:
        raise ValueError("an array of no known type")
    values = array(code)
    size = values.itemsize * count
    if size > _MOST_BYTES:
        raise ValueError("an array is too long")
    raw = file.read(size)
    if len(raw) != size:
        raise ValueError("it is cut")
    values.frombytes(raw)
    return _little(values)


def _little(values: array[int]) -> array[int]:
    if sys.byteorder == "big":
        values = array(values.typecode, values)
        values.byteswap()
    return values
