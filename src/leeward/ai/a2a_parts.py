"""A2A's messages, tasks, artifacts and agent cards, in the shapes of 0.3 and 1.0, as parts of a `GenAI`.

Never raises on odd values. Data inside a message becomes its media type, size and SHA-256.
"""

from __future__ import annotations

from typing import Any

from leeward.ai.dialect import MAX_ERROR_TEXT
from leeward.ai.jsontext import Slice, clean
from leeward.ai.values import chosen, embedded, linked, record, records, sequence, text
from leeward.model.exchange import AiError, ChatMessage, Exchange, GenAI, Tool

MOST_ARTIFACTS = 256
_ROLES = {"user": "user", "ROLE_USER": "user", "agent": "assistant", "ROLE_AGENT": "assistant"}
_ENDED = frozenset(("completed", "failed", "canceled", "rejected", "input-required", "auth-required"))
_STATES = _ENDED | {"submitted", "working", "unknown", "unspecified"}
_BAD = frozenset(("failed", "rejected"))
#: 0.3's JSON-RPC and 1.0 say parts; 0.3's HTTP+JSON, which is protobuf's JSON of its day, says content, and request for message.
_PARTS = ("parts", "content")
_IDS = {
    "contextId": "context_id",
    "taskId": "task_id",
    "messageId": "message_id",
    "referenceTaskIds": "reference_task_ids",
}
_SETTINGS = {
    "acceptedOutputModes": "accepted_output_modes",
    "blocking": "blocking",
    "returnImmediately": "return_immediately",
    "historyLength": "history_length",
}
_SKILL = ("id", "tags", "examples", "inputModes", "outputModes")


def read_request(ai: GenAI, params: dict[str, Any], source: Slice) -> None:
    """The parameters of any method: a message, the id of a task, where to push. Tokens for pushing are left out."""
    name = "message" if isinstance(params.get("message"), dict) else "request"
    message = record(params.get(name))
    if has_parts(message):
        ai.input.append(read_message(message, source.at(name), "user"))
        ai.request_parameters.update({_IDS[field]: value for field, value in chosen(message, _IDS).items()})
    settings = record(params.get("configuration"))
    ai.request_parameters.update({_SETTINGS[name]: value for name, value in chosen(settings, _SETTINGS).items()})
    for name, kept in (("id", "task_id"), ("taskId", "task_id"), ("contextId", "context_id"), ("tenant", "tenant")):
        if text(params.get(name)):
            ai.request_parameters.setdefault(kept, params[name][:256])
    nested = (settings.get("pushNotificationConfig"), settings.get("taskPushNotificationConfig"))
    for push in (params, *map(record, (params.get("pushNotificationConfig"), *nested))):
        if text(push.get("url")):
            ai.request_parameters["push_url"] = push["url"][:2048]


def has_parts(message: dict[str, Any]) -> bool:
    return any(isinstance(message.get(name), list) for name in _PARTS)


def read_message(item: dict[str, Any], source: Slice, role: str = "assistant") -> ChatMessage:
    words, parts = _said(item, source)
    return ChatMessage(_ROLES.get(text(item.get("role")), role), words, "", parts)


def _said(item: dict[str, Any], source: Slice) -> tuple[str, list[dict[str, Any]]]:
    name = next((name for name in _PARTS if isinstance(item.get(name), list)), _PARTS[0])
    return _parts(item.get(name), source.at(name))


def _parts(value: Any, source: Slice) -> tuple[str, list[dict[str, Any]]]:
    words: list[str] = []
    references: list[dict[str, Any]] = []
    for i, part in enumerate(sequence(value)):
        if not isinstance(part, dict):
            continue
        file = record(part.get("file"))
        if isinstance(part.get("text"), str):
            words.append(part["text"])
        elif "data" in part:
            data = source.at(i, "data")
            inner = data.at("data").text() if "kind" not in part and list(record(part["data"])) == ["data"] else ""
            words.append(inner or data.text())
        elif file or isinstance(part.get("raw"), str) or isinstance(part.get("url"), str):
            references.append(_file(file or part))
        else:
            references.append({"type": text(part.get("kind")) or text(part.get("type")) or "unknown"})
    return "".join(words), references


def _file(item: dict[str, Any]) -> dict[str, Any]:
    """0.3: file {bytes | uri, mimeType, name}; 1.0: raw | url, mediaType, filename beside them; 1.0 drafts: fileWithBytes."""
    kind = _first(item, "mimeType", "mediaType")
    data = _first(item, "bytes", "raw", "fileWithBytes")
    reference = embedded("file", data, kind) if data else linked("file", _first(item, "uri", "url", "fileWithUri"))
    if kind:
        reference["media_type"] = kind
    name = _first(item, "name", "filename")
    if name:
        reference["filename"] = name
    return reference


def _first(item: dict[str, Any], *names: str) -> str:
    return next((item[name] for name in names if text(item.get(name))), "")


def state(status: dict[str, Any]) -> str:
    """A task's state in the words of 0.3: "TASK_STATE_INPUT_REQUIRED" → "input-required"."""
    return (
        text(status.get("state")).removeprefix("TASK_STATE_").lower().replace("_", "-").replace("cancelled", "canceled")
    )


def _is_task(item: dict[str, Any]) -> bool:
    return state(record(item.get("status"))) in _STATES


