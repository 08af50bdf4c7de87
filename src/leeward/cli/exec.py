"""`leeward exec`: watches one command and its children, and passes its exit code through."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from leeward.ai.catalogue import load_catalogue
from leeward.cli.printer import Printer, printer
from leeward.live import Live
from leeward.model.errors import InputError
from leeward.sensor.host import need_root
from leeward.sensor.kernel import Options
from leeward.sensor.libraries import command_libraries


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


def _watch(live: Live, child: _Child, tree: set[int], out: Printer) -> int:
    """Runs until the command has ended and what it caused has been read."""
    signal.signal(signal.SIGINT, lambda *_: None)  # the terminal sends it to the command as well
    signal.signal(signal.SIGTERM, lambda *_: os.kill(child.pid, signal.SIGTERM))
    tree.add(child.pid)
    live.sensor.track(child.pid)
    child.go()
    code = None
    while code is None:
        out.records(live.step(0.02))
        code = child.status()
    out.ending()
    out.records(live.finish())
    return code


def _stats(live: Live, argv: list[str], code: int) -> dict[str, Any]:
    pipeline = live.pipeline
    return {
        "type": "stats",
        "command": argv,
        "exit_code": code,
        "fail_on_code": 0,
        "exchanges": pipeline.counters["exchanges"],
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
    ) -> None:
        """Watches one command and its children; ends with a summary. Its exit code passes through."""
        executable = _find(command[0])
        need_root()
        tree: set[int] = set()
        child = _Child(executable, command, stdout_to_stderr=json and output is None)
        try:
            live = Live(
                Options(max_message=max_message, only_tracked=True),
                load_catalogue(),
                tree=tree,
                libraries=command_libraries(executable),
            )
        except BaseException:
            os.kill(child.pid, signal.SIGKILL)
            os.waitpid(child.pid, 0)
            raise
        try:
            out = printer(json, output)
            code = _watch(live, child, tree, out)
            out.stats(_stats(live, command, code))
        finally:
            live.close()
        raise typer.Exit(code)
