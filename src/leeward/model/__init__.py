"""The vocabulary: the structs that every room speaks, and nothing else.

Invariants: no I/O, no clock, no knowledge of any room. Times are integers in nanoseconds since the Unix
epoch unless a name says otherwise; byte counts are integers; absent text is "" and absent numbers are None.
"""
