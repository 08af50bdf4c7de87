"""MySQL servers from 5.0 to 9.0 and their clients, as captured for Zeek's tests."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from test_wire_http1_captures import payloads
from wire_mysql import (
    results,
)

from leeward.model.sql import SqlResult
from leeward.wire.mysql import MysqlConnection
from leeward.wire.sql import Encrypted, SqlEvent, SqlLimits

FOLDER = Path(__file__).parents[2].parent / "shared/data/pcap/zeek/mysql"


FIRST = ("select @@version_comment limit 1", 1)


#: capture → (statement, rows) of each result; another event's type
CAPTURES: dict[str, list[tuple[str, int] | type]] = {
    "mysql.pcap": [
        FIRST, ("SELECT DATABASE()", 1), ("show databases", 2), ("show tables", 1),
        ("create table foo (id BIGINT( 10 ) UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY, animal VARCHAR(64) NOT NULL, "
         "name VARCHAR(64) NULL DEFAULT NULL) ENGINE = MYISAM", 0),
        ('insert into foo (animal, name) values ("dog", "Goofy")', 0),
        ('insert into foo (animal, name) values ("cat", "Garfield")', 0),
        ("select * from foo", 2), ("delete from foo where name like '%oo%'", 0), ("delete from foo where id = 1", 0),
        ("select count(*) from foo", 1), ("select * from foo", 1), ("delete from foo", 0), ("drop table foo", 0),
    ],
    "caching_sha2_password.pcap": [*[("show databases", 5), ("show tables", 1), FIRST] * 2],
    "caching_sha2_password-after-auth-switch.pcapng": [
        FIRST, ("select DATABASE(), USER() limit 1", 1),
        ("select @@character_set_client, @@character_set_connection, @@character_set_server, @@character_set_database "
         "limit 1", 1),
    ],
    "change-user-success.pcap": [("SET NAMES 'utf8mb4' COLLATE 'utf8mb4_0900_ai_ci'", 0), ("SET @@session.autocommit = OFF", 0)],
    "change-user-error.pcap": [], "mysql8-navicat-login-failed.pcap": [],
    "many-query-attrs.pcap": [
        ("show databases", 4), ("show tables", 38), FIRST,
        ("SELECT mysql_query_attribute_string('n1'), mysql_query_attribute_string('n2')", 1),
    ],
    "mysql-9.0.0-query-attributes.pcap": [("SELECT version()", 1)],
    "query-attr.pcap": [FIRST, ("select now()", 1), ("select now()", 1)],
    "mysql-show-engine-innodb-status-no-password.pcap": [FIRST, ("SHOW ENGINE INNODB STATUS", 1)],
    "selects_with_new_proto.pcap": [
        FIRST, ("show databases", 4), ("show tables from information_schema", 78), ("show tables from mysql", 33),
    ],
    "plain-amazon-rds.pcap": [FIRST, ("select now()", 1)],
    "encrypted.pcap": [Encrypted], "tls-12-amazon-rds.pcap": [Encrypted], "tls-13-amazon-rds.pcap": [Encrypted],
}  # fmt: skip


def of_capture(path: Path) -> tuple[list[SqlEvent], Counter[str]]:
    connections: dict[frozenset[tuple[str, int]], MysqlConnection] = {}
    events: list[SqlEvent] = []
    for key, ts, _, data in payloads(path):
        if data:
            connection = connections.setdefault(frozenset({key[:2], key[2:]}), MysqlConnection(SqlLimits()))
            events += connection.feed(key[3] == 3306, ts, data)
    counters: Counter[str] = Counter()
    for connection in connections.values():
        events += connection.close(0)
        counters += connection.counters
    return events, counters


@pytest.mark.skipif(not FOLDER.is_dir(), reason=f"no captures at {FOLDER}")
@pytest.mark.parametrize("name", CAPTURES)
def test_captures(name: str) -> None:
    events, counters = of_capture(FOLDER / name)
    found = [(e.statement, len(e.rows)) if isinstance(e, SqlResult) else type(e) for e in events]
    assert found == CAPTURES[name]
    assert all(e.complete and not e.truncated and e.error is None for e in results(events))
    assert counters["sql_bad_messages"] == counters["sql_rows_unread"] == 0


@pytest.mark.skipif(not FOLDER.is_dir(), reason=f"no captures at {FOLDER}")
def test_rows_of_a_capture() -> None:
    events, _ = of_capture(FOLDER / "mysql.pcap")
    found = next(r for r in results(events) if r.statement == "select * from foo")
    assert found.rows == [["1", "dog", "Goofy"], ["2", "cat", "Garfield"]]
    assert [(c.name, c.table, c.type) for c in found.columns] == [
        ("id", "foo", "bigint unsigned"),
        ("animal", "foo", "varchar"),
        ("name", "foo", "varchar"),
    ]
    assert (found.user, found.database, found.version) == ("tfoerste", "test", "5.0.54")
