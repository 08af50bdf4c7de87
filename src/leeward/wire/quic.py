"""QUIC: the client hello of a connection, out of its Initial packets. What follows is encrypted with keys that nobody sees.

Sources: RFC 9000 17.2 and 19 (packets, frames), RFC 9001 5 (protection of Initial packets: their keys follow from the client's
first connection id, to keep middleboxes from meddling, not from reading), RFC 9369 (version 2). Invariants: never raises on
any bytes; at most `MOST_FLOWS` connections are waited for, each for `_MOST_PACKETS` packets and `_MOST_HELLO` bytes.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Hashable, Iterator

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from leeward.wire.ciphers import expand_label
from leeward.wire.tls import ClientHello, client_hello

MOST_FLOWS = 4096
_MOST_PACKETS = 16
_MOST_HELLO = 1 << 16
_PADDING, _PING, _ACK, _ACK_ECN, _CRYPTO = 0x00, 0x01, 0x02, 0x03, 0x06


class _Version(msgspec.Struct, frozen=True):
    """salt: of the Initial secret. labels: prefix of the keys' labels. initial: the packet type's two bits."""

    salt: bytes
    labels: bytes
    initial: int


_VERSIONS = {
    0x00000001: _Version(bytes.fromhex("38762cf7f55934b34d179ae6a4c80cadccbb7f0a"), b"quic ", 0),
    0x6B3343CF: _Version(bytes.fromhex("0dede3def700a6db819381be6e269dcbf9bd2ed9"), b"quicv2 ", 1),
    0xFF00001D: _Version(bytes.fromhex("afbfec289993d24c9e9786f19c6111e04390a899"), b"quic ", 0),
}


class _Keys:
    """What protects a client's Initial packets."""

    def __init__(self, version: _Version, connection_id: bytes) -> None:
        secret = HKDF.extract(SHA256(), version.salt, connection_id)
        client = expand_label("sha256", secret, b"client in", 32)
        self.seal = AESGCM(expand_label("sha256", client, version.labels + b"key", 16))
        self.iv = int.from_bytes(expand_label("sha256", client, version.labels + b"iv", 12))
        header = expand_label("sha256", client, version.labels + b"hp", 16)
        self.mask = Cipher(algorithms.AES(header), modes.ECB()).encryptor()


class _Hello:
    """A client hello that is not whole yet. pieces: offset → bytes."""

    def __init__(self) -> None:
        self.keys: _Keys | None = None
        self.pieces: dict[int, bytes] = {}
        self.packets = 0


class QuicHellos:
    """Fed the datagrams of many connections, in both directions."""

    def __init__(self) -> None:
        self.counters: Counter[str] = Counter()
        self._flows: OrderedDict[Hashable, _Hello] = OrderedDict()

    def feed(self, flow: Hashable, datagram: bytes) -> ClientHello | None:
        """The client hello that this datagram of `flow` completes."""
        for version, connection_id, packet, at in _packets(datagram):
            hello = self._flows.get(flow)
            if hello is None:
                hello = self._flows[flow] = _Hello()
                if len(self._flows) > MOST_FLOWS:
                    self._flows.popitem(last=False)
                    self.counters["quic_flows_evicted"] += 1
            hello.packets += 1
            if hello.packets > _MOST_PACKETS:
                return None
            clear = self._open(hello, version, connection_id, packet, at)
            if clear is None:
                self.counters["quic_not_opened"] += 1  # the server's, mostly
                continue
            for offset, data in _crypto(clear):
                if offset + len(data) <= _MOST_HELLO:
                    hello.pieces[offset] = data
            found = _joined(hello.pieces)
            if found is not None:
                hello.packets, hello.pieces = _MOST_PACKETS, {}  # it stays, so that no later packet begins it anew
                return found
        return None

    def _open(self, hello: _Hello, version: _Version, connection_id: bytes, packet: bytes, at: int) -> bytes | None:
        """The frames of a packet. Its keys are those of the first; after a Retry, those of the connection id it gave."""
        if hello.keys is not None:
            clear = _unprotect(hello.keys, packet, at)
            if clear is not None:
                return clear
        keys = _Keys(version, connection_id)
        clear = _unprotect(keys, packet, at)
        if clear is not None:
            hello.keys = keys
        return clear


