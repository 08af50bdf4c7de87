"""Refusals, probing and walking through ids, and who only looks like it."""

from __future__ import annotations

import random
import uuid

import pytest
from api_acts import INSIDE, OUTSIDE, http, told, worst
from hypothesis import given
from hypothesis import strategies as st

from leeward.detect.api_access import ApiAccess
from leeward.detect.routes import is_probe, route
from leeward.model.activity import HttpSeen

# -- what it must find -------------------------------------------------------------------------------------------------


def test_guessing_passwords() -> None:
    found = told(ApiAccess(), [http(n, "/login", 401, method="POST") for n in range(25)])
    assert worst(found) == "medium"
    assert len(found) == 1
    assert found[0].evidence[0]["value"] == 20
    assert found[0].subject["source"] == OUTSIDE


def test_a_guess_that_fits_is_high() -> None:
    tries = [http(n, "/login", 401, method="POST") for n in range(40)]
    assert worst(told(ApiAccess(), tries, http(41, "/login", 200, method="POST"))) == "high"


def test_many_stolen_tokens_tried_on_a_model_server() -> None:
    tries = [http(n, "/v1/models", 401, identity=f"key{n:013d}") for n in range(25)]
    assert worst(told(ApiAccess(), tries)) == "medium"


def test_sampled_refusals_count_for_what_they_stand_for() -> None:
    assert worst(told(ApiAccess(), [http(1, "/login", 403, method="POST", sampled=100)])) == "medium"


def test_looking_for_paths() -> None:
    found = told(ApiAccess(), [http(n / 10, f"/admin/{word}", 404) for n, word in enumerate(WORDS)])
    assert worst(found) in ("low", "medium")
    assert found[0].subject["kind"] == "probing"


WORDS = [
    f"{a}{b}"
    for a in ("backup", "old", "test", "config", "private", "user")
    for b in ("", "s", "-x", "-old", "-bak", ".php")
]


def test_a_few_probes_are_enough_and_one_that_is_answered_is_high() -> None:
    probes = [http(n, path, 404) for n, path in enumerate(("/.env", "/wp-login.php", "/.git/config"))]
    assert worst(told(ApiAccess(), probes)) == "medium"
    assert worst(told(ApiAccess(), probes, http(4, "/backup.sql", 200))) == "high"


def test_walking_through_ids_that_are_others() -> None:
    walk = [
        http(n / 2, f"/api/invoices/{1000 + n}", 200 if n % 3 else 403, identity="tenant0000000001") for n in range(60)
    ]
    found = told(ApiAccess(), walk)
    assert worst(found) == "high"
    walked = next(f for f in found if f.subject["kind"] == "walk")
    assert walked.evidence[0]["route"] == "GET /api/invoices/{}"


def test_walking_through_uuids_that_are_not_there() -> None:
    rng = random.Random(1)
    ids = [uuid.UUID(int=rng.getrandbits(128), version=4) for _ in range(40)]
    walk = [http(n, f"/v1/files/{i}", 404, identity="tenant0000000001") for n, i in enumerate(ids)]
    assert worst(told(ApiAccess(), walk)) == "medium"


def test_a_stranger_who_counts_upwards_and_gets_everything() -> None:
    assert worst(told(ApiAccess(), [http(n, f"/users/{n}/profile", 200) for n in range(1, 60)])) == "medium"


def _spread(step: int, addresses: int = 5) -> list[HttpSeen]:
    """One caller from several addresses in turn; each id `step` further than the one before."""
    return [
        http(n * 0.2, f"/v1/invoices/{1000 + step * n}", peer=f"203.0.113.{n % addresses}", identity="customer-b")
        for n in range(100)
    ]


def test_one_credential_that_walks_from_several_addresses() -> None:
    found = told(ApiAccess(), _spread(1))
    assert worst(found) == "medium"
    assert "5 addresses" in found[-1].title
    assert worst(told(ApiAccess(), _spread(7))) == "low"  # which of the addresses was shown a list is not known


def _changes(verbs: str, things: str, count: int, status: int = 403, **more: str) -> list[HttpSeen]:
    """Each verb at each thing, with as many reads in between that are allowed."""
    tries = [(verb, thing) for thing in things.split() for verb in verbs.split()]
    acts: list[HttpSeen] = []
    for n in range(count):
        verb, thing = tries[n % len(tries)]
        acts.append(http(n, "/api/me", 200, identity="reader", **more))
        acts.append(http(n + 0.5, f"/api/{thing}/{n % 5}" if verb != "POST" else f"/api/{thing}", status, method=verb,
                         identity="reader", **more))  # fmt: skip
    return acts


