"""Secrets are found by their form, their name or what is said about them; what stands for a secret is not.

The forms are written down in secret_forms.txt, filled with random characters (always the same ones) and planted in many contexts.
"""

from __future__ import annotations

import base64
import json
import random
import re
import string
import zlib
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from hypothesis import given
from hypothesis import strategies as st

from leeward.data.checks_secrets import MADE, SIMPLE
from leeward.data.recognizer import BUILT_IN, load_recognizers
from leeward.data.scanner import FLOOR, Found, Scanner

LETTERS, DIGITS = string.ascii_letters, string.digits
CLASSES = {
    "a": LETTERS + DIGITS,
    "b": LETTERS + DIGITS + "+/",
    "w": LETTERS + DIGITS + "_-",
    "l": LETTERS,
    "c": string.ascii_lowercase,
    "s": string.ascii_lowercase + DIGITS,
    "U": string.ascii_uppercase + DIGITS,
    "d": DIGITS,
    "n": "123456789",
    "h": "0123456789abcdef",
    "z": string.ascii_uppercase + "234567",
    "p": string.ascii_lowercase + "234567",
    "x": "QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L",
    "B": "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz",
    "N": "023456789acdefghjklmnpqrstuvwxyz",
}
FORMS = [
    tuple(line.split(" ", 1))
    for line in (Path(__file__).parent / "secret_forms.txt").read_text(encoding="utf-8").splitlines()
    if not line.startswith("#")
]
BY_FORM = [(kind, form) for kind, form in FORMS if not re.match(r"[A-Z0-9_]+=«", form)]
BY_NAME = [(kind, form) for kind, form in FORMS if re.match(r"[A-Z0-9_]+=«", form)]

CONTEXTS = [
    "%", "export K=%", "K=%\nL=1\n", '{"k": "%"}', "k: '%'", 'curl -H "X-K: %" https://h/', "see % for it",
    "take %, please", "(%)", "<k>%</k>", "https://h/?a=1&k=%&b=2", "[%]", "| a | % |", 'k = "%"  # the key',
    '{\\"k\\": \\"%\\"}', "k\t%\t1", "`%`", "one\n%\ntwo", "$k = '%';", "这是「%」。", "k: %\r\n",
]  # fmt: skip
NAMED = [
    "N=%", "export N=% && run\n", 'N="%"', "n: %", '{"n": "%"}', "n = '%'", 'os.environ["N"] = "%"', "<n>%</n>",
    "a=1; n=%; b=2", "--n=% x", 'const n = "%";', "N: %", "n := `%`", "text before\nN=%\nOTHER=1",
]  # fmt: skip


@pytest.fixture(scope="module")
def scanner() -> Scanner:
    return Scanner(load_recognizers(sorted(BUILT_IN.glob("secrets_*.yaml"))))


def drawn(form: str, seed: int) -> str:
    """A value of the form."""
    draw = random.Random(f"{seed} {form}")

    def fill(hit: re.Match[str]) -> str:
        if hit[1] == "uuid":
            return "-".join("".join(draw.choices(CLASSES["h"], k=n)) for n in (8, 4, 4, 4, 12))
        if hit[1] == "DISCORD":
            return base64.b64encode("".join(draw.choices(CLASSES["n"], k=18)).encode()).decode().rstrip("=")
        letters = "".join(draw.choices(CLASSES[hit[1][0]], k=int(hit[1][1:])))
        return letters[:-1] + draw.choice(LETTERS) if hit[1][0] in "bw" else letters

    return re.sub(r"\{(uuid|DISCORD|[a-zA-Z]\d+)\}", fill, form)


def marked(text: str) -> tuple[str, int, int]:
    """Without its «», and where what was between them is."""
    start = text.index("«")
    end = text.index("»") - 1
    return text.replace("«", "").replace("»", ""), start, end


def at(found: list[Found], start: int, end: int) -> list[str]:
    return [f.kind for f in found if (f.start, f.end) == (start, end) and f.confidence >= FLOOR]


