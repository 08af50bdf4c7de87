"""Sensitive data on its way: from a real database through a real SDK, found with its path and with the query it came from; and
nothing of it in anything that Leeward keeps."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import duckdb
import pytest
from live_run import Run
from test_live_sql import PROGRAMS, Server

HERE = Path(__file__).parent
PYTHON = HERE.parents[1] / ".venv-range/bin/python"
CARD, EMAIL, NAME = "4556 7375 8689 9855", "ottilie.brandt@kunden-example.de", "Ottilie Brandt"
PAD = "the quarterly report is due"
SCHEMA = f"""
create table customers (id int, full_name text, email text, card_number text);
insert into customers values (7, '{NAME}', '{EMAIL}', '{CARD}'), (8, 'Nobody', 'nobody@kunden-example.de', '5500005555555559');
"""
pytestmark = [
    pytest.mark.kernel,
    pytest.mark.skipif(not PROGRAMS, reason="PostgreSQL is not installed"),
    pytest.mark.skipif(not PYTHON.exists(), reason="the clients are not installed: make setup-range"),
    pytest.mark.timeout(180),
]


@pytest.fixture(scope="module")
def server(certificate: tuple[str, str]) -> Iterator[Server]:
    running = Server(certificate, "shop", SCHEMA)
    try:
        yield running
    finally:
        running.stop()


def ask(server: Server, way: str, url: str, ca: str) -> None:
    host = str(server.folder) if way == "unix" else "localhost"
    ssl = "require" if way == "tls" else "disable"
    base = url.replace("127.0.0.1", "localhost").removesuffix("/chat/completions")
    command = [str(PYTHON), str(HERE / "live_agent.py"), host, str(server.port), ssl, base, ca]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("way", ["clear", "tls", "unix"])
def test_a_card_in_a_tools_result_and_the_query_it_came_from(
    server: Server, run: Run, way: str, tls_url: str, certificate: tuple[str, str]
) -> None:
    ask(server, way, tls_url, certificate[0])  # a library is seen into some 50 ms after it was first used, for good
    before = {exchange["id"] for exchange in run.exchanges()}
    ask(server, way, tls_url, certificate[0])
    run.wait(lambda: bool(_cards(run, before)), 30)
    *_, card = _cards(run, before)  # what the first one asked may be stored late
    result = json.dumps({"rows": [{"customer": {"id": 7, "full_name": NAME, "email": EMAIL, "card_number": CARD}}]})
    assert (card["path"], card["inner"]) == ("$.messages[2].content", "$.rows[0].customer.card_number")
    assert result[card["start"] : card["end"]] == CARD
    [origin] = [o for o in card["origins"] if o["source"] == "sql"]
    place = server.folder / f".s.PGSQL.{server.port}" if way == "unix" else "localhost"
    assert origin["name"] == "customers.card_number"
    assert origin["where"] in (f"postgresql://{place}/shop", "postgresql://127.0.0.1/shop", "postgresql://::1/shop")
    assert origin["statement"].startswith("select id, full_name, email, card_number from customers where id = ")
    assert origin["process"].startswith("python")
    run.wait(lambda: bool(run.get("/findings", rule="data-leak")["findings"]), 10)
    finding = next(f for f in run.get("/findings")["findings"] if f["subject"].get("kind") == "financial.card")
    assert any(
        line.startswith("customers.card_number from postgresql://") for line in finding["evidence"][-1]["lineage"]
    )


def _cards(run: Run, before: set[str]) -> list[dict[str, Any]]:
    """Card numbers in requests that are not among those, the latest last."""
    new = sorted((x for x in run.exchanges() if x["id"] not in before), key=lambda x: str(x["time"]))
    return [m for x in new for m in x["data"] if m["kind"] == "financial.card" and m["side"] == "request"]


def forms(value: str) -> set[bytes]:
    """A value as it may hide in a file: in each alignment of base64, and so on."""
    raw = value.encode()
    found = {raw, raw.upper(), value.replace(" ", "").encode(), quote(value).encode(), raw.hex().encode()}
    found |= {value.encode("utf-16-le"), value.encode("utf-16-be"), json.dumps(value)[1:-1].encode()}
    found.add("".join(f"\\u{ord(c):04x}" for c in value).encode())
    for shift in range(3):
        text = base64.b64encode(b"\0" * shift + raw)
        found.add(text[(0, 2, 3)[shift] : len(raw) * 4 // 3 - 3])
    return found


def written(value: str) -> list[str]:
    """A value as people and programs write it."""
    raw = value.encode()
    ways = [value, value.replace(" ", ""), quote(value), "".join(f"%{b:02x}" for b in raw), raw.hex()]
    ways += ["".join(f"\\u{ord(c):04x}" for c in value), json.dumps({"card": value})]
    return ways + [base64.b64encode(before + raw + b" paid").decode() for before in (b"", b"c ", b"no ")]


def test_nothing_that_is_kept_holds_the_value(
    server: Server, tmp_path: Path, tls_url: str, certificate: tuple[str, str]
) -> None:
    """In the store, its log, the agent's messages, temporary files; while it runs, after a kill and after a stop."""
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    before = os.environ.get("TMPDIR")
    os.environ["TMPDIR"] = str(temporary)
    try:
        run = Run(tmp_path / "state")
    finally:
        os.environ.pop("TMPDIR") if before is None else os.environ.__setitem__("TMPDIR", before)
    try:
        prompts = [f"card {way} {PAD}" for way in written(CARD)]
        command = [sys.executable, "-c", CLIENT, tls_url, json.dumps(prompts)]
        ask(server, "tls", tls_url, certificate[0])
        subprocess.run(command, check=True, timeout=60)
        run.wait(lambda: run.stored() >= len(prompts) + 1, 30)
        run.process.kill()
        run.process.wait(10)
        _look(tmp_path, run)
        again = Run(run.state)
        again.stop()
        _look(tmp_path, again)
        rows = duckdb.connect(str(run.state / "leeward.duckdb"), read_only=True)
        tables = [row[0] for row in rows.execute("select table_name from duckdb_tables()").fetchall()]
        text = "\n".join(str(row) for table in tables for row in rows.execute(f"select * from {table}").fetchall())
        assert PAD in text  # what was said is there, but for the value
        assert "[financial.card:" in text
        found = [form for value in (CARD, EMAIL) for form in forms(value) if form.decode("latin-1") in text]
        assert found == []
    finally:
        if run.process.poll() is None:
            run.process.kill()


CLIENT = """
import json, sys, httpx
with httpx.Client(verify=False, timeout=30) as client:
    for prompt in json.loads(sys.argv[2]):
        body = {"model": "gpt-4o", "messages": [{"role": "user", "content": prompt}]}
        client.post(sys.argv[1], json=body).raise_for_status()
"""


def _look(folder: Path, run: Run) -> None:
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert run.log in files
    assert run.state / "leeward.duckdb" in files
    for path in files:
        content = path.read_bytes()
        for value in (CARD, EMAIL):
            assert not [form for form in forms(value) if form in content], path
