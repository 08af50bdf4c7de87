"""For whom a policy is."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec


class Scope(msgspec.Struct, frozen=True):
    """Compiled patterns; () for all. labels: (name, pattern of its value)."""

    workloads: tuple[re.Pattern[str], ...] = ()
    labels: tuple[tuple[str, re.Pattern[str]], ...] = ()
    namespaces: tuple[re.Pattern[str], ...] = ()

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> Scope:
        """record: the scope as the file has it."""
        return cls(
            _patterns(record.get("workloads", ())),
            tuple((name, _patterns((value,))[0]) for name, value in record.get("labels", {}).items()),
            _patterns(record.get("namespaces", ())),
        )

    def covers(self, id_: str, name: str, namespace: str, labels: Mapping[str, str]) -> bool:
        """Is the policy for this workload?"""
        return (
            (not self.workloads or any(p.fullmatch(id_) or p.fullmatch(name) for p in self.workloads))
            and (not self.namespaces or any(p.fullmatch(namespace) for p in self.namespaces))
            and all(key in labels and p.fullmatch(labels[key]) is not None for key, p in self.labels)
        )


def _patterns(globs: Iterable[str]) -> tuple[re.Pattern[str], ...]:
    return tuple(re.compile(fnmatch.translate(glob)) for glob in globs)
