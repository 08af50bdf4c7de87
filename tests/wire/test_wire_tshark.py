"""Public captures through `leeward replay`: no crash, oddities counted; requests and names are those that tshark reads.

The captures are Zeek's tests' (shared/data/pcap). Every difference between tshark and the pipeline is in `DIFFERENCES`, with who
is right and why; one that is not there fails the test, and so does one that is there and no longer exists.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

sys.path.append(str(Path(__file__).parent))
from wire_tshark import Fact, Read, ask_tshark, batches, read

from leeward.ai.catalogue import load_catalogue

SHARED = next(
    (p / "shared/data/pcap/zeek" for p in Path(__file__).parents if (p / "shared/data/pcap/zeek").is_dir()), None
)
SUFFIXES = (".pcap", ".pcapng", ".pcap.gz")
NAMES = (
    {p: str(p.relative_to(SHARED)) for p in sorted(SHARED.rglob("*")) if p.name.endswith(SUFFIXES)} if SHARED else {}
)
pytestmark = pytest.mark.skipif(not NAMES, reason="shared/data/pcap is not beside the repository")
SECONDS = 120  # for all captures; they take about ten

_LATE = (
    "tshark shows an answer once its body is whole; here part of it was not captured. The head with the status is there"
)
_TUNNEL = "in a tunnel, which we do not look into: other_protocols or tunnelled_datagrams is counted"
_OLD = "tshark 4.0 does not know the method QUERY"
_UNSURE = (
    "an answer was lost, so that the next may be another request's: we say none (pairing-uncertain), tshark guesses"
)
_LOWER = "the status line is 'http/1.1 200 OK' in lower case, which clients accept and tshark does not"

#: capture, kind of fact, how many only we have, how many only tshark has, why
DIFFERENCES: list[tuple[str, str, int, int, str]] = [
    ("dns/dns-invalid-names.pcap", "dns", 0, 1, "a name that points to itself: bad_dns here, a placeholder in tshark"),
    ("http/1000-requests-one-dropped-response.pcap.gz", "http", 1, 1, _UNSURE),
    ("http/zero-length-bodies-with-drops.pcap", "http", 1, 1, _UNSURE),
    ("http/206_example_b.pcap", "http", 1, 1, _LATE),
    ("http/bro.org.pcap", "http", 1, 1, _LATE),
    ("http/concurrent-range-requests.pcap", "http", 1, 1, _LATE),
    ("http/content-range-gap-skip.pcap", "http", 1, 1, _LATE),
    ("http/content-range-gap.pcap", "http", 1, 1, _LATE),
    ("http/entity_gap.pcap", "http", 1, 1, _LATE),
    ("http/entity_gap2.pcap", "http", 1, 1, _LATE),
    ("http/putty-upload.pcap", "http", 1, 0, "the upload breaks off (RST): tshark waits for its body, we tell of its head"),
    ("http/261/variant-09-te_obs_fold.pcap", "http", 1, 0, "'chunked' on a folded line is in force (RFC 9112 5.2): a second "
     "request follows its last chunk; tshark does not unfold"),
    ("http/connect-with-header.pcap", "sni", 0, 1, "TLS inside a CONNECT tunnel: we read no further than the CONNECT request"),
    ("http/connect-with-smtp.pcap", "http", 1, 1, "'CONNECT host:25 / HTTP/1.0': with a blank in its target we keep all of it"),
    ("http/http-09-content-length-confusion.pcap", "http", 0, 1, "HTTP/0.9, and its answer comes first: bytes_of_nothing here"),
    ("http/http-inner-transfer-encoding-ossfuzz.pcap", "http", 1, 0, "a fuzzer's: its first line 'ETA unknown… / HTTP/1.1' has "
     "a request's form; tshark does not know the method"),
    ("http/http-lower-case.pcap", "http", 1, 1, _LOWER),
    ("http/http-lower-case-nonstandard-port.pcap", "http", 1, 1, _LOWER),
    ("http/methods.pcap", "http", 0, 17, "request lines without a whole version ('GET / HTTP/1.', 'GET /HTTP/1.1'): "
     "bytes_of_nothing here, and their answers responses_without_request"),
    ("http/no-uri.pcap", "http", 1, 1, "'GET HTTP/1.1': we take it for a version without a target, tshark for the target"),
    ("http/query-method.pcap", "http", 1, 0, _OLD),
    ("http/query-method-non-standard-port.pcap", "http", 1, 0, _OLD),
    ("icmp/icmp-destunreach-udp.pcap", "dns", 0, 1, "the datagram that an ICMP error quotes: nobody was told it"),
    ("ldap/ldap-starttls.pcap", "sni", 0, 1, "TLS that begins inside LDAP (STARTTLS): not read"),
    ("tcp/payload-synack.pcap", "http", 0, 1, "a request in the SYN-ACK, from the side that answers: bytes_of_nothing here"),
    ("tls/ssl-to-http-server.pcap", "sni", 1, 0, "a TLS hello to port 80, answered in clear: tshark goes by the port"),
    ("tunnels/ayiya3.pcap", "http", 0, 3, _TUNNEL),
    ("tunnels/geneve-47101.pcap", "sni", 0, 1, _TUNNEL),
    ("tunnels/geneve-many-options.pcap", "http", 0, 1, _TUNNEL),
    ("tunnels/geneve-vxlan-dns-truncated.pcap", "dns", 0, 2, _TUNNEL),
    ("tunnels/gre-aruba.pcap", "http", 0, 52, _TUNNEL),
    ("tunnels/gre-over-udp-4754.pcap", "http", 0, 1, _TUNNEL),
    ("tunnels/gre-over-udp-4754.pcap", "dns", 0, 4, _TUNNEL),
    ("tunnels/gre-pptp.pcap", "dns", 0, 2, _TUNNEL),
    ("tunnels/gre-sample.pcap", "dns", 0, 4, _TUNNEL),
    ("tunnels/gtp/gtp1_gn_normal_incl_fragmentation.pcap", "http", 0, 1, _TUNNEL),
    ("tunnels/gtp/gtp2_different_udp_port.pcap", "http", 0, 2, _TUNNEL),
    ("tunnels/vxlan-encapsulated-http.pcap", "http", 0, 1, _TUNNEL),
    ("tunnels/vxlan-triple-v2.pcap", "dns", 0, 1, _TUNNEL),
]  # fmt: skip


def _http_at(port: int) -> list[str]:
    return ["-d", f"tcp.port=={port},http"]


#: captures that tshark is asked about one by one: it has to be told of the port, or knows a QUIC session by another capture of it
ALONE = {
    "http/http-single-conn-22.pcap": _http_at(22),
    "http/get-to-ssh-server.pcap": _http_at(22),
    "http/http-to-ssh.pcap": _http_at(22),
    "http/zeek-image-post-1080-8000-x.pcap": _http_at(8000),
    "postgresql/http-on-port-5432.pcap": _http_at(5432),
    "quic/chromium-dpd-custom-port-4433.pcap": [],
    "quic/quicv2-echo-dpd-custom-port-4433.pcap": [],
}

#: captures whose name or origin says what is odd about them, and the counters that have to tell it
ODD = {
    "dns/dns-invalid-names.pcap": ["bad_dns"],
    "dns/proto255.pcap": ["other_protocols"],
    "http/1000-requests-one-dropped-response.pcap.gz": ["tcp_gaps", "http_gaps", "http_odd_pairing_uncertain"],
    "http/261/variant-01-chunk_2pow64_overflow.pcap": ["http_odd_bad_chunk"],
    "http/261/variant-02-cl_uint64max.pcap": ["http_odd_bad_content_length"],
    "http/261/variant-03-cl_negative.pcap": ["http_odd_bad_content_length"],
    "http/261/variant-04-te_cl_desync.pcap": ["http_odd_content_length_and_transfer_encoding"],
    "http/261/variant-09-te_obs_fold.pcap": ["http_odd_obs_fold"],
    "http/261/variant-10-multi_value_te.pcap": ["http_odd_odd_head"],
    "http/content-range-gap.pcap": ["tcp_gaps", "http_gaps"],
    "http/entity_gap.pcap": ["tcp_gaps", "http_gaps"],
    "http/http-11-request-then-cruft.pcap": ["http_bytes_of_nothing"],
    "http/http-bad-request-with-version.pcap": ["http_bytes_of_nothing"],
    "http/http-desync-request-response-5.pcap": ["http_responses_without_request"],
    "http/http-inner-transfer-encoding-ossfuzz.pcap": ["http_odd_bad_header_line", "http_odd_nul_in_header"],
    "http/methods.pcap": ["http_bytes_of_nothing", "http_responses_without_request"],
    "http/no-version.pcap": ["http_bytes_of_nothing"],
    "ldap/gap-data-missing.pcapng": ["tcp_gaps"],
    "postgresql/bad-backend-message-1.pcap": ["sql_bad_messages"],
    "quic/383379789-decrypt-crash.pcap": ["quic_not_opened", "not_ip", "ip_fragments"],
    "quic/quic-decrypt-fail-google-de-51833.pcap": ["quic_not_opened"],
    "redis/oss-fuzz-473580107.pcap": ["http_bytes_of_nothing"],
    "ssh/ssh-on-port-80.pcap": ["not_http"],
    "tcp/retransmit-fast009.pcap": ["tcp_retransmitted", "tcp_cut_segments"],
    "tcp/retransmit-timeout.pcapng": ["tcp_retransmitted"],
    "tcp/rst-inject-rae.pcap": ["http_bytes_of_nothing"],
    "tcp/ssh-dups.pcap": ["tcp_retransmitted"],
    "tcp/truncated-header.pcap": ["tcp_cut_segments"],
    "tls/tls-1.2-protocol-error.pcap": ["tls_broken"],
    "tls/tls1.2.pcap": ["tls_unsupported"],
    "tunnels/4in6.pcap": ["other_protocols"],
    "tunnels/geneve-truncated.pcapng": ["tunnelled_datagrams"],
    "tunnels/gtp/gtp9_unknown_or_too_short_payload.pcap": ["ip_fragments"],
    "tunnels/mpls-6in6-6in6-invalid-version-6.pcap": ["not_ip"],
    "tunnels/vxlan.pcap": ["tunnelled_datagrams"],
}


@pytest.fixture(scope="module")
def reads() -> list[Read]:
    catalogue = load_catalogue()
    return [read(path, catalogue) for path in NAMES]


@pytest.fixture(scope="module")
def stats() -> dict[str, dict[str, Any]]:
    """The `stats` line of every capture, of one run of the command."""
    leeward = str(Path(sys.executable).with_name("leeward"))
    done = subprocess.run(
        [leeward, "replay", "--json", *map(str, NAMES)], capture_output=True, text=True, timeout=SECONDS
    )
    assert (done.returncode, done.stderr) == (0, "")
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    found = [line for line in lines if line["type"] == "stats"]
    assert [line["file"] for line in found] == [str(path) for path in NAMES]  # one each, in order
    return {NAMES[path]: line for path, line in zip(NAMES, found, strict=True)}


def test_every_capture_is_read_to_its_end(stats: dict[str, dict[str, Any]]) -> None:
    for name, line in stats.items():
        assert line["counters"]["packets"] > 0, name


@pytest.mark.parametrize("name", ODD)
def test_what_is_odd_is_counted(stats: dict[str, dict[str, Any]], name: str) -> None:
    if name not in stats:
        pytest.skip(f"{name} is not among the captures")
    counters = stats[name]["counters"]
    assert [counter for counter in ODD[name] if not counters.get(counter)] == []


@pytest.mark.skipif(not shutil.which("tshark") or not shutil.which("mergecap"), reason="tshark is not installed")
def test_as_tshark_reads_them(reads: list[Read], tmp_path: Path) -> None:
    groups = list(batches(reads, ALONE, NAMES))
    theirs = ask_tshark(groups, {path: ALONE[name] for path, name in NAMES.items() if name in ALONE}, tmp_path)
    found, agreed = [], Counter[str]()
    for one in reads:
        for kind in ("http", "dns", "sni"):
            ours, other = _of(one.facts, kind), _of(theirs[one.path], kind)
            agreed[kind] += (ours & other).total()
            if ours != other:
                found.append((NAMES[one.path], kind, (ours - other).total(), (other - ours).total()))
    assert sorted(found) == sorted(row[:4] for row in DIFFERENCES if row[0] in NAMES.values())
    assert agreed["http"] > 1200
    assert agreed["dns"] > 80
    assert agreed["sni"] > 40


def _of(facts: Counter[Fact], kind: str) -> Counter[Fact]:
    return Counter({fact: number for fact, number in facts.items() if fact[0] == kind})
