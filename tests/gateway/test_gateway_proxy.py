"""The gateway as a proxy: tunnels that are not looked into, long and broken requests and answers, policies that change."""

from __future__ import annotations

import json
import socket
import ssl
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from gateway_running import CARD, IBAN, Running, write_policy
from gateway_upstream import Upstream

from leeward.gateway.authority import Authority

MESSAGE = {"model": "gpt-4o", "messages": [{"role": "user", "content": "hello"}]}


@pytest.fixture
def through(gateway: Running) -> Iterator[httpx.Client]:
    """httpx with the gateway as its proxy, trusting the gateway's authority alone."""
    context = ssl.create_default_context(cafile=str(gateway.authority))
    with httpx.Client(proxy=gateway.url, verify=context, timeout=60) as client:
        yield client


def tunnel(gateway: Running, host: str, port: int) -> tuple[socket.socket, bytes]:
    """A CONNECT by hand: the connection, and the gateway's answer."""
    address = httpx.URL(gateway.url)
    connection = socket.create_connection((address.host, address.port or 0), 30)
    connection.sendall(f"CONNECT {host}:{port} HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n".encode())
    answer = b""
    while b"\r\n\r\n" not in answer:
        answer += connection.recv(1)
    return connection, answer


class TestTunnels:
    def test_other_hosts_are_not_opened(self, gateway: Running, other: Upstream, theirs: Authority) -> None:
        direct = ssl.get_server_certificate(("127.0.0.3", other.port))
        connection, answer = tunnel(gateway, "127.0.0.3", other.port)
        assert answer.startswith(b"HTTP/1.1 200")
        context = ssl.create_default_context(cafile=str(theirs.path))
        with context.wrap_socket(connection, server_hostname="127.0.0.3") as secure:
            seen = secure.getpeercert(binary_form=True)
            assert seen is not None
            assert ssl.DER_cert_to_PEM_cert(seen) == direct
            secure.sendall(f"POST /x HTTP/1.0\r\nContent-Length: {len(IBAN)}\r\n\r\n{IBAN}".encode())
            while secure.recv(4096):
                continue
        assert other.requests[0][2] == IBAN.encode()

    def test_an_ai_name_in_the_hello_is_opened(self, gateway: Running, other: Upstream, theirs: Authority) -> None:
        connection, _ = tunnel(gateway, "127.0.0.3", other.port)
        context = ssl.create_default_context(cafile=str(gateway.authority))
        with context.wrap_socket(connection, server_hostname="api.openai.com") as secure:
            subject = dict(pair for group in (secure.getpeercert() or {})["subject"] for pair in group)
        assert subject["commonName"] == "api.openai.com"
        assert other.requests == []

    def test_a_server_that_speaks_first_is_heard(self, gateway: Running) -> None:
        with socket.create_server(("127.0.0.1", 0)) as server:
            connection, _ = tunnel(gateway, "localhost", server.getsockname()[1])
            theirs, _ = server.accept()
            with connection, theirs:
                theirs.sendall(b"220 mail\r\n")
                assert connection.recv(100) == b"220 mail\r\n"
                connection.sendall(b"EHLO x\r\n")
                assert theirs.recv(100) == b"EHLO x\r\n"

    def test_one_that_is_not_there(self, gateway: Running) -> None:
        with socket.create_server(("127.0.0.1", 0)) as server:
            port = server.getsockname()[1]
        connection, answer = tunnel(gateway, "localhost", port)
        connection.close()
        assert answer.startswith(b"HTTP/1.1 502")

    def test_the_gateway_itself(self, gateway: Running) -> None:
        connection, answer = tunnel(gateway, "127.0.0.1", httpx.URL(gateway.url).port or 0)
        connection.close()
        assert answer.startswith(b"HTTP/1.1 404")

    def test_another_host_than_was_asked_for(self, gateway: Running, openai: Upstream, through: httpx.Client) -> None:
        answer = through.post(f"{openai.url}/v1/chat/completions", json=MESSAGE, headers={"host": "example.org"})
        assert answer.status_code == 421
        assert openai.connections == 0