class Heard:
    """What an agent answers, in one result or many events. shape: it is A2A's. ended: the task came to a halt, or the answer
    needs nothing more."""

    def __init__(self, exchange: Exchange) -> None:
        self.shape = self.ended = False
        self._exchange = exchange
        self._ai = exchange.gen_ai
        self._messages: dict[str, ChatMessage] = {}
        self._artifacts: dict[str, ChatMessage] = {}
        self._pieces: dict[str, list[str]] = {}

    def take(self, result: dict[str, Any], source: Slice) -> None:
        """One result of JSON-RPC, one object of HTTP+JSON, or one event of either."""
        for kind, name, read in (
            ("message", "message", self._message),
            ("task", "task", self._task),
            ("status-update", "statusUpdate", self._status_update),
            ("artifact-update", "artifactUpdate", self._artifact_update),
        ):
            if result.get("kind") == kind:
                return read(result, source)
            if isinstance(result.get(name), dict):
                return read(result[name], source.at(name))
        if isinstance(result.get("status"), dict) and isinstance(result.get("id"), str):
            return self._task(result, source)
        if isinstance(result.get("parts"), list) and isinstance(result.get("role"), str):
            return self._message(result, source)
        if isinstance(result.get("tasks"), list):
            self.ended = True
            self.shape = bool(result["tasks"]) and all(_is_task(record(task)) for task in result["tasks"])
            self._ai.output.append(ChatMessage("assistant", source.at("tasks").text()))
            return None
        return self._card(result, source)

    def close(self) -> None:
        """All has been taken: messages, then artifacts, become the output."""
        for key, pieces in self._pieces.items():
            self._artifacts[key].content = "".join(pieces)
        self._ai.output.extend([*self._messages.values(), *self._artifacts.values()])

    def _message(self, item: dict[str, Any], source: Slice) -> None:
        self.ended = True
        self.shape = self.shape or has_parts(item)
        self._add(item, source)
        self._ids(item)

    def _add(self, item: dict[str, Any], source: Slice) -> None:
        key = text(item.get("messageId")) or f"#{len(self._messages)}"
        if item and _ROLES.get(text(item.get("role")), "assistant") == "assistant":
            self._messages[key] = read_message(item, source)

    def _task(self, item: dict[str, Any], source: Slice) -> None:
        self.shape = self.shape or _is_task(item)
        if text(item.get("id")):
            self._ai.response_id = item["id"][:256]
        self._ids(item)
        for i, said in enumerate(sequence(item.get("history"))):
            self._add(record(said), source.at("history", i))
        for i, artifact in enumerate(sequence(item.get("artifacts"))):
            self._artifact(record(artifact), source.at("artifacts", i), append=False)
        self._status(record(item.get("status")), source.at("status"))
        # A whole answer is the task as it is; only a stream goes on.
        self.ended = self.ended or not self._ai.stream

    def _status_update(self, item: dict[str, Any], source: Slice) -> None:
        self.shape = True
        self._ids(item)
        self._status(record(item.get("status")), source.at("status"))
        self.ended = self.ended or item.get("final") is True

    def _status(self, status: dict[str, Any], source: Slice) -> None:
        message = record(status.get("message"))
        self._add(message, source.at("message"))
        now = state(status)
        if now:
            self._ai.finish_reasons = [now]
            self.ended = self.ended or now in _ENDED
        if now in _BAD:
            why, _ = _said(message, source.at("message"))
            self._exchange.error = AiError(f"task_{now}", why[:MAX_ERROR_TEXT])

    def _artifact_update(self, item: dict[str, Any], source: Slice) -> None:
        self.shape = True
        self._ids(item)
        self._artifact(record(item.get("artifact")), source.at("artifact"), append=item.get("append") is True)

    def _artifact(self, item: dict[str, Any], source: Slice, *, append: bool) -> None:
        key = text(item.get("artifactId")) or f"#{len(self._artifacts)}"
        words, parts = _said(item, source)
        if key not in self._artifacts and len(self._artifacts) >= MOST_ARTIFACTS:
            if "artifacts-left-out" not in self._exchange.evidence.notes:
                self._exchange.evidence.notes.append("artifacts-left-out")
            return
        if not append or key not in self._artifacts:
            self._artifacts[key] = ChatMessage("assistant", "", text(item.get("name")))
            self._pieces[key] = []
        self._pieces[key].append(words)
        self._artifacts[key].parts.extend(parts)

    def _ids(self, item: dict[str, Any]) -> None:
        if text(item.get("contextId")):
            self._ai.request_parameters.setdefault("context_id", item["contextId"][:256])
        if text(item.get("taskId")):
            self._ai.response_id = self._ai.response_id or item["taskId"][:256]

    def _card(self, card: dict[str, Any], source: Slice) -> None:
        """An agent card: the agent's skills are offered like tools, its description tells other agents' models what to
        do, so both are kept whole."""
        skills = card.get("skills")
        if not (
            isinstance(skills, list)
            and isinstance(card.get("name"), str)
            and isinstance(card.get("capabilities"), dict)
        ):
            return
        self.shape = self.ended = True
        given = self._ai.request_parameters
        for name, kept in (("name", "agent"), ("version", "agent_version"), ("protocolVersion", "protocol_version")):
            if text(card.get(name)):
                given[kept] = card[name][:256]
        interfaces = [text(item.get("url")) for item in records(card.get("supportedInterfaces"))]
        extra = [text(item.get("url")) for item in records(card.get("additionalInterfaces"))]
        urls = dict.fromkeys(url[:2048] for url in (text(card.get("url")), *interfaces, *extra) if url)
        given["urls"] = list(urls)[:64]
        given["capabilities"] = clean(card["capabilities"])
        if text(record(card.get("provider")).get("organization")):
            given["organization"] = card["provider"]["organization"][:256]
        if text(card.get("description")):
            self._ai.output.append(ChatMessage("system", card["description"]))
        for skill in records(skills):
            name = text(skill.get("name")) or text(skill.get("id"))
            self._ai.tools.append(Tool(name, text(skill.get("description")), "skill", chosen(skill, _SKILL) or None))
