"""A policy to change, and facts."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from leeward.policy.document import parse_policy
from leeward.policy.facts import blank
from leeward.policy.policies import Policies

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)
TEXT = """apiVersion: leeward/v1
kind: Policy
metadata: {name: demo, owner: security}
spec:
  mode: enforce
  scope: {workloads: ["pod:shop/*"]}
  deadline: 80ms
  fail: closed
  variables:
    allowed: "['openai', 'anthropic']"
    stranger: provider != '' && !(provider in variables.allowed)
  rules:
    - {name: provider, when: variables.stranger, action: block, severity: critical, finding: unsanctioned-provider}
    - name: secret
      when: >
        kinds.exists(k,
          k.startsWith('secret.'))
      action: redact
      finding: secret-in-prompt
      evidence: ['OWASP LLM02:2025']
    - {name: model, when: "model.startsWith('o')", action: alert, finding: unsanctioned-model}
    - {name: answer, on: response, when: "'pii.email' in kinds", action: observe}
    - {name: shell, on: process, when: "process.name in ['sh', 'bash']", action: kill, finding: unexpected-process}
  exceptions:
    - {name: trial, owner: ann, reason: a test, expires: 2026-06-01, when: "provider == 'mistral_ai'", rules: [provider]}
  tests:
    - {name: good, given: {provider: openai}, expect: allow}
    - {name: bad, given: {provider: groq}, expect: block, rule: provider}
"""
SHOP = {"id": "pod:shop/web/app", "name": "shop/web/app", "kind": "pod", "labels": {"team": "a"}, "namespace": "shop"}


def rule(when: str, **changes: Any) -> str:
    """A policy of one rule."""
    fields = {"name": "r", "when": when, "action": "alert", "finding": "data-leak"} | changes
    return (
        "apiVersion: leeward/v1\nkind: Policy\nmetadata: {name: one}\nspec:\n  mode: enforce\n  rules:\n    - "
        + "\n      ".join(f"{key}: {_yaml(value)}" for key, value in fields.items())
        + "\n"
    )


def _yaml(value: Any) -> str:
    return "'" + value.replace("'", "''") + "'" if isinstance(value, str) else str(value)


def policies(*texts: str) -> Policies:
    return Policies(parse_policy(text, f"p{i}.yaml") for i, text in enumerate(texts))


def facts(**changes: Any) -> dict[str, Any]:
    return {**blank(), "workload": SHOP, "time": NOON, **changes}
