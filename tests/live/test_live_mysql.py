"""A real MariaDB and its real clients: binary rows read as the server's own text, compressed or not; what passes in TLS or in the
clear is seen at the client, and a vector search is an exchange."""

from __future__ import annotations

import json
import os
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from live_mysql import QUERIES, SEARCH
from live_relay import Relay
from live_run import Run

from leeward.model.sql import SqlResult
from leeward.wire.mysql import MysqlConnection
from leeward.wire.mysql_messages import CACHE_METADATA, DEPRECATE_EOF, EXTENDED_METADATA, SESSION_TRACK
from leeward.wire.sql import SqlLimits

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
sys.path.insert(0, str(HERE.parent / "wire"))
from wire_mysql import BASE, execute, lenenc, packet, prepare, query  # noqa: E402

CLIENT = [str(ROOT / ".venv-range/bin/python"), str(HERE / "live_mysql.py")]
pytestmark = [
    pytest.mark.skipif(not shutil.which("mariadbd"), reason="MariaDB is not installed"),
    pytest.mark.skipif(not Path(CLIENT[0]).exists(), reason="the clients are not installed: make setup-range"),
    pytest.mark.timeout(180),
]
USER = ["setpriv", "--reuid=mysql", "--regid=mysql", "--clear-groups"]  # the package's
PASSWORD = "secret-word"  # what live_mysql.sql gives ann


class Server:
    """MariaDB in a folder of its own, as its own user, on a free loopback port, with TLS. No file of /etc is read."""

    def __init__(self, certificate: tuple[str, str]) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="leeward-mariadb-"))
        for name, path in zip(("c.pem", "k.pem"), certificate, strict=True):
            shutil.copy(path, self.folder / name)
            shutil.chown(self.folder / name, "mysql")
        shutil.chown(self.folder, "mysql")
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        own = ["--no-defaults", f"--datadir={self.folder}/db", f"--tmpdir={self.folder}"]
        made = [*USER, "mariadb-install-db", *own, "--auth-root-authentication-method=normal", "--skip-test-db"]
        subprocess.run(made, check=True, capture_output=True, timeout=120)
        options = {
            "socket": f"{self.folder}/s", "pid-file": f"{self.folder}/pid", "port": self.port, "bind-address": "127.0.0.1",
            "ssl-cert": f"{self.folder}/c.pem", "ssl-key": f"{self.folder}/k.pem", "local-infile": 1,
            "max-allowed-packet": "64M", "skip-name-resolve": 1, "progress-report-time": 1,
        }  # fmt: skip
        command = [*USER, "mariadbd", *own, *(f"--{key}={value}" for key, value in options.items())]
        self.log = (self.folder / "log").open("wb")
        self.process = subprocess.Popen(command, cwd=self.folder, stdout=self.log, stderr=self.log)
        for _ in range(300):
            if (self.folder / "s").exists():
                break
            time.sleep(0.1)
        with (HERE / "live_mysql.sql").open() as schema:
            words = ["mariadb", "--no-defaults", f"--socket={self.folder}/s", "--user=root"]
            subprocess.run([*words, "--default-character-set=utf8mb4"], stdin=schema, check=True, capture_output=True)

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(60)
        self.log.close()
        shutil.rmtree(self.folder)


@pytest.fixture(scope="module")
def server(certificate: tuple[str, str]) -> Iterator[Server]:
    running = Server(certificate)
    try:
        yield running
    finally:
        running.stop()


@pytest.fixture
def relay(server: Server) -> Iterator[Relay]:
    between = Relay(server.port, partial(MysqlConnection, SqlLimits()))
    yield between
    between.close()
    for connection in between.connections:
        odd = {
            name
            for name in connection.counters
            if name not in ("sql_results", "sql_other_commands", "sql_local_infile")
        }
        assert odd <= {"sql_progress_reports", "sql_statement_unknown"}


