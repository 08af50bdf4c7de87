"""`leeward replay`: the pipeline over captures. No clock, no host: the same file gives the same bytes, always."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from leeward import collector
from leeward.ai.catalogue import default_catalogue
from leeward.cli.looking import DataConfig, looking
from leeward.cli.printer import Printer, printer
from leeward.cli.sigma import SigmaPaths, sigma_detectors
from leeward.data.exchange import Inspector
from leeward.detect.detector import Detector
from leeward.model.errors import InputError
from leeward.pipeline import Pipeline, Settings
from leeward.sensor.pcap import Capture
from leeward.wire.keylog import KeyLog

_TICK_NS = 10**9


def _origin(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()[:32]
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}: name a capture file that can be read") from error


def _stats(path: Path, capture: Capture, pipeline: Pipeline, first: int, last: int) -> dict[str, Any]:
    counters = dict(sorted(capture.counters.items())) | pipeline.totals()
    return {
        "type": "stats",
        "file": str(path),
        "exchanges": pipeline.counters["exchanges"],
        "findings": len(pipeline.discovery.findings),
        "incidents": pipeline.incidents.counters["incidents"] - pipeline.incidents.counters["incidents_merged"],
        "system": pipeline.counters["system_events"],
        "flows": len(pipeline.flows),
        "requests": pipeline.counters["requests"],
        "duration_ms": (last - first) / 1e6,
        "counters": counters,
        "coverage": pipeline.ledger.rows(),
    }


def replay_file(
    path: Path,
    keylog: KeyLog | None,
    out: Printer,
    inspector_of: Callable[[str], Inspector],
    *,
    real_pace: bool,
    max_message: int,
    detectors: list[Detector],
) -> None:
    """One capture through a fresh pipeline; the last line is its `stats`."""
    capture = Capture(path)
    origin = _origin(path)
    pipeline = Pipeline(
        Settings(origin, max_message),
        default_catalogue(),
        None,
        keylog=keylog,
        inspector=inspector_of(origin),
        detectors=detectors,
    )
    collector.settle()
    first = last = tick = 0
    began = time.monotonic_ns()
    for event in capture:
        if keylog is None and capture.keylog_secrets:
            keylog = KeyLog.parse(capture.keylog_secrets)
            pipeline.connections.use_keylog(keylog)
        if not first:
            first = tick = event.ts
        last = max(last, event.ts)
        if real_pace:
            time.sleep(max(0, (event.ts - first) - (time.monotonic_ns() - began)) / 1e9)
        out.records(pipeline.feed(event))
        if event.ts - tick >= _TICK_NS:
            tick = event.ts
            out.records(pipeline.tick(tick))
    out.ending()
    out.records(pipeline.finish(last))
    out.stats(_stats(path, capture, pipeline, first, last))


def register(app: typer.Typer) -> None:
    @app.command()
    def replay(
        files: Annotated[list[Path], typer.Argument(help="Captures: pcap or pcapng, gzip too.")],
        keylog: Annotated[
            Path | None, typer.Option(help="TLS key log (SSLKEYLOGFILE) of the captured sessions.")
        ] = None,
        pace: Annotated[str, typer.Option(help="'fast', or 'real' for the capture's own timing.")] = "fast",
        max_message: Annotated[int, typer.Option(help="Bytes kept of a message.")] = 1 << 20,
        json: Annotated[bool, typer.Option("--json", help="Newline-delimited JSON.")] = False,
        sigma: SigmaPaths = [],  # noqa: B006 - typer copies it
        data_config: DataConfig = None,
    ) -> None:
        """Reads captures as if they were live traffic: TLS 1.2 and 1.3 with a key log, plain HTTP without."""
        if pace not in ("fast", "real"):
            raise InputError(f"--pace {pace}: say 'fast' or 'real'")
        keys = KeyLog.read(keylog) if keylog else None
        detectors_of = sigma_detectors(sigma)
        out = printer(json)

        def inspector_of(origin: str) -> Inspector:
            # Hashes are keyed by the capture: the same capture gives the same bytes, on any host.
            return looking(hashlib.sha256(origin.encode()).digest(), data_config).inspector()

        for path in files:
            replay_file(
                path,
                keys,
                out,
                inspector_of,
                real_pace=pace == "real",
                max_message=max_message,
                detectors=detectors_of(),
            )
