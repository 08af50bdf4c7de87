"""Coverage-guided fuzzing with atheris: `python -m fuzz list`, `run TARGET [--seconds N]`, `all [--seconds N]`.

What a run finds worth keeping goes to fuzz/corpus/TARGET, which `make test` replays. A crash, a hang or a growth ends the
run with a file fuzz/found/… that shows it again.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

HERE = Path(__file__).parent
CORPUS, FOUND = HERE / "corpus", HERE / "found"
SECONDS_EACH = 10  # one input may take so long
MEMORY_MB = 1024
LONGEST = 8192  # bytes of an input
MOST_KEPT = 120  # inputs of a target


def _fuzz(name: str, seconds: int) -> None:
    """Fuzzes in this process; does not return."""
    import atheris

    with atheris.instrument_imports(include=["leeward"]):
        from fuzz.targets import TARGETS
    target = TARGETS[name]
    folder = CORPUS / name
    folder.mkdir(parents=True, exist_ok=True)
    for number, data in enumerate(target.seeds):
        (folder / f"seed-{number}").write_bytes(data)
    FOUND.mkdir(exist_ok=True)
    options = {
        "max_total_time": seconds, "timeout": SECONDS_EACH, "rss_limit_mb": MEMORY_MB, "max_len": LONGEST,
        "artifact_prefix": f"{FOUND}/{name}-", "print_final_stats": 1, "verbosity": 0,
    }  # fmt: skip
    flags = [f"-{key}={value}" for key, value in options.items()]
    atheris.Setup([sys.argv[0], *flags, str(folder)], lambda data: target.run(data) and None)
    atheris.Fuzz()


def _prune(name: str) -> None:
    """Keeps the smallest inputs of a corpus: small ones are read and replayed most cheaply."""
    kept = sorted((CORPUS / name).iterdir(), key=lambda path: path.stat().st_size)
    for path in kept[MOST_KEPT:]:
        path.unlink()


def _run(name: str, seconds: int) -> tuple[str, int, str]:
    command = [sys.executable, "-m", "fuzz", "one", name, "--seconds", str(seconds)]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"PYTHONHASHSEED": "0"})
    return name, done.returncode, done.stderr


def _told(text: str) -> list[str]:
    return [line for line in text.splitlines() if not line.startswith(("INFO:", "WARNING:", "stat::"))]


def _stat(text: str, name: str) -> str:
    return next((line.split(":")[-1].strip() for line in text.splitlines() if f"stat::{name}" in line), "?")


def main() -> int:
    parser = argparse.ArgumentParser(prog="fuzz", description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("verb", choices=["list", "run", "all", "one"])
    parser.add_argument("target", nargs="?", default="")
    parser.add_argument("--seconds", type=int, default=60, help="for each target")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args()
    if options.verb == "one":
        _fuzz(options.target, options.seconds)
    from fuzz.targets import TARGETS

    if options.verb == "list":
        print("\n".join(TARGETS))
        return 0
    names = list(TARGETS) if options.verb == "all" else [options.target]
    if unknown := [n for n in names if n not in TARGETS]:
        parser.error(f"no target {unknown[0]}; there are: {' '.join(TARGETS)}")
    failed = 0
    with ThreadPoolExecutor(options.jobs) as pool:
        for name, code, text in pool.map(lambda n: _run(n, options.seconds), names):
            failed += code != 0
            units, memory = _stat(text, "number_of_executed_units"), _stat(text, "peak_rss_mb")
            print(
                f"{name}: {units} inputs in {options.seconds} s, peak {memory} MB, {'FAILED' if code else 'ok'}",
                flush=True,
            )
            if code:
                print("\n".join(_told(text)[-60:]), file=sys.stderr)
            else:
                _prune(name)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
