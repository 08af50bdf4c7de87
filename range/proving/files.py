"""Where things are: the range's own source, the interpreters, the client scripts."""

from __future__ import annotations

import shutil
from pathlib import Path

SOURCE = Path(__file__).resolve().parent.parent
"""The directory that `proving` is imported from."""
REPOSITORY = SOURCE.parent
NODE = SOURCE / "node"
COMPILED = REPOSITORY / ".venv-range" / "compiled"
"""Clients that are built, by `make setup-range`."""
CLIENTS = Path(__file__).resolve().parent / "clients"


def server_python() -> Path:
    """The interpreter of the servers: the development environment (uvicorn, brotli, zstandard, cryptography)."""
    return REPOSITORY / ".venv" / "bin" / "python"


def client_python() -> Path:
    """The interpreter of the clients: an environment of its own with the vendors' SDKs (requirements/range.txt)."""
    return REPOSITORY / ".venv-range" / "bin" / "python"


def clients() -> dict[str, Path]:
    """Client scripts by name; those of other languages where what they need is installed."""
    found = [*CLIENTS.glob("*.py"), *CLIENTS.glob("*.sh")]
    if (NODE / "node_modules").is_dir():
        found += [p for p in NODE.glob("*.mjs") if p.stem != "common"]
    found += [p for p in COMPILED.glob("go_*") if p.is_file()]
    found += [SOURCE / "java" / "JavaHttp.java"] if shutil.which("java") else []
    names = {"JavaHttp": "java_http"}
    return {names.get(p.stem, p.stem): p for p in found if not p.name.startswith("_")}


def client_script(name: str) -> list[str]:
    """The command that runs a client; `KeyError` for one that is not there."""
    path = clients()[name]
    runners = {".py": [str(client_python())], ".mjs": ["node"], ".java": ["java"]}
    return [*runners.get(path.suffix, []), str(path)]
