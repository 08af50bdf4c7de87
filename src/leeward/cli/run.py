"""`leeward run`: everything on this host in one process: sensor, pipeline, store, API and page."""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
import time
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer
import uvicorn

from leeward import __version__
from leeward.ai.catalogue import load_catalogue
from leeward.api.app import create_app
from leeward.api.hub import LiveHub
from leeward.api.screens import Paper
from leeward.api.tokens import TokenStore
from leeward.cli.keeping import BaselineKeeper
from leeward.cli.listening import listening_on
from leeward.cli.looking import DataConfig, Looking, UseModel, looking, name_model
from leeward.cli.policies import AUDIT, FOLDER, FirstPolicies, PolicyFiles, enforced
from leeward.cli.sigma import SigmaPaths, sigma_detectors
from leeward.detect.baseline.detector import BaselineDetector
from leeward.detect.detector import Detector
from leeward.guard import Enforced
from leeward.identity.state import RuntimePaths
from leeward.live import Live
from leeward.model.errors import HostError, InputError
from leeward.model.finding import Finding
from leeward.model.incident import Incident
from leeward.naming import NameWorker
from leeward.sensor.host import need_root
from leeward.sensor.kernel import Options
from leeward.store.event_store import EventStore
from leeward.store.paths import CLI_TOKEN_NAME, DATABASE_NAME, TOKENS_NAME, data_key, state_dir
from leeward.store.query import LIMIT_MAX, FindingQuery, IncidentQuery
from leeward.store.retention import Retention

_MIB = 1 << 20
_MODEL_SHARE = 0.25  # of one core


class _Api:
    """The HTTP API in a thread of its own."""

    def __init__(self, app: Any, listener: socket.socket) -> None:
        config = uvicorn.Config(app, log_level="warning", access_log=False, lifespan="on", timeout_graceful_shutdown=2)
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(
            target=self._server.run, kwargs={"sockets": [listener]}, name="api", daemon=True
        )
        self._thread.start()

    def stop(self) -> None:
        self._server.should_exit = True
        self._thread.join(5)


def _status(live: Live, store: EventStore) -> dict[str, Any]:
    """What /api/v1/stats and the page show besides the store's own figures."""
    probed = sorted({f"{p.target.version} {p.target.name} ({p.target.placement})" for p in live.sensor.probed.values()})
    return {
        "version": __version__,
        "started": live.started,
        "uptime_s": (time.time_ns() - live.started) // 10**9,
        "libraries": probed,
        "lost": live.losses(),
        "counters": live.counters() | {f"store_{name}": count for name, count in sorted(store.counters.items())},
    }


def _welcome(host: str, port: int, state: Path, token: str | None) -> None:
    shown = f"[{host}]" if ":" in host else host
    print(
        f"Leeward {__version__} watches this host. Page and API: http://{shown}:{port}  State: {state}", file=sys.stderr
    )
    if token:
        print(f"Token for the page and the API (shown once, role admin): {token}", file=sys.stderr)
    print("In another terminal: leeward watch, leeward exchanges, leeward coverage. Ctrl-C stops.", file=sys.stderr)


def _runtimes(extra: list[str]) -> RuntimePaths:
    """The usual places, and containerd's from `STATE:ROOT` options before them."""
    pairs = []
    for text in extra:
        state, colon, root = text.partition(":")
        if not colon or not state.startswith("/") or not root.startswith("/"):
            raise InputError(f"--containerd {text}: give STATE:ROOT, as in containerd's configuration")
        pairs.append((Path(state), Path(root)))
    usual = RuntimePaths()
    return msgspec.structs.replace(usual, containerd=(*pairs, *usual.containerd))


def watch_host(
    host: str,
    port: int,
    state: Path,
    options: Options,
    retention: Retention,
    runtimes: RuntimePaths,
    look: Looking,
    names: NameWorker | None,
    policies: Enforced | None,
    first: FirstPolicies,
    detectors: list[Detector],
    stop: threading.Event,
) -> None:
    """Runs until `stop` is set."""
    listener = listening_on(host, port)
    look.ready()
    store = EventStore(state / DATABASE_NAME, retention=retention)
    try:
        tokens = TokenStore(state / TOKENS_NAME)
        token = tokens.ensure()
        tokens.ensure_local_cli(state / CLI_TOKEN_NAME)
        live = Live(
            options,
            load_catalogue(),
            runtimes=runtimes,
            inspector=look.inspector(),
            names=names,
            policies=policies,
            detectors=detectors,
        )
        try:
            known = store.findings(FindingQuery(limit=LIMIT_MAX))
            live.pipeline.discovery.findings.restore(msgspec.convert(known, list[Finding]))
            _restore_incidents(live, store)
            keeper = BaselineKeeper(live.pipeline.detection.part(BaselineDetector) or BaselineDetector(), state)
            keeper.restore()
            hub = LiveHub()
            paper = Paper(policies.paths if policies is not None else (), state / FOLDER, state / AUDIT)
            app = create_app(
                store, hub, tokens, lambda: _status(live, store), baselines=keeper, hosts=[host], paper=paper
            )
            api = _Api(app, listener)
            _welcome(host, port, state, token)
            _loop(live, store, hub, keeper, first, stop)
            keeper.close()
            hub.close()
            api.stop()
        finally:
            live.close()
    finally:
        store.close()
        listener.close()


