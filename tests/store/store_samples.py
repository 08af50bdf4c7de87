"""Records for the store's and the API's tests."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from leeward.model.coverage import Coverage
from leeward.model.exchange import (
    ChatMessage,
    Evidence,
    Exchange,
    GenAI,
    Http,
    Key,
    Network,
    ProcessRef,
    Tls,
    Tool,
    ToolCall,
)
from leeward.model.finding import Finding
from leeward.model.incident import Incident, Step
from leeward.model.net import Endpoint, Flow
from leeward.model.process import Workload
from leeward.model.system import SystemRecord

T0 = datetime(2026, 11, 1, 12, 0, 0, tzinfo=UTC)
T0_NS = int(T0.timestamp()) * 1_000_000_000


def moment(n: int) -> str:
    return (T0 + timedelta(seconds=n)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def exchange(n: int = 0, **changes: Any) -> Exchange:
    """The n-th exchange, n seconds after T0. Changes: id, time, provider, model, domain, status, prompt, answer, ..."""
    name = changes.pop("workload", f"app{n % 3}")
    model = changes.pop("model", "gpt-4o")
    fields: dict[str, Any] = {
        "id": f"{n:032x}",
        "time": moment(n),
        "duration_ms": 250.5,
        "workload": Workload(id=f"exe:/usr/bin/{name}", name=name, kind="executable"),
        "process": ProcessRef(
            pid=1000 + n % 3, exe=f"/usr/bin/{name}", argv=[name, "--prompt", "argv secret"], user="u"
        ),
        "network": Network(
            src="10.0.0.1:40000",
            dst="192.0.2.7:443",
            domain=changes.pop("domain", "api.openai.com"),
            domain_from="sni",
            direction="outbound",
            tls=Tls(sni="api.openai.com", version="1.3"),
        ),
        "http": Http(method="POST", url="/v1/chat/completions?key=url-secret", status=changes.pop("status", 200)),
        "gen_ai": GenAI(
            provider=changes.pop("provider", "openai"),
            operation="chat",
            request_model=model,
            response_model=f"{model}-2024",
            input_tokens=changes.pop("input_tokens", 10),
            output_tokens=changes.pop("output_tokens", 20),
            input=[ChatMessage(role="user", content=changes.pop("prompt", "my prompt text"))],
            output=[ChatMessage(role="assistant", content=changes.pop("answer", "its answer text"))],
            tools=[Tool(name="shell", description="tool description", parameters={"hidden_name": "schema secret"})],
            tool_calls=[ToolCall(id="c1", name="shell", arguments='{"cmd": "argument secret"}')],
            request_parameters=changes.pop("parameters", {"temperature": 0.5, "stop": ["stop secret"]}),
            time_to_first_token_ms=42.0,
        ),
        "key": Key(provider="openai", fingerprint="00112233aabbccdd", header="authorization"),
        "evidence": Evidence(source="library", complete=changes.pop("complete", True)),
    }
    return Exchange(**{**fields, **changes})


def flow(n: int = 0, **changes: Any) -> Flow:
    fields: dict[str, Any] = {
        "id": f"f{n}",
        "time": T0_NS + n * 1_000_000_000,
        "proto": "tcp",
        "src": Endpoint("10.0.0.1", 40000 + n % 1000),
        "dst": Endpoint("2001:db8::7", 443),
        "direction": "outbound",
        "pid": 1000,
        "start": T0_NS,
        "bytes_sent": 100,
        "domain": "api.openai.com",
        "sni": "api.openai.com",
        "alpn": ("h2",),
        "l7": "tls",
    }
    return Flow(**{**fields, **changes})


def coverage(pid: int = 1000, **changes: Any) -> Coverage:
    fields: dict[str, Any] = {
        "pid": pid,
        "exe": "/usr/bin/app0",
        "workload": Workload(id="exe:/usr/bin/app0", name="app0", kind="executable"),
        "visible": "metadata",
        "rung": "sni",
        "reason": "statically linked TLS",
        "remedy": "give Leeward a key log",
        "services": ["api.openai.com"],
    }
    return Coverage(**{**fields, **changes})


def finding(n: int = 0, **changes: Any) -> Finding:
    """The n-th finding, last seen n seconds after T0."""
    evidence = {"type": "exchange", "id": f"{n:032x}", "data": [{"kind": "financial.card", "sample": "****1111"}]}
    fields: dict[str, Any] = {
        "id": f"{n:032x}",
        "rule": "data-leak",
        "title": "Sensitive data sent to an AI service: financial.card to api.openai.com",
        "severity": "high",
        "confidence": 0.98,
        "time": moment(n),
        "first_seen": moment(0),
        "last_seen": moment(n),
        "count": 1,
        "workload": Workload(id="exe:/usr/bin/app0", name="app0", kind="executable"),
        "process": ProcessRef(pid=1000, exe="/usr/bin/app0", argv=["app0", "--prompt", "argv secret"]),
        "evidence": [evidence],
    }
    return Finding(**{**fields, **changes})


def incident(n: int = 0, **changes: Any) -> Incident:
    """The n-th incident, last seen n seconds after T0."""
    fields: dict[str, Any] = {
        "id": f"{n:032x}",
        "title": "Hidden order, then data sent out in app0",
        "severity": "critical",
        "confidence": 0.99,
        "time": moment(n),
        "first_seen": moment(0),
        "last_seen": moment(n),
        "workload": Workload(id="pod:prod/app0/app", name="app0", kind="pod"),
        "workloads": [Workload(id="pod:prod/app0/app", name="app0", kind="pod")],
        "rules": ["data-leak", "beaconing"],
        "findings": [f"{1:032x}"],
        "tactics": ["Initial Access", "Exfiltration"],
        "because": ["Hidden order – data sent out: sh -c 'argv secret' started it"],
        "chain": [
            Step(time=moment(0), layer="host", what="process started: sh -c argv secret", pid=7, exe="/bin/sh"),
            Step(
                time=moment(1), layer="4", what="Data sent out: to 203.0.113.7", severity="high", tactic="Exfiltration"
            ),
        ],
        "do": ["Data sent out: isolate the workload"],
    }
    return Incident(**{**fields, **changes})


def system(n: int = 0, **changes: Any) -> SystemRecord:
    fields: dict[str, Any] = {
        "id": f"{n:032x}",
        "time": moment(n),
        "kind": "exec",
        "process": ProcessRef(pid=1000 + n, exe="/usr/bin/app0", argv=["app0", "--prompt", "argv secret"]),
        "workload": Workload(id="exe:/usr/bin/app0", name="app0", kind="executable"),
        "path": "/usr/bin/app0",
    }
    return SystemRecord(**{**fields, **changes})
