"""TLS record protection, for reading only: what a cipher suite needs, keys from secrets, one record at a time.

Sources: RFC 8446 5 and 7 (TLS 1.3), RFC 5246 6 (TLS 1.2), RFC 5288 and 6655 (GCM, CCM), RFC 7905 (ChaCha20-Poly1305),
RFC 7366 (encrypt-then-MAC).
"""

from __future__ import annotations

import hmac
from collections.abc import Callable
from typing import Any

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESCCM, AESGCM, ChaCha20Poly1305
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

_Aead = Callable[[bytes], Any]


class Suite(msgspec.Struct, frozen=True):
    """mac: hash name of a CBC suite's MAC, "" for AEAD. fixed_iv: bytes of the nonce that come from the key block.
    explicit: bytes of the nonce that each record carries (TLS 1.2)."""

    key: int
    hash: str
    aead: _Aead | None = None
    mac: str = ""
    fixed_iv: int = 4
    explicit: int = 8
    tag: int = 16


def _ccm8(key: bytes) -> AESCCM:
    return AESCCM(key, tag_length=8)


_GCM128, _GCM256 = Suite(16, "sha256", AESGCM), Suite(32, "sha384", AESGCM)
_CHACHA = Suite(32, "sha256", ChaCha20Poly1305, fixed_iv=12, explicit=0)
_CBC128, _CBC256 = Suite(16, "sha256", mac="sha1"), Suite(32, "sha256", mac="sha1")
#: IANA TLS Cipher Suites.
SUITES: dict[int, Suite] = {
    0x1301: _GCM128,
    0x1302: _GCM256,
    0x1303: _CHACHA,
    0x1304: Suite(16, "sha256", AESCCM),
    0x1305: Suite(16, "sha256", _ccm8, tag=8),
    **dict.fromkeys((0x009C, 0x009E, 0xC02B, 0xC02F), _GCM128),
    **dict.fromkeys((0x009D, 0x009F, 0xC02C, 0xC030), _GCM256),
    **dict.fromkeys((0xCCA8, 0xCCA9, 0xCCAA), _CHACHA),
    **dict.fromkeys((0xC09C, 0xC09E, 0xC0AC), Suite(16, "sha256", AESCCM)),
    **dict.fromkeys((0xC09D, 0xC09F, 0xC0AD), Suite(32, "sha256", AESCCM)),
    **dict.fromkeys((0x002F, 0x0033, 0xC009, 0xC013), _CBC128),
    **dict.fromkeys((0x0035, 0x0039, 0xC00A, 0xC014), _CBC256),
    **dict.fromkeys((0x003C, 0x0067, 0xC023, 0xC027), Suite(16, "sha256", mac="sha256")),
    **dict.fromkeys((0x003D, 0x006B), Suite(32, "sha256", mac="sha256")),
    **dict.fromkeys((0xC024, 0xC028), Suite(32, "sha384", mac="sha384")),
}
_MAC_SIZE = {"sha1": 20, "sha256": 32, "sha384": 48}
_HASHES: dict[str, Any] = {"sha256": hashes.SHA256, "sha384": hashes.SHA384}


def prf(hash_name: str, secret: bytes, label: bytes, seed: bytes, size: int) -> bytes:
    """TLS 1.2's pseudorandom function (RFC 5246 5)."""
    seed = label + seed
    out, a = b"", seed
    while len(out) < size:
        a = hmac.digest(secret, a, hash_name)
        out += hmac.digest(secret, a + seed, hash_name)
    return out[:size]


def expand_label(hash_name: str, secret: bytes, label: bytes, size: int) -> bytes:
    """HKDF-Expand-Label without a context (RFC 8446 7.1)."""
    name = b"tls13 " + label
    info = size.to_bytes(2) + bytes([len(name)]) + name + b"\0"
    return HKDFExpand(_HASHES[hash_name](), size, info).derive(secret)