def _restore_incidents(live: Live, store: EventStore) -> None:
    """Incidents that were open when Leeward ended go on, with their findings as they were kept."""
    known = store.incidents(IncidentQuery(limit=LIMIT_MAX, status="open"))

    def finding(id_: str) -> Finding | None:
        text = store.finding_json(id_)
        return msgspec.json.decode(text, type=Finding) if text is not None else None

    live.pipeline.incidents.restore(msgspec.convert(known, list[Incident]), finding)


def _loop(
    live: Live, store: EventStore, hub: LiveHub, keeper: BaselineKeeper, first: FirstPolicies, stop: threading.Event
) -> None:
    told: dict[str, int] = {}
    while not stop.is_set():
        for record in live.step(0.05):
            store.add(record)
            hub.publish(record)
        keeper.step()
        if live.guard is None:
            first.step(live.enforce)
        told = _tell_losses(live.losses(), told)
        time.sleep(0.005)  # let events gather: a round has a price
    for record in live.finish():
        store.add(record)


def _tell_losses(losses: dict[str, int], told: dict[str, int]) -> dict[str, int]:
    """One line on stderr whenever something was lost; the counters are in /api/v1/stats and `leeward coverage`."""
    fresh = {name: count for name, count in losses.items() if count > told.get(name, 0)}
    if fresh:
        text = " ".join(f"{name}={count}" for name, count in fresh.items())
        print(f"level=warning event=lost {text} what='more came than could be read'", file=sys.stderr)
    return told | fresh


def register(app: typer.Typer) -> None:
    @app.command()
    def run(
        host: Annotated[str, typer.Option(help="Address of the API and the page.")] = "127.0.0.1",
        port: Annotated[int, typer.Option(help="Its port.", min=1, max=65535)] = 8420,
        state: Annotated[Path | None, typer.Option(help="Where the store and the tokens are kept.")] = None,
        keep_days: Annotated[int, typer.Option(help="Rows older than this are deleted.", min=1)] = 30,
        keep_mib: Annotated[
            int, typer.Option(help="Beyond this size on disk the oldest rows are deleted.", min=64)
        ] = 2048,
        max_message: Annotated[int, typer.Option(help="Bytes kept of a message.", min=1024, max=1 << 22)] = _MIB,
        ring_mib: Annotated[
            int, typer.Option(help="Kernel buffer for payload, in MiB (a power of two).", min=1, max=512)
        ] = 32,
        containerd: Annotated[
            list[str], typer.Option(help="STATE:ROOT of a containerd that is not in a usual place; may be repeated.")
        ] = [],  # noqa: B006 - typer copies it
        policy: PolicyFiles = [],  # noqa: B006 - typer copies it
        sigma: SigmaPaths = [],  # noqa: B006 - typer copies it
        model: UseModel = None,
        data_config: DataConfig = None,
    ) -> None:
        """Watches this host: sensor, store, API and page. Needs root."""
        need_root()
        if ring_mib & (ring_mib - 1):
            raise HostError(f"--ring-mib {ring_mib}: give a power of two")
        stop = threading.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: stop.set())
        os.setpriority(os.PRIO_PROCESS, 0, 5)  # the workloads come first; the rings bridge the wait
        options = Options(max_message=max_message, payload_ring=ring_mib * _MIB)
        retention = Retention(days=keep_days, size_bytes=keep_mib * _MIB)
        state = state or state_dir()
        detectors = sigma_detectors(sigma)()
        key = data_key(state)
        look = looking(key, data_config, state)
        policies = enforced(policy, key, data_config, state)
        first = FirstPolicies(key, data_config, state)
        loaded = name_model(model)
        names = NameWorker(loaded, _MODEL_SHARE) if loaded is not None else None
        try:
            watch_host(
                host,
                port,
                state,
                options,
                retention,
                _runtimes(containerd),
                look,
                names,
                policies,
                first,
                detectors,
                stop,
            )
        finally:
            if names is not None:
                names.close()
