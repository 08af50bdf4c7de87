"""The HTTP API, its live stream and the page, on this host.

Invariants: every path needs a token or a session unless `guard.PUBLIC` names it; a Host header that was not configured
is refused; no answer may be framed, cached or read by another origin; text from traffic is escaped where it is shown.
"""
