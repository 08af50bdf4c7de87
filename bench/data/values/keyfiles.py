"""Private keys in the files that tools write: the outer form is right to the byte; the numbers are random and open nothing."""

from __future__ import annotations

import base64
import textwrap
import zlib
from collections.abc import Callable
from random import Random

_RSA = bytes.fromhex("300d06092a864886f70d0101010500")  # AlgorithmIdentifier rsaEncryption, RFC 8017
_P256 = bytes.fromhex("06082a8648ce3d030107")  # OID prime256v1, RFC 5480
_ED25519 = bytes.fromhex("300506032b6570")  # AlgorithmIdentifier, RFC 8410


def _der(tag: int, content: bytes) -> bytes:
    size = len(content)
    if size < 128:
        return bytes([tag, size]) + content
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(length)]) + length + content


def _number(random: Random, size: int) -> bytes:
    """A positive INTEGER of `size` bytes with its highest bit set, as primes of keys have."""
    return _der(2, b"\0" + bytes([random.getrandbits(8) | 0x80]) + random.randbytes(size - 1))


def _pem(label: str, data: bytes, width: int = 64) -> str:
    lines = textwrap.wrap(base64.b64encode(data).decode(), width)
    return "\n".join([f"-----BEGIN {label}-----", *lines, f"-----END {label}-----"])


def _rsa_numbers(random: Random, size: int) -> bytes:
    """RFC 8017 A.1.2: version, n, e, d, p, q and the CRT numbers."""
    parts = [_der(2, b"\0"), _number(random, size), _der(2, bytes.fromhex("010001")), _number(random, size)]
    return _der(0x30, b"".join(parts + [_number(random, size // 2) for _ in range(5)]))


def rsa(random: Random) -> str:
    return _pem("RSA PRIVATE KEY", _rsa_numbers(random, random.choice((128, 256))))


def rsa_pkcs8(random: Random) -> str:
    return _pem("PRIVATE KEY", _der(0x30, _der(2, b"\0") + _RSA + _der(4, _rsa_numbers(random, 256))))


def ec(random: Random) -> str:
    point = b"\0\4" + random.randbytes(64)
    content = _der(2, b"\1") + _der(4, random.randbytes(32)) + _der(0xA0, _P256) + _der(0xA1, _der(3, point))
    return _pem("EC PRIVATE KEY", _der(0x30, content))


def ed25519_pkcs8(random: Random) -> str:
    return _pem("PRIVATE KEY", _der(0x30, _der(2, b"\0") + _ED25519 + _der(4, _der(4, random.randbytes(32)))))


def encrypted(random: Random) -> str:
    return _pem("ENCRYPTED PRIVATE KEY", _der(0x30, _der(0x30, random.randbytes(92)) + _der(4, random.randbytes(640))))


def _string(data: bytes) -> bytes:
    return len(data).to_bytes(4, "big") + data


def openssh(random: Random) -> str:
    """PROTOCOL.key of OpenSSH: no cipher, one ed25519 key, padding 1 2 3 …"""
    public, seed, check = random.randbytes(32), random.randbytes(32), random.randbytes(4)
    blob = _string(b"ssh-ed25519") + _string(public)
    private = check + check + blob + _string(seed + public) + _string(b"deploy@build")
    private += bytes(range(1, 1 + -len(private) % 8))
    head = b"openssh-key-v1\0" + _string(b"none") + _string(b"none") + _string(b"") + (1).to_bytes(4, "big")
    return _pem("OPENSSH PRIVATE KEY", head + _string(blob) + _string(private), 70)


def pgp(random: Random) -> str:
    """RFC 9580 armour around a secret-key packet; the last line is a CRC-24 in form."""
    body = bytes([0x95, 0x01, 0xD8, 4]) + random.randbytes(620)
    check = base64.b64encode(zlib.crc32(body).to_bytes(4, "big")[1:]).decode()
    lines = textwrap.wrap(base64.b64encode(body).decode(), 64)
    begin, end = "-----BEGIN PGP PRIVATE KEY BLOCK-----", "-----END PGP PRIVATE KEY BLOCK-----"
    return "\n".join([begin, "", *lines, f"={check}", end])


def putty(random: Random) -> str:
    public = textwrap.wrap(base64.b64encode(random.randbytes(51)).decode(), 64)
    private = textwrap.wrap(base64.b64encode(random.randbytes(36)).decode(), 64)
    lines = [
        "PuTTY-User-Key-File-3: ssh-ed25519",
        "Encryption: none",
        "Comment: ed25519-key",
        f"Public-Lines: {len(public)}",
        *public,
    ]
    return "\n".join([*lines, f"Private-Lines: {len(private)}", *private, f"Private-MAC: {random.randbytes(32).hex()}"])


KINDS: dict[str, Callable[[Random], str]] = {
    "rsa": rsa,
    "rsa_pkcs8": rsa_pkcs8,
    "ec": ec,
    "ed25519_pkcs8": ed25519_pkcs8,
    "encrypted": encrypted,
    "openssh": openssh,
    "pgp": pgp,
    "putty": putty,
}
