"""Passive TLS: both ciphertext streams of a connection and a key log in, the plaintext of both directions out.

Invariants: never raises; nothing comes out that was not authenticated (CBC suites: whose padding was not right). What
cannot be read says why in `state` and `reason`. A server's records may come before all of the client's.
"""

from __future__ import annotations

from collections import Counter

from leeward.wire.ciphers import SUITES, Reader12, Reader13, Suite, readers12
from leeward.wire.keylog import KeyLog
from leeward.wire.tls import ClientHello, NeedMore, ServerHello, parse_client_hello, server_hello

_CHANGE_CIPHER, _ALERT, _HANDSHAKE, _DATA = 20, 21, 22, 23
_FINISHED, _KEY_UPDATE, _SERVER_HELLO = 20, 24, 2
_ENCRYPT_THEN_MAC, _EARLY_DATA = 22, 42  # IANA TLS ExtensionType Values
_TLS12, _TLS13 = 0x0303, 0x0304
_LARGEST = (1 << 14) + 2048  # RFC 5246 6.2.3
_WAITING = 1 << 18  # bytes of one direction kept until the other side's hello is there

Clear = tuple[bool, int, bytes]


class _Side:
    __slots__ = ("buffer", "handshake", "reader", "sealed", "switched", "waiting")

    def __init__(self) -> None:
        self.buffer = bytearray()
        self.handshake = bytearray()  # messages of the handshake, not whole yet
        self.reader: Reader12 | Reader13 | None = None
        self.sealed = False  # what follows is encrypted
        self.switched = False  # to the application's secret (TLS 1.3)
        self.waiting: list[tuple[int, bytes]] = []


