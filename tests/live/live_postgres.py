"""Statements to a PostgreSQL server by two real clients: psycopg (libpq, text form) and asyncpg (its own, binary form).

    live_postgres.py PORT SSLMODE CLIENT [HOST]    prints the rows of the vector search as JSON

HOST may be the folder of a UNIX socket. CLIENT "waiting" is psycopg that says "ready" on standard error when it is connected,
and waits for a line on standard input before it goes on.

Run with .venv-range's Python.
"""

import asyncio
import json
import sys

PORT, SSLMODE, CLIENT = int(sys.argv[1]), sys.argv[2], sys.argv[3]
HOST = sys.argv[4] if len(sys.argv) > 4 else "localhost"
QUERIES = (
    "select 1::int2 a, 2::int4 b, -3::int8 c, 4::oid d",
    "select 1.5::float4, 0.1::float4, 2.25::float8, 1e20::float8, 'nan'::float8, '-infinity'::float4, 3::float8",
    "select 'hé''llo'::text, 'x'::varchar(3), 'c'::char(3), null::text, true, false, 'n'::name",
    "select 12345.6789::numeric, 0.001::numeric, -1000000::numeric, 'NaN'::numeric, 0::numeric, 10000::numeric, 1e-10::numeric",
    "select 123456789012345678901234567890.5::numeric, 1.10::numeric, 99999::numeric, 0.00010001::numeric",
    "select '2024-02-29'::date, '12:34:56.789'::time, '2024-01-01 00:00:00'::timestamp",
    "select '1999-12-31 23:59:59.5+00'::timestamptz, 'infinity'::timestamp, '0001-01-01'::date",
    "select '7f000000-aaaa-4bbb-8ccc-123456789abc'::uuid",
    """select '{"a": [1, 2]}'::json, '{"b": null}'::jsonb""",
    "select '\\x00ff10'::bytea, ''::bytea",
    "select array[1,2,3]::int4[], array['a','b']::text[], '{}'::int8[], array[1.5]::float8[], array[true,null]::bool[]",
    "select i, 'row ' || i from generate_series(1, 50) i",
    "select 1 where false",
)
SEARCH = "select id, body from docs where body <> {} order by embedding <=> {} limit 2"
VECTOR, OTHER = "[0.1,0.2,0.3]", "nothing"


def with_psycopg() -> list:
    import psycopg

    target = f"host={HOST} port={PORT} user=postgres dbname=postgres sslmode={SSLMODE}"
    with psycopg.connect(target, autocommit=True) as connection:
        if CLIENT == "waiting":
            print("ready", file=sys.stderr, flush=True)
            sys.stdin.readline()
        for query in QUERIES:
            connection.execute(query)
        return connection.execute(SEARCH.format("%s", "%s"), (OTHER, VECTOR)).fetchall()


async def with_asyncpg() -> list:
    import asyncpg

    ssl = "require" if SSLMODE == "require" else False
    connection = await asyncpg.connect(host=HOST, port=PORT, user="postgres", database="postgres", ssl=ssl)
    for query in QUERIES:
        await connection.fetch(query)
    rows = await connection.fetch(SEARCH.format("$1", "$2"), OTHER, VECTOR)
    await connection.close()
    return [tuple(row) for row in rows]


print(json.dumps(asyncio.run(with_asyncpg()) if CLIENT == "asyncpg" else with_psycopg()))