def test_who_may_read_tries_to_change_everything() -> None:
    tries = _changes("POST DELETE", "tenants billing keys/rotation webhooks", 40, 401, agent="go/1")
    found = told(ApiAccess(), tries)
    assert (worst(found), {f.subject["kind"] for f in found}) == ("medium", {"changes"})
    assert found[0].evidence[0]["verbs"] == ["DELETE", "POST"]
    assert (found[0].evidence[0]["value"], found[0].evidence[0]["margin"]) == (20, 1.0)
    granted = http(41, "/api/billing/7", 204, method="DELETE", identity="reader", agent="go/1")
    assert worst(told(ApiAccess(), tries, granted)) == "high"
    elsewhere = http(41, "/api/me/picture", 204, method="PUT", identity="reader", agent="go/1")
    assert worst(told(ApiAccess(), tries, elsewhere)) == "medium"


def test_one_verb_at_many_things_is_low() -> None:
    assert worst(told(ApiAccess(), _changes("DELETE", "tenants billing keys webhooks", 60))) == "low"


# -- what looks like it --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("verbs", "things"),
    [("PATCH DELETE", "docs"), ("PUT", "files"), ("POST PUT", "events settings")],
)
def test_an_application_whose_user_may_not_write(verbs: str, things: str) -> None:
    assert told(ApiAccess(), _changes(verbs, things, 200)) == []


def test_an_upload_of_many_files_without_the_right_to_write_is_low() -> None:
    acts = [act for n in range(100) for act in (
        http(n, "/bucket", 200, identity="sync"),
        http(n, f"/bucket/photos/{'abcdefghij'[n % 10]}/p{n}.jpg", 403, method="PUT", identity="sync"),
    )]  # fmt: skip
    assert worst(told(ApiAccess(), acts)) == "low"


def test_a_gateway_some_of_whose_users_may_not_write() -> None:
    rng = random.Random(4)
    acts = []
    for n in range(1500):
        verb, thing = rng.choice(("POST", "PUT", "DELETE")), rng.choice(("orders", "notes", "teams", "files"))
        user = rng.randrange(300)
        status = 403 if user < 30 else 200
        acts.append(http(n / 5, f"/v1/{thing}/{n}", status, method=verb, peer=INSIDE, identity=f"user{user}"))
    assert not [f for f in told(ApiAccess(), acts) if f.subject["kind"] == "changes"]


def _random_ids(count: int, path: str = "/v1/invoices/{}") -> list[HttpSeen]:
    chosen = random.Random(5).sample(range(10_000, 90_000), count)
    return [http(n * 0.2, path.format(number), identity="customer-b") for n, number in enumerate(chosen)]


def test_a_customer_who_asks_for_ids_that_no_list_gave_him() -> None:
    found = told(ApiAccess(), _random_ids(150))
    assert worst(found) == "medium"
    assert found[-1].evidence[0]["value"] == 100


@pytest.mark.parametrize("lists", [1, 2])
def test_an_application_that_shows_a_list_first(lists: int) -> None:
    asked = [http(-5, "/v1/invoices?page=1", identity="customer-b") for _ in range(lists)]
    assert worst(told(ApiAccess(), asked, _random_ids(100 * lists - 5))) in ("", "low")


def test_a_list_of_the_window_before_counts() -> None:
    asked = [http(-595, "/v1/invoices", identity="customer-b"), http(-5, "/v1/invoices/17", identity="customer-b")]
    assert worst(told(ApiAccess(), asked, _random_ids(99), _random_ids(99))) in ("", "low")


def test_images_for_anybody_and_a_share_of_all_requests_say_nothing_of_lists() -> None:
    anybody = [http(n * 0.1, f"/images/{number}", identity="") for n, number in enumerate(range(7, 7000, 31))]
    assert worst(told(ApiAccess(), anybody)) in ("", "low")
    some = [http(n, f"/v1/invoices/{n * 31}", identity="customer-b", sampled=5) for n in range(150)]
    assert worst(told(ApiAccess(), some)) in ("", "low")


def test_token_refresh_is_no_violation() -> None:
    day: list[HttpSeen] = []
    for n in range(300):
        day += [http(n * 4, "/v1/items", 401, identity="old"), http(n * 4 + 1, "/v1/items", 200, identity="new")]
    assert told(ApiAccess(), day) == []


@pytest.mark.parametrize("path", ["/healthz", "/metrics", "/v1/models"])
def test_health_checks_and_prometheus(path: str) -> None:
    assert told(ApiAccess(), [http(n * 5, path, 200, peer=INSIDE) for n in range(5000)]) == []


def test_an_expired_credential_that_goes_on_trying_is_low() -> None:
    tries = [http(n, "/v1/orders", 401, identity="expired000000001") for n in range(500)]
    assert worst(told(ApiAccess(), tries)) == "low"


def test_a_gateway_for_many_users() -> None:
    rng = random.Random(2)
    calls = []
    for n in range(3000):
        status = 401 if rng.random() < 0.1 else 200
        calls.append(
            http(n / 4, f"/v1/users/{rng.randrange(10**6)}", status, peer=INSIDE, identity=f"user{rng.randrange(400)}")
        )
    assert worst(told(ApiAccess(), calls)) in ("", "info", "low")