def is_quic(datagram: bytes) -> bool:
    """A long header of a version that is known: RFC 9000 17.2, "the most significant bit is set to 1", and the fixed bit."""
    return len(datagram) >= 7 and datagram[0] >= 0xC0 and int.from_bytes(datagram[1:5]) in _VERSIONS


def _packets(datagram: bytes) -> Iterator[tuple[_Version, bytes, bytes, int]]:
    """(version, destination connection id, the packet, where its number begins) of each Initial packet."""
    start = 0
    while is_quic(datagram[start : start + 7]):
        version = _VERSIONS[int.from_bytes(datagram[start + 1 : start + 5])]
        kind = datagram[start] >> 4 & 3
        ids: list[bytes] = []
        at = start + 5
        for _ in range(2):
            size = datagram[at] if at < len(datagram) else 255
            if size > 20:
                return
            ids.append(datagram[at + 1 : at + 1 + size])
            at += 1 + size
        if kind == version.initial:
            token, at = _varint(datagram, at)
            at += token
        elif kind == (version.initial + 3) % 4:
            return  # Retry: it has no length
        size, at = _varint(datagram, at)
        if at < 0 or size < 20 or at + size > len(datagram):
            return
        if kind == version.initial:
            yield version, ids[0], datagram[start : at + size], at - start
        start = at + size


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """(value, where it ends), RFC 9000 16; the end is -(2^62) where there is none, so that adding to it stays below 0."""
    if not 0 <= at < len(data) or at + (1 << (data[at] >> 6)) > len(data):
        return 0, -(1 << 62)
    size = 1 << (data[at] >> 6)
    return int.from_bytes(data[at : at + size]) & ((1 << (8 * size - 2)) - 1), at + size


def _unprotect(keys: _Keys, packet: bytes, at: int) -> bytes | None:
    """RFC 9001 5.4: the header's mask comes from a sample of what the header protects."""
    mask = keys.mask.update(packet[at + 4 : at + 20])
    if len(mask) < 16:
        return None
    first = packet[0] ^ (mask[0] & 0x0F)
    size = (first & 3) + 1
    number = bytes(a ^ b for a, b in zip(packet[at : at + size], mask[1:], strict=False))
    nonce = (keys.iv ^ int.from_bytes(number)).to_bytes(12)
    head = bytes([first]) + packet[1:at] + number
    try:
        return keys.seal.decrypt(nonce, packet[at + size :], head)
    except (InvalidTag, ValueError):
        return None


def _crypto(frames: bytes) -> Iterator[tuple[int, bytes]]:
    """(offset, bytes) of the CRYPTO frames among those that an Initial packet may hold (RFC 9000 12.4)."""
    at = 0
    while 0 <= at < len(frames):
        kind = frames[at]
        at += 1
        if kind in (_ACK, _ACK_ECN):
            numbers: list[int] = []
            for _ in range(4):  # largest, delay, how many ranges, the first
                value, at = _varint(frames, at)
                numbers.append(value)
            for _ in range(min(numbers[2], len(frames)) * 2 + (3 if kind == _ACK_ECN else 0)):
                _, at = _varint(frames, at)
        elif kind == _CRYPTO:
            offset, at = _varint(frames, at)
            size, at = _varint(frames, at)
            if at < 0 or at + size > len(frames):
                return
            yield offset, frames[at : at + size]
            at += size
        elif kind not in (_PADDING, _PING):
            return


def _joined(pieces: dict[int, bytes]) -> ClientHello | None:
    """The handshake message that the pieces begin with, once it is whole."""
    data = bytearray()
    for offset in sorted(pieces):
        if offset > len(data):
            break
        data += pieces[offset][len(data) - offset :]
    if len(data) < 4 or data[0] != 1 or len(data) < 4 + int.from_bytes(data[1:4]):
        return None
    return client_hello(bytes(data[4 : 4 + int.from_bytes(data[1:4])]))
