"""A workload's first use of an AI service: who does it decides."""

from __future__ import annotations

import base64
from pathlib import Path

import msgspec
import pytest
from api_acts import HOUR, SECOND, SHOP, T0, call, flow, process, started, told, worst

from leeward.detect.ai_destination import NewAiDestination
from leeward.model.activity import FlowSeen
from leeward.model.process import Ancestor, Process

LATER = 3600.0


def settled() -> NewAiDestination:
    """One that has watched for an hour."""
    detector = NewAiDestination()
    told(detector, flow(0, SHOP))
    return detector


def ai_flow(at: float, who: Process) -> FlowSeen:
    return flow(at, who, provider="openai", domain="api.openai.com")


def test_the_first_use_is_told_once_with_what_was_known() -> None:
    found = told(settled(), call(LATER), call(LATER + 1), ai_flow(LATER + 2, SHOP))
    assert [f.severity for f in found] == ["info"]
    assert found[0].evidence[0]["observed_for"] == 3600
    assert found[0].subject["destination"] == "api.openai.com"


def test_flows_alone_tell_it_too() -> None:
    assert worst(told(settled(), ai_flow(LATER, SHOP))) == "info"
    assert told(settled(), flow(LATER, SHOP, domain="example.com")) == []


@pytest.mark.parametrize(
    ("who", "severity"),
    [
        (process("/tmp/.x/agent", workload="exe:/tmp/.x/agent"), "medium"),
        (process("/usr/bin/updater (deleted)", workload="exe:/usr/bin/updater"), "medium"),
        (process("/usr/bin/curl", "https://api.openai.com", parents=("/usr/bin/dash", "/usr/sbin/nginx")), "medium"),
        (process("/usr/lib/vsutil", parents=("/usr/sbin/apache2",)), "medium"),
        (process("/usr/lib/postgresql/15/bin/postgres"), "medium"),
        (process("/usr/bin/curl", workload="systemd:cron.service", parents=("/usr/bin/dash", "/usr/sbin/cron")), "low"),
        (
            process(
                "/usr/bin/python3.11",
                "-c",
                "x",
                workload="exe:/usr/bin/python3.11",
                parents=("/usr/bin/bash", "/usr/sbin/sshd"),
            ),
            "low",
        ),
        (process("/usr/sbin/nginx", parents=("/usr/sbin/nginx",)), "info"),
        (process("/usr/bin/node", "/srv/app.js"), "info"),
        (process("/usr/bin/curl", parents=("/usr/bin/bash", "/usr/sbin/sshd", "/usr/sbin/nginx")), "low"),
    ],
)
def test_who_it_is(who: Process, severity: str) -> None:
    assert worst(told(settled(), call(LATER, who=who))) == severity


def test_what_is_odd_is_odd_from_the_first_minute() -> None:
    assert worst(told(NewAiDestination(), call(1, who=process("/dev/shm/x")))) == "medium"
    assert (
        worst(told(NewAiDestination(), call(1, who=process("/usr/bin/curl", workload="systemd:job.service")))) == "info"
    )


def test_opaque_messages_left_at_a_provider_by_a_servers_tool() -> None:
    """SesameOp: the Assistants API as a mailbox."""
    who = process("/usr/lib/vsutil", parents=("/usr/sbin/apache2",))
    blob = base64.b64encode(bytes(range(200))).decode()
    assert worst(told(settled(), call(LATER, who=who, operation="add_message", said=blob))) == "high"
    assert worst(told(settled(), call(LATER, operation="add_message", said=blob))) == "medium"
    assert worst(told(settled(), call(LATER, operation="add_message", said="What is the weather?"))) == "low"


def test_the_mailbox_of_a_known_user_is_told_when_it_opens() -> None:
    detector = settled()
    assert worst(told(detector, call(LATER))) == "info"
    assert worst(told(detector, call(LATER + 1, operation="create_thread"))) == "low"


def test_another_workload_of_the_same_image_is_familiar() -> None:
    detector = settled()
    told(detector, call(LATER, who=process(workload="pod:a/web/app", image="registry/app:1")))
    found = told(detector, call(LATER + 1, who=process(workload="pod:b/web/app", image="registry/app:2")))
    assert found[0].evidence[0]["familiar"] is True
    assert worst(found) == "info"


def test_servers_and_local_protocols_are_none() -> None:
    assert told(settled(), call(LATER, direction="inbound"), call(LATER, provider="mcp", direction="local")) == []


def test_a_month_without_use_makes_it_new_again() -> None:
    detector = settled()
    told(detector, call(LATER))
    assert told(detector, call(LATER + 20 * 86_400)) == []
    assert worst(told(detector, call(LATER + 55 * 86_400))) == "info"
    assert detector.tick(T0 + 60 * 24 * HOUR + SECOND) == []


def test_the_rule_says_why() -> None:
    text = (Path(__file__).parents[2] / "src/leeward/detect/rules/new-ai-destination.yaml").read_text()
    assert text.count("why: ") == 4


def obeying(script: str, child: Process, *, after: float = 1.0, host: str = "ollama.internal") -> str:
    """A program asks a model that it never asked; a child of it starts so many seconds later."""
    who = process("/usr/bin/python3.11", script, workload="exe:/usr/bin/python3.11", pid=100)
    asked = call(LATER, who=who, provider="ollama", host=host, dst="10.1.1.80")
    return worst(told(settled(), asked, started(LATER + after, child)))


SHELL = process("/usr/bin/dash", "-c", "id", workload="exe:/usr/bin/dash", parents=("/usr/bin/python3.11",), pid=200)
OTHERS = msgspec.structs.replace(SHELL, ancestors=(Ancestor(7, "/usr/bin/python3.11"),))
TOOL = process("/usr/bin/uptime", workload="exe:/usr/bin/uptime", parents=("/usr/bin/python3.11",), pid=200)


def test_a_script_out_of_tmp_that_does_what_a_model_says() -> None:
    assert obeying("/tmp/.d/x.py", SHELL) == "medium"


def test_what_else_starts_after_an_answer_says_nothing() -> None:
    assert obeying("/srv/agent/agent.py", SHELL) == "info"
    assert obeying("/tmp/.d/x.py", SHELL, after=100) == "info"
    assert obeying("/tmp/.d/x.py", OTHERS) == "info"
    assert obeying("/tmp/.d/x.py", TOOL) == "info"
