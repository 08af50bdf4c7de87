"""Makes the corpora and runs the tools over them, each in the environment that it needs.

What was done before is read from the cache. A cached answer belongs to the text, to the tool's code here and to the peers'
pins. Leeward is always run anew.
"""

from __future__ import annotations

import ast
import fcntl
import hashlib
import json
import os
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from bench.data.records import Match, Text, read

ROOT = Path(__file__).parents[2]
OURS = ROOT / ".venv/bin/python"
THEIRS = ROOT / ".venv-presidio/bin/python"
CACHE = ROOT / ".venv-presidio/bench"
PEERS = ("presidio", "detect-secrets")
SPARE = 5
START = 180.0  # seconds that a worker may take to begin
CHUNK = 1500  # texts after which what a peer found is kept
_PINS = ROOT / "requirements/presidio.txt"


def _sources(*patterns: str) -> bytes:
    here = Path(__file__).parent
    return b"".join(path.read_bytes() for pattern in patterns for path in sorted(here.glob(pattern)))


def _code(path: Path) -> str:
    """What a module does: its source without comments, layout and its docstring."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return ast.unparse(tree.body[1:])  # type: ignore[arg-type]


def corpora(share: float, seed: int) -> list[Text]:
    """The texts of that share and seed; made when neither they nor the code that makes them are in the cache."""
    makers = _sources(
        "*.txt",
        "templates/*.txt",
        "values/*.*",
        "values/lists/*",
        "corpora.py",
        "evaluator.py",
        "items.py",
        "mined.py",
        "pieces.py",
        "grammar.py",
    )
    name = hashlib.sha256(makers + _PINS.read_bytes() + f"{share} {seed}".encode()).hexdigest()[:16]
    path = CACHE / f"corpora-{name}.jsonl"
    if not path.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        command = [
            THEIRS,
            "-m",
            "bench.data.corpora",
            path,
            "--share",
            str(share),
            "--seed",
            str(seed),
            "--cache",
            CACHE,
        ]
        # Faker draws from sets, whose order hangs on the seed of strings' hashes.
        subprocess.run([str(part) for part in command], check=True, cwd=ROOT, env=os.environ | {"PYTHONHASHSEED": "0"})
    return list(read(path))


def matches(tool: str, texts: Sequence[Text]) -> dict[str, list[Match]]:
    """What the tool found, by the text's id. Raises RuntimeError if it fails.

    The peers are not asked about source code, which they do not know, and about each `SPARE`th benign text only, since presidio
    takes a second for 20 kB.
    """
    if tool in PEERS:
        benign = [text for text in texts if text.corpus in ("benign", "mined")]
        texts = [text for text in texts if text.corpus not in ("benign", "mined", "code")] + benign[::SPARE]
    by_text = {_digest(text.text): text.text for text in texts}
    if tool not in PEERS:
        known = _found(tool, by_text)
    else:
        code = _code(Path(__file__).parent / f"tools/{tool.replace('-', '_')}_tool.py")
        cache = CACHE / f"{tool}-{_digest(code + _PINS.read_text())}.jsonl"
        known = _read(cache) if cache.exists() else {}
        missing = [digest for digest in by_text if digest not in known]
        for at in range(0, len(missing), CHUNK):
            found = _found(tool, {digest: by_text[digest] for digest in missing[at : at + CHUNK]})
            with cache.open("a", encoding="utf-8") as out:
                fcntl.flock(out, fcntl.LOCK_EX)  # another run may be at the same
                out.writelines(json.dumps({"id": digest, "matches": some}) + "\n" for digest, some in found.items())
            known |= found
    return {text.id: known[_digest(text.text)] for text in texts}


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _found(tool: str, texts: Mapping[str, str]) -> dict[str, list[Match]]:
    with tempfile.TemporaryDirectory(prefix="leeward-bench-") as folder:
        target = Path(folder) / "matches"
        work(tool, "".join(json.dumps({"id": name, "text": text}) + "\n" for name, text in texts.items()), target)
        return _read(target)


def _read(path: Path) -> dict[str, list[Match]]:
    with path.open(encoding="utf-8") as lines:
        return {record["id"]: [Match(*match) for match in record["matches"]] for record in map(json.loads, lines)}


def work(tool: str, lines: str, target: Path) -> None:
    """One worker over these lines. Raises RuntimeError with the end of what it complained of if it fails."""
    with _worker(tool, lines, target) as process:
        _, complaint = process.communicate()
    if process.returncode:
        raise RuntimeError(f"{tool} failed:\n{complaint[-2000:]}")


def _worker(tool: str, lines: str, target: Path, *flags: str) -> subprocess.Popen[str]:
    source = target.with_suffix(".in")
    source.write_text(lines, encoding="utf-8")
    python = OURS if tool.startswith("leeward") else THEIRS
    command = [str(python), "-m", "bench.data.tools.worker", tool, str(source), str(target), *flags]
    return subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True)


def seconds(tool: str, texts: Sequence[str], limit: float) -> list[float | None]:
    """Processor time of a scan of each; None where none came within `limit` seconds. Raises RuntimeError if the tool fails."""
    taken: list[float | None] = []
    while len(taken) < len(texts):
        taken += _timed(tool, texts[len(taken) :], limit)
        if len(taken) < len(texts):
            taken.append(None)
    return taken


def _timed(tool: str, texts: Sequence[str], limit: float) -> list[float]:
    """The times of the first of them, until one takes too long."""
    with tempfile.TemporaryDirectory(prefix="leeward-bench-") as folder:
        target = Path(folder) / "seconds"
        done, since = 0, time.monotonic() + START  # the first answer may take as long as the start
        lines = "".join(json.dumps({"id": "", "text": text}) + "\n" for text in texts)
        with _worker(tool, lines, target, "--time") as process:
            while process.poll() is None:
                time.sleep(0.2)
                now = target.read_bytes().count(b"\n") if target.exists() else 0
                if now != done:
                    done, since = now, time.monotonic()
                if time.monotonic() - since > limit:
                    process.kill()
            complaint = process.stderr.read() if process.stderr else ""
        if process.returncode > 0:
            raise RuntimeError(f"{tool} failed:\n{complaint[-2000:]}")
        return [float(line) for line in target.read_text().splitlines()] if target.exists() else []


def model_is_there() -> bool:
    """Whether Leeward's environment has what its name model needs."""
    asked = "from leeward.data.model import NameModel; raise SystemExit(NameModel.load() is None)"
    return subprocess.run([str(OURS), "-c", asked], cwd=ROOT, stderr=subprocess.DEVNULL).returncode == 0
