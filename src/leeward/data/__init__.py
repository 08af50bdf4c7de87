"""Sensitive data: what is in a payload that must not leave, by patterns, checksums, context and a model.

Invariants: no I/O but reading the data files; the same text and the same key give the same matches; the work is linear in
the text. A raw value leaves this room only inside the text it came from.
"""
