"""Contact data, networks and dates of birth: what is found, exactly where, and what only looks like it."""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import phonenumbers
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leeward.data import checks_contact
from leeward.data.checks import find_check
from leeward.data.documents import texts_of
from leeward.data.recognizer import BUILT_IN, load_recognizers
from leeward.data.scanner import Scanner

FILES = [BUILT_IN / f"{name}.yaml" for name in ("contact", "network", "dates")]
FOUND = [
    ("ask anna.schmidt+news@mail.example.co.uk.", "pii.email", "anna.schmidt+news@mail.example.co.uk"),
    ("<mailto:o'brien@example.com?subject=hi>", "pii.email", "o'brien@example.com"),
    ("'john@example.org'", "pii.email", "john@example.org"),
    ("Grüße an jörg.müller@bücher.example", "pii.email", "jörg.müller@bücher.example"),
    ("请发邮件到li.wei@example.cn谢谢", "pii.email", "li.wei@example.cn"),
    ("почта: ivan@пример.рф", "pii.email", "ivan@пример.рф"),
    ("https://api.example.com/users/jane.roe@example.com/orders", "pii.email", "jane.roe@example.com"),
    ("noreply@github.com", "pii.email", "noreply@github.com"),
    ("write john.doe (at) example (dot) com", "pii.email", "john.doe (at) example (dot) com"),
    ("jane[at]example.org", "pii.email", "jane[at]example.org"),
    ("reach me: +1 (555) 123-4567 or not", "pii.phone", "+1 (555) 123-4567"),
    ("(+420 605 260 181)", "pii.phone", "+420 605 260 181"),
    ("call +49(0)1234567890, now", "pii.phone", "+49(0)1234567890"),
    ("phone=+33612345678&x=1", "pii.phone", "+33612345678"),
    ("+1-912-490-4047x96669 is hers", "pii.phone", "+1-912-490-4047x96669"),
    ("+44 20 7946 0958 ext. 12.", "pii.phone", "+44 20 7946 0958 ext. 12"),
    ("001-555-123-4567x890", "pii.phone", "001-555-123-4567x890"),
    ("(0)30 1234567", "pii.phone", "(0)30 1234567"),
    ("Fax (212) 555-0123", "pii.phone", "(212) 555-0123"),
    ("Smith, 710-827-3464, Leeds", "pii.phone", "710-827-3464"),
    ("appelez le 06 12 34 56 78 svp", "pii.phone", "06 12 34 56 78"),
    ("Büro 0711/2345678", "pii.phone", "0711/2345678"),
    ("ring 07700 900123", "pii.phone", "07700 900123"),
    ("我的号码是13812345678。", "pii.phone", "13812345678"),
    ("Telefon: 0123/456789", "pii.phone", "0123/456789"),
    ("Mobil 98 25 97 91", "pii.phone", "98 25 97 91"),
    ("customer_phone: 5551234567", "pii.phone", "5551234567"),
    ("my number is 5551234567", "pii.phone", "5551234567"),
    ("You can reach Ann Lee on 01614960280, mornings", "pii.phone", "01614960280"),
    ("login from 81.2.69.142.", "pii.ip", "81.2.69.142"),
    ("http://93.184.216.34:8080/x", "pii.ip", "93.184.216.34"),
    ("10.12.3.4 answers", "pii.ip", "10.12.3.4"),
    ("[2606:4700:4700::1111]:443", "pii.ip", "2606:4700:4700::1111"),
    ("fe80::1ff:fe23:4567:890a%eth0", "pii.ip", "fe80::1ff:fe23:4567:890a"),
    ("::ffff:81.2.69.142", "pii.ip", "::ffff:81.2.69.142"),
    ("ether 3c:22:fb:9a:01:7e brd ff:ff:ff:ff:ff:ff", "pii.mac", "3c:22:fb:9a:01:7e"),
    ("3C-22-FB-9A-01-7E", "pii.mac", "3C-22-FB-9A-01-7E"),
    ("3c22.fb9a.017e", "pii.mac", "3c22.fb9a.017e"),
    ("ssh db-01.internal.", "internal.host", "db-01.internal"),
    ("http://jira:8080/browse", "internal.host", "jira"),
    ("postgres://app:pw@db:5432/orders", "internal.host", "db"),
    ("orders.shop.svc.cluster.local", "internal.host", "orders.shop.svc.cluster.local"),
    ("ip-10-0-3-17.eu-west-1.compute.internal", "internal.host", "ip-10-0-3-17.eu-west-1.compute.internal"),
    (r"see \\fileserver01\finance\2024.xlsx", "internal.host", "fileserver01"),
    ("vpn.eu.corp.acme.com", "internal.host", "vpn.eu.corp.acme.com"),
    ("DC01.corp.local", "internal.host", "DC01.corp.local"),
    ("born on the 3rd of March 1974 in Leeds", "pii.date_of_birth", "3rd of March 1974"),
    ("DOB (mm/dd/yyyy): 5/12/61", "pii.date_of_birth", "5/12/61"),
    ("née le 1er février 1961 à Lyon", "pii.date_of_birth", "1er février 1961"),
    ("urodzony 12 maja 1985 r.", "pii.date_of_birth", "12 maja 1985"),
    ("生年月日：1974年3月3日", "pii.date_of_birth", "1974年3月3日"),
    ("Anna Roe (b. 12 May 1961)", "pii.date_of_birth", "12 May 1961"),
    ("birth_date=1974-03-03T00:00:00Z", "pii.date_of_birth", "1974-03-03"),
]
NOTHING = [
    "npm i @types/node@18.0.0 react@latest",
    "git clone git@github.com:org/repo.git",
    "logo@2x.png, user@host, q@k.T, x@y.shape",
    "postgres://app:s3cr3t@db.example.com/orders",
    "https://token@shop.example.com/",
    "@app.route('/x') and @dataclass(frozen=True)",
    "meet me at noon, dot the i",
    "2024-05-01T12:34:56.789Z 1714566896 1714566896123",
    "version 10.0.19041.1, Chrome/117.0.0.0, pkg==77.88.55.66, v77.88.55.66",
    "OID 1.3.6.1.4.1 and 2.5.29.17 and 2.5.4.10",
    "127.0.0.1 0.0.0.0 255.255.255.0 169.254.169.254 224.0.0.1",
    "10.0.0.0/8 and 81.2.69.0/24 and 2001:db8::/32 and ::1",
    "std::dead::beef, x[20::30], 12:34:56, a::b",
    "00:00:00:00:00:00 ff:ff:ff:ff:ff:ff aa:bb:cc:dd:ee:ff",
    "fingerprint 16:27:ac:a5:76:28:2d:36:63:1b:56:4d:eb:df:a6:48",
    "    5c:1e:ab:\n    3c:22:fb:9a:01:7e:00:11",
    "f(12) 34, rows 100 200 3000, [1, 22, 333]",
    "price 1 234 567,89 and 600 123 456 units",
    "00 12 34 56 78 9a bc, 01 02 03 04 05 06 07",
    "+40.7128-074.0060, +0100, UTC+02:00, a+12345678901",
    "550e8400-e29b-41d4-a716-446655440000",
    "da39a3ee5e6b4b0d3255bfef95601890afd80709",
    "ports 8000-8080, lines 1234-5678, ISBN 978-3-16-148410-0",
    "Boston, MA 02110-1301 USA",
    "localhost:8080, http://localhost:3000/, http://host:8080, http://example/",
    "settings.local, .env.local, this.internal, os.internal, threading.local()",
    "from google.protobuf.internal import encoder",
    r"\begin{x} \\textbf{y} \\d+\\w+ a\\b\\c",
    "file://server/share gs://bucket/object urn:isbn:123",
    "created 1974-03-03, updated 3 March 1974, due 03/04/1974",
    "birth_rate: 1974-03-03, birthtime: 2019-06-22, place of birth: Paris, 1974-03-03",
    "DOB 31/31/1974, born 12/05/2099, aged 45",
]