class TestRequests:
    def test_headers_and_path_go_on_as_they_are(self, openai: Upstream, through: httpx.Client) -> None:
        headers = {
            "x-api-key": "k-1",
            "authorization": "Bearer k-2",
            "proxy-authorization": "Basic abc",
            "te": "trailers",
        }
        through.post(f"{openai.url}/v1/chat/completions?api-version=1&q=a%20b", json=MESSAGE, headers=headers)
        [(path, got, _)] = openai.requests
        assert path == "/v1/chat/completions?api-version=1&q=a%20b"
        assert (got["x-api-key"], got["authorization"]) == ("k-1", "Bearer k-2")
        assert not {"proxy-authorization", "te"} & got.keys()

    def test_body_in_chunks_is_masked(self, openai: Upstream, through: httpx.Client) -> None:
        body = json.dumps({**MESSAGE, "messages": [{"role": "user", "content": f"card {CARD}"}]}).encode()
        pieces = iter([body[:60], body[60:75], body[75:]])
        assert through.post(f"{openai.url}/v1/chat/completions", content=pieces).status_code == 200
        assert json.loads(openai.requests[0][2])["messages"][0]["content"] == "card **** **** **** ****"

    @pytest.mark.parametrize("framed", ["length", "chunks"])
    def test_long_body_is_decided_by_its_beginning(self, openai: Upstream, through: httpx.Client, framed: str) -> None:
        def body(text: str) -> bytes:
            return json.dumps(
                {"model": "gpt-4o", "messages": [{"role": "user", "content": text + " x" * (3 << 20)}]}
            ).encode()

        def post(data: bytes) -> httpx.Response:
            content = (
                data if framed == "length" else iter([data[i : i + (1 << 20)] for i in range(0, len(data), 1 << 20)])
            )
            return through.post(f"{openai.url}/v1/chat/completions", content=content)

        clean, masked = body("hello"), body(f"card {CARD}")
        assert post(clean).status_code == 200
        assert openai.requests.pop()[2] == clean
        assert post(masked).status_code == 200
        assert openai.requests.pop()[2] == masked.replace(CARD.encode(), b"**** **** **** ****")
        openai.forget()
        answer = post(body(f"pay {IBAN}"))
        assert answer.status_code == 403
        assert openai.connections == 0 or openai.requests == []

    def test_in_the_clear(self, gateway: Running, ollama: Upstream) -> None:
        """A model server without TLS: by an absolute target, and by its name in the path."""
        body = {"model": "llama3", "messages": [{"role": "user", "content": f"pay {IBAN}"}]}
        with httpx.Client(proxy=gateway.url, timeout=60) as client:
            answer = client.post(f"{ollama.url}/api/chat", json=body)
        assert answer.status_code == 403
        assert "account numbers do not leave" in answer.json()["error"]
        answer = httpx.post(
            f"{gateway.url}/ollama/api/chat", json={**body, "messages": MESSAGE["messages"]}, timeout=60
        )
        assert answer.status_code == 200
        exchange = gateway.record(lambda r: r["type"] == "exchange" and r["http"]["url"] == f"{ollama.url}/api/chat"
                                  and r["http"]["status"] == 200)  # fmt: skip
        assert exchange["network"]["tls"] is None

    def test_two_requests_on_one_connection(self, openai: Upstream, through: httpx.Client) -> None:
        blocked = {**MESSAGE, "messages": [{"role": "user", "content": IBAN}]}
        url = f"{openai.url}/v1/chat/completions"
        assert [through.post(url, json=body).status_code for body in (MESSAGE, blocked, MESSAGE)] == [200, 403, 200]
        assert len(openai.requests) == 2

    def test_no_http(self, gateway: Running) -> None:
        address = httpx.URL(gateway.url)
        with socket.create_connection((address.host, address.port or 0), 30) as connection:
            connection.sendall(b"\x00\x01garbage\r\n\r\n")
            assert connection.recv(12) == b"HTTP/1.1 400"

    @pytest.mark.parametrize("path", ["/", "/nobody/v1/chat", "/azure.ai.openai/openai/v1/x"])
    def test_a_path_to_nowhere(self, gateway: Running, path: str) -> None:
        answer = httpx.get(gateway.url + path, timeout=60)
        assert answer.status_code == 404
        assert answer.text.startswith("leeward gateway: ")

    def test_curl(self, gateway: Running, openai: Upstream) -> None:
        command = [
            "curl",
            "-sS",
            "--noproxy",
            "",
            "-x",
            gateway.url,
            "--cacert",
            str(gateway.authority),
            "-w",
            " %{http_code}",
        ]
        data = json.dumps({**MESSAGE, "messages": [{"role": "user", "content": f"{IBAN}"}]})
        done = subprocess.run(
            [*command, f"{openai.url}/v1/chat/completions", "-H", "content-type: application/json", "-d", data],
            capture_output=True, text=True, timeout=60, check=True,
        )  # fmt: skip
        body, _, status = done.stdout.rpartition(" ")
        assert status == "403"
        assert json.loads(body)["error"]["code"] == "blocked_by_policy"
        assert openai.connections == 0


