"""What a viewer may not read: the words of a conversation, and everything that may repeat them.

Invariant: of `gen_ai` only what is named here as free of content stays readable; whatever is added later is hidden
until someone adds its name.
"""

from __future__ import annotations

from typing import Any

import msgspec

HIDDEN = "[hidden]"
_OPEN = frozenset(
    """provider operation api request_model response_model response_id input_tokens output_tokens cached_input_tokens
    reasoning_tokens stream finish_reasons embeddings time_to_first_token_ms""".split()  # noqa: SIM905 - a list reads worse
)
_LISTS = frozenset({"input", "output", "tools", "tool_calls"})
_NAMES = frozenset({"name", "type", "id", "tool_call_id"})
_ROLES = frozenset({"system", "developer", "user", "assistant", "tool"})


def mask_json(text: str | bytes) -> bytes:
    """The JSON of any record with an exchange's content hidden. What cannot be read is hidden whole."""
    try:
        return msgspec.json.encode(mask(msgspec.json.decode(text)))
    except (msgspec.DecodeError, RecursionError):
        return msgspec.json.encode({"type": "hidden"})


def mask(record: dict[str, Any]) -> dict[str, Any]:
    """A copy of a decoded record with an exchange's content hidden; flows and coverage hold none. A finding's evidence is masked
    from the start: of it only the command lines are hidden."""
    if record.get("type") == "finding":
        return {**record, "process": _process(record.get("process"))}
    if record.get("type") == "system":
        return {**record, "process": _process(record.get("process"))}
    if record.get("type") == "incident":
        return _incident(record)
    if record.get("type") != "exchange":
        return record
    gen_ai = record.get("gen_ai") or {}
    masked = {
        **record,
        "gen_ai": {
            key: value if key in _OPEN else _hide(value) if key in _LISTS else HIDDEN for key, value in gen_ai.items()
        },
        "process": _process(record.get("process")),
        "observers": [{**o, "process": _process(o.get("process"))} for o in record.get("observers") or []],
    }
    http = record.get("http") or {}
    if "?" in http.get("url", ""):
        masked["http"] = {**http, "url": http["url"].split("?", 1)[0] + "?" + HIDDEN}
    if record.get("error"):
        # Providers quote the request in their messages.
        masked["error"] = {**record["error"], "message": HIDDEN}
    return masked


def _gen_ai(key: str, value: Any) -> Any:
    if key in _OPEN:
        return value
    return _hide(value) if key in _LISTS else HIDDEN


def _process(process: dict[str, Any] | None) -> dict[str, Any] | None:
    """Prompts travel in arguments too (agent -p "..."): only the program's name stays."""
    if not process:
        return process
    ancestors = [{**a, "argv": _argv(a.get("argv"))} for a in process.get("ancestors") or []]
    return {**process, "argv": _argv(process.get("argv")), "ancestors": ancestors}


def _incident(incident: dict[str, Any]) -> dict[str, Any]:
    """Steps and reasons quote command lines: of those that lead from one finding to the next only the program stays."""
    chain = [
        step if step.get("severity") else {**step, "what": f"{step.get('exe') or step.get('layer')} {HIDDEN}"}
        for step in incident.get("chain") or []
    ]
    return {**incident, "chain": chain, "because": [HIDDEN] * len(incident.get("because") or [])}


def _argv(argv: list[str] | None) -> list[str]:
    return [*(argv or [])[:1], *([HIDDEN] if len(argv or []) > 1 else [])]


def _hide(value: Any) -> Any:
    """The shape of a list stays (how many messages, which roles, which tools), the text goes."""
    if isinstance(value, list):
        return [_hide_entry(item) if isinstance(item, dict) else HIDDEN for item in value]
    return value if value is None or value == "" else HIDDEN


def _hide_entry(entry: dict[str, Any]) -> dict[str, Any]:
    """A message, tool or call, whose keys are the vocabulary's own. Of what is deeper even the keys may be content."""
    hidden: dict[str, Any] = {}
    for key, item in entry.items():
        if key == "role":
            hidden[key] = item if item in _ROLES else HIDDEN
        elif key in _NAMES and isinstance(item, str):
            hidden[key] = item
        elif key == "tool_calls":
            hidden[key] = _hide(item)
        elif isinstance(item, list):
            hidden[key] = [HIDDEN] * len(item)
        else:
            hidden[key] = item if item is None or item == "" else HIDDEN
    return hidden
