"""Vector search in a database is AI activity; other statements are not."""

from __future__ import annotations

import pytest

from leeward.ai.vector_sql import vector_activity
from leeward.model.sql import Column, SqlError, SqlResult


def result(statement: str, system: str = "postgresql", **fields: object) -> SqlResult:
    return SqlResult(system=system, statement=statement, database="kb", start=5, end=9, complete=True, **fields)  # type: ignore[arg-type]


def test_a_search() -> None:
    columns = [Column("id", "", "int4"), Column("body", "", "text"), Column("embedding", "", "")]
    rows: list[list[str | None]] = [["1", "Ann lives in Bern", "[0.1,0.2]"], ["2", None, "<16 bytes>"]]
    statement = "SELECT * FROM docs WHERE tenant = $2 ORDER BY embedding <=> $1 LIMIT 5"
    timed = vector_activity(
        result(statement, columns=columns, rows=rows, row_count=2, parameters=["[0.5,-1e-3]", "acme"])
    )
    assert timed is not None
    ai = timed.exchange.gen_ai
    assert (timed.start, timed.end, ai.provider, ai.operation, ai.embeddings) == (5, 9, "pgvector", "vector_search", 1)
    assert ai.request_parameters == {
        "collection": "docs",
        "database": "kb",
        "statement": "SELECT * FROM docs WHERE tenant = $2 ORDER BY embedding <=> $1 LIMIT ?",
        "count": 2,
        "top_k": 5,
    }
    assert [m.content for m in ai.input] == ["acme"]
    assert [m.content for m in ai.output] == ["1\nAnn lives in Bern", "2"]


@pytest.mark.parametrize(
    ("statement", "system", "operation"),
    [
        ("INSERT INTO docs VALUES ($1, $2::vector)", "postgresql", "vector_upsert"),
        ("DELETE FROM docs WHERE embedding <-> '[1,2]' < 3", "postgresql", "vector_delete"),
        ("SELECT id FROM docs ORDER BY VEC_DISTANCE_COSINE(v, VEC_FromText('[1,2]'))", "mysql", "vector_search"),
    ],
)
def test_operations(statement: str, system: str, operation: str) -> None:
    timed = vector_activity(result(statement, system))
    assert timed is not None
    assert (timed.exchange.gen_ai.operation, timed.exchange.gen_ai.request_parameters["collection"]) == (
        operation,
        "docs",
    )


def test_a_failure() -> None:
    timed = vector_activity(result("SELECT a <=> $1 FROM docs", error=SqlError("22000", "different vector dimensions")))
    assert timed is not None
    assert timed.exchange.error is not None
    assert (timed.exchange.error.code, timed.exchange.error.message) == ("22000", "different vector dimensions")


@pytest.mark.parametrize("statement", ["SELECT email FROM customers", "SELECT a <=> b FROM t", "", "'<=> $1'"])
def test_others_are_none(statement: str) -> None:
    assert vector_activity(result(statement)) is None
