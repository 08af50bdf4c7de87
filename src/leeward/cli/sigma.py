"""Sigma rules on the command line: the option, and reading them where pySigma is installed."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated

import typer

from leeward.cli.output import visible
from leeward.detect.detector import Detector
from leeward.detect.sigma.ruleset import RuleSet
from leeward.model.errors import HostError, InputError

SigmaPaths = Annotated[
    list[Path],
    typer.Option("--sigma", help="Sigma rules as further detectors: a file or a folder; may be repeated."),
]


def read_sigma(paths: Sequence[Path]) -> RuleSet:
    """Raises HostError if pySigma is not there, InputError if a path is not."""
    try:
        from leeward.detect.sigma.load import load_sigma
    except ImportError as error:
        if error.name is not None and error.name.startswith("leeward"):
            raise
        raise HostError(f"Sigma rules need pySigma ({error}): pip install 'leeward[sigma]'") from error
    return load_sigma(paths)


def sigma_detectors(paths: Sequence[Path]) -> Callable[[], list[Detector]]:
    """Makes new detectors of these rules, none if there are no paths. Rules that cannot run are told on stderr, a line each."""
    if not paths:
        return list
    ruleset = read_sigma(paths)
    for complaint in ruleset.complaints:
        print(f"level=warning event=sigma_rule_not_run what='{visible(str(complaint))}'", file=sys.stderr)
    if not ruleset.rules:
        raise InputError(f"--sigma {paths[0]}: none of its rules can be run: leeward rules check says why")
    from leeward.detect.sigma.detector import Sigma

    return lambda: [Sigma(ruleset)]
