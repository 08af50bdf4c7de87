"""`leeward gateway`: the explicit proxy for hosts without BPF. As HTTPS_PROXY, or as the base URL of an SDK."""

from __future__ import annotations

import asyncio
import signal
import sys
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import typer

from leeward.ai.catalogue import load_catalogue
from leeward.cli.looking import DataConfig, looking
from leeward.cli.policies import PolicyFiles, enforced
from leeward.cli.printer import Printer, printer
from leeward.enforce.judge import warm_up
from leeward.gateway.authority import Authority
from leeward.gateway.desk import Desk
from leeward.gateway.routes import parse_upstreams
from leeward.gateway.server import Gateway
from leeward.live import boot_id
from leeward.model.errors import InputError
from leeward.model.finding import Finding
from leeward.pipeline import Record
from leeward.policy.reload import Reloader
from leeward.store.paths import data_key, state_dir

_SWITCH_S = 0.0005  # the server's loop does not wait long for the desk's thread


def _listen(text: str) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    if not colon or not host or not (port.isascii() and port.isdigit() and int(port) < 65536):
        raise InputError(f"--listen {text}: give ADDRESS:PORT, as in 127.0.0.1:8421")
    return host.strip("[]"), int(port)


class _Out:
    """The printer, and how many findings it was given. Nothing more is said when the reader has gone."""

    def __init__(self, out: Printer) -> None:
        self.out, self.findings = out, 0
        self._gone = threading.Event()

    def tell(self, records: Iterable[Record]) -> None:
        records = list(records)
        self.findings += sum(isinstance(record, Finding) and record.count == 1 for record in records)
        if not self._gone.is_set():
            try:
                self.out.records(records)
            except BrokenPipeError:
                self._gone.set()


def _stats(desk: Desk, findings: int) -> dict[str, Any]:
    totals = desk.totals()
    return {
        "type": "stats",
        "exchanges": desk.pipeline.counters["exchanges"],
        "findings": findings,
        "requests": sum(totals.get(f"requests_{action}", 0) for action in ("allow", "redact", "block")),
        "flows": 0,
        "counters": totals,
        "coverage": [],
    }


async def _serve(gateway: Gateway, host: str, port: int) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await gateway.serve(host, port, stop)


def register(app: typer.Typer) -> None:
    @app.command()
    def gateway(
        listen: Annotated[str, typer.Option(help="Address and port.")] = "127.0.0.1:8421",
        policy: PolicyFiles = [],  # noqa: B006 - typer copies it
        upstream: Annotated[
            list[str], typer.Option(help="PROVIDER=URL: where requests for /PROVIDER/ go; may be repeated.")
        ] = [],  # noqa: B006 - typer copies it
        ca_dir: Annotated[
            Path | None,
            typer.Option(help="Where the certificate authority is, or is made; else in the state directory."),
        ] = None,
        state: Annotated[Path | None, typer.Option(help="Where the key for hashes and the audit log are kept.")] = None,
        timeout: Annotated[float, typer.Option(help="Seconds that a server may say nothing.", min=1, max=3600)] = 600,
        json: Annotated[bool, typer.Option("--json", help="Newline-delimited JSON on stdout.")] = False,
        data_config: DataConfig = None,
    ) -> None:
        """The same policies in an explicit proxy, where BPF is not to be had: HTTPS_PROXY, or the base URL
        http://ADDRESS:PORT/PROVIDER/. Needs no root."""
        host, port = _listen(listen)
        state = state or state_dir()
        key = data_key(state)
        catalogue = load_catalogue()
        upstreams = parse_upstreams(upstream, catalogue)
        catalogue = catalogue.with_hosts({found.target.host: name for name, found in upstreams.items()})
        policies = enforced(policy, key, data_config, state)
        reloader = Reloader(policies.paths) if policies is not None else None
        if reloader is None:
            print("level=info event=no_policies what='everything passes; give --policy'", file=sys.stderr)
        out = _Out(printer(json))
        look = looking(key, data_config, state)
        warm_up(look.scanner)
        desk = Desk(
            catalogue,
            reloader,
            look.inspector(),
            policies.audit if policies is not None else None,
            boot_id(),
            out.tell,
        )
        sys.setswitchinterval(_SWITCH_S)
        try:
            asyncio.run(_serve(Gateway(desk, Authority(ca_dir or state), catalogue, upstreams, timeout), host, port))
        finally:
            desk.close()
        out.out.stats(_stats(desk, out.findings))