class TlsDecryptor:
    """state: "handshake" | "decrypting" | "no-keys" | "unsupported" | "broken"."""

    def __init__(self, keylog: KeyLog) -> None:
        self.counters: Counter[str] = Counter()
        self.state, self.reason = "handshake", ""
        self.hello: ClientHello | None = None
        self.answer: ServerHello | None = None
        self._keylog = keylog
        self._up, self._down = _Side(), _Side()
        self._first = bytearray()
        self._suite: Suite | None = None
        self._secrets: dict[str, bytes] = {}

    def feed(self, to_server: bool, ts: int, data: bytes) -> list[Clear]:
        """Bytes of one direction; returns the application data that they complete."""
        if self.state in ("no-keys", "unsupported", "broken"):
            return []
        side = self._up if to_server else self._down
        if not to_server and self.hello is None:
            side.waiting.append((ts, data))
            if sum(len(d) for _, d in side.waiting) > _WAITING:
                self._fail("broken", "no client hello")
            return []
        if to_server and self.hello is None:
            self._first += data
            hello = parse_client_hello(bytes(self._first))
            if isinstance(hello, NeedMore):
                return []
            if hello is None:
                self._fail("broken", "no client hello")
                return []
            self.hello = hello
            data, self._first = bytes(self._first), bytearray()
        clear = self._records(to_server, ts, data)
        waiting, self._down.waiting = self._down.waiting, []
        for then, held in waiting:
            clear += self._records(False, then, held)
        return clear

    def gap(self, to_server: bool) -> None:
        """Bytes of this direction are missing: the rest of it cannot be read."""
        self._fail("broken", "bytes are missing")

    def _fail(self, state: str, reason: str) -> None:
        self.state, self.reason = state, reason
        self.counters[f"tls_{state}"] += 1
        for side in (self._up, self._down):
            side.buffer.clear()
            side.handshake.clear()
            side.waiting.clear()

    def _records(self, to_server: bool, ts: int, data: bytes) -> list[Clear]:
        side = self._up if to_server else self._down
        side.buffer += data
        clear: list[Clear] = []
        while len(side.buffer) >= 5 and self.state in ("handshake", "decrypting"):
            size = int.from_bytes(side.buffer[3:5])
            if side.buffer[0] not in (20, 21, 22, 23, 24) or side.buffer[1] != 3 or size > _LARGEST:
                self._fail("broken", "not a TLS record")
                break
            if len(side.buffer) < 5 + size:
                break
            if to_server and self.answer is None and side.buffer[0] != _HANDSHAKE:
                if len(side.buffer) > _WAITING:
                    self._fail("broken", "no server hello")
                break  # early data, or a hello that was captured late: it waits for the server's
            head, body = bytes(side.buffer[:5]), bytes(side.buffer[5 : 5 + size])
            del side.buffer[: 5 + size]
            clear += self._record(side, to_server, ts, head, body)
        if not to_server and self.answer is not None and self._up.buffer:
            clear += self._records(True, ts, b"")
        return clear

    def _record(self, side: _Side, to_server: bool, ts: int, head: bytes, body: bytes) -> list[Clear]:
        kind = head[0]
        if kind == _CHANGE_CIPHER:
            if self.answer is not None and self.answer.version != _TLS13:
                side.sealed = True
            return []
        if side.sealed:
            opened = side.reader.open(head, body) if side.reader else None
            if opened is None:
                return self._unreadable(to_server)
            kind, body = opened
        if kind == _HANDSHAKE:
            self._handshake(side, to_server, body)
        elif kind == _DATA and side.sealed:
            self.state = "decrypting"
            return [(to_server, ts, body)] if body else []
        return []

    def _unreadable(self, to_server: bool) -> list[Clear]:
        """A record that does not open: early data that the log has no key for is passed over, else it is over."""
        early = self.hello is not None and _EARLY_DATA in self.hello.extensions
        if to_server and early and not self._up.switched:
            self.counters["tls_early_data_skipped"] += 1
            return []
        self._fail("broken", "a record does not open with the key of the log")
        return []

    def _handshake(self, side: _Side, to_server: bool, body: bytes) -> None:
        side.handshake += body
        while len(side.handshake) >= 4:
            kind, size = side.handshake[0], int.from_bytes(side.handshake[1:4])
            if size > 1 << 18:
                self._fail("broken", "handshake message too long")
                return
            if len(side.handshake) < 4 + size:
                return
            message = bytes(side.handshake[4 : 4 + size])
            del side.handshake[: 4 + size]
            if kind == _SERVER_HELLO and not to_server:
                self._begin(message)
            elif kind == _FINISHED and isinstance(side.reader, Reader13) and not side.switched:
                self._switch(side, to_server)
            elif kind == _KEY_UPDATE and isinstance(side.reader, Reader13):
                side.reader = side.reader.updated()

    def _begin(self, message: bytes) -> None:
        answer = server_hello(message)
        if answer is None or self.hello is None:
            self._fail("broken", "no server hello")
            return
        if answer.retry:
            return  # RFC 8446 4.1.4: the client says hello again, with the same random
        if self.answer is not None:
            self._fail("unsupported", "renegotiation")
            return
        self.answer = answer
        self._suite = SUITES.get(answer.cipher)
        self._secrets = self._keylog.secrets(self.hello.client_random)
        if self._suite is None or answer.version not in (_TLS12, _TLS13):
            self._fail("unsupported", f"version {answer.version:#06x}, cipher suite {answer.cipher:#06x}")
        elif answer.version == _TLS13:
            self._begin13()
        else:
            self._begin12(answer)

    def _begin12(self, answer: ServerHello) -> None:
        assert self.hello is not None
        assert self._suite is not None
        master = self._secrets.get("CLIENT_RANDOM")
        if master is None:
            self._fail("no-keys", "the key log has no line for this session")
            return
        then_mac = _ENCRYPT_THEN_MAC in answer.extensions
        random = self.hello.client_random
        self._up.reader, self._down.reader = readers12(self._suite, master, random, answer.server_random, then_mac)

    def _begin13(self) -> None:
        assert self._suite is not None
        names = ("CLIENT_HANDSHAKE_TRAFFIC_SECRET", "SERVER_HANDSHAKE_TRAFFIC_SECRET")
        if any(n not in self._secrets for n in (*names, "CLIENT_TRAFFIC_SECRET_0", "SERVER_TRAFFIC_SECRET_0")):
            self._fail("no-keys", "the key log has no line for this session")
            return
        for side, name in zip((self._up, self._down), names, strict=True):
            side.reader, side.sealed = Reader13(self._suite, self._secrets[name]), True

    def _switch(self, side: _Side, to_server: bool) -> None:
        """After its Finished a side goes on under its application secret (RFC 8446 4.4.4)."""
        assert self._suite is not None
        name = "CLIENT_TRAFFIC_SECRET_0" if to_server else "SERVER_TRAFFIC_SECRET_0"
        side.reader, side.switched = Reader13(self._suite, self._secrets[name]), True