def ask(port: int, way: str, client: str) -> list[list[object]]:
    """The rows of the vector search, as a client got them."""
    if client == "cli":
        words = cli(
            port, SEARCH.format("'nothing'", "'[0.1,0.2,0.3]'"), *(["--ssl"] if way == "tls" else ["--skip-ssl"])
        )
        return [[int(number), body] for number, body in (line.split("\t") for line in words.splitlines())]
    done = subprocess.run([*CLIENT, str(port), way, client], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    rows: list[list[object]] = json.loads(done.stdout)
    return rows


def cli(port: int, statements: str, *options: str) -> str:
    """What Debian's client prints of `statements`. Neither they nor the password are on its command line: that is kept."""
    login = ["mysql", "--no-defaults", "-h127.0.0.1", f"-P{port}", "-uann", "-N", "-B", *options, "shop"]
    given, secret = statements.encode(), os.environ | {"MYSQL_PWD": PASSWORD}
    done = subprocess.run(login, input=given, env=secret, capture_output=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout.decode("utf-8", "replace")


def read(server: Server, way: str, client: str) -> dict[str, SqlResult]:
    """What was read on the way, by statement."""
    between = Relay(server.port, partial(MysqlConnection, SqlLimits()))
    try:
        if client == "cli":
            options = [
                "--skip-ssl",
                "--default-character-set=utf8mb4",
                *(["--compress"] if way == "compressed" else []),
            ]
            cli(between.port, ";".join(QUERIES), *options)
        else:
            ask(between.port, way, client)
        found = between.results()
    finally:
        between.close()
    assert all(set(connection.counters) <= {"sql_results", "sql_other_commands"} for connection in between.connections)
    return {result.statement: result for result in found}


@pytest.fixture(scope="module")
def as_text(server: Server) -> dict[str, SqlResult]:
    return read(server, "clear", "pymysql")


@pytest.mark.parametrize(
    ("way", "client"),
    [("clear", "connector"), ("compressed", "connector"), ("clear", "cli"), ("compressed", "cli")],
)
def test_binary_rows_read_as_the_servers_text(
    server: Server, as_text: dict[str, SqlResult], way: str, client: str
) -> None:
    """Each query's rows as the server writes them for PyMySQL are what is read of another client's: prepared and binary, or with
    definitions that MariaDB has more to say in, and compressed."""
    found = read(server, way, client)
    for query_text in QUERIES:
        one, two = as_text[query_text], found[query_text]
        assert one.rows == two.rows, query_text
        assert (one.complete, two.complete, two.truncated, two.user, two.database) == (True, True, False, "ann", "shop")
        assert [(c.name, c.table) for c in one.columns] == [(c.name, c.table) for c in two.columns]
        if client == "connector":
            assert one.columns == two.columns
    texts = found[QUERIES[4]]
    assert [c.type for c in texts.columns[1:3]] == (["uuid", "inet6"] if client == "cli" else ["char", "char"])
    assert as_text[QUERIES[0]].rows[0][:3] == ["-128", "255", "-32768"]
    assert all(as_text[text].row_count > 0 for text in QUERIES[:-1])


def test_nothing_of_a_password_is_kept(server: Server, as_text: dict[str, SqlResult]) -> None:
    assert PASSWORD not in repr(as_text)
    assert {(result.user, result.error) for result in as_text.values()} == {("ann", None)}
    assert all("MariaDB" in result.version for result in as_text.values())


@pytest.mark.parametrize("compressed", [False, True])
def test_what_the_command_line_client_does(relay: Relay, tmp_path: Path, compressed: bool) -> None:
    """Files that it sends, progress that it is told of, a packet that goes on in the next, the database that it moves to."""
    (tmp_path / "rows.csv").write_text("".join(f"{number},row {number}\n" for number in range(20_000)))
    statements = [
        "create temporary table loaded (a int, b varchar(20))",
        f"load data local infile '{tmp_path}/rows.csv' into table loaded fields terminated by ','",
        "select * from loaded",
        "select repeat('x', 20000000)",
        "call two()",
        "use mysql",
        "select 'there'",
    ]
    options = ["--skip-ssl", "--local-infile", "--max-allowed-packet=64M", *(["--compress"] if compressed else [])]
    cli(relay.port, ";".join(statements), *options)
    found = relay.results()
    by = {result.statement: result for result in found}
    loaded, rows, large = by[statements[1]], by[statements[2]], by[statements[3]]
    assert (loaded.affected, loaded.size, loaded.anomalies) == (
        20_000,
        (tmp_path / "rows.csv").stat().st_size,
        ["local-infile"],
    )
    assert (rows.row_count, len(rows.rows), rows.rows[7], rows.truncated) == (20_000, 1000, ["7", "row 7"], True)
    assert (large.row_count, large.size, large.complete) == (1, 20_000_009, True)
    called = [result for result in found if result.statement == "call two()"]
    assert [result.rows for result in called] == [[["1"]], [["2", "x"]], []]
    assert (loaded.database, by["select 'there'"].database) == ("shop", "mysql")


Later = bytes | Callable[[list[int]], bytes]


def talk(port: int, capabilities: int, statements: list[str], commands: list[Later]) -> None:
    """A client of our own: prepares the statements one by one, then says all else at once. What is asked for of the statements'
    numbers is known by then."""
    with socket.create_connection(("127.0.0.1", port)) as connection, connection.makefile("rb") as answers:

        def receive() -> bytes:
            body: bytes = answers.read(int.from_bytes(answers.read(4)[:3], "little"))
            return body

        receive()
        fixed = struct.pack("<IIB19xI", capabilities & 0xFFFFFFFF, 1 << 24, 45, capabilities >> 32)
        connection.sendall(packet(1, fixed, b"raw\0", lenenc(b""), b"shop\0", b"mysql_native_password\0"))
        assert receive()[:1] == b"\0"
        numbers = []
        ends = 0 if capabilities & DEPRECATE_EOF else 1
        for words in statements:
            connection.sendall(prepare(words.encode()))
            number, columns, parameters = struct.unpack_from("<xIHH", receive())
            numbers.append(number)
            for _ in range((columns + ends) * bool(columns) + (parameters + ends) * bool(parameters)):
                receive()
        said = b"".join(command if isinstance(command, bytes) else command(numbers) for command in commands)
        connection.sendall(said + packet(0, b"\x01"))
        answers.read()


def fetch(number: int, rows: int) -> bytes:
    return packet(0, b"\x1c", struct.pack("<II", number, rows))


STATEMENTS = [
    "select a, id from numbers where id = ? or a = ?",
    "select seq from seq_1_to_5",
    "select length(?), ?",
    "call two()",
]
LONG, SHORT, STRING, BLOB = (8, 0), (2, 0), (253, 0), (252, 0)
CONVERSATION: list[Later] = [
    lambda n: execute(n[0], [LONG, SHORT], struct.pack("<qh", 1, 99)),
    lambda n: execute(n[0], None, struct.pack("<q", 2), nulls=b"\2"),
    lambda n: execute(n[1], flags=1),
    lambda n: fetch(n[1], 2) + fetch(n[1], 10),
    lambda n: packet(0, b"\x1a", struct.pack("<I", n[1])),
    lambda n: execute(n[1]) * 2,
    lambda n: packet(0, b"\x18", struct.pack("<IH", n[2], 0), b"ab") + packet(0, b"\x18", struct.pack("<IH", n[2], 0), b"cd"),
    lambda n: execute(n[2], [BLOB, STRING], lenenc(b"yes")),
    lambda n: execute(n[3]),
    lambda n: packet(0, b"\x19", struct.pack("<I", n[2])) + execute(n[2]),
    query(b"select 1; select 'two'; select nothing"),
    prepare(b"select ? + 1") + execute(0xFFFFFFFF, [LONG], struct.pack("<q", 41)),
    packet(0, b"\x09") + packet(0, b"\x0a") + packet(0, b"\x04docs\0") + packet(0, b"\x0e"),
    packet(0, b"\x1f") + query(b"select 'end'"),
]  # fmt: skip
SAID = [
    (STATEMENTS[0], ["1", "99"], [["-128", "1"]], []), (STATEMENTS[0], ["2", None], [["0", "2"]], []),
    (STATEMENTS[1], [], [], ["cursor-open"]), (STATEMENTS[1], [], [["1"], ["2"]], ["cursor-open"]),
    (STATEMENTS[1], [], [["3"], ["4"], ["5"]], []),
    *[(STATEMENTS[1], [], [["1"], ["2"], ["3"], ["4"], ["5"]], [])] * 2,
    (STATEMENTS[2], ["abcd", "yes"], [["4", "yes"]], []),
    *[(STATEMENTS[3], [], rows, []) for rows in ([["1"]], [["2", "x"]], [])],
    ("", [], [], []),
    *[("select 1; select 'two'; select nothing", [], rows, []) for rows in ([["1"]], [["two"]], [])],
    ("select ? + 1", ["41"], [["42"]], []), ("select 'end'", [], [["end"]], []),
]  # fmt: skip
MULTIPLE = 3 << 16 | 1 << 18  # CLIENT_MULTI_STATEMENTS, MULTI_RESULTS, PS_MULTI_RESULTS
FORMS = {
    "classic": BASE | MULTIPLE,
    "latest": BASE | MULTIPLE | DEPRECATE_EOF | SESSION_TRACK,
    "mariadb": BASE | MULTIPLE | DEPRECATE_EOF | SESSION_TRACK | EXTENDED_METADATA | CACHE_METADATA,
    "mariadb classic": BASE | MULTIPLE | EXTENDED_METADATA | CACHE_METADATA,
}


@pytest.mark.parametrize("form", FORMS)
def test_prepared_statements(server: Server, relay: Relay, form: str) -> None:
    """Cursors, parameters sent ahead, statements executed again and before they are known, and nobody waits for an answer."""
    login = ["mariadb", "--no-defaults", f"--socket={server.folder}/s", "--user=root", "-e"]
    subprocess.run([*login, "create user if not exists raw; grant all on *.* to raw"], check=True)
    talk(relay.port, FORMS[form], STATEMENTS, CONVERSATION)
    found = relay.results()
    assert [(r.statement, r.parameters, r.rows, r.anomalies) for r in found] == SAID
    assert all(result.complete for result in found)
    errors = [(result.statement, result.error.code) for result in found if result.error is not None]
    assert errors == [("", "HY000"), ("select 1; select 'two'; select nothing", "42S22")]
    again = found[6]  # the second execution, after which the server does not describe the column again
    assert [(c.name, c.table, c.type) for c in again.columns] == [("seq", "seq_1_to_5", "bigint unsigned")]
    skipped = packet(1, b"\1\0") in relay.answered
    assert skipped == bool(FORMS[form] & CACHE_METADATA)


def searches(run: Run) -> list[dict[str, Any]]:
    """What was seen of MariaDB; other things may go on on this host."""
    return [exchange for exchange in run.exchanges() if exchange["gen_ai"]["provider"] == "mysql"]


@pytest.mark.kernel
@pytest.mark.parametrize("client", ["pymysql", "connector", "cli"])
@pytest.mark.parametrize("way", ["clear", "tls"])
def test_a_vector_search_is_seen(server: Server, run: Run, way: str, client: str) -> None:
    ask(server.port, way, client)  # a library is seen into some 50 ms after it was first used, for good
    before = len(searches(run))
    rows = ask(server.port, way, client)
    run.wait(lambda: len(searches(run)) > before, 20)
    exchange = searches(run)[-1]
    ai = exchange["gen_ai"]
    assert (ai["provider"], ai["operation"], ai["request_parameters"]["collection"]) == (
        "mysql",
        "vector_search",
        "docs",
    )
    assert [m["content"] for m in ai["input"]] == (["nothing"] if client == "connector" else [])
    assert [m["content"] for m in ai["output"]] == [f"{number}\n{body}" for number, body in rows]
    assert len(rows) == 2
    assert exchange["http"]["url"] == "mysql:///shop"
    assert exchange["evidence"]["complete"]
    assert exchange["evidence"]["source"] == ("library" if way == "tls" else "plaintext")
    assert Path(exchange["process"]["exe"]).name.startswith(("mariadb", "mysql") if client == "cli" else "python")
    assert PASSWORD not in json.dumps(exchange)
    assert "[0.1" not in json.dumps(exchange)
