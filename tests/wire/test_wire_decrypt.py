"""Passive TLS against real TLS: Python's ssl over memory BIOs, its key log, and what was sent in the clear."""

from __future__ import annotations

import datetime
import ssl
from functools import cache
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from hypothesis import given, settings
from hypothesis import strategies as st

from leeward.model.errors import InputError
from leeward.wire.decrypt import TlsDecryptor
from leeward.wire.keylog import KeyLog

SENT = [(True, b"GET / HTTP/1.1\r\n\r\n"), (False, b"x" * 40000), (True, b"y" * 17000), (False, b"bye"), (True, b"z")]
CASES = [  # version, cipher
    ("1.3", ""),
    ("1.2", "ECDHE-RSA-AES128-GCM-SHA256"),
    ("1.2", "ECDHE-RSA-AES256-GCM-SHA384"),
    ("1.2", "ECDHE-RSA-CHACHA20-POLY1305"),
    ("1.2", "AES128-GCM-SHA256"),
    ("1.2", "ECDHE-RSA-AES128-SHA256"),
    ("1.2", "ECDHE-RSA-AES256-SHA384"),
    ("1.2", "ECDHE-RSA-AES256-SHA"),
    ("1.2", "AES128-CCM"),
]


@cache
def certificate(folder: Path) -> tuple[str, str]:
    key = rsa.generate_private_key(65537, 2048)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime(2026, 1, 1)
    made = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(1)
    signed = made.not_valid_before(now).not_valid_after(now + datetime.timedelta(3650)).sign(key, hashes.SHA256())
    paths = str(folder / "c.pem"), str(folder / "k.pem")
    Path(paths[0]).write_bytes(signed.public_bytes(serialization.Encoding.PEM))
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    Path(paths[1]).write_bytes(private)
    return paths


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tls")


def conversation(folder: Path, version: str, cipher: str) -> tuple[list[tuple[bool, bytes]], KeyLog]:
    """What went over the wire for SENT, and the client's key log."""
    log = folder / f"keys-{version}-{cipher}"
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(*certificate(folder))
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname, client.verify_mode = False, ssl.CERT_NONE
    client.keylog_filename = str(log)
    wanted = ssl.TLSVersion.TLSv1_3 if version == "1.3" else ssl.TLSVersion.TLSv1_2
    for context in (server, client):
        context.minimum_version = context.maximum_version = wanted
        if cipher:
            try:
                context.set_ciphers(cipher + ":@SECLEVEL=0")
            except ssl.SSLError:
                pytest.skip(f"this OpenSSL has no {cipher}")
    inputs = {True: ssl.MemoryBIO(), False: ssl.MemoryBIO()}  # of the client (True) and of the server
    outputs = {True: ssl.MemoryBIO(), False: ssl.MemoryBIO()}
    ends = {
        True: client.wrap_bio(inputs[True], outputs[True], server_hostname="api.openai.com"),
        False: server.wrap_bio(inputs[False], outputs[False], server_side=True),
    }
    wire: list[tuple[bool, bytes]] = []

    def deliver(side: bool) -> None:
        """What a side wrote passes the observer."""
        if data := outputs[side].read():
            wire.append((side, data))
            inputs[not side].write(data)

    done: set[bool] = set()
    while len(done) < 2:
        for side in {True, False} - done:
            try:
                ends[side].do_handshake()
                done.add(side)
            except ssl.SSLWantReadError:
                pass  # it is the other side's turn
            deliver(side)
    for side, data in SENT:
        ends[side].write(data)
        deliver(side)
        got = b""
        while len(got) < len(data):
            got += ends[not side].read(65536)
        assert got == data
    return wire, KeyLog.read(log)


def joined(clear: list[tuple[bool, int, bytes]], to_server: bool) -> bytes:
    return b"".join(data for side, _, data in clear if side is to_server)


