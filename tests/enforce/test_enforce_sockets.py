"""Sockets of another process are listed and ended, in its own network namespace, by what they are and no others."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from leeward.enforce.sockets import Connection, can_destroy, destroy, established
from leeward.model.net import Endpoint

pytestmark = pytest.mark.kernel

# Holds two connections to a listener of its own; a line on stdin makes it say what the first sees now, and then the second.
HOLDER = """
import json, socket, sys
address, kind = sys.argv[1], sys.argv[2]
family = socket.AF_INET6 if kind != "v4" else socket.AF_INET
target = "::ffff:" + address if kind == "mapped" else address
listener = socket.create_server((address, 0), family=socket.AF_INET6 if ":" in address else socket.AF_INET)
ends = []
for _ in range(2):
    client = socket.socket(family)
    client.settimeout(10)
    client.connect((target, listener.getsockname()[1]))
    ends.append((client, listener.accept()[0]))
print(json.dumps([[list(client.getsockname()[:2]), list(client.getpeername()[:2])] for client, _ in ends]), flush=True)
sys.stdin.readline()
told = []
for client, server in ends:
    try:
        client.send(b"x")
        told.append("sent" if server.recv(1) == b"x" else "closed")
    except OSError as error:
        told.append(type(error).__name__)
print(json.dumps(told), flush=True)
"""


class Holder:
    def __init__(self, *command: str) -> None:
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        plain = [[_endpoint(end) for end in pair] for pair in json.loads(self.process.stdout.readline())]
        self.pairs = [(local, remote) for local, remote in plain]

    def told(self) -> list[str]:
        out, _ = self.process.communicate("\n", timeout=20)
        return list(json.loads(out))

    def mine(self) -> list[Connection]:
        """The clients' sockets in the order in which they were made."""
        found = {(c.local, c.remote): c for c in established(self.process.pid)}
        return [found[pair] for pair in self.pairs]


def _endpoint(pair: list[object]) -> Endpoint:
    return Endpoint(str(pair[0]).removeprefix("::ffff:"), int(str(pair[1])))


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as made:
        yield made


def _holder(stack: ExitStack, address: str, kind: str, *prefix: str) -> Holder:
    holder = Holder(*prefix, sys.executable, "-c", HOLDER, address, kind)
    stack.callback(holder.process.wait)
    stack.callback(holder.process.kill)
    return holder


@pytest.mark.parametrize(
    ("address", "kind"), [("127.0.0.1", "v4"), ("::1", "v6"), ("127.0.0.1", "mapped")], ids=["v4", "v6", "v4 in v6"]
)
@pytest.mark.parametrize("by", ["cookie", "addresses"])
def test_one_is_ended_and_the_other_lives(stack: ExitStack, address: str, kind: str, by: str) -> None:
    holder = _holder(stack, address, kind)
    first, _ = holder.mine()
    pid = holder.process.pid
    assert destroy(pid, "tcp", first.local, first.remote, first.cookie if by == "cookie" else 0)
    assert first not in established(pid)
    assert holder.told() == ["ConnectionAbortedError", "sent"]


def test_another_cookie_is_another_socket(stack: ExitStack) -> None:
    holder = _holder(stack, "127.0.0.1", "v4")
    first, _ = holder.mine()
    assert not destroy(holder.process.pid, "tcp", first.local, first.remote, first.cookie ^ 1 << 40)
    assert holder.told() == ["sent", "sent"]


def test_in_the_namespace_of_the_process_and_no_other(stack: ExitStack, namespace: str) -> None:
    holder = _holder(stack, "127.0.0.1", "v4", "ip", "netns", "exec", namespace)
    first, second = holder.mine()
    assert not destroy(os.getpid(), "tcp", first.local, first.remote, first.cookie)
    before = os.readlink("/proc/self/ns/net")
    assert destroy(holder.process.pid, "tcp", second.local, second.remote, second.cookie)
    assert os.readlink("/proc/thread-self/ns/net") == before
    assert holder.told() == ["sent", "ConnectionAbortedError"]


def test_bound_to_an_interface(stack: ExitStack) -> None:
    code = HOLDER.replace("client.settimeout", "client.setsockopt(socket.SOL_SOCKET, 25, b'lo'); client.settimeout")
    holder = Holder(sys.executable, "-c", code, "127.0.0.1", "v4")
    stack.callback(holder.process.wait)
    stack.callback(holder.process.kill)
    first, _ = holder.mine()
    assert first.device
    assert destroy(holder.process.pid, "tcp", first.local, first.remote)
    assert holder.told() == ["ConnectionAbortedError", "sent"]


def test_connected_udp(stack: ExitStack) -> None:
    code = "import socket; s = socket.socket(2, 2); s.connect(('127.0.0.1', 9)); print('[]', flush=True); s.recv(1)"
    process = stack.enter_context(
        subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    )
    assert process.stdout is not None
    process.stdout.readline()
    (udp,) = established(process.pid)
    assert (udp.proto, udp.remote) == ("udp", Endpoint("127.0.0.1", 9))
    assert destroy(process.pid, "udp", udp.local, udp.remote, udp.cookie)
    _, error = process.communicate(timeout=20)
    assert "ConnectionAbortedError" in error


def test_a_process_that_is_gone_has_none() -> None:
    with subprocess.Popen(["true"]) as process:
        process.wait()
    here = Endpoint("127.0.0.1", 1)
    assert established(process.pid) == []
    assert not destroy(process.pid, "tcp", here, here)


def test_this_kernel_can() -> None:
    assert can_destroy() == ""
