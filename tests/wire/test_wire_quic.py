"""QUIC's client hello: as aioquic sends it, and as browsers did in captures."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.connection import QuicConnection
from aioquic.quic.packet import QuicProtocolVersion
from hypothesis import given
from hypothesis import strategies as st

from leeward.wire.quic import MOST_FLOWS, QuicHellos, is_quic
from leeward.wire.tls import ClientHello

VERSIONS = [QuicProtocolVersion.VERSION_1, QuicProtocolVersion.VERSION_2]
LEEWARD = str(Path(sys.executable).with_name("leeward"))
FOLDER = Path(__file__).parents[2].parent / "shared/data/pcap/zeek/quic"


def datagrams(name: str, version: int, protocols: list[str]) -> list[bytes]:
    """What a client sends first; with many protocols its hello does not fit into one datagram."""
    settings = QuicConfiguration(server_name=name, alpn_protocols=protocols, original_version=version)
    settings.supported_versions = [version]
    client = QuicConnection(configuration=settings)
    client.connect(("10.0.0.1", 443), now=0.0)
    return [data for data, _ in client.datagrams_to_send(now=0.0)]


NAMES = st.from_regex(r"[a-z][a-z0-9-]{0,40}\.(com|ai)", fullmatch=True)


@given(NAMES, st.sampled_from(VERSIONS), st.integers(1, 60), st.randoms(use_true_random=False))
def test_the_name_is_read(name: str, version: int, protocols: int, rng: object) -> None:
    """Over one datagram or several, in any order."""
    wanted = [f"protocol-{number:030}" for number in range(protocols)]
    sent = datagrams(name, version, wanted)
    assert all(map(is_quic, sent))
    assert len(sent) > 1 or protocols < 40
    rng.shuffle(sent)  # type: ignore[attr-defined]
    hellos = QuicHellos()
    found = [hello for data in [*sent, *sent] if (hello := hellos.feed("flow", data)) is not None]
    assert [(h.sni, list(h.alpn)) for h in found] == [(name, wanted)]


def test_connections_do_not_mix() -> None:
    one, two = (datagrams(name, VERSIONS[0], ["h3"] * 60) for name in ("a.com", "b.com"))
    hellos = QuicHellos()
    found = [hellos.feed(flow, data) for pair in zip(one, two, strict=True) for flow, data in enumerate(pair)]
    assert [hello.sni for hello in found if hello] == ["a.com", "b.com"]


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 1400), st.binary(max_size=8)), max_size=6))
def test_damage_is_taken(damages: list[tuple[int, int, bytes]]) -> None:
    """Bytes of a real datagram overwritten: read, or not, and never an error."""
    (sent,) = datagrams("api.openai.com", VERSIONS[0], ["h3"])
    hellos = QuicHellos()
    for flow, at, damage in damages:
        found = hellos.feed(flow, sent[:at] + damage + sent[at + len(damage) :])
        assert found is None or isinstance(found, ClientHello)


@given(st.binary(max_size=300))
def test_anything_is_taken(data: bytes) -> None:
    hellos = QuicHellos()
    for head in (b"", b"\xc3\0\0\0\1\x08", b"\xd3\x6b\x33\x43\xcf\x08"):
        assert hellos.feed(0, head + data) is None


def test_flows_are_bounded() -> None:
    hellos = QuicHellos()
    (sent,) = datagrams("a.com", VERSIONS[0], ["h3"])
    for number in range(MOST_FLOWS + 5):
        hellos.feed(number, sent[:40] + bytes(1160))
    assert hellos.counters["quic_flows_evicted"] == 5


@pytest.mark.skipif(not FOLDER.is_dir(), reason=f"no captures at {FOLDER}")
@pytest.mark.parametrize(
    ("name", "sni", "alpn"),
    [
        ("chromium-115.0.5790.110-api-cirrus-com.pcap", "api.cirrus-ci.com", "h3"),
        ("chromium-115.0.5790.110-google-de-fragmented.pcap", "www.google.de", "h3"),
        ("curl-8.1.2-dev-http3-www-google-de.pcap", "www.google.de", "h3"),
        ("firefox-102.13.0esr-blog-cloudflare-com.pcap", "blog.cloudflare.com", "h3"),
        ("quic-multiple-initial-fragmented-crypto.pcap", "googleads.g.doubleclick.net", "h3"),
        ("quicv2-echo-443.pcap", "localhost", "quic-echo-example"),
        ("383379789-decrypt-crash.pcap", "", ""),
    ],
)
def test_captures(name: str, sni: str, alpn: str) -> None:
    out = subprocess.run([LEEWARD, "replay", "--json", str(FOLDER / name)], capture_output=True, check=True).stdout
    (flow,) = [f for f in map(json.loads, out.splitlines()) if f["type"] == "flow" and f["l7"] == "quic"]
    assert (flow["sni"], flow["alpn"][:1]) == (sni, [alpn] if alpn else [])
