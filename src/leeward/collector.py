"""Python's collector of cycles, for a process that keeps much and makes few cycles.

With the interpreter's own thresholds (700 new objects, CPython's documentation of `gc`) it looks through what the detectors keep
so often that it takes a quarter of their time (`python -m bench detect`).
"""

from __future__ import annotations

import gc

_YOUNG, _MIDDLE, _OLD = 50_000, 20, 50


def settle() -> None:
    """What is loaded by now is never looked through again, what comes later far less often. For the whole process."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG, _MIDDLE, _OLD)
