"""`leeward demo`: `leeward run` beside the proving ground's AI services, clients and attacks, so that there is something to see.

All of it is real: processes, sockets and requests, in network namespaces of their own, with harmless payloads; everything ends
with the command.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer

from leeward.model.errors import HostError
from leeward.sensor.host import need_root


def _range() -> Path:
    """The proving ground of a source checkout (it is no part of the wheel)."""
    root = Path(__file__).parents[3]
    if not (root / "range/proving").is_dir() or not (root / ".venv-range/bin/python").exists():
        raise HostError("the demo needs a source checkout and its clients: run `make demo` there")
    return root / "range"


ATTACKS = (
    *("langflow-code", "base-url-hijack", "rshell-bash", "pth-theft", "exfil-paste", "credential-sweep", "beacon-tcp"),
    *("ollama-exposed", "npm-writes-agent-config", "scan-hosts", "key-stolen", "metadata-curl", "llmjacking-keycheck"),
    *("ray-jobs", "fileless-memfd"),
)
"""Scenarios of the range, three in each round."""


def register(app: typer.Typer) -> None:
    @app.command()
    def demo(
        port: Annotated[int, typer.Option(help="Port of the API and the page.")] = 8420,
        rounds: Annotated[int, typer.Option(help="How often all clients call; 0: until Ctrl-C.", min=0)] = 0,
    ) -> None:
        """Watches this host beside sample AI services, clients and harmless attacks, in network namespaces of their own."""
        need_root()
        proving = [sys.executable, "-m", "proving"]
        environment = os.environ | {"PYTHONPATH": str(_range())}
        watching = subprocess.Popen([sys.executable, "-m", "leeward", "run", "--port", str(port)])
        calling, done = None, 0
        try:
            while watching.poll() is None and (not rounds or done < rounds):
                attacks = [ATTACKS[(3 * done + number) % len(ATTACKS)] for number in range(3)]
                for words in (["run", "all", "--n", "3"], ["play", *attacks]):
                    calling = subprocess.Popen([*proving, *words], env=environment, stdout=subprocess.DEVNULL)
                    if calling.wait():
                        raise HostError(f"the proving ground failed ({words[0]}): see above, or run `make test`")
                done += 1
        except KeyboardInterrupt:
            rounds = done  # the way to end it
        finally:
            for process in (calling, watching):
                if process is not None:
                    process.send_signal(signal.SIGINT)  # both clean up after themselves then
                    process.wait(30)
        raise typer.Exit(watching.returncode if not rounds else 0)
