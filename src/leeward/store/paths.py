"""Where Leeward keeps what it remembers on this host, and how a private file is written.

Invariants: directories made here are 0700 and files 0600 from the start; a file appears whole or not at all.
"""

from __future__ import annotations

import os
import secrets
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from leeward.store.errors import StoreError

DATABASE_NAME = "leeward.duckdb"
TOKENS_NAME = "tokens.json"
CLI_TOKEN_NAME = "cli-token"
DATA_KEY_NAME = "data-key"
BASELINES_NAME = "baselines"
SIGNING_KEY_NAME = "baseline-signing-key"


def state_dir(env: Mapping[str, str] | None = None, uid: int | None = None) -> Path:
    """The directory of the store and the tokens: $LEEWARD_STATE, else /var/lib/leeward for root, else
    $XDG_STATE_HOME/leeward ($HOME/.local/state/leeward, as XDG's Base Directory Specification has it). Not made."""
    env = os.environ if env is None else env
    uid = os.geteuid() if uid is None else uid
    if env.get("LEEWARD_STATE"):
        return Path(env["LEEWARD_STATE"])
    if uid == 0:
        return Path("/var/lib/leeward")
    base = env.get("XDG_STATE_HOME", "")
    # The specification says that relative paths in these variables are to be ignored.
    if base.startswith("/"):
        return Path(base) / "leeward"
    return Path(env.get("HOME") or Path.home()) / ".local/state/leeward"


@contextmanager
def private_umask() -> Iterator[None]:
    """Files made inside are 0600, directories 0700. Process-wide while it lasts: keep it short."""
    old = os.umask(0o077)
    try:
        yield
    finally:
        os.umask(old)


def ensure_private_dir(path: Path) -> None:
    """Create `path` and its missing parents as 0700. What exists already keeps its mode: it may be someone else's."""
    try:
        with private_umask():
            path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(
            f"cannot create the directory {path}: {error.strerror}: name another with LEEWARD_STATE"
        ) from error


def write_private(path: Path, content: str | bytes) -> None:
    """Write `content` (text as UTF-8) to `path` as 0600, atomically and durably (a new file is renamed over the old)."""
    try:
        descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(content.encode() if isinstance(content, str) else content)
                file.flush()
                os.fsync(file.fileno())
            os.replace(name, path)
        except BaseException:
            os.unlink(name)
            raise
    except OSError as error:
        raise StoreError(f"cannot write {path}: {error.strerror}") from error


def data_key(state: Path) -> bytes:
    """The 32 bytes with which values are hashed on this installation; made at the first need. Raises StoreError."""
    return _secret(state / DATA_KEY_NAME, "values get new hashes")


def signing_key(state: Path) -> bytes:
    """The 32 bytes of the Ed25519 key that signs exported baselines; made at the first need. Raises StoreError."""
    return _secret(state / SIGNING_KEY_NAME, "exports are signed by a new key")


def _secret(path: Path, otherwise: str) -> bytes:
    """32 random bytes in a private file of hex digits. otherwise: what happens if it is taken away."""
    try:
        if not path.exists():
            ensure_private_dir(path.parent)
            write_private(path, secrets.token_hex(32) + "\n")
        key = bytes.fromhex(path.read_text(encoding="ascii").strip())
    except OSError as error:
        raise StoreError(
            f"cannot read {path}: {error.strerror}: run as its owner, or name another LEEWARD_STATE"
        ) from error
    except ValueError:
        key = b""
    if len(key) != 32:
        raise StoreError(f"{path} is not 64 hex digits: take it away, and {otherwise}")
    return key
