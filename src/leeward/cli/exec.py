"""`leeward exec`: watches one command and its children, and passes its exit code through."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from leeward.ai.catalogue import load_catalogue
from leeward.cli.looking import DataConfig, UseModel, looking, name_model
from leeward.cli.policies import PolicyFiles, enforced
from leeward.cli.printer import Printer, printer
from leeward.cli.sigma import SigmaPaths, sigma_detectors
from leeward.live import Live
from leeward.model.errors import InputError
from leeward.model.finding import SEVERITIES, Finding
from leeward.naming import NameWorker
from leeward.pipeline import Record
from leeward.sensor.host import need_root
from leeward.sensor.kernel import Options
from leeward.sensor.libraries import command_libraries
from leeward.store.paths import data_key, state_dir


def _find(command: str) -> Path:
    found = shutil.which(command)
    if not found:
        raise InputError(f"{command}: no such command: give a path, or a name that is on PATH")
    return Path(found)


class _Child:
    """The command, held before its execve until `go`."""

    def __init__(self, executable: Path, argv: list[str], *, stdout_to_stderr: bool) -> None:
        self._gate, gate_out = os.pipe()
        gate_in = self._gate
        self._go = gate_out
        sys.stdout.flush()
        self.pid = os.fork()
        if self.pid == 0:
            try:
                os.close(gate_out)
                go = os.read(gate_in, 1)
                if stdout_to_stderr:
                    os.dup2(2, 1)
                for number in (signal.SIGINT, signal.SIGTERM, signal.SIGPIPE):
                    signal.signal(number, signal.SIG_DFL)
                if go:
                    os.execv(executable, argv)
            except OSError as error:
                print(f"leeward: {executable}: {error.strerror}", file=sys.stderr)
            finally:
                os._exit(127)
        os.close(gate_in)

    def go(self) -> None:
        os.write(self._go, b"g")
        os.close(self._go)

    def status(self) -> int | None:
        """The exit code once it has ended (128 + n for signal n), None before."""
        pid, status = os.waitpid(self.pid, os.WNOHANG)
        if not pid:
            return None
        code = os.waitstatus_to_exitcode(status)
        return code if code >= 0 else 128 - code


class _Worst:
    """Passes records on and keeps how bad the worst finding was: its place in SEVERITIES, -1 for none."""

    def __init__(self) -> None:
        self.severity = -1
        self.findings: set[str] = set()

    def seen(self, records: Iterable[Record]) -> Iterator[Record]:
        for record in records:
            if isinstance(record, Finding):
                self.severity = max(self.severity, SEVERITIES.index(record.severity))
                self.findings.add(record.id)
            yield record


def _watch(live: Live, child: _Child, tree: set[int], out: Printer, worst: _Worst) -> int:
    """Runs until the command has ended and what it caused has been read."""
    signal.signal(signal.SIGINT, lambda *_: None)  # the terminal sends it to the command as well
    signal.signal(signal.SIGTERM, lambda *_: os.kill(child.pid, signal.SIGTERM))
    tree.add(child.pid)
    live.sensor.track(child.pid)
    if live.guard is not None:
        live.guard.follow(child.pid)
    child.go()
    code = None
    while code is None:
        out.records(worst.seen(live.step(0.02)))
        code = child.status()
    out.ending()
    out.records(worst.seen(live.finish()))
    return code


def _stats(live: Live, argv: list[str], code: int, fail_on_code: int, findings: int) -> dict[str, Any]:
    pipeline = live.pipeline
    return {
        "type": "stats",
        "command": argv,
        "exit_code": code,
        "fail_on_code": fail_on_code,
        "exchanges": pipeline.counters["exchanges"],
        "findings": findings,
        "incidents": pipeline.incidents.counters["incidents"] - pipeline.incidents.counters["incidents_merged"],
        "system": pipeline.counters["system_events"],
        "flows": len(pipeline.flows),
        "requests": pipeline.counters["requests"],
        "duration_ms": (time.time_ns() - live.started) / 1e6,
        "lost": live.losses(),
        "counters": live.counters(),
        "coverage": pipeline.ledger.rows(),
    }


def register(app: typer.Typer) -> None:
    @app.command("exec", context_settings={"allow_interspersed_args": False})
    def exec_(
        command: Annotated[
            list[str], typer.Argument(help="The command and its arguments, after --.", metavar="-- CMD ...")
        ],
        json: Annotated[
            bool, typer.Option("--json", help="Newline-delimited JSON on stdout; the command's stdout goes to stderr.")
        ] = False,
        output: Annotated[Path | None, typer.Option(help="Write to this file instead of stdout.")] = None,
        max_message: Annotated[int, typer.Option(help="Bytes kept of a message.")] = 1 << 20,
        fail_on: Annotated[
            str, typer.Option(help="Exit with 1 after a finding as bad as this: info, low, medium, high, critical.")
        ] = "",
        policy: PolicyFiles = [],  # noqa: B006 - typer copies it
        sigma: SigmaPaths = [],  # noqa: B006 - typer copies it
        model: UseModel = None,
        data_config: DataConfig = None,
    ) -> None:
        """Watches one command and its children; ends with a summary. Its exit code passes through."""
        if fail_on and fail_on not in SEVERITIES:
            raise InputError(f"--fail-on {fail_on}: say {', '.join(SEVERITIES)}")
        executable = _find(command[0])
        need_root()
        detectors = sigma_detectors(sigma)()
        look = looking(data_key(state_dir()), data_config)
        policies = enforced(policy, data_key(state_dir()), data_config, state_dir()) if policy else None
        loaded = name_model(model)
        tree: set[int] = set()
        names = NameWorker(loaded) if loaded is not None else None
        worst = _Worst()
        look.ready()
        child = _Child(executable, command, stdout_to_stderr=json and output is None)
        try:
            live = Live(
                Options(max_message=max_message, only_tracked=True),
                load_catalogue(),
                tree=tree,
                libraries=command_libraries(executable),
                inspector=look.inspector(),
                names=names,
                policies=policies,
                detectors=detectors,
            )
        except BaseException:
            os.kill(child.pid, signal.SIGKILL)
            os.waitpid(child.pid, 0)
            raise
        try:
            out = printer(json, output)
            code = _watch(live, child, tree, out, worst)
            failed = int(bool(fail_on) and worst.severity >= SEVERITIES.index(fail_on))
            out.stats(_stats(live, command, code, failed, len(worst.findings)))
        finally:
            live.close()
            if names is not None:
                names.close()
        raise typer.Exit(code or failed)
