"""Statements to a MariaDB server by real clients: PyMySQL (text form) and MySQL's own connector (prepared, binary form).

    live_mysql.py PORT WAY CLIENT    prints the rows of the vector search as JSON

WAY: clear | tls | compressed. CLIENT: pymysql | connector. Run with .venv-range's Python.
"""

import json
import ssl
import sys

LOGIN = {"host": "127.0.0.1", "user": "ann", "password": "secret-word", "database": "shop"}
QUERIES = (
    "select a, b, c, d, e, f, g, h from numbers order by id",
    "select i, j, k, l, m, n from numbers order by id",
    "select o, p, q, r, s, t, u from times order by id",
    "select v, w, x, y, z, aa, ab, ac, ad, ae from texts order by id",
    "select af, ag, ah, ai from texts order by id",
    "select 1, -1, 1.5, 1e0, 'x', null, true, 3/7, sqrt(2), pi(), 1e100, cast(1e15 as double), 1e-20",
    "select timestamp('2024-01-01 01:02:03.5'), timediff('10:00:00', '12:30:00.25'), maketime(100, 1, 2.5), sec_to_time(3661)",
    "select bit_count(5), b'101', x'4142', 0xff + 0, char(65 using utf8mb4), concat('a', 1)",
    "select sum(e), sum(m), avg(m), std(j), max(f), min(b) from numbers where j < 1e10",
    "select w.v as word, count(*) from texts w group by w.v order by 1, 2",
    "select seq, concat('row ', seq) from seq_1_to_50",
    "select database(), current_user(), version() > '5'",
    "select v from texts where 1 = 0",
)
SEARCH = "select id, body from docs where body <> {} order by vec_distance(embedding, {}) limit 2"
VECTOR, OTHER = "[0.1,0.2,0.3]", "nothing"


def with_pymysql(port: int, way: str) -> list:
    import pymysql

    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    how = {"ssl": context} if way == "tls" else {"ssl_disabled": True}
    with pymysql.connect(**LOGIN, port=port, **how, autocommit=True) as connection, connection.cursor() as cursor:
        for query in QUERIES:
            cursor.execute(query)
            cursor.fetchall()
        cursor.execute(SEARCH.format("%s", "%s"), (OTHER, VECTOR))
        return [list(row) for row in cursor.fetchall()]


def with_connector(port: int, way: str) -> list:
    import mysql.connector

    how = {"ssl_disabled": way != "tls", "compress": way == "compressed", "collation": "utf8mb4_general_ci"}
    connection = mysql.connector.connect(**LOGIN, port=port, **how, use_pure=True, autocommit=True)
    for query in QUERIES:
        cursor = connection.cursor(prepared=True)
        cursor.execute(query)
        cursor.fetchall()
        cursor.close()
    cursor = connection.cursor(prepared=True)
    cursor.execute(SEARCH.format("%s", "%s"), (OTHER, VECTOR))
    rows = [list(row) for row in cursor.fetchall()]
    cursor.close()
    connection.close()
    return rows


if __name__ == "__main__":
    ask = {"pymysql": with_pymysql, "connector": with_connector}[sys.argv[3]]
    print(json.dumps(ask(int(sys.argv[1]), sys.argv[2])))
