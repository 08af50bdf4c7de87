"""Tables: the stable name of what runs."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leeward.identity.interpreters import script_of
from leeward.identity.workload import (
    UNKNOWN,
    bare_image,
    container_workload,
    executable_workload,
    is_generated,
    pod_owner,
    workload_of,
)
from leeward.model.process import Container, Workload

PY, NODE, SH = "/usr/bin/python3.11", "/usr/local/bin/node", "/bin/dash"


@pytest.mark.parametrize(
    ("pod", "owner"),
    [
        ("deployment-7d9c6bd6b8-x2x5q", "deployment"),
        ("my-web-app-6b9f5dcd4-zr8wt", "my-web-app"),
        ("statefulset-0", "statefulset"),
        ("ollama-cluster-12", "ollama-cluster"),
        ("node-exporter-x2x5q", "node-exporter"),
        ("nightly-28391040-zr8wt", "nightly"),
        ("bare-redis", "bare-redis"),  # vowels are never generated
        ("bare", "bare"),
        ("agent-prod", "agent-prod"),
        ("gpt-4", "gpt"),  # reads like a StatefulSet's pod: the guess has this price
        ("-x2x5q", "-x2x5q"),
        ("", ""),
    ],
)
def test_pod_owner(pod: str, owner: str) -> None:
    assert pod_owner(pod) == owner


@pytest.mark.parametrize(
    ("image", "bare"),
    [
        ("nginx", "nginx"),
        ("nginx:1.25", "nginx"),
        ("docker.io/library/nginx:1.25@sha256:" + "0" * 64, "docker.io/library/nginx"),
        ("registry.local:5000/team/agent", "registry.local:5000/team/agent"),
        ("registry.local:5000/team/agent:v1", "registry.local:5000/team/agent"),
        ("sha256:" + "0" * 64, "sha256:" + "0" * 12),
        ("", ""),
    ],
)
def test_bare_image(image: str, bare: str) -> None:
    assert bare_image(image) == bare


@pytest.mark.parametrize(
    ("name", "generated"),
    [
        ("0" * 64, True),
        ("0a1b2c3d4e5f", True),
        ("0c5e9d6a-1b2c-4d3e-8f90-112233445566", True),
        ("focused_turing", True),
        ("jolly_hopper3", True),
        ("model_server", False),
        ("my-agent", False),
        ("deadbeef", False),
    ],
)
def test_generated_names(name: str, generated: bool) -> None:
    assert is_generated(name) is generated


COMPOSE = {"com.docker.compose.project": "shop", "com.docker.compose.service": "chat"}


@pytest.mark.parametrize(
    ("container", "workload"),
    [
        (
            Container("x", "app", "img:1", pod_namespace="prod", pod_name="chat-7d9c6bd6b8-x2x5q"),
            Workload("pod:prod/chat/app", "prod/chat/app", "pod"),
        ),
        (Container("x", "agent", "a/b:1"), Workload("container:agent@a/b", "agent", "container")),
        (
            Container("x", "shop-chat-1", "a/b:1", labels=COMPOSE),
            Workload("container:shop/chat@a/b", "shop/chat", "container"),
        ),
        (
            Container("x", "chat.1.z", "a/b", labels={"com.docker.swarm.service.name": "chat"}),
            Workload("container:chat@a/b", "chat", "container"),
        ),
        (Container("f" * 64, "f" * 64, "a/b:1"), Workload("container:b@a/b", "b", "container")),
        (Container("f" * 64, "sad_curie", "a/b:1"), Workload("container:b@a/b", "b", "container")),
        (Container("f" * 64), Workload("container:" + "f" * 12 + "@", "f" * 12, "container")),
    ],
)
def test_containers(container: Container, workload: Workload) -> None:
    assert container_workload(container) == workload


@pytest.mark.parametrize(
    ("exe", "argv", "cwd", "identity", "name"),
    [
        ("/usr/bin/curl", ("curl", "-s", "x"), "/", "exe:/usr/bin/curl", "curl"),
        (PY, ("python", "agent.py"), "/app", f"exe:{PY}:/app/agent.py", "python agent.py"),
        (PY, ("python", "-u", "./src/../agent.py", "-m", "x"), "/app", f"exe:{PY}:/app/agent.py", "python agent.py"),
        (PY, ("python", "agent.py"), "", f"exe:{PY}:agent.py", "python agent.py"),
        (PY, ("python", "-m", "vllm.server", "--port", "1"), "/", f"exe:{PY}:-m vllm.server", "python -m vllm.server"),
        (PY, ("python", "-Im", "mod"), "/", f"exe:{PY}:-m mod", "python -m mod"),
        (PY, ("python", "-mhttp.server"), "/", f"exe:{PY}:-m http.server", "python -m http.server"),
        (PY, ("python", "-c", "import x", "agent.py"), "/", f"exe:{PY}:-c", "python -c"),
        (PY, ("python", "-cimport x; y=1"), "/", f"exe:{PY}:-c", "python -c"),
        (PY, ("python", "-X", "dev", "-W", "error", "a.py"), "/", f"exe:{PY}:/a.py", "python a.py"),
        (PY, ("python", "-Xdev", "-Werror", "a.py"), "/", f"exe:{PY}:/a.py", "python a.py"),
        (PY, ("python", "-s", "-E", "a.py"), "/", f"exe:{PY}:/a.py", "python a.py"),
        (PY, ("python",), "/", f"exe:{PY}", "python3.11"),
        (PY, ("python", "-"), "/", f"exe:{PY}", "python3.11"),
        (PY, (PY, "/v/bin/uvicorn", "app:app"), "/", f"exe:{PY}:/v/bin/uvicorn", "python uvicorn"),
        (NODE, ("node", "--max-old-space-size=9", "-r", "x", "s.js"), "/a", f"exe:{NODE}:/a/s.js", "node s.js"),
        (NODE, ("node", "--import=./t.mjs", "s.js"), "/a", f"exe:{NODE}:/a/s.js", "node s.js"),
        (NODE, ("node", "-e", "1"), "/a", f"exe:{NODE}:-c", "node -c"),
        ("/bin/bun", ("bun", "run", "s.ts"), "/a", "exe:/bin/bun:/a/s.ts", "bun s.ts"),
        ("/bin/ruby3.1", ("ruby", "-I", "lib", "a.rb"), "/", "exe:/bin/ruby3.1:/a.rb", "ruby a.rb"),
        ("/bin/perl", ("perl", "-MFile::Temp", "-w", "a.pl"), "/", "exe:/bin/perl:/a.pl", "perl a.pl"),
        (SH, ("sh", "-c", "curl x"), "/", f"exe:{SH}:-c", "dash -c"),
        (SH, ("sh", "-euo", "pipefail", "run.sh"), "/r", f"exe:{SH}:/r/run.sh", "dash run.sh"),
        (SH, ("-sh",), "/", f"exe:{SH}", "dash"),
        (SH, ("sh", "-s", "arg"), "/", f"exe:{SH}", "dash"),
        ("/bin/busybox", ("sh", "run.sh"), "/r", "exe:/bin/busybox:/r/run.sh", "sh run.sh"),
        ("/bin/busybox", ("busybox", "sh", "-c", "x"), "/r", "exe:/bin/busybox:-c", "sh -c"),
        ("/bin/busybox", ("sleep", "1"), "/r", "exe:/bin/busybox", "busybox"),
        ("/j/java", ("java", "-Xmx1g", "-cp", "a:b", "x.Main"), "/", "exe:/j/java:-m x.Main", "java -m x.Main"),
        ("/j/bin/java", ("java", "-jar", "app.jar"), "/a", "exe:/j/bin/java:/a/app.jar", "java app.jar"),
        ("/usr/bin/ssh", ("ssh", "host"), "/", "exe:/usr/bin/ssh", "ssh"),
    ],
)
def test_executables(exe: str, argv: tuple[str, ...], cwd: str, identity: str, name: str) -> None:
    assert executable_workload(exe, argv, cwd) == Workload(identity, name, "executable")


def test_what_is_known_first_counts() -> None:
    container = Container("x", "agent", "a/b:1")
    assert workload_of(container, "a.service", "/bin/x", (), "", "").kind == "container"
    unit = Workload("systemd:a.service", "a.service", "systemd")
    assert workload_of(None, "a.service", "/bin/x", (), "", "") == unit
    assert workload_of(None, "user-1000/a.service", "", (), "", "").name == "a.service"
    assert workload_of(None, "", "", ("/opt/x",), "", "x").id == "exe:/opt/x"
    assert workload_of(None, "", "", (), "", "kworker/0:1H-kblockd").id == "exe:[kworker]"
    assert workload_of(None, "", "", (), "", "") == UNKNOWN


_EXES = st.sampled_from([PY, NODE, SH, "/bin/busybox", "/j/java", "/bin/perl", "/bin/bun", "", "/", "x\0y"])
_WORDS = st.lists(
    st.one_of(st.sampled_from(["-", "--", "-c", "-m", "-um", "-jar", "+o", "=", ""]), st.text(max_size=8))
)


@given(_EXES, _WORDS.map(tuple), st.sampled_from(["", "/", "/a/b", "rel"]))
def test_any_arguments(exe: str, argv: tuple[str, ...], cwd: str) -> None:
    workload = executable_workload(exe, argv, cwd)
    assert workload.id.startswith(f"exe:{exe}")
    script_of(exe, argv)


@given(st.text(max_size=80), st.text(max_size=80), st.text(max_size=80))
def test_any_container(name: str, image: str, pod: str) -> None:
    assert container_workload(Container("f" * 64, name, image, pod_name=pod)).id
    assert pod.startswith(pod_owner(pod))
