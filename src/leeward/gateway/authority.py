"""The gateway's own certificate authority: made at the first start, signs a certificate for each AI host that is opened.

Invariants: its key is readable by its owner alone and never leaves the directory; keys of hosts are never on disk. Certificates
of hosts last `_LEAF` days and are made again before they end; at most `_MOST` are kept.
"""

from __future__ import annotations

import ipaddress
import os
import ssl
from collections import OrderedDict
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from leeward.model.errors import InputError
from leeward.store.paths import ensure_private_dir, write_private

CERTIFICATE_NAME, KEY_NAME = "gateway-ca.pem", "gateway-ca-key.pem"
_YEARS, _LEAF, _FRESH = 10, 30, 7  # days: of a host's certificate, and until it is made again
_MOST = 1024
_PEM = serialization.Encoding.PEM
_PLAIN = (serialization.PrivateFormat.PKCS8, serialization.NoEncryption())


class Authority:
    """directory: where certificate and key are, or are made. Raises InputError for those that cannot be used."""

    def __init__(self, directory: Path, now: datetime | None = None) -> None:
        self.path = directory / CERTIFICATE_NAME
        self._key_path = directory / KEY_NAME
        if not self.path.exists() or not self._key_path.exists():
            self._make(directory, now or datetime.now(UTC))
        self._certificate, self._key = self._load(now or datetime.now(UTC))
        self._host_key = ec.generate_private_key(ec.SECP256R1())
        self._contexts: OrderedDict[str, tuple[datetime, ssl.SSLContext]] = OrderedDict()

    def context(self, name: str, now: datetime | None = None) -> ssl.SSLContext:
        """For the server's side of a connection to this host name or address."""
        now = now or datetime.now(UTC)
        made, context = self._contexts.get(name, (None, None))
        if made is None or context is None or now - made > timedelta(days=_FRESH):
            context = self._context(self._sign(name, now))
            self._contexts[name] = (now, context)
            if len(self._contexts) > _MOST:
                self._contexts.popitem(last=False)
        self._contexts.move_to_end(name)
        return context

    def _make(self, directory: Path, now: datetime) -> None:
        if self.path.exists() != self._key_path.exists():
            there, missing = (self.path, self._key_path) if self.path.exists() else (self._key_path, self.path)
            raise InputError(
                f"{missing}: not there, but {there} is: put it back, or take both away for a new authority"
            )
        ensure_private_dir(directory)
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"Leeward gateway on {os.uname().nodename}"[:64])])
        usage = _usage(key_cert_sign=True, crl_sign=True)
        certificate = (
            _builder(name, name, key.public_key(), now, timedelta(days=365 * _YEARS))
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(usage, critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .sign(key, hashes.SHA256())
        )
        write_private(self._key_path, key.private_bytes(_PEM, *_PLAIN).decode())
        write_private(self.path, certificate.public_bytes(_PEM).decode())
        self.path.chmod(0o644)  # clients are to read it, and nothing else here

    def _load(self, now: datetime) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
        try:
            certificate = x509.load_pem_x509_certificate(self.path.read_bytes())
            key = serialization.load_pem_private_key(self._key_path.read_bytes(), None)
        except OSError as error:
            raise InputError(f"{error.filename}: {error.strerror}: run as its owner, or give --ca-dir") from error
        except (ValueError, TypeError) as error:
            raise InputError(f"{self.path}: no certificate with its key: take both files away for a new one") from error
        if not isinstance(key, ec.EllipticCurvePrivateKey) or key.public_key() != certificate.public_key():
            raise InputError(f"{self._key_path}: not the key of {self.path}: take both files away for a new authority")
        if certificate.not_valid_after_utc <= now:
            raise InputError(f"{self.path}: ended on {certificate.not_valid_after_utc:%Y-%m-%d}: take both files away")
        return certificate, key

    def _sign(self, name: str, now: datetime) -> x509.Certificate:
        """A certificate for this name."""
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name[:64])])
        issuer_id = self._certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
        return (
            _builder(subject, self._certificate.subject, self._host_key.public_key(), now, timedelta(days=_LEAF))
            .add_extension(x509.SubjectAlternativeName([_general_name(name)]), critical=False)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(digital_signature=True), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(issuer_id), critical=False)
            .sign(self._key, hashes.SHA256())
        )

    def _context(self, certificate: x509.Certificate) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.set_alpn_protocols(["http/1.1"])
        chain = b"".join(c.public_bytes(_PEM) for c in (certificate, self._certificate))
        file = os.memfd_create("leeward-host-key")  # the library reads files only
        try:
            os.write(file, self._host_key.private_bytes(_PEM, *_PLAIN) + chain)
            context.load_cert_chain(f"/proc/self/fd/{file}")
        finally:
            os.close(file)
        return context


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, now: datetime, lasts: timedelta
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + lasts)
    )


def _usage(**what: bool) -> x509.KeyUsage:
    names = (
        "digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement",
        "key_cert_sign", "crl_sign", "encipher_only", "decipher_only",
    )  # fmt: skip
    return x509.KeyUsage(**{name: what.get(name, False) for name in names})


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)