@pytest.fixture(scope="module")
def scanner() -> Scanner:
    scanner = Scanner(load_recognizers(FILES))
    scanner.ready()
    return scanner


@pytest.mark.parametrize(("text", "kind", "value"), FOUND)
def test_finds_it_and_nothing_more(scanner: Scanner, text: str, kind: str, value: str) -> None:
    found = [(match.kind, text[match.start : match.end]) for match in scanner.scan_text(text)]
    assert (kind, value) in found


@pytest.mark.parametrize("text", NOTHING)
def test_finds_nothing(scanner: Scanner, text: str) -> None:
    assert [(match.detector, match.value) for match in scanner.scan_text(text)] == []


def test_keys_of_json_are_context(scanner: Scanner) -> None:
    document = {"mobile": "6114980364", "dateOfBirth": "03.04.1974", "clientIp": "2.4.6.8", "order": "6114980364"}
    texts = texts_of(json.loads(json.dumps(document)))
    found = {(texts[match.text].path, match.kind) for match in scanner.scan(texts)}
    assert found == {("$.mobile", "pii.phone"), ("$.dateOfBirth", "pii.date_of_birth"), ("$.clientIp", "pii.ip")}


def test_an_event_nearer_than_birth_is_no_birth(scanner: Scanner) -> None:
    found = [match.value for match in scanner.scan_text("born 12/05/1980, hired 01/02/2010")]
    assert found == ["12/05/1980"]


