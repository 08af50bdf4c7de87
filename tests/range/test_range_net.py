"""DNS, certificates, clean-up, and the whole range once (root only): up, isolated, answering, gone."""

import os
import shutil
import ssl
import struct
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from proving import ca, files, netns
from proving.dns import AAAA, A, Zone
from proving.run import Range, read_lines

root = pytest.mark.skipif(os.geteuid() != 0 or shutil.which("ip") is None, reason="needs root and iproute2")
ZONE = Zone({"api.openai.com": (["10.1.2.3"], []), "six.test": (["10.1.2.4"], ["fd77::1"])})


def question(name: str, qtype: int, extra: bytes = b"") -> bytes:
    labels = b"".join(bytes([len(x)]) + x.encode() for x in name.split(".")) + b"\0"
    return struct.pack("!6H", 7, 0x100, 1, 0, 0, bool(extra)) + labels + struct.pack("!2H", qtype, 1) + extra


@pytest.mark.parametrize(
    ("name", "qtype", "rcode", "answers"),
    [
        ("api.openai.com", A, 0, 1),
        ("API.OpenAI.com", A, 0, 1),
        ("api.openai.com", AAAA, 0, 0),
        ("six.test", AAAA, 0, 1),
        ("six.test", 16, 0, 0),
        ("pypi.test", A, 3, 0),
    ],
)
def test_dns_answers(name: str, qtype: int, rcode: int, answers: int) -> None:
    reply = ZONE.answer(question(name, qtype))
    ident, flags, _, count, authority, _ = struct.unpack_from("!6H", reply)
    assert (ident, flags & 0xF, count) == (7, rcode, answers)
    assert flags & 0x8000
    assert authority == (0 if answers else 1)


def test_dns_echoes_edns() -> None:
    opt = b"\0" + struct.pack("!HHIH", 41, 4096, 0, 0)
    assert struct.unpack_from("!6H", ZONE.answer(question("six.test", A, opt)))[5] == 1


@given(st.binary(max_size=80))
def test_dns_survives_anything(data: bytes) -> None:
    assert isinstance(ZONE.answer(data), bytes)


def test_certificates_verify(tmp_path: Path) -> None:
    authority = ca.Authority(tmp_path)
    pair = authority.issue("api.openai.com")
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(pair.cert, pair.key)
    client = ssl.create_default_context(cafile=str(authority.bundle))
    client.verify_flags |= ssl.VERIFY_X509_STRICT
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = [
        client.wrap_bio(to_client, to_server, server_hostname="api.openai.com"),
        server.wrap_bio(to_server, to_client, server_side=True),
    ]
    done = [False, False]
    for _ in range(6):
        for index, end in enumerate(ends):
            if not done[index]:
                try:
                    end.do_handshake()
                    done[index] = True
                except ssl.SSLWantReadError:
                    continue
    assert done == [True, True]


def test_half_a_line_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    assert read_lines(path) == []
    path.write_text('{"a":"\u2028"}\n{"b":')
    assert read_lines(path) == [{"a": "\u2028"}]


@root
def test_a_range_comes_up_is_closed_in_and_goes(tmp_path: Path) -> None:
    script = """
import http.client, json, socket
c = http.client.HTTPSConnection("api.openai.com", timeout=10)
c.request("POST", "/v1/chat/completions", json.dumps({"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "hi"}]}),
          {"Authorization": "Bearer sk-proj-x", "Content-Type": "application/json"})
print(json.loads(c.getresponse().read())["choices"][0]["message"]["content"].encode().hex())
o = http.client.HTTPConnection("127.0.0.1", 11434, timeout=10); o.request("GET", "/"); print(o.getresponse().read().decode())
for reach in (("pypi.test", 443), ("192.0.2.1", 443)):
    try:
        socket.create_connection(reach, timeout=5)
    except OSError as error:
        print(type(error).__name__)
"""
    with Range(tmp_path, keylog=True) as r, Range() as other:
        assert r.net.v4 != other.net.v4
        done = r.popen([sys.executable, "-c", script]).wait(60)
        assert done.returncode == 0, done.stderr
        lines = done.stdout.splitlines()
        truth = r.server_truth()
        assert bytes.fromhex(lines[0]).decode() == truth[0]["text"]
        assert lines[1:] == ["Ollama is running", "gaierror", "OSError"]
        assert (truth[0]["tls"], truth[0]["server"], truth[0]["complete"]) == (True, "api.openai.com", True)
        assert other.server_truth() == []
        assert r.keylog is not None
        assert "CLIENT_HANDSHAKE_TRAFFIC_SECRET" in r.keylog.read_text()
        names = (r.net.client, r.net.server)
    assert not any((Path("/var/run/netns") / n).exists() or (Path("/etc/netns") / n).exists() for n in names)


@root
def test_what_a_killed_owner_left_is_removed() -> None:
    script = "from proving import Range; r = Range().__enter__(); print(r.net.id, r.directory, flush=True); input()"
    owner = subprocess.Popen(
        [sys.executable, "-c", script], env={**os.environ, "PYTHONPATH": str(files.SOURCE)}, stdin=subprocess.PIPE,
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert owner.stdout is not None
    ident, directory = owner.stdout.readline().split()
    owner.kill()
    owner.communicate()
    shutil.rmtree(directory, ignore_errors=True)
    # Another range that starts meanwhile may clean up as well: what counts is that nothing is left.
    netns.cleanup()
    end = time.monotonic() + 10
    left = [Path("/var/run/netns") / f"lw-{ident}-{kind}" for kind in ("cli", "srv")]
    while any(p.exists() for p in left) and time.monotonic() < end:
        time.sleep(0.05)
    assert not any(p.exists() for p in left)


@root
def test_a_real_client(tmp_path: Path) -> None:
    if not files.client_python().exists():
        pytest.skip("no .venv-range: make setup-range")
    with Range(tmp_path) as r:
        done = r.client("openai_sync", n=2, stream=True)
        assert done.returncode == 0, done.stderr
        assert [t["text"] for t in done.truth] == [t["text"] for t in r.server_truth()]