class TestBrokenServers:
    def test_no_answer(self, openai: Upstream, through: httpx.Client) -> None:
        answer = through.post(f"{openai.url}/v1/hang-up", json=MESSAGE)
        assert answer.status_code == 502
        assert "broke the connection off" in answer.json()["error"]["message"]
        assert answer.json()["error"]["type"] == "server_error"

    def test_a_server_that_says_nothing(self, tmp_path: Path, theirs: Authority, openai: Upstream) -> None:
        running = Running(tmp_path, theirs.path, "--timeout", "1", f"--upstream=openai={openai.url}")
        try:
            answer = httpx.post(f"{running.url}/openai/v1/silent", json=MESSAGE, timeout=60)
        finally:
            running.kill()
        assert answer.status_code == 502
        assert "127.0.0.1 did not answer within 1 s" in answer.json()["error"]["message"]

    def test_not_there(self, gateway: Running, anthropic: Upstream, through: httpx.Client) -> None:
        with socket.create_server(("127.0.0.2", 0)) as server:
            port = server.getsockname()[1]
        answer = through.post(f"https://127.0.0.2:{port}/v1/messages", json=MESSAGE)
        assert answer.status_code == 502
        assert answer.json()["error"]["type"] == "api_error"
        assert "cannot be reached" in answer.json()["error"]["message"]

    def test_an_answer_that_breaks_off_is_broken_off(self, openai: Upstream, through: httpx.Client) -> None:
        with pytest.raises(httpx.RemoteProtocolError):
            through.post(f"{openai.url}/v1/cut", json=MESSAGE)

    def test_a_certificate_that_nobody_signed(self, gateway: Running, through: httpx.Client, tmp_path: Path) -> None:
        stranger = Upstream("127.0.0.2", Authority(tmp_path).context("127.0.0.2"))
        answer = through.post(f"{stranger.url}/v1/messages", json=MESSAGE)
        stranger.close()
        assert answer.status_code == 502
        assert "certificate verify failed" in answer.json()["error"]["message"]
        assert stranger.requests == []

    def test_a_client_that_goes_away_is_not_answered(self, tmp_path: Path, theirs: Authority, openai: Upstream) -> None:
        running = Running(tmp_path, theirs.path, f"--upstream=openai={openai.url}")
        address = httpx.URL(running.url)
        try:
            with socket.create_connection((address.host, address.port or 0), 30) as connection:
                connection.sendall(b"POST /openai/v1/waits HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}")
                assert openai.asked.wait(30)
            assert openai.left.wait(30)  # the gateway itself would wait for ten minutes
        finally:
            running.kill()


def test_many_at_once(openai: Upstream, gateway: Running) -> None:
    """Each request has its own verdict, whoever else asks."""
    texts = ["hello", f"card {CARD}", f"pay {IBAN}"]
    limits = httpx.Limits(max_connections=8)
    with httpx.Client(limits=limits, timeout=60) as client, ThreadPoolExecutor(8) as pool:

        def ask(number: int) -> int:
            content = f"{number}: {texts[number % 3]}"
            body = {"model": "gpt-4o", "messages": [{"role": "user", "content": content}]}
            return client.post(f"{gateway.url}/openai/v1/chat/completions", json=body).status_code

        statuses = list(pool.map(ask, range(90)))
    assert statuses == [200, 200, 403] * 30
    arrived = sorted(json.loads(body)["messages"][0]["content"] for _, _, body in openai.requests)
    wanted = [f"{n}: {'hello' if n % 3 == 0 else 'card **** **** **** ****'}" for n in range(90) if n % 3 < 2]
    assert arrived == sorted(wanted)


class TestPolicies:
    def test_read_again(self, tmp_path: Path, theirs: Authority, openai: Upstream) -> None:
        policy = write_policy(tmp_path / "policy.yaml")
        running = Running(tmp_path, theirs.path, "--policy", str(policy), f"--upstream=openai={openai.url}")
        url = f"{running.url}/openai/v1/chat/completions"
        body = {**MESSAGE, "messages": [{"role": "user", "content": f"pay {IBAN}"}]}
        try:
            assert httpx.post(url, json=body, timeout=60).status_code == 403
            write_policy(policy, iban="alert")
            running.until_audit("policies-loaded", 2)
            assert httpx.post(url, json=body, timeout=60).status_code == 200
            policy.write_text("no policy at all")
            running.until_audit("policies-refused", 1)
            assert httpx.post(url, json=body, timeout=60).status_code == 200
            address = httpx.URL(running.url)
            with socket.create_connection((address.host, address.port or 0), 30):  # a client that only waits
                lines = running.stop()
        finally:
            running.kill()
        assert "policies_refused" in running.said()
        assert "Traceback" not in running.said()
        stats = lines[-1]
        assert (stats["type"], stats["exchanges"], stats["requests"]) == ("stats", 3, 3)
        assert stats["counters"]["requests_block"] == 1

    def test_fails_closed(self, tmp_path: Path, theirs: Authority, openai: Upstream) -> None:
        policy = write_policy(tmp_path / "policy.yaml", fail="closed")
        running = Running(tmp_path, theirs.path, "--policy", str(policy), f"--upstream=openai={openai.url}")
        body = json.dumps({"model": "gpt-4o", "messages": [{"role": "user", "content": " x" * (3 << 20)}]})
        try:
            answer = httpx.post(f"{running.url}/openai/v1/chat/completions", content=body, timeout=60)
        finally:
            running.kill()
        assert answer.status_code == 403
        assert "longer than can be looked through" in answer.json()["error"]["message"]
        assert openai.connections == 0
        assert running.audit("verdict")[0]["why"] == "too-long"