@pytest.mark.parametrize("form", ["{0}", "from {0} port 22", "[{0}]:443", "client={0},"])
@settings(deadline=None)
@given(low=st.integers(1, 2**109))
def test_any_global_ipv6_address_is_found(scanner: Scanner, form: str, low: int) -> None:
    address = str(ipaddress.IPv6Address((0x2A02 << 112) | low | 0xABCD))
    assert [match.value for match in scanner.scan_text(form.format(address))] == [address]


@settings(deadline=None)
@given(octets=st.tuples(st.integers(31, 99), st.integers(31, 254), st.integers(1, 254), st.integers(1, 254)))
def test_any_ipv4_address_with_large_numbers_is_found(scanner: Scanner, octets: tuple[int, ...]) -> None:
    address = ".".join(map(str, octets))
    assert [match.value for match in scanner.scan_text(f"({address})")] == [address]


@settings(deadline=None)
@given(octets=st.lists(st.integers(0, 999), min_size=5, max_size=7))
def test_more_or_fewer_numbers_are_no_address(scanner: Scanner, octets: list[int]) -> None:
    dotted = ".".join(map(str, octets))
    assert [match for match in scanner.scan_text(dotted) if match.kind == "pii.ip"] == []


@settings(deadline=None)
@given(card=st.binary(min_size=6, max_size=6))
def test_a_card_has_one_owner(card: bytes) -> None:
    written = card.hex(":")
    single = not card[0] & 1 and card[:3] not in (b"\0\0\0",)
    digits = card.hex()
    plain = digits.isdigit() or len({digits[i : i + 2] for i in range(0, 12, 2)}) == 1 or len(set(digits)) < 2
    placeholder = all(digits[i] == digits[i + 1] for i in range(0, 12, 2)) or digits.startswith("3333")
    assert find_check("mac")(written) is (single and not plain and not placeholder)


def example_numbers() -> Iterator[tuple[str, str]]:
    """A number of each country, as its plan gives one."""
    for region in sorted(phonenumbers.SUPPORTED_REGIONS):
        number = phonenumbers.example_number(region)
        if number is not None and len(str(number.national_number)) > 5:
            yield region, phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.INTERNATIONAL)


@pytest.mark.parametrize(("region", "number"), list(example_numbers()))
def test_international_numbers_of_all_countries(scanner: Scanner, region: str, number: str) -> None:
    assert [match.value for match in scanner.scan_text(f"({number})")] == [number]
    assert not find_check("phone_international")(number.replace("+", "+9999"))


