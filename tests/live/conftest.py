"""Fixtures of the kernel tests: a certificate, an AI server over TLS and one in the clear, and `leeward` on this host."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from live_run import HERE, Run

from leeward.model.errors import LeewardError
from leeward.sensor import host


def why_no_sensor() -> str:
    """Why the live sensor cannot run here, "" if it can."""
    try:
        host.need_root()
        host.tracefs()
    except LeewardError as error:
        return str(error)
    return ""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--library-table", default="", help="write which TLS libraries were seen into to this file")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    reason = why_no_sensor()
    for item in items:
        if reason and HERE in item.path.parents and item.get_closest_marker("kernel"):
            item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    folder = tmp_path_factory.mktemp("tls")
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    subprocess.run(
        [*command, "-keyout", str(folder / "k.pem"), "-out", str(folder / "c.pem")], check=True, capture_output=True
    )
    return str(folder / "c.pem"), str(folder / "k.pem")


def _server(*arguments: str) -> Iterator[str]:
    process = subprocess.Popen([sys.executable, str(HERE / "live_echo.py"), "0", *arguments], stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        port = process.stdout.readline().split()[1].decode()
        yield f"{'https' if arguments else 'http'}://127.0.0.1:{port}/v1/chat/completions"
    finally:
        process.kill()
        process.wait()


@pytest.fixture(scope="session")
def tls_url(certificate: tuple[str, str]) -> Iterator[str]:
    yield from _server(*certificate)


@pytest.fixture(scope="session")
def plain_url() -> Iterator[str]:
    yield from _server()


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    running = Run(tmp_path / "state")
    try:
        yield running
    finally:
        running.stop()
        if running.process.poll() is None:
            running.process.kill()