@pytest.mark.parametrize(("kind", "form"), BY_FORM, ids=[f"{k}-{i}" for i, (k, _) in enumerate(BY_FORM)])
def test_a_form_is_found_in_every_context(scanner: Scanner, kind: str, form: str) -> None:
    for seed, context in enumerate(CONTEXTS):
        value = drawn(form if "«" in form else f"«{form}»", seed)
        text, start, end = marked(context.replace("%", value, 1))
        assert kind in at(scanner.scan_text(text), start, end), (text, scanner.scan_text(text, 0.0))


@pytest.mark.parametrize(("kind", "form"), BY_NAME, ids=[f"{k}-{i}" for i, (k, _) in enumerate(BY_NAME)])
def test_a_name_tells_the_issuer(scanner: Scanner, kind: str, form: str) -> None:
    name, _, value = form.partition("=")
    for seed, context in enumerate(NAMED):
        pattern = re.sub(r"\bN\b", name, re.sub(r"\bn\b", name.lower(), context))
        text, start, end = marked(pattern.replace("%", drawn(value, seed), 1))
        assert kind in at(scanner.scan_text(text), start, end), (text, scanner.scan_text(text, 0.0))


SAID = [
    ("secret.password", 'db_password = "«swordfish»"'),
    ("secret.password", '{"password": "«Summer2024!»", "user": "bob"}'),
    ("secret.password", '{\\"password\\": \\"«kR7vQ2xLp9»\\"}'),
    ("secret.password", "password: «hunter2»\nuser: bob"),
    ("secret.password", "  password: '«it-is_me 2!»'".replace(" 2", "2")),
    ("secret.password", "DB_PASSWORD=«tr0ub4dor&3»".replace("&3", "-3")),
    ("secret.password", "export POSTGRES_PASSWORD=«wintermute»"),
    ("secret.password", "spring.datasource.password=«kR7vQ2xLp9»\n"),
    ("secret.password", "Server=db;User Id=sa;Password=«Summer2024!»;Encrypt=yes"),
    ("secret.password", "jdbc:mysql://h/db?user=u&password=«hunter2»&ssl=1"),
    ("secret.password", "<password>«hunter2»</password>"),
    ("secret.password", '<add key="Password" value="«hunter2»"/>'),
    ("secret.password", 'const dbPassword: string = "«kR7vQ2xLp9»";'),
    ("secret.password", 'cfg := Config{Password: "«kR7vQ2xLp9»",}'),
    ("secret.password", "$config['password'] = '«hunter2»';"),
    ("secret.password", "define('DB_PASSWORD', '«hunter2»');"),
    ("secret.password", 'ds.setPassword("«hunter2»");'),
    ("secret.password", "CREATE USER 'app'@'%' IDENTIFIED BY '«swordfish»';"),
    ("secret.password", "ALTER USER scott IDENTIFIED BY «tiger99»;"),
    ("secret.password", "CREATE ROLE app LOGIN PASSWORD '«kR7vQ2xLp9»'"),
    ("secret.password", "CREATE LOGIN app WITH PASSWORD = N'«kR7vQ2xLp9»';"),
    ("secret.password", "mysql -u root -p«tr0ub4dor» shop"),
    ("secret.password", "sshpass -p «hunter2» ssh root@h"),
    ("secret.password", "sshpass -p '«hunter2»' ssh root@h"),
    ("secret.password", "redis-cli -h h -a «kR7vQ2xLp9» ping"),
    ("secret.password", "docker login -u bob -p «kR7vQ2xLp9» ghcr.io"),
    ("secret.password", "mysqldump --password «tr0ub4dor» shop"),
    ("secret.password", "mysqldump --password=«tr0ub4dor» shop"),
    ("secret.password", "echo 'bob:«kR7vQ2xLp9»' | chpasswd"),
    ("secret.password", "machine h login bob password «kR7vQ2xLp9»"),
    ("secret.basic_auth", "curl -u bob:«kR7vQ2xLp9» https://h/"),
    ("secret.basic_auth", 'curl --user "bob:«hunter2»" https://h/'),
    ("secret.basic_auth", "git clone https://bob:«kR7vQ2xLp9»@git.corp.net/a.git"),
    ("secret.basic_auth", "Authorization: Basic «Ym9iOktxN3ZSMnhMcDk=»"),
    ("secret.basic_auth", '{"auths": {"ghcr.io": {"auth": "«Ym9iOktxN3ZSMnhMcDk=»"}}}'),
    ("secret.basic_auth", 'requests.get(url, auth=("bob", "«kR7vQ2xLp9»"))'),
    ("secret.bearer_token", "Authorization: Bearer «Zq3vT0xkWm2Lr8sYd1uZc5nBh7pJf4gE»"),
    ("secret.bearer_token", "'Authorization': 'Token «9f1c2ab37d0e4485b6c1d2e3f4a5968778695a4b»'"),
    ("secret.generic", "X-Api-Key: «Zq3vT0xkWm2Lr8sYd1uZc5nB»"),
    ("secret.generic", "our API key is «Zk8qPw9LmX2vB7nR4tYc»."),
    ("secret.generic", "MAPTILES_KEY=«4f1c2ab37d0e4485b6c1d2e3f4a59687»"),
    ("secret.generic", '"client_secret": "«3f2a91c4-7b1d-4e58-a90c-d2b6e8f01745»"'),
    ("secret.session", "Cookie: theme=dark; sessionid=«q7x2m9vk4t8z1w5r3n6p0s2d4f»; lang=de"),
    ("secret.database_url", "DATABASE_URL=«postgres://app:Tz8kQ1mWx3@db.internal:5432/shop»"),
    ("secret.database_url", 'uri: "«mongodb+srv://u1:kq%40Vb7Lm2@c0.ab1cd.mongodb.net/?w=majority»"'),
    ("secret.database_url", "see «redis://:V9x2LkQe7@10.0.0.4:6379/0»."),
    ("secret.database_url", "('«ftp://bob:kR7vQ2xLp9@files.corp.net/in»')"),
    ("secret.aws_secret_access_key", "aws_secret_access_key = «q7X2m9vK4t8Z1w5R3n6P0s2D/fGh+jKlMnBvCxZa»"),
    ("secret.aws_secret_access_key", 'AKIA2E5XQ7RN4TYKWMZP,«q7X2m9vK4t8Z1w5R3n6P0s2D/fGh+jKlMnBvCxZa»'),
    ("secret.azure_storage", "AccountKey=«" + "q7X2m9vK4t8Z1w5R3n6P0s2DfGh+jKlMnBvCxZa/" * 2 + "q7X2m9==»;EndpointSuffix=x"),
    ("secret.password_hash", "root:«$2b$12$q7X2m9vK4t8Z1w5R3n6P0eD/fGh.jKlMnBvCxZaQ7X2m9vK4t8Z1a»:1:2"),
    ("secret.wifi", "WIFI:T:WPA;S:home;P:«tr0ub4dor»;;"),
    ("secret.wifi", 'network={ssid="home" psk="«wintermute77»"}'),
    ("secret.crypto_wallet", "seed phrase: «hurdle frozen quantum salmon velvet wagon zebra maple ocean merit abandon ability»"),
    ("secret.age", "«AGE-SECRET-KEY-1" + "QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7LQPZRY9X8GF2TVDW0S3JN54KHCE»"),
]  # fmt: skip
SENTENCES = [
    "The password is «hunter2».", "the wifi password is now «Summer2024!»", "Use password «kR7vQ2xLp9» to log in",
    "Das Passwort lautet «sommer23».", "Passwort: «sommer23»", "Le mot de passe est «soleil75»",
    "mot de passe : «soleil75»", "La contraseña es «verano99», gracias", "contraseña: «verano99»",
    "A senha é «praia2020»", "La password è «estate88»", "Het wachtwoord is «zomer2021».", "Hasło: «lato1999»",
    "Пароль: «leto2020x»", "密码：«qwe123asd»", "パスワードは«natsu2020»です", "Credentials: admin / «Summer2024!»",
    "Reset the password to «kR7vQ2xLp9» please", "pw: «hunter2»",
]  # fmt: skip