@pytest.mark.parametrize(("version", "cipher"), CASES)
def test_plaintext_is_what_was_sent(folder: Path, version: str, cipher: str) -> None:
    wire, keylog = conversation(folder, version, cipher)
    decryptor = TlsDecryptor(keylog)
    clear = [piece for to_server, data in wire for piece in decryptor.feed(to_server, 1, data)]
    assert decryptor.state == "decrypting", decryptor.reason
    assert decryptor.hello is not None
    assert decryptor.hello.sni == "api.openai.com"
    for side in (True, False):
        assert joined(clear, side) == b"".join(d for s, d in SENT if s is side)
    single = TlsDecryptor(keylog)
    bytewise = [c for s, data in wire for at in range(len(data)) for c in single.feed(s, 1, data[at : at + 1])]
    assert [(s, d) for s, _, d in bytewise] == [(s, d) for s, _, d in clear]


def test_the_servers_records_may_come_first(folder: Path) -> None:
    wire, keylog = conversation(folder, "1.3", "")
    decryptor = TlsDecryptor(keylog)
    ordered = sorted(wire[:4], key=lambda piece: piece[0]) + wire[4:]
    clear = [piece for to_server, data in ordered for piece in decryptor.feed(to_server, 1, data)]
    assert joined(clear, False) == b"".join(d for s, d in SENT if not s)


def test_a_key_log_that_does_not_fit(folder: Path) -> None:
    wire, _ = conversation(folder, "1.3", "")
    decryptor = TlsDecryptor(KeyLog.parse(b"CLIENT_RANDOM " + b"00" * 32 + b" " + b"11" * 48))
    assert [c for s, d in wire for c in decryptor.feed(s, 1, d)] == []
    assert decryptor.state == "no-keys"


def test_wrong_secrets_give_nothing(folder: Path) -> None:
    wire, keylog = conversation(folder, "1.3", "")
    for secrets in keylog._secrets.values():
        secrets.update({name: bytes(len(secret)) for name, secret in secrets.items()})
    decryptor = TlsDecryptor(keylog)
    assert [c for s, d in wire for c in decryptor.feed(s, 1, d)] == []
    assert decryptor.state == "broken"


@given(st.lists(st.tuples(st.booleans(), st.binary(max_size=300)), max_size=8))
def test_garbage_never_raises(pieces: list[tuple[bool, bytes]]) -> None:
    decryptor = TlsDecryptor(KeyLog())
    for to_server, data in pieces:
        assert decryptor.feed(to_server, 1, data) == []


@settings(max_examples=60)
@given(st.data())
def test_damage_never_raises(data: st.DataObject) -> None:
    wire, keylog = _recorded()
    number = data.draw(st.integers(0, len(wire) - 1))
    piece = wire[number][1]
    at = data.draw(st.integers(0, len(piece) - 1))
    hurt = piece[:at] + bytes([piece[at] ^ data.draw(st.integers(1, 255))]) + piece[at + 1 :]
    decryptor = TlsDecryptor(keylog)
    clear = [c for i, (s, d) in enumerate(wire) for c in decryptor.feed(s, 1, hurt if i == number else d)]
    for to_server in (True, False):
        whole = b"".join(d for s, d in SENT if s is to_server)
        assert whole.startswith(joined(clear, to_server))


@cache
def _recorded() -> tuple[list[tuple[bool, bytes]], KeyLog]:
    import tempfile

    return conversation(Path(tempfile.mkdtemp(prefix="leeward-test-")), "1.3", "")


def test_key_log_lines(tmp_path: Path) -> None:
    good = b"CLIENT_RANDOM " + b"aB" * 32 + b" " + b"00" * 48
    log = KeyLog.parse(b"# comment\n" + good + b"\r\nnonsense\nCLIENT_RANDOM 12 34\n\n")
    assert log.secrets(bytes.fromhex("ab" * 32)) == {"CLIENT_RANDOM": bytes(48)}
    assert log.counters["bad_keylog_lines"] == 2
    path = tmp_path / "keys"
    path.write_bytes(b"garbage\n")
    with pytest.raises(InputError, match="no key log line"):
        KeyLog.read(path)
    with pytest.raises(InputError, match="name a key log"):
        KeyLog.read(tmp_path / "missing")
