"""`python -m bench [overhead|decoding]`: all of them without an argument."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from bench import decoding, host, overhead

if __name__ == "__main__":
    host.need("nginx", "wrk", "bpftrace", "openssl", "taskset")
    wanted = sys.argv[1:] or ["decoding", "overhead"]
    with tempfile.TemporaryDirectory(prefix="leeward-bench-") as name:
        for module in (decoding, overhead):
            if module.__name__.split(".")[-1] in wanted:
                module.main(Path(name))
