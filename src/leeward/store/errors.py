"""What can go wrong with the store in a way that a user can mend."""

from __future__ import annotations

from leeward.model.errors import LeewardError


class StoreError(LeewardError):
    """The database cannot be opened or used. The line names the file and says what to do."""


class QueryError(LeewardError):
    """A question that cannot be answered as it was put (a bad cursor, too much work). The line says which part."""
