"""Exchanges per second and core from the same bytes: Leeward's pipeline (plaintext in, exchanges out) and mitmproxy's HTTP layer.

The two do not do the same: Leeward undoes HTTP and reads what the AI said (messages, tools, tokens, key) and never writes;
mitmproxy undoes HTTP, answers hooks and writes what it forwards. Neither opens a socket here. mitmproxy lives in an
environment of its own (requirements/mitmproxy.txt), since it pins other versions of what it shares with Leeward.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from bench import flows
from leeward.ai.catalogue import default_catalogue
from leeward.model.exchange import Exchange
from leeward.model.raw import Plaintext, RawEvent, TlsClosed, TlsOpened
from leeward.pipeline import Pipeline, Settings

ROOT = Path(__file__).parents[1]
PYTHON = ROOT / ".venv-mitmproxy/bin/python"
SECONDS = 5.0  # of measuring, about, for each


def _events(pieces: list[flows.Piece], number: int) -> Iterator[RawEvent]:
    """One connection as the sensor tells it."""
    ts = number * 10**6 + 1
    yield TlsOpened(ts, 7, number, 0)
    seq = {True: 0, False: 0}
    for to_server, data in pieces:
        ts += 100
        yield Plaintext(ts, 7, 7, number, 0, seq[to_server], to_server, 0, len(data), data)
        seq[to_server] += 1
    yield TlsClosed(ts, 7, number, 0)


def _leeward(pieces: list[flows.Piece], connections: int) -> float:
    """Exchanges a second; all of them must come out whole."""
    pipeline = Pipeline(Settings("bench"), default_catalogue(), None)
    events = [event for number in range(connections) for event in _events(pieces, number)]
    found = 0
    begun = time.process_time()
    for event in events:
        for record in pipeline.feed(event):
            found += isinstance(record, Exchange) and record.evidence.complete and bool(record.gen_ai.output)
    taken = time.process_time() - begun
    assert found == connections * flows.PER_CONNECTION, found
    return found / taken


def _mitmproxy(path: Path, shape: str, connections: int) -> float:
    command = [str(PYTHON), str(ROOT / "bench/mitm.py"), str(path), shape, str(connections)]
    done, taken = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    assert int(done) == connections * flows.PER_CONNECTION, done
    return int(done) / float(taken)


def _steady(measure: object, *arguments: object) -> float:
    """The rate over about `SECONDS`, after a short run that says how many connections that takes."""
    assert callable(measure)
    rate = measure(*arguments, 5)
    return float(measure(*arguments, max(5, int(rate * SECONDS / flows.PER_CONNECTION))))


def main(folder: Path) -> None:
    beside = PYTHON.exists()
    print("exchanges/s on one core, the same bytes:" + ("" if beside else " (no mitmproxy here: make setup-mitmproxy)"))
    for shape in flows.SHAPES:
        pieces = flows.connection(shape)
        path = folder / f"{shape}.flow"
        flows.write(path, pieces)
        ours = _steady(_leeward, pieces)
        size = sum(len(data) for _, data in pieces) / flows.PER_CONNECTION
        pieces_each = len(pieces) / flows.PER_CONNECTION
        line = f"  {shape:6} {pieces_each:5.0f} pieces, {size / 1000:5.1f} kB an exchange: Leeward {ours:6.0f}/s"
        if beside:
            theirs = _steady(_mitmproxy, path, shape)
            line += f", mitmproxy {theirs:6.0f}/s, ratio {ours / theirs:.2f}"
        print(line, flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