@pytest.mark.parametrize(("kind", "text"), SAID)
def test_what_is_written_down_is_found(scanner: Scanner, kind: str, text: str) -> None:
    plain, start, end = marked(text)
    assert kind in at(scanner.scan_text(plain), start, end), scanner.scan_text(plain, 0.0)


@pytest.mark.parametrize("text", SENTENCES)
def test_what_is_said_is_found(scanner: Scanner, text: str) -> None:
    plain, start, end = marked(text)
    assert "secret.password" in at(scanner.scan_text(plain), start, end), scanner.scan_text(plain, 0.0)


# placeholders and examples, code, what looks random, sentences
NOTHING = r"""
OPENAI_API_KEY=sk-xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx
OPENAI_API_KEY=<your-key>
export OPENAI_API_KEY=sk-...
aws_access_key_id = AKIAIOSFODNN7EXAMPLE
aws_secret_access_key = wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY
GITHUB_TOKEN=ghp_A1bC2dE3fH4iJ5kL6mN7oP8qR9sT0uV1wX2y
token: ${{ secrets.GITHUB_TOKEN }}
token: {{ vault_token }}
api_key=0123456789abcdef0123456789abcdef
api_key: abcdefghijklmnopqrstuvwxyz
secret: changeme
password: changeme
password: ********
password: xxxxxxxx
password=%s
password=%(password)s
password = ""
password: null
password="your_password_here"
PASSWORD=$PASSWORD
PASSWORD=${DB_PASSWORD:-}
password: <password>
password = "password"
postgres://user:password@localhost/db
postgres://postgres:postgres@db:5432/app
redis://localhost:6379/0
https://user:pass@example.com/
mysql://root:root@db/test
https://api.example.com:8443/v1@latest
key = os.environ["OPENAI_API_KEY_1"]
apiKey: process.env.OPENAI_API_KEY_2
token = getenv("SLACK_BOT_TOKEN_1")
password = config.password2
password=self.password1)
def login(user: str, password: str = None):
password = get_password(1)
parser.add_argument("--password", help="the password")
const [password, setPassword] = useState('')
if password == other.pass1:
token = tokens[0]
self.token = token or default_token_2
public_key = load_key_v2(path)
secretName: my-tls-secret-v2
"password": "Enter your password"
"password": "Passwort"
password: string
passwordHash: bcrypt2
type="password" name="password"
export type Password2 = string;
PWD=/home/bob/src2
--- PASS: TestLogin2 (0.01s)
pass: 12, fail: 3
bypass=true
max_tokens: 4096
tokenizer: bert-base-uncased-v2
nextPageToken: CAUQAA1xY2zQpW9rTk3bB8
total_tokens=1234567890123456
550e8400-e29b-41d4-a716-446655440000
commit 9f1c2ab37d0e4485b6c1d2e3f4a5968778695a4b
sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855
"integrity": "sha512-q7X2m9vK4t8Z1w5R3n6P0s2DfGh+jKlMnBvCxZaq7X2m9vK4t8Z1w5R3n6P0s2DfGh+jKlMnBvCxZaQW=="
md5 d41d8cd98f00b204e9800998ecf8427e
prompt_id: 3f2a91c47b1d4e58a90cd2b6e8f01745
color: #a1b2c3; background: #d4e5f6
version 1.2.3-beta.4+build.5678
2024-11-25T20:04:36.123456Z
data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk
etag: W/"5f3a-q7X2m9vK4t8Z1w5R3n6P0s2D"
order 8812-4471-2203
The password is SHA-256 hashed.
Your password is too short: 8 characters at least.
the password is case-sensitive
Passwords are stored with bcrypt.
Basic authentication is not supported.
Bearer tokens expire after 3600 seconds.
the secret is to practise
a token is a piece of text
if "-----BEGIN RSA PRIVATE KEY-----" in text:
-----BEGIN CERTIFICATE-----
eyJhbGciOiJIUzI1NiJ9
docker run -u 1000:1000 img
the user is identified by 'name'
mysql -u root -p shop
Das Passwort lautet bitte wie immer
""".strip().splitlines()


