"""TLS key logs, as SSLKEYLOGFILE writes them. Secrets live in memory only, for the time of a replay."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

from leeward.model.errors import InputError

_LINE = re.compile(rb"([A-Z][A-Z0-9_]{1,63}) ([0-9a-fA-F]{64}) ((?:[0-9a-fA-F]{2}){16,64})\s*\Z")
_MOST = 1 << 20  # sessions


class KeyLog:
    """Secrets by client random and label."""

    def __init__(self) -> None:
        self.counters: Counter[str] = Counter()
        self._secrets: dict[bytes, dict[str, bytes]] = {}

    def __len__(self) -> int:
        return len(self._secrets)

    def secrets(self, client_random: bytes) -> dict[str, bytes]:
        """Label to secret, e.g. "CLIENT_RANDOM" to a TLS 1.2 master secret; {} for a session that is not in the log."""
        return self._secrets.get(client_random, {})

    @classmethod
    def parse(cls, data: bytes) -> KeyLog:
        """Reads what it can; lines of another form are counted."""
        log = cls()
        for line in data.split(b"\n"):
            if not line.strip() or line.startswith(b"#"):
                continue
            found = _LINE.match(line)
            if not found:
                log.counters["bad_keylog_lines"] += 1
            elif len(log._secrets) < _MOST:
                secrets = log._secrets.setdefault(bytes.fromhex(found[2].decode()), {})
                secrets[found[1].decode()] = bytes.fromhex(found[3].decode())
        return log

    @classmethod
    def read(cls, path: Path) -> KeyLog:
        """InputError if the file cannot be read or has no line of a key log."""
        try:
            log = cls.parse(path.read_bytes())
        except OSError as error:
            raise InputError(f"{path}: {error.strerror}: name a key log that can be read") from error
        if not log:
            raise InputError(f"{path}: no key log line in it; expected lines such as CLIENT_RANDOM <64 hex> <96 hex>")
        return log
