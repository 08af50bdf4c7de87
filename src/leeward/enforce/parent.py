"""What holder and judge are to the kernel: they do not outlive the process that began them, and go before others."""

from __future__ import annotations

import ctypes
import os
import signal
from contextlib import suppress

_FIRST = -10  # niceness
_PR_SET_PDEATHSIG = 1  # include/uapi/linux/prctl.h


def end_with(parent: int, by: signal.Signals = signal.SIGKILL) -> None:
    """From now on the kernel sends this process a signal when its parent ends; SIGKILL ends it also while it is stopped. To be
    called after a change of user, which takes it back. Ends it at once if the parent is gone already."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, by)
    if os.getppid() != parent:
        os._exit(1)


def go_first() -> None:
    """Others wait for this process: it runs before them, where it may ask for that."""
    with suppress(PermissionError):
        os.nice(_FIRST)