@pytest.mark.parametrize("text", [*NOTHING, "-----BEGIN PRIVATE KEY-----\n...\n-----END PRIVATE KEY-----"])
def test_what_stands_for_a_secret_is_none(scanner: Scanner, text: str) -> None:
    assert scanner.scan_text(text) == []


def pem(key: ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey, form: serialization.PrivateFormat) -> str:
    return key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()).decode()


def key_blocks() -> list[str]:
    forms = serialization.PrivateFormat
    small, curve = ed25519.Ed25519PrivateKey.generate(), ec.generate_private_key(ec.SECP256R1())
    return [
        pem(small, forms.PKCS8),
        pem(small, forms.OpenSSH),
        pem(curve, forms.PKCS8),
        pem(curve, forms.TraditionalOpenSSL),
    ]


@pytest.mark.parametrize("wrap", ["{}", "key: |\n  {}\nend"])
def test_private_keys_are_found_whole(scanner: Scanner, wrap: str) -> None:
    for block in key_blocks():
        text = wrap.replace("{}", block.strip())
        start = text.index("-----BEGIN")
        found = [(f.start, f.end) for f in scanner.scan_text(text) if f.kind == "secret.private_key"]
        assert found == [(start, start + len(block.strip()))]


def test_two_private_keys_are_two(scanner: Scanner) -> None:
    block = key_blocks()[0].strip()
    found = scanner.scan_text(f"a\n{block}\nb\n{block}\n")
    assert [(f.start, f.end - f.start) for f in found] == [(2, len(block)), (2 + len(block) + 3, len(block))]