class Reader13:
    """One direction of TLS 1.3 under one traffic secret."""

    def __init__(self, suite: Suite, secret: bytes) -> None:
        self._suite, self._secret = suite, secret
        assert suite.aead is not None
        self._aead = suite.aead(expand_label(suite.hash, secret, b"key", suite.key))
        self._iv = int.from_bytes(expand_label(suite.hash, secret, b"iv", 12))
        self._number = 0

    def open(self, head: bytes, body: bytes) -> tuple[int, bytes] | None:
        """(content type, plaintext) of a record; None if it is not under this key."""
        nonce = (self._iv ^ self._number).to_bytes(12)
        try:
            clear: bytes = self._aead.decrypt(nonce, body, head)
        except (InvalidTag, ValueError):
            return None
        self._number += 1
        clear = clear.rstrip(b"\0")  # RFC 8446 5.4: padding, then the type is the last byte that is not zero
        return (clear[-1], clear[:-1]) if clear else None

    def updated(self) -> Reader13:
        """After a KeyUpdate (RFC 8446 7.2)."""
        size = hashes.SHA384.digest_size if self._suite.hash == "sha384" else hashes.SHA256.digest_size
        return Reader13(self._suite, expand_label(self._suite.hash, self._secret, b"traffic upd", size))


class Reader12:
    """One direction of TLS 1.2."""

    def __init__(self, suite: Suite, key: bytes, iv: bytes, encrypt_then_mac: bool) -> None:
        self._suite, self._key, self._iv, self._etm = suite, key, iv, encrypt_then_mac
        self._aead = suite.aead(key) if suite.aead else None
        self._number = 0

    def open(self, head: bytes, body: bytes) -> tuple[int, bytes] | None:
        """(content type, plaintext) of a record; None if it is not under this key."""
        clear = self._open_aead(head, body) if self._aead else self._open_cbc(body)
        if clear is None:
            return None
        self._number += 1
        return head[0], clear

    def _open_aead(self, head: bytes, body: bytes) -> bytes | None:
        suite = self._suite
        if len(body) < suite.explicit + suite.tag:
            return None
        explicit, sealed = body[: suite.explicit], body[suite.explicit :]
        if suite.explicit:
            nonce = self._iv + explicit
        else:  # RFC 7905 2
            nonce = (int.from_bytes(self._iv) ^ self._number).to_bytes(12)
        extra = self._number.to_bytes(8) + head[:3] + (len(sealed) - suite.tag).to_bytes(2)
        try:
            opened: bytes = self._aead.decrypt(nonce, sealed, extra)  # type: ignore[union-attr]
        except (InvalidTag, ValueError):
            return None
        return opened

    def _open_cbc(self, body: bytes) -> bytes | None:
        size = _MAC_SIZE[self._suite.mac]
        sealed = body[:-size] if self._etm else body
        if len(sealed) < 32 or len(sealed) % 16:
            return None
        decryptor = Cipher(algorithms.AES(self._key), modes.CBC(sealed[:16])).decryptor()
        clear = decryptor.update(sealed[16:]) + decryptor.finalize()
        pad = clear[-1] + 1
        end = len(clear) - pad - (0 if self._etm else size)
        if end < 0 or clear[-pad:] != bytes([pad - 1]) * pad:
            return None
        return clear[:end]


def readers12(
    suite: Suite, master: bytes, client_random: bytes, server_random: bytes, encrypt_then_mac: bool
) -> tuple[Reader12, Reader12]:
    """(client's, server's) direction, from the master secret (RFC 5246 6.3)."""
    mac = _MAC_SIZE.get(suite.mac, 0)
    iv = suite.fixed_iv if suite.aead else 0
    block = prf(suite.hash, master, b"key expansion", server_random + client_random, 2 * (mac + suite.key + iv))
    at = 2 * mac
    keys = block[at : at + suite.key], block[at + suite.key : at + 2 * suite.key]
    at += 2 * suite.key
    ivs = block[at : at + iv], block[at + iv : at + 2 * iv]
    return (
        Reader12(suite, keys[0], ivs[0], encrypt_then_mac),
        Reader12(suite, keys[1], ivs[1], encrypt_then_mac),
    )
