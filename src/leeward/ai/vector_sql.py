"""Vector search in SQL databases (pgvector, MariaDB, MySQL) as AI activity: collection and operation of a statement.

Other statements are no exchanges: what they return is for those who trace data (`SqlResult`).
"""

from __future__ import annotations

import re

from leeward.model.exchange import AiError, ChatMessage, Evidence, Exchange, GenAI, Http, TimedExchange
from leeward.model.sql import SqlResult
from leeward.wire.sql import about

_OPERATIONS = {
    "SELECT": "vector_search",
    "INSERT": "vector_upsert",
    "UPDATE": "vector_upsert",
    "MERGE": "vector_upsert",
    "DELETE": "vector_delete",
    "CREATE": "vector_admin",
}
_PROVIDERS = {"postgresql": "pgvector"}
_LIMIT = re.compile(r"\bLIMIT\s+(\d{1,9})\b", re.IGNORECASE)
_MOST_ROWS = 64
_MOST_TEXT = 64 << 10
_MOST_SUMMARY = 2048


def vector_activity(result: SqlResult) -> TimedExchange | None:
    """The exchange of a statement that stores or compares vectors; None for others. Vectors are counted, never kept."""
    what = about(result.statement)
    if not what.vector:
        return None
    ai = GenAI(provider=_PROVIDERS.get(result.system, result.system), api=f"{result.system}.vector")
    ai.operation = _OPERATIONS.get(what.operation, "vector_admin")
    ai.request_parameters = {
        "collection": what.tables[0] if what.tables else "",
        "database": result.database,
        "statement": what.summary[:_MOST_SUMMARY],
        "count": result.affected if result.affected is not None else result.row_count,
    }
    if limit := _LIMIT.search(result.statement):
        ai.request_parameters["top_k"] = int(limit[1])
    given = [value for value in result.parameters if value is not None]
    ai.embeddings = sum(map(_is_vector, given)) or None
    ai.input = [ChatMessage("user", value[:_MOST_TEXT]) for value in given[:_MOST_ROWS] if not _is_vector(value)]
    for row in result.rows[:_MOST_ROWS]:
        words = "\n".join(value for value in row if value is not None and not _is_vector(value))
        ai.output.append(ChatMessage("tool", words[:_MOST_TEXT]))
    evidence = Evidence(
        complete=result.complete, truncated=result.truncated, gap=result.gap, notes=list(result.anomalies)
    )
    exchange = Exchange(http=Http(url=f"{result.system}:///{result.database}"), gen_ai=ai, evidence=evidence)
    if result.error is not None:
        exchange.error = AiError("sql", result.error.message, result.error.code)
    return TimedExchange(exchange, result.start, max(result.start, result.end))


def _is_vector(value: str) -> bool:
    """pgvector's text form: `[0.1,2,-3e-5]`; its binary form is shown by its size."""
    return (value[:1] == "[" and value[-1:] == "]" and value[1:2] in "0123456789-." and "," in value) or (
        value[:1] == "<" and value.endswith(" bytes>")
    )
