"""Sigma rules as further detectors, over the same activities as ours. None runs unless the user names a folder of them.

    files ─► load (pySigma parses) ─► match (a closure a rule) ─┐
    activity ─► events (Sigma's field names) ─► prefilter ──────┴► detector ─► correlate ─► Finding

Nothing but load, match, literals and correlate needs pySigma, which is an extra: `pip install leeward[sigma]`.
"""
