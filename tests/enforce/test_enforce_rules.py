"""Rules, and what is wrong with those that cannot be compiled."""

from __future__ import annotations

from pathlib import Path

import pytest

from leeward.ai.catalogue import default_catalogue
from leeward.enforce.rules import Rule, compile_rule, doh_resolvers
from leeward.model.errors import InputError
from leeward.sensor.layout import ALLOW, DENY, PASS


@pytest.mark.parametrize(
    ("rule", "names", "answer"),
    [
        (Rule(1, "deny", providers=("openai",)), ("api.openai.com",), DENY),
        (Rule(1, "deny", providers=("openai",)), ("alias.test", "api.openai.com"), DENY),
        (Rule(1, "deny", providers=("openai",)), ("api.anthropic.com",), ALLOW),
        (Rule(1, "deny", names=("*.Corp.Test.",)), ("a.corp.test",), DENY),
        (Rule(1, "deny", doh=True), ("dns.google",), DENY),
        (Rule(1, "allow-only", providers=("openai",)), ("api.openai.com",), ALLOW),
        (Rule(1, "allow-only", providers=("openai",)), ("cdn.test", "api.openai.com"), ALLOW),
        (Rule(1, "allow-only", providers=("openai",)), ("api.anthropic.com",), DENY),
        (Rule(1, "allow-only", names=("*.google",), doh=True), ("dns.google",), DENY),
        (Rule(1, "allow-only", names=("dns.google",), doh=True), ("dns.google",), ALLOW),
    ],
)
def test_what_a_rule_says_of_names(rule: Rule, names: tuple[str, ...], answer: int) -> None:
    assert compile_rule(rule, default_catalogue()).of_names(names) == answer


def test_the_narrowest_network_and_the_rules_mode() -> None:
    deny = compile_rule(Rule(1, "deny", networks=("10.0.0.0/8",)), default_catalogue())
    only = compile_rule(Rule(1, "allow-only", networks=("2001:db8::/32",)), default_catalogue())
    assert (deny.of_network("10.1.2.3"), deny.of_network("11.1.2.3"), deny.of_network("::1")) == (DENY, None, None)
    assert only.of_network("2001:db8::1") == PASS


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        (Rule(7, "deny", providers=("opnai",)), "class 7: providers: the catalogue knows no opnai"),
        (Rule(7, "deny", networks=("10.0.0.1/8",)), "class 7: networks: 10.0.0.1/8 has host bits set"),
    ],
)
def test_complaints(rule: Rule, words: str) -> None:
    with pytest.raises(InputError, match=words):
        compile_rule(rule, default_catalogue())


def test_the_group_of_resolvers() -> None:
    known = doh_resolvers()
    assert "cloudflare-dns.com" in known.names
    assert {"1.1.1.1", "8.8.8.8", "2620:fe::fe"} <= set(known.addresses)
    assert len(known.addresses) == len(set(known.addresses))


def test_a_bad_address_is_told_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "doh.yaml"
    path.write_text("resolvers:\n  - name: x\n    names: [x.test]\n    addresses: [1.2.3]\n")
    with pytest.raises(InputError, match=r"doh\.yaml:4: addresses: 1\.2\.3 is not an address"):
        doh_resolvers(path)
