"""The gateway's parts by themselves: answers in each API's form, where requests go, the certificate authority."""

from __future__ import annotations

import json
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509

from leeward.ai.catalogue import default_catalogue
from leeward.gateway.answers import answer
from leeward.gateway.authority import Authority
from leeward.gateway.routes import (
    NoRoute,
    Target,
    back,
    of_absolute,
    of_connect,
    of_path,
    onward,
    parse_upstreams,
    same_host,
)
from leeward.model.errors import InputError

CATALOGUE = default_catalogue()


class TestAnswers:
    @pytest.mark.parametrize(
        ("host", "path", "blocked", "broken"),
        [
            (
                "api.openai.com", "/v1/chat/completions",
                {"error": {"message": "no", "type": "permission_error", "param": None, "code": "blocked_by_policy"}},
                {"error": {"message": "no", "type": "server_error", "param": None, "code": "bad_gateway"}},
            ),
            (
                "api.anthropic.com", "/v1/messages",
                {"type": "error", "error": {"type": "permission_error", "message": "no"}},
                {"type": "error", "error": {"type": "api_error", "message": "no"}},
            ),
            (
                "generativelanguage.googleapis.com", "/v1beta/models/gemini-2.5-pro:generateContent",
                {"error": {"code": 403, "message": "no", "status": "PERMISSION_DENIED"}},
                {"error": {"code": 502, "message": "no", "status": "UNAVAILABLE"}},
            ),
            (
                "bedrock-runtime.eu-central-1.amazonaws.com", "/model/anthropic.claude/converse",
                {"message": "no"}, {"message": "no"},
            ),
            ("127.0.0.1:11434", "/api/chat", {"error": "no"}, {"error": "no"}),
            ("127.0.0.1:9", "/v1/messages", {"type": "error", "error": {"type": "permission_error", "message": "no"}},
             {"type": "error", "error": {"type": "api_error", "message": "no"}}),
        ],
    )  # fmt: skip
    def test_forms(self, host: str, path: str, blocked: object, broken: object) -> None:
        match = CATALOGUE.match(host, 443, "POST", path, [])
        for status, wanted in ((403, blocked), (502, broken)):
            made = answer(match, status, "no")
            assert (made.status, json.loads(made.body)) == (status, wanted)
            assert dict(made.headers)["content-length"] == str(len(made.body))

    def test_bedrock_names_the_exception(self) -> None:
        match = CATALOGUE.match("bedrock-runtime.us-east-1.amazonaws.com", 443, "POST", "/model/x/converse", [])
        assert dict(answer(match, 403, "no").headers)["x-amzn-errortype"] == "AccessDeniedException"

    def test_by_the_host_alone(self) -> None:
        assert json.loads(answer(None, 403, "no", "anthropic").body)["type"] == "error"

    def test_one_line(self) -> None:
        assert json.loads(answer(None, 403, "a\r\nb\x1b[31m" + "x" * 9999).body)["error"]["message"].startswith(
            "a  b [31mx"
        )


