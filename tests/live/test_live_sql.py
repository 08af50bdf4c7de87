"""A real PostgreSQL and its real clients: binary rows read as the server's own text; what passes in TLS or in the clear is
seen at the client, and a vector search is an exchange."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from live_run import Run

from leeward.model.sql import SqlResult
from leeward.wire.postgres import PostgresConnection
from leeward.wire.sql import SqlEvent, SqlLimits

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
CLIENT = [str(ROOT / ".venv-range/bin/python"), str(HERE / "live_postgres.py")]
PROGRAMS = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))
pytestmark = [
    pytest.mark.skipif(not PROGRAMS, reason="PostgreSQL is not installed"),
    pytest.mark.skipif(not Path(CLIENT[0]).exists(), reason="the clients are not installed: make setup-range"),
    pytest.mark.timeout(180),
]
# pgvector is not among Debian 12's packages: an operator of its name over text, with a distance of some kind.
SCHEMA = """
create function distance(text, text) returns float8 immutable language sql as 'select length($1) - length($2)';
create operator <=> (leftarg = text, rightarg = text, function = distance);
create table docs (id int, body text, embedding text);
insert into docs values (1, 'apples are red', '[0.1,0.2]'), (2, 'pears are green', '[0.1,0.2,0.3]'), (3, 'nothing', '[1]');
"""


class Server:
    """PostgreSQL in a folder of its own, as its own user, on a free loopback port, with TLS."""

    def __init__(self, certificate: tuple[str, str], database: str = "postgres", schema: str = SCHEMA) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="leeward-postgres-"))
        for name, path in zip(("c.pem", "k.pem"), certificate, strict=True):
            shutil.copy(path, self.folder / name)
            (self.folder / name).chmod(0o600)
            shutil.chown(self.folder / name, "postgres")
        shutil.chown(self.folder, "postgres")
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        data = str(self.folder / "db")
        self._run("initdb", "-D", data, "-A", "trust", "-E", "UTF8", "--no-locale").check_returncode()
        options = {
            "ssl": "on",
            "ssl_cert_file": f"{self.folder}/c.pem",
            "ssl_key_file": f"{self.folder}/k.pem",
            "timezone": "UTC",
        }
        command = self._as("postgres", "-D", data, "-k", str(self.folder), "-h", "localhost", "-p", str(self.port))
        command += [word for key, value in options.items() for word in ("-c", f"{key}={value}")]
        self.log = (self.folder / "log").open("wb")
        self.process = subprocess.Popen(command, cwd=self.folder, stdout=self.log, stderr=self.log)
        for _ in range(300):
            if self._run("pg_isready", "-h", "localhost", "-p", str(self.port)).returncode == 0:
                break
            time.sleep(0.1)
        if database != "postgres":
            self._run("createdb", "-h", "localhost", "-p", str(self.port), database).check_returncode()
        psql = ("psql", "-h", "localhost", "-p", str(self.port), "-d", database, "-v", "ON_ERROR_STOP=1", "-c", schema)
        self._run(*psql).check_returncode()

    def _as(self, program: str, *words: str) -> list[str]:
        user = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]
        return [*user, str(PROGRAMS[-1].with_name(program)), *words]

    def _run(self, program: str, *words: str) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(self._as(program, *words), cwd=self.folder, capture_output=True, timeout=60)

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(30)
        self.log.close()
        shutil.rmtree(self.folder)


@pytest.fixture(scope="module")
def server(certificate: tuple[str, str]) -> Iterator[Server]:
    running = Server(certificate)
    try:
        yield running
    finally:
        running.stop()


def ask(port: int, ssl: str, client: str, host: str = "localhost") -> list[list[object]]:
    done = subprocess.run([*CLIENT, str(port), ssl, client, host], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    rows: list[list[object]] = json.loads(done.stdout)
    return rows


class Relay:
    """Passes connections on to `port` and reads them on the way."""

    def __init__(self, port: int) -> None:
        self._to, self._lock = port, threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.events: list[SqlEvent] = []
        self.connections: list[PostgresConnection] = []
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                down, _ = self._listener.accept()
            except OSError:
                return  # closed
            up = socket.create_connection(("127.0.0.1", self._to))
            connection = PostgresConnection(SqlLimits())
            self.connections.append(connection)
            for source, target, to_server in ((down, up, True), (up, down, False)):
                threading.Thread(target=self._pump, args=(source, target, connection, to_server), daemon=True).start()

    def _pump(
        self, source: socket.socket, target: socket.socket, connection: PostgresConnection, to_server: bool
    ) -> None:
        try:
            while data := source.recv(65536):
                with self._lock:
                    self.events += connection.feed(to_server, time.time_ns(), data)
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)
        except OSError:
            return  # the peers are gone: what they said was read

    def close(self) -> None:
        self._listener.close()


def test_binary_rows_read_as_the_servers_text(server: Server) -> None:
    """Each query's rows as the server writes them for psycopg are what is read of asyncpg's binary ones."""
    sys.path.insert(0, str(HERE))
    found: dict[str, dict[str, SqlResult]] = {}
    for client in ("psycopg", "asyncpg"):
        relay = Relay(server.port)
        try:
            ask(relay.port, "disable", client)
        finally:
            relay.close()
        found[client] = {e.statement: e for e in relay.events if isinstance(e, SqlResult)}
        assert all(connection.counters["sql_bad_messages"] == 0 for connection in relay.connections)
    text = (HERE / "live_postgres.py").read_text()
    queries = [q for q in found["psycopg"] if q.startswith("select") and q in text.replace("\\\\", "\\")]
    assert len(queries) == 13
    for query in queries:
        one, two = found["psycopg"][query], found["asyncpg"][query]
        assert (one.rows, one.columns) == (two.rows, two.columns), query
        assert one.complete
        assert two.complete


@pytest.mark.kernel
@pytest.mark.parametrize("client", ["psycopg", "asyncpg"])
@pytest.mark.parametrize("way", ["disable", "require", "unix"])
def test_a_vector_search_is_seen(server: Server, run: Run, way: str, client: str) -> None:
    host, ssl = (str(server.folder), "disable") if way == "unix" else ("localhost", way)
    ask(server.port, ssl, client, host)  # a library is seen into some 50 ms after it was first used, for good
    before = run.stored()
    rows = ask(server.port, ssl, client, host)
    run.wait(lambda: run.stored() > before, 20)
    exchange = run.exchanges()[-1]
    ai = exchange["gen_ai"]
    assert (ai["provider"], ai["operation"], ai["request_parameters"]["collection"]) == (
        "pgvector",
        "vector_search",
        "docs",
    )
    assert [m["content"] for m in ai["input"]] == ["nothing"]
    assert [m["content"] for m in ai["output"]] == [f"{number}\n{body}" for number, body in rows]
    assert exchange["http"]["url"] == "postgresql:///postgres"
    assert exchange["evidence"]["complete"]
    assert exchange["evidence"]["source"] == ("library" if way == "require" else "plaintext")
    assert Path(exchange["process"]["exe"]).name.startswith("python")
    assert "[0.1" not in json.dumps(exchange)
    if way == "unix":
        path = f"{server.folder}/.s.PGSQL.{server.port}"
        assert exchange["network"]["dst"] == path
        flows = [flow for flow in run.get("/flows", limit=1000)["flows"] if flow["dst"] == path]
        assert {(flow["proto"], flow["direction"], flow["l7"]) for flow in flows} == {
            ("unix", "outbound", "postgresql")
        }


@pytest.mark.kernel
def test_a_connection_over_a_unix_socket_that_is_older_than_leeward(server: Server, tmp_path: Path) -> None:
    command = [*CLIENT, str(server.port), "disable", "waiting", str(server.folder)]
    client = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert client.stderr is not None
    assert client.stderr.readline() == "ready\n"
    run = Run(tmp_path / "state")
    try:
        out, _ = client.communicate("\n", timeout=60)
        run.wait(lambda: run.stored() > 0, 20)
        exchange = run.exchanges()[-1]
    finally:
        run.stop()
    assert [m["content"] for m in exchange["gen_ai"]["output"]] == [
        f"{number}\n{body}" for number, body in json.loads(out)
    ]
    assert exchange["process"]["pid"] == client.pid
    assert exchange["network"]["dst"].endswith(f"/.s.PGSQL.{server.port}")
