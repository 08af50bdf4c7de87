"""What the page's screens ask for: the map, the inventory, numbers over time, policies, the audit log."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Body, Query, Request
from fastapi.responses import JSONResponse, Response

from leeward.api.answers import Time, principal, reads_content
from leeward.api.times import parse_time
from leeward.model.errors import InputError
from leeward.policy.audit import Audit, AuditError, verify
from leeward.policy.document import parse_policy
from leeward.policy.policies import Policies, policy_files
from leeward.policy.simulate import simulate, wanted_names
from leeward.policy.trial import try_policy
from leeward.store.event_store import EventStore

_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}\.ya?ml")
_TEXT = 256 << 10
"""Bytes of a policy that is sent here, and of the end of the audit log that is read."""


class Paper(msgspec.Struct):
    """Where the policies and the audit log are. paths: of policies, as they were given. folder: into which the page may write."""

    paths: tuple[Path, ...]
    folder: Path
    audit: Path


def screens_router(store: EventStore, clock: Callable[[], datetime], paper: Paper | None) -> APIRouter:
    router = APIRouter(prefix="/api/v1")

    def answer(body: Any, status: int = 200) -> Response:
        return Response(msgspec.json.encode(body), status, media_type="application/json")

    @router.get("/me", tags=["screens"])
    def me(request: Request) -> Response:
        """Who asks, and what they may do."""
        who = principal(request)
        return answer({"name": who.name, "role": who.role})

    @router.get("/map", tags=["screens"])
    def drawn(since: Time = "", until: Time = "") -> Response:
        """Who talked to whom: conversations (layer 7), connections (layers 3 and 4), sensitive data and findings on them."""
        now = clock()
        return answer(store.drawn(parse_time(since, now, "since"), parse_time(until, now, "until")))

    @router.get("/inventory", tags=["screens"])
    def inventory(since: Time = "", until: Time = "") -> Response:
        """Every AI asset that was seen."""
        now = clock()
        return answer(store.assets(parse_time(since, now, "since"), parse_time(until, now, "until")))

    @router.get("/timeline", tags=["screens"])
    def timeline(since: Time = "24h", until: Time = "") -> Response:
        """Exchanges, tokens, errors, bytes and findings in equal steps of time."""
        now = clock()
        return answer(store.over_time(parse_time(since, now, "since"), parse_time(until, now, "until")))

    if paper is None:
        return router

    @router.get("/policies", tags=["policies"])
    def policies() -> Response:
        """The policy files as they are on disk, each with its complaints."""
        usual = (paper.folder,) if any(paper.folder.glob("*.y*ml")) else ()
        try:
            paths = policy_files(paper.paths or usual)
        except InputError as error:
            return answer({"policies": [], "complaint": str(error)})
        return answer({"policies": [_described(path, paper) for path in paths], "complaint": ""})

    @router.post("/policies/check", tags=["policies"])
    def check(text: Annotated[str, Body(embed=True, max_length=_TEXT)]) -> Response:
        """Reads a policy: complaints with lines, its rules, and what its examples come to."""
        return answer(_checked(text, clock()))

    @router.post("/policies/simulate", tags=["policies"])
    def simulated(
        request: Request, text: Annotated[str, Body(embed=True, max_length=_TEXT)], since: Time = "7d"
    ) -> Response:  # fmt: skip
        """What a policy would have done to what was stored, if it had enforced."""
        if not reads_content(request):
            return JSONResponse({"detail": "a viewer's token may not ask this: use an analyst's"}, 403)
        found = _read(text)
        if isinstance(found, str):
            return JSONResponse({"detail": found}, 400)
        now = clock()
        result = simulate(found, store.combinations(wanted_names(found), parse_time(since, now, "since"), None))
        return answer(result)

    @router.put("/policies/{name}", tags=["policies"])
    def write(
        request: Request, name: str, text: Annotated[str, Body(embed=True, max_length=_TEXT)],
        before: Annotated[str, Body(embed=True, max_length=64)] = "",
    ) -> Response:  # fmt: skip
        """Puts a policy file in place of another, or a new one; before: the hash of the one that was edited. Admins only."""
        if not principal(request).may("admin"):
            return JSONResponse({"detail": "only an admin's token may change policies"}, 403)
        if not _NAME.fullmatch(name):
            return JSONResponse(
                {"detail": f"{name[:80]!r}: a name is small letters, digits and hyphens, and ends with .yaml"}, 400
            )
        checked = _checked(text, clock())
        if checked["complaints"]:
            return JSONResponse({"detail": "; ".join(checked["complaints"])}, 400)
        path = paper.folder / name
        known = _hash(path.read_bytes()) if path.is_file() else ""
        if known != before:
            return JSONResponse({"detail": f"{name} has changed since it was read: read it again"}, 409)
        try:
            Audit(paper.audit).append(
                clock().isoformat(), principal(request).name, "policy-written",
                {"file": name, "before": known, "after": _hash(text.encode())},
            )  # fmt: skip
            _put(path, text)
        except (AuditError, OSError) as error:
            return JSONResponse({"detail": str(error)}, 500)
        return answer({"file": name, "hash": _hash(text.encode())})

    @router.get("/audit", tags=["policies"])
    def audit(request: Request, limit: Annotated[int, Query(ge=1, le=1000)] = 200) -> Response:
        """The latest lines of the audit log, newest first, and whether the log is whole."""
        if not reads_content(request):
            return JSONResponse({"detail": "a viewer's token may not ask this: use an analyst's"}, 403)
        if not paper.audit.is_file():
            return answer({"entries": [], "verified": None})
        with paper.audit.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - 16 * _TEXT))
            lines = file.read().splitlines()[-limit:]
        entries = [msgspec.json.decode(line) for line in reversed(lines) if line.startswith(b"{")]
        return answer({"entries": entries, "verified": msgspec.to_builtins(verify(paper.audit))})

    return router


def _hash(text: bytes) -> str:
    return hashlib.sha256(text).hexdigest()


def _read(text: str) -> Policies | str:
    """The policy in a text; why it is none."""
    try:
        return Policies([parse_policy(text, "policy.yaml")])
    except InputError as error:
        return str(error)


def _checked(text: str, now: datetime) -> dict[str, Any]:
    found = _read(text)
    if isinstance(found, str):
        return {"complaints": found.splitlines(), "warnings": [], "rules": [], "trials": []}
    outcomes = [outcome for policy in found.policies for outcome in try_policy(policy, now)]
    return {
        "complaints": [],
        "warnings": list(found.warnings),
        "rules": [
            {"policy": policy.name, "name": rule.name, "stage": rule.stage, "action": rule.action, "mode": policy.mode}
            for policy in found.policies
            for rule in policy.rules
        ],
        "trials": [
            {"name": o.trial.name, "line": o.trial.line, "action": o.action, "rule": o.rule, "wrong": o.wrong}
            for o in outcomes
        ],
    }


def _described(path: Path, paper: Paper) -> dict[str, Any]:
    raw = path.read_bytes()[:_TEXT]
    text = raw.decode("utf-8", "replace")
    return {
        "file": path.name,
        "path": str(path),
        "text": text,
        "hash": _hash(raw),
        "changed": datetime.fromtimestamp(path.stat().st_mtime).astimezone().isoformat(),
        "editable": path.parent == paper.folder and bool(_NAME.fullmatch(path.name)),
        **_checked(text, datetime.now().astimezone()),
    }


def _put(path: Path, text: str) -> None:
    """Whole or not at all."""
    path.parent.mkdir(mode=0o700, exist_ok=True)
    fresh = path.with_name(f".{path.name}.new")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    fresh.rename(path)
