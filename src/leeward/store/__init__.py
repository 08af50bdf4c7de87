"""The store: exchanges, flows and coverage in one embedded DuckDB file, written by one thread, read by many.

Invariants: one process opens the file (a lock beside it says which). Every record handed to `add` ends as stored or
as dropped under a name, and is queued until then: added == stored + dropped + queued. Nothing here deletes a file
that it did not create a moment ago, and nothing reaches for the network.
"""
