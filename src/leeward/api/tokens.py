"""Who may use the API: tokens, kept as hashes in one private file.

Invariants: a token is 256 random bits and is never written down except where the caller puts it; the file (0600) holds
SHA-256 hashes, which is enough for high-entropy secrets. The file is the truth: a change by another process holds
from the next request on. A file that is missing, damaged or writable by others lets nobody in.
"""

from __future__ import annotations

import fcntl
import hashlib
import hmac
import os
import re
import secrets
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from leeward.model.errors import LeewardError
from leeward.store.paths import ensure_private_dir, write_private

ROLES = ("viewer", "analyst", "admin")
"""In rising order: a role may do what those before it may. viewer: no message content."""
LOCAL_CLI = "local-cli"
PREFIX = "lwt_"
"""Begins every token, so that secret scanners (and people) know one when it leaks."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")


class TokenError(LeewardError):
    """The token file or a request to change it is wrong."""


class Token(msgspec.Struct, frozen=True):
    """One token as kept. hash: SHA-256 of it, hex. created: ISO 8601."""

    name: str
    role: str
    hash: str
    created: str = ""


class Principal(msgspec.Struct, frozen=True):
    """Who asks. name, hash: the token's."""

    name: str
    role: str
    hash: str = ""

    def may(self, role: str) -> bool:
        return ROLES.index(self.role) >= ROLES.index(role)


class _File(msgspec.Struct):
    tokens: list[Token]
    version: int = 1


class TokenStore:
    """The tokens in the file at `path`, which need not exist yet. Safe to use from several threads and processes."""

    def __init__(self, path: Path, *, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self.path = path
        self.counters: Counter[str] = Counter()
        self._clock = clock
        self._mutex = threading.Lock()
        self._seen: tuple[int, int, int] | None = None
        self._tokens: list[Token] = []

    def ensure(self, name: str = "admin", role: str = "admin") -> str | None:
        """Make the first token and return it, to be shown once. None when there is one (the command line's aside)."""
        with self._changing() as tokens:
            if any(token.name != LOCAL_CLI for token in tokens):
                return None
            return self._add(tokens, name, role)

    def ensure_local_cli(self, path: Path) -> None:
        """Leave a working admin token for this host's command line in `path` (0600), a new one where needed."""
        try:
            held = path.read_text(encoding="ascii").strip()
        except (OSError, UnicodeDecodeError):
            held = ""
        with self._changing() as tokens:
            if held and any(hmac.compare_digest(t.hash, digest(held)) for t in tokens if t.name == LOCAL_CLI):
                path.chmod(0o600)
                return
            tokens[:] = [token for token in tokens if token.name != LOCAL_CLI]
            write_private(path, self._add(tokens, LOCAL_CLI, "admin") + "\n")

    def create(self, name: str, role: str) -> str:
        """A new token, to be shown once."""
        with self._changing() as tokens:
            return self._add(tokens, name, role)

    def revoke(self, name: str) -> bool:
        """Forget the token of that name. False when there is none."""
        with self._changing() as tokens:
            left = [token for token in tokens if token.name != name]
            found = len(left) < len(tokens)
            tokens[:] = left
            return found

    def entries(self) -> list[Token]:
        """All tokens, without the secrets."""
        return self._read() if self.path.exists() else []

    def authenticate(self, token: str) -> Principal | None:
        """Whose token this is. Every kept hash is compared, each in constant time."""
        found: Principal | None = None
        given = digest(token)
        for kept in self._current():
            if hmac.compare_digest(kept.hash, given):
                found = Principal(kept.name, kept.role, kept.hash)
        return found

    def still_valid(self, principal: Principal) -> bool:
        """For sessions: the token that it logged in with has not been revoked or changed since."""
        return any(Principal(kept.name, kept.role, kept.hash) == principal for kept in self._current())

    def _current(self) -> list[Token]:
        with self._mutex:
            try:
                stat = self.path.stat()
                seen = (stat.st_mtime_ns, stat.st_ino, stat.st_size)
                if seen != self._seen:
                    self._tokens = self._read()
                    self._seen = seen
            except (OSError, TokenError):
                self.counters["token_file_unreadable"] += 1
                self._tokens, self._seen = [], None
            return self._tokens

    def _read(self) -> list[Token]:
        try:
            mode = self.path.stat().st_mode
            text = self.path.read_bytes()
        except OSError as error:
            raise TokenError(f"cannot read {self.path}: {error.strerror}") from error
        if mode & 0o022:
            raise TokenError(f"{self.path} can be written by other users: look at who did, then chmod 600 {self.path}")
        try:
            tokens = msgspec.json.decode(text, type=_File).tokens
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise TokenError(f"{self.path} is damaged ({error}): move it aside and start anew") from error
        for token in tokens:
            if token.role not in ROLES or not re.fullmatch(r"[0-9a-f]{64}", token.hash):
                raise TokenError(f"{self.path}: token {token.name!r} has a bad role or hash: remove it")
        return tokens

    def _add(self, tokens: list[Token], name: str, role: str) -> str:
        if role not in ROLES:
            raise TokenError(f"role {role!r} is unknown: use one of {', '.join(ROLES)}")
        if not _NAME.fullmatch(name):
            raise TokenError(f"name {name!r} will not do: up to 64 letters, digits, '.', '_', '@', '-'")
        if any(token.name == name for token in tokens):
            raise TokenError(f"there is a token named {name!r} already: revoke it first, or choose another name")
        secret = PREFIX + secrets.token_urlsafe(32)
        tokens.append(Token(name, role, digest(secret), self._clock().strftime("%Y-%m-%dT%H:%M:%SZ")))
        return secret

    @contextmanager
    def _changing(self) -> Iterator[list[Token]]:
        """The tokens to change in place, written back if they were, with other processes kept out meanwhile."""
        ensure_private_dir(self.path.parent)
        lock = self.path.with_name(self.path.name + ".lock")
        try:
            descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except OSError as error:
            raise TokenError(f"cannot change {self.path}: {error.strerror} ({lock})") from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            before = self.entries()
            tokens = [*before]
            yield tokens
            if tokens != before:
                write_private(self.path, msgspec.json.format(msgspec.json.encode(_File(tokens))).decode() + "\n")
        finally:
            os.close(descriptor)


def digest(token: str) -> str:
    """SHA-256 of a token, hex."""
    return hashlib.sha256(token.encode("utf-8", "replace")).hexdigest()