def test_countries_of_recognizers_have_telephones() -> None:
    text = "\n".join(path.read_text(encoding="utf-8") for path in FILES)
    named = {
        region for part in text.split("phone:")[1:] for region in part.split("'")[0].split(",") if region.isupper()
    }
    assert named
    assert named <= set(phonenumbers.SUPPORTED_REGIONS)


@pytest.mark.parametrize("argument", ["", "de", "DE,", "DEU"])
def test_complains_about_what_is_no_list_of_countries(argument: str) -> None:
    with pytest.raises(ValueError, match=r"no list of countries|no check"):
        find_check(f"phone:{argument}")


BIRTHS = st.dates(date(1900, 1, 1), date(2024, 12, 31))
MONTHS = [
    (
        "born {0.day} {1} {0.year}",
        "January February March April May June July August September October November December",
    ),
    (
        "geboren am {0.day}. {1} {0.year}",
        "Januar Februar März April Mai Juni Juli August September Oktober November Dezember",
    ),
    (
        "né le {0.day} {1} {0.year}",
        "janvier février mars avril mai juin juillet août septembre octobre novembre décembre",
    ),
    (
        "nació el {0.day} de {1} de {0.year}",
        "enero febrero marzo abril mayo junio julio agosto septiembre octubre noviembre diciembre",
    ),
    (
        "nato il {0.day} {1} {0.year}",
        "gennaio febbraio marzo aprile maggio giugno luglio agosto settembre ottobre novembre dicembre",
    ),
    (
        "nasceu a {0.day} de {1} de {0.year}",
        "janeiro fevereiro março abril maio junho julho agosto setembro outubro novembro dezembro",
    ),
    (
        "geboortedatum: {0.day} {1} {0.year}",
        "januari februari maart april mei juni juli augustus september oktober november december",
    ),
    (
        "ur. {0.day} {1} {0.year}",
        "stycznia lutego marca kwietnia maja czerwca lipca sierpnia września października listopada grudnia",
    ),
    (
        "родился {0.day} {1} {0.year}",
        "января февраля марта апреля мая июня июля августа сентября октября ноября декабря",
    ),
]


@pytest.mark.parametrize(("form", "months"), MONTHS)
@settings(deadline=None)
@given(birth=BIRTHS)
def test_dates_of_birth_with_names_of_months(scanner: Scanner, form: str, months: str, birth: date) -> None:
    text = form.format(birth, months.split()[birth.month - 1])
    found = scanner.scan_text(text)
    assert [match.kind for match in found] == ["pii.date_of_birth"]
    assert text[found[0].start :].startswith(str(birth.day))
    assert found[0].value.endswith(str(birth.year))


@pytest.mark.parametrize(
    "form", ["%Y-%m-%d", "%d/%m/%Y", "%m/%d/%Y", "%d.%m.%Y", "%Y/%m/%d", "%d-%m-%Y", "%Y年%m月%d日"]
)
@settings(deadline=None)
@given(birth=BIRTHS)
def test_dates_of_birth_in_numbers(scanner: Scanner, form: str, birth: date) -> None:
    written = birth.strftime(form)
    assert [match.value for match in scanner.scan_text(f"DOB: {written}, female")] == [written]
    assert scanner.scan_text(f"due: {written}, paid") == []


@settings(deadline=None)
@given(st.text(), st.sampled_from(sorted(checks_contact.SIMPLE)))
def test_checks_never_raise(value: str, name: str) -> None:
    assert find_check(name)(value) in (True, False)


@settings(deadline=None)
@given(st.text(alphabet="0123456789+() .-/x:@aeft\n", max_size=300))
def test_spans_lie_in_the_text(scanner: Scanner, text: str) -> None:
    for match in scanner.scan_text(text, 0):
        assert text[match.start : match.end] == match.value


def test_lists_have_each_name_once() -> None:
    lines = (Path(checks_contact.__file__).parent / "lists" / "tlds.txt").read_text(encoding="utf-8").splitlines()
    names = [name for line in lines if not line.startswith("#") for name in line.split()]
    assert sorted({name for name in names if names.count(name) > 1}) == []