class TestRoutes:
    def test_by_path(self) -> None:
        upstreams = parse_upstreams(["ollama=http://127.0.0.1:11434/base/"], CATALOGUE)
        assert of_path("/openai/v1/chat?x=1", CATALOGUE, upstreams) == (
            Target("https", "api.openai.com", 443),
            "/v1/chat?x=1",
        )
        assert of_path("/ollama/api/chat", CATALOGUE, upstreams) == (
            Target("http", "127.0.0.1", 11434),
            "/base/api/chat",
        )
        for path in ("/", "/nobody/x", "/ollama2/x"):
            with pytest.raises(NoRoute):
                of_path(path, CATALOGUE, upstreams)

    @pytest.mark.parametrize(
        ("text", "target"),
        [
            ("api.openai.com:443", Target("https", "api.openai.com", 443)),
            ("API.OpenAI.com.:443", Target("https", "api.openai.com", 443)),
            ("[::1]:8443", Target("https", "::1", 8443)),
            ("api.openai.com", None), (":443", None), ("a:0", None), ("a:65536", None), ("a:x", None), ("", None),
        ],
    )  # fmt: skip
    def test_connect(self, text: str, target: Target | None) -> None:
        if target is not None:
            assert of_connect(text) == target
            return
        with pytest.raises(NoRoute):
            of_connect(text)

    @pytest.mark.parametrize("text", ["*", "ftp://x/", "http://", "http://[x/", "http://h:99999/", "h:80"])
    def test_no_absolute(self, text: str) -> None:
        with pytest.raises(NoRoute):
            of_absolute(text)

    @pytest.mark.parametrize("text", ["openai", "nobody=https://x", "openai=x", "openai=ftp://x", "openai=https://u:p@h",
                                      "openai=https://h:x", "openai=https://h/?q=1"])  # fmt: skip
    def test_no_upstream(self, text: str) -> None:
        with pytest.raises(InputError, match="--upstream"):
            parse_upstreams([text], CATALOGUE)

    def test_hop_headers_stay_here(self) -> None:
        headers = [
            (b"Host", b"other"), (b"Connection", b"keep-alive, X-Mine, Authorization"), (b"X-Mine", b"1"), (b"TE", b"x"),
            (b"Authorization", b"k"), (b"Proxy-Authorization", b"p"), (b"X-Kept", b"2"), (b"Expect", b"100-continue"),
        ]  # fmt: skip
        target = Target("https", "::1", 8443)
        assert onward(headers, target) == [(b"Host", b"[::1]:8443"), (b"Authorization", b"k"), (b"X-Kept", b"2")]
        assert back([(b"Transfer-Encoding", b"chunked"), (b"Content-Length", b"1")]) == [(b"Content-Length", b"1")]

    def test_same_host(self) -> None:
        target = Target("https", "api.openai.com", 443)
        assert same_host(target, "API.openai.com:443")
        assert not same_host(target, "example.org")

    def test_hosts_of_the_user_belong_to_their_provider(self) -> None:
        wider = CATALOGUE.with_hosts({"ai.example.org": "openai", "api.anthropic.com": "openai"})
        assert wider.is_ai_host("ai.example.org") == "openai"
        assert wider.is_ai_host("api.anthropic.com") == "anthropic"
        assert CATALOGUE.is_ai_host("ai.example.org") is None


class TestAuthority:
    def test_made_once(self, tmp_path: Path) -> None:
        first = Authority(tmp_path / "ca").path.read_bytes()
        assert Authority(tmp_path / "ca").path.read_bytes() == first
        assert [oct(path.stat().st_mode & 0o777) for path in sorted((tmp_path / "ca").iterdir())] == ["0o600", "0o644"]

    def test_strict_clients_accept_its_certificates(self, tmp_path: Path) -> None:
        authority = Authority(tmp_path)
        for name in ("api.openai.com", "127.0.0.1", "::1"):
            client = ssl.create_default_context(cafile=str(authority.path))
            client.verify_flags |= ssl.VERIFY_X509_STRICT
            server_in, server_out = ssl.MemoryBIO(), ssl.MemoryBIO()
            server = authority.context(name).wrap_bio(server_in, server_out, server_side=True)
            peer = client.wrap_bio(server_out, server_in, server_hostname=name)
            for _ in range(3):
                for side in (peer, server):
                    try:
                        side.do_handshake()
                    except ssl.SSLWantReadError:
                        continue
            assert peer.getpeercert() is not None

    def test_certificates_are_made_again_before_they_end(self, tmp_path: Path) -> None:
        authority, now = Authority(tmp_path), datetime.now(UTC)
        context = authority.context("a.example", now)
        assert authority.context("a.example", now + timedelta(days=6)) is context
        assert authority.context("a.example", now + timedelta(days=8)) is not context

    @pytest.mark.parametrize("broken", ["no key", "another key", "garbage", "ended"])
    def test_what_cannot_be_used(self, tmp_path: Path, broken: str) -> None:
        authority = Authority(tmp_path / "a")
        key = tmp_path / "a/gateway-ca-key.pem"
        if broken == "no key":
            key.unlink()
        elif broken == "another key":
            Authority(tmp_path / "b")
            key.write_bytes((tmp_path / "b/gateway-ca-key.pem").read_bytes())
        elif broken == "garbage":
            authority.path.write_text("garbage")
        later = timedelta(days=365 * 11 if broken == "ended" else 0)
        with pytest.raises(InputError, match="gateway-ca"):
            Authority(tmp_path / "a", datetime.now(UTC) + later)

    def test_it_signs_for_hosts_only(self, tmp_path: Path) -> None:
        certificate = x509.load_pem_x509_certificate(Authority(tmp_path).path.read_bytes())
        constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value
        assert (constraints.ca, constraints.path_length) == (True, 0)
