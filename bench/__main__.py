"""`python -m bench [decoding|peers|overhead|hold|detect]`: the first three without an argument."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from bench import decoding, detect, hold, host, overhead, peers

if __name__ == "__main__":
    wanted = sys.argv[1:] or ["decoding", "peers", "overhead"]
    if wanted == ["hold"]:
        host.need("nginx", "openssl", "taskset")
    elif wanted == ["detect"]:
        host.need("taskset")
    elif wanted != ["peers"]:
        host.need("nginx", "wrk", "bpftrace", "openssl", "taskset")
    with tempfile.TemporaryDirectory(prefix="leeward-bench-") as name:
        for module in (decoding, peers, overhead, hold, detect):
            if module.__name__.split(".")[-1] in wanted:
                module.main(Path(name))
