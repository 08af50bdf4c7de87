"""Captures: formats, link types, damage. And every capture under shared/data: read without a traceback."""

from __future__ import annotations

import gzip
import struct
from collections import Counter
from pathlib import Path

import pytest
from scapy.all import IP, TCP, UDP, CookedLinux, Dot1Q, Ether, IPv6, Raw, wrpcap, wrpcapng
from scapy.packet import Packet

from leeward.model.errors import InputError
from leeward.model.raw import Datagram, Segment
from leeward.sensor.packet import decode
from leeward.sensor.pcap import Capture
from leeward.wire.dns import parse_dns
from leeward.wire.tcp import TcpStreams

SHARED = Path(__file__).parents[3] / "shared/data/pcap/zeek"
FOUR = IP(src="192.0.2.1", dst="192.0.2.2")
SIX = IPv6(src="2001:db8::1", dst="2001:db8::2")
DATA = TCP(sport=1234, dport=80, seq=77, flags="PA") / Raw(b"hello")


def read(path: Path) -> tuple[list[Segment | Datagram], Capture]:
    capture = Capture(path)
    return list(capture), capture


@pytest.mark.parametrize(
    "packet",
    [
        Ether() / FOUR / DATA,
        Ether() / SIX / DATA,
        Ether() / Dot1Q(vlan=3) / FOUR / DATA,
        Ether() / Dot1Q(vlan=3) / Dot1Q(vlan=4) / SIX / DATA,
        CookedLinux(proto=0x800) / FOUR / DATA,
        FOUR / DATA,
    ],
    ids=lambda p: p.summary()[:40],
)
@pytest.mark.parametrize("write", [wrpcap, wrpcapng])
def test_link_types_and_formats(packet: Packet, write: object, tmp_path: Path) -> None:
    path = tmp_path / "x"
    packet.time = 1700000000.25
    write(str(path), [packet])  # type: ignore[operator]
    (segment,), capture = read(path)
    assert isinstance(segment, Segment)
    assert (segment.seq, segment.data, segment.size) == (77, b"hello", 5)
    assert (segment.local.port, segment.remote.port) == (1234, 80)
    assert segment.local.ip in ("192.0.2.1", "2001:db8::1")
    assert segment.ts == 1700000000_250000000
    assert capture.counters["packets"] == 1


@pytest.mark.parametrize("head", [b"\x00\x21", b"\xff\x03\x00\x21"])
def test_ppp(head: bytes) -> None:
    counters: Counter[str] = Counter()
    frame = head + bytes(FOUR / DATA)
    segment = decode(9, 1, frame, len(frame), counters)
    assert isinstance(segment, Segment)
    assert (segment.seq, segment.data) == (77, b"hello")
    assert decode(9, 1, b"\xc0\x21" + frame[2:], len(frame), counters) is None  # its own link control
    assert counters == {"not_ip": 1}


def test_a_gzipped_capture_and_udp(tmp_path: Path) -> None:
    plain, packed = tmp_path / "x.pcap", tmp_path / "x.pcap.gz"
    wrpcap(str(plain), [Ether() / FOUR / UDP(sport=9, dport=53) / Raw(b"question")])
    packed.write_bytes(gzip.compress(plain.read_bytes(), mtime=0))
    (datagram,), _ = read(packed)
    assert isinstance(datagram, Datagram)
    assert datagram.data == b"question"


def test_a_snapped_packet_knows_its_size(tmp_path: Path) -> None:
    frame = bytes(Ether() / FOUR / TCP(sport=1, dport=2, flags="A") / Raw(b"x" * 1000))
    path = tmp_path / "x.pcap"
    head = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 96, 1)
    path.write_bytes(head + struct.pack("<IIII", 1, 0, 96, len(frame)) + frame[:96])
    (segment,), _ = read(path)
    assert isinstance(segment, Segment)
    assert (len(segment.data), segment.size) == (96 - 54, 1000)


def test_acknowledgements_without_data_do_not_come_out(tmp_path: Path) -> None:
    path = tmp_path / "x.pcap"
    wrpcap(str(path), [Ether() / FOUR / TCP(flags=flags) for flags in ("S", "A", "FA", "R")])
    events, _ = read(path)
    assert [(e.syn, e.fin, e.rst) for e in events if isinstance(e, Segment)] == [
        (True, False, False),
        (False, True, False),
        (False, False, True),
    ]


def test_cut_anywhere_is_a_counter(tmp_path: Path) -> None:
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    for write in (wrpcap, wrpcapng):
        write(str(whole), [Ether() / FOUR / DATA] * 3)
        data = whole.read_bytes()
        for end in range(4, len(data), 7):
            cut.write_bytes(data[:end])
            events, _ = read(cut)
            assert len(events) <= 3


@pytest.mark.parametrize("content", [b"", b"abc", b"not a capture at all", b"\x1f\x8bbroken"])
def test_what_is_no_capture_is_one_line(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(content)
    with pytest.raises(InputError) as caught:
        Capture(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_every_shared_capture() -> None:
    if not SHARED.is_dir():
        pytest.skip("shared/data is not beside the repository")
    files = sorted(
        p for p in SHARED.rglob("*") if p.suffix in (".pcap", ".pcapng", ".trace") and p.stat().st_size < 1 << 21
    )
    packets = 0
    for path in files:
        capture, streams = Capture(path), TcpStreams()
        for event in capture:
            if isinstance(event, Segment):
                streams.feed(event)
            elif 53 in (event.local.port, event.remote.port):
                parse_dns(event.data)
        streams.flush(1)
        packets += capture.counters["packets"]
    assert len(files) > 100
    assert packets > 10000
