"""A process that may not outlive the one that began it."""

from __future__ import annotations

import ctypes
import os
import signal

_PR_SET_PDEATHSIG = 1  # include/uapi/linux/prctl.h


def end_with(parent: int) -> None:
    """From now on the kernel kills this process when its parent ends, also while it is stopped. To be called after a change
    of user, which takes it back. Ends it at once if the parent is gone already."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)