def test_private_keys_are_found_in_strings(scanner: Scanner) -> None:
    for block in key_blocks():
        text = json.dumps({"type": "service_account", "private_key": block})
        [found] = [f for f in scanner.scan_text(text) if f.kind == "secret.private_key"]
        assert text[found.start : found.end].startswith("-----BEGIN")
        assert text[found.start : found.end].endswith("KEY-----")


def test_a_private_key_without_end_is_found(scanner: Scanner) -> None:
    block = key_blocks()[2].partition("-----END")[0]
    [found] = scanner.scan_text(f"first\n{block}")
    assert found.kind == "secret.private_key"
    assert found.start == 6


def jwt(header: dict[str, str]) -> str:
    parts = (json.dumps(part, separators=(",", ":")).encode() for part in (header, {"sub": "8812", "role": "admin"}))
    return ".".join(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in parts) + "."


@pytest.mark.parametrize("signature", ["", "q3vT0xkWm2Lr8sYd1uZc5nBh7pJf4gEa6iKo9QtVwX4"])
def test_json_web_tokens(scanner: Scanner, signature: str) -> None:
    token = jwt({"alg": "ES256" if signature else "none"}) + signature
    for context in CONTEXTS[:8]:
        text = context.replace("%", token)
        start = text.index(token)
        assert "secret.jwt" in at(scanner.scan_text(text), start, start + len(token)), text
    assert "secret.jwt" not in {f.kind for f in scanner.scan_text(jwt({"typ": "JWT"}) + signature)}


def test_a_checksum_makes_a_token_certain(scanner: Scanner) -> None:
    body, digits = drawn("{a30}", 1), string.digits + string.ascii_uppercase + string.ascii_lowercase
    number, check = zlib.crc32(body.encode()), ""
    for _ in range(6):
        number, rest = divmod(number, 62)
        check = digits[rest] + check
    [right] = scanner.scan_text(f"ghp_{body}{check}")
    [wrong] = scanner.scan_text(f"ghp_{body}{check[::-1]}")
    assert right.confidence > 0.98 > wrong.confidence >= FLOOR


CHECKS = [*SIMPLE.values(), MADE["random"]("16")]


@given(st.text(max_size=200))
def test_checks_answer_for_any_text(text: str) -> None:
    assert all(check(text) in (True, False) for check in CHECKS)


@given(st.characters(), st.integers(min_value=12, max_value=60))
def test_one_character_is_no_secret(character: str, times: int) -> None:
    assert not SIMPLE["not_placeholder"](character * times)