def test_one_user_behind_a_gateway_who_walks_is_seen() -> None:
    rng = random.Random(3)
    calls = []
    for n in range(2000):
        calls.append(
            http(n / 10, f"/orders/{rng.randrange(10**6)}", 200, peer=INSIDE, identity=f"user{rng.randrange(400)}")
        )
        if n % 20 == 0:
            calls.append(http(n / 10, f"/orders/{5000 + n // 20}", 403, peer=INSIDE, identity="mallory"))
    found = told(ApiAccess(), calls)
    assert worst(found) == "medium"
    assert {f.evidence[0]["identity"] for f in found if f.severity == "medium"} == {"mallory"}


def test_a_crawler_that_asked_for_robots_first() -> None:
    crawl = [http(0, "/robots.txt")]
    crawl += [
        http(n, f"/docs/page-about-{'abcdefghij'[n % 10]}{'klmnopqrst'[n // 10 % 10]}", 404 if n % 5 == 0 else 200)
        for n in range(1, 300)
    ]
    assert told(ApiAccess(), crawl) == []


def test_a_batch_job_over_its_own_records_is_low_and_then_nothing() -> None:
    detector = ApiAccess()
    job = [
        [
            http(day * 86_400 + n / 2, f"/records/{n}", 200, peer=INSIDE, identity="batch00000000001", agent="batch")
            for n in range(400)
        ]
        for day in range(3)
    ]
    assert worst(told(detector, job[0])) == "low"
    told(detector, http(86_000, "/records/1", peer=INSIDE, identity="batch00000000001", agent="batch"))
    assert told(detector, job[2]) == []


def test_a_load_test_is_nothing() -> None:
    assert told(ApiAccess(), [http(n / 1000, "/v1/chat/completions", 200, method="POST") for n in range(20_000)]) == []


def test_a_login_page() -> None:
    people = []
    for n in range(200):
        people.append(http(n * 10, "/login", 401 if n % 4 == 0 else 200, method="POST", peer=f"198.51.100.{n}"))
    assert told(ApiAccess(), people) == []


def test_what_this_host_asks_of_others_is_not_looked_at() -> None:
    assert told(ApiAccess(), [http(n, "/login", 401, direction="outbound") for n in range(100)]) == []


# -- routes ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "template"),
    [
        ("/users/17/orders/99", "/users/{}/orders/{}"),
        ("/v1/models", "/v1/models"),
        ("/v1beta1/projects", "/v1beta1/projects"),
        ("/files/file-AbC123xyz", "/files/{}"),
        ("/t/550e8400-e29b-41d4-a716-446655440000", "/t/{}"),
        ("/o/01ARZ3NDEKTSV4RRFFQ69G5FAV", "/o/{}"),
        ("/about-us", "/about-us"),
        ("/users/cus_9s6XKzkNRiz8i3", "/users/{}"),
    ],
)
def test_routes(path: str, template: str) -> None:
    assert route(path).template == template


@pytest.mark.parametrize("path", ["/.env", "/app/.env", "/wp-admin/", "/cgi-bin/x", "/static/../etc"])
def test_probes(path: str) -> None:
    assert is_probe(path)


@pytest.mark.parametrize(
    "path", ["/", "/environment", "/health", "/robots.txt", "/.well-known/openid-configuration", "/v1/models"]
)
def test_no_probes(path: str) -> None:
    assert not is_probe(path)


@given(st.text(max_size=512))
def test_any_path_has_a_route(path: str) -> None:
    found = route(path)
    assert found.template.count("/") == path.count("/")
    is_probe(path)


def test_state_is_bounded() -> None:
    detector = ApiAccess()
    for n in range(20_000):
        detector.feed(http(n / 1000, f"/u/{n}", 401, peer=f"10.{n >> 16 & 255}.{n >> 8 & 255}.{n & 255}"))
    assert detector.counters["api_callers_evicted"] > 0
    assert len(detector._callers) <= 16384


def _door(addresses: int, tries: int, good: int, identities: int) -> list[HttpSeen]:
    """At one route, from so many addresses in turn, with so many different credentials."""
    acts = [
        http(
            n * 0.2,
            "/v1/private/login",
            403,
            method="POST",
            peer=f"203.0.113.{n % addresses}",
            identity=f"key{n % identities}",
        )
        for n in range(tries)
    ]
    return acts + [http(tries * 0.2 + n, "/v1/private/login", 200, identity="ours") for n in range(good)]


def test_many_addresses_each_try_a_few_credentials() -> None:
    found = told(ApiAccess(), _door(60, 180, 0, 180))
    assert worst(found) == "medium"
    assert (found[0].evidence[0]["value"], found[0].evidence[0]["margin"]) == (20, 1.0)


def test_one_credential_that_expired_on_many_hosts() -> None:
    assert not told(ApiAccess(), _door(60, 180, 0, 1))


def test_people_who_mistype_get_in() -> None:
    acts = [act for n in range(60) for act in (
        http(n * 5.0, "/login", 401, method="POST", peer=f"203.0.113.{n}", identity=f"mistake{n}"),
        http(n * 5.0 + 2, "/login", 200, method="POST", peer=f"203.0.113.{n}", identity=f"user{n}"),
    )]  # fmt: skip
    assert not told(ApiAccess(), acts)
