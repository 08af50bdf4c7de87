"""Secrets of every form in secrets.tsv, and whole snippets whose form tells the secret: keys in PEM, connection strings, headers.

A span is the secret itself, without the words around it: in a connection string the password, in a header what stands behind the
scheme. Names of users and hosts beside it are neutral.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import hmac
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random

from bench.data.grammar import render
from bench.data.pieces import Piece, joined, json_escaped, labelled, neutral
from bench.data.values import keyfiles
from bench.data.values.checksums import BASE62, crc32_base62
from bench.data.values.network import internal_host, ipv4_private


@dataclass(frozen=True, slots=True)
class Form:
    """name: `issuer.form`. said: the issuer as prose names it. variable: what it is called in an environment. bare: whether the
    form alone tells it from any other random string."""

    name: str
    said: str
    variable: str
    bare: bool
    pattern: str

    def make(self, random: Random) -> Piece:
        return labelled(_value(self.pattern, random), kind_of(self.name), self.name)


def kind_of(name: str) -> str:
    return f"secret.{name.split('.')[0]}"


@functools.cache
def forms() -> tuple[Form, ...]:
    lines = (Path(__file__).parent / "secrets.tsv").read_text(encoding="utf-8").splitlines()
    cells = [line.split("\t") for line in lines if line and not line.startswith("#")]
    return tuple(Form(name, said, variable, bare == "y", pattern) for name, said, variable, bare, pattern in cells)


def _value(pattern: str, random: Random) -> str:
    if pattern.startswith("@crc:"):
        return token_with_checksum(pattern[5:], random)
    if pattern.startswith("@jwt"):
        return jwt(random, "service_role" if pattern == "@jwt_service" else "user")
    return render(pattern, random)


def token_with_checksum(prefix: str, random: Random) -> str:
    entropy = "".join(random.choice(BASE62) for _ in range(30))
    return prefix + entropy + crc32_base62(entropy)


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def jwt(random: Random, role: str) -> str:
    """RFC 7519, signed with HMAC SHA-256."""
    claims = {"sub": render("[a-f0-9]{24}", random), "role": role, "iat": 1_700_000_000 + random.randrange(10**7)}
    claims["exp"] = int(str(claims["iat"])) + 86_400
    parts = [json.dumps(part, separators=(",", ":")).encode() for part in ({"alg": "HS256", "typ": "JWT"}, claims)]
    signed = ".".join(_base64url(part) for part in parts)
    return f"{signed}.{_base64url(hmac.digest(random.randbytes(32), signed.encode(), hashlib.sha256))}"


def password(random: Random) -> str:
    """One that may stand in a URL as it is."""
    return render(
        "([A-Za-z][A-Za-z0-9]{8,14}[_-][A-Za-z0-9]{3,6}|[A-Za-z0-9]{14,24}|[A-Z][a-z]{5,9}[0-9]{2,4}[_-][a-z]{3})",
        random,
    )


def _host(random: Random) -> str:
    known = (
        "db.example-shop.io",
        "localhost",
        "postgres",
        "cache.prod.example.net",
        "mq01",
        internal_host(random),
        ipv4_private(random),
    )
    return random.choice(known)


def _user(random: Random) -> str:
    return random.choice(
        [
            "app",
            "svc_orders",
            "postgres",
            "root",
            "admin",
            "reporting",
            "etl",
            "django",
            "analytics",
            "airflow",
            "readonly",
        ]
    )


# Connection strings: `U` the user, `P` the password, `H` the host. Formats by the documentation of the drivers.
URLS = {
    "postgres": "postgresql://U:P@H:5432/orders?sslmode=require",
    "asyncpg": "postgresql+asyncpg://U:P@H/app",
    "mysql": "mysql://U:P@H:3306/shop",
    "pymysql": "mysql+pymysql://U:P@H/wordpress?charset=utf8mb4",
    "mongodb": "mongodb://U:P@H:27017/admin?replicaSet=rs0",
    "mongodb_srv": "mongodb+srv://U:P@cluster0.ab1cd.mongodb.net/prod?retryWrites=true&w=majority",
    "redis": "redis://:P@H:6379/0",
    "rediss": "rediss://default:P@H:6380",
    "amqp": "amqp://U:P@H:5672/%2f",
    "mssql": "mssql+pyodbc://U:P@H/sales?driver=ODBC+Driver+18+for+SQL+Server",
    "clickhouse": "clickhouse://U:P@H:9000/default",
    "oracle": "oracle+cx_oracle://U:P@H:1521/ORCL",
    "neo4j": "neo4j+s://U:P@H:7687",
    "nats": "nats://U:P@H:4222",
    "ftp": "ftp://U:P@H/incoming/",
    "smtp": "smtp://U:P@H:587",
    "ldap": "ldaps://U:P@H:636/dc=corp",
    "https": "https://U:P@H/repo/simple",
    "git_https": "https://oauth2:P@git.example.com/team/service.git",
    "jdbc": "jdbc:postgresql://H:5432/crm?user=U&password=P",
    "jdbc_mysql": "jdbc:mysql://H/erp?user=U&password=P&useSSL=true",
    "ado_net": "Server=H,1433;Database=Sales;User Id=U;Password=P;Encrypt=True;",
    "odbc": "DRIVER={PostgreSQL};SERVER=H;PORT=5432;DATABASE=dw;UID=U;PWD=P;",
    "libpq": "host=H port=5432 dbname=app user=U password=P sslmode=verify-full",
    "pgpass": "H:5432:*:U:P",
    "netrc": "machine H login U password P",
}


def connection(scheme: str, random: Random) -> Piece:
    parts = {
        "U": neutral(_user(random)),
        "H": neutral(_host(random)),
        "P": labelled(password(random), "secret.database", f"database.{scheme}"),
    }
    pieces: list[Piece | str] = []
    form = URLS[scheme]
    for at, character in enumerate(form):
        alone = not (form[at - 1 : at].isalnum() or form[at + 1 : at + 2].isalnum())
        pieces.append(parts[character] if character in parts and alone else character)
    return joined(pieces)


def _azure(kind: str, random: Random) -> Piece:
    key = labelled(render("[A-Za-z0-9+/]{85}[AQgw]==", random), "secret.azure", f"azure.{kind}")
    short = labelled(render("[A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]=", random), "secret.azure", f"azure.{kind}")
    signature = labelled(render("[A-Za-z0-9]{20}%2B[A-Za-z0-9]{22}%3D", random), "secret.azure", f"azure.{kind}")
    name = render("[a-z]{4,9}(prod|data|logs)[0-9]{2}", random)
    return {
        "storage": joined(
            [f"DefaultEndpointsProtocol=https;AccountName={name};AccountKey=", key, ";EndpointSuffix=core.windows.net"]
        ),
        "service_bus": joined(
            [
                f"Endpoint=sb://{name}.servicebus.windows.net/;SharedAccessKeyName=RootManageSharedAccessKey;SharedAccessKey=",
                short,
            ]
        ),
        "cosmos": joined([f"AccountEndpoint=https://{name}.documents.azure.com:443/;AccountKey=", key, ";"]),
        "sas": joined(
            [
                f"https://{name}.blob.core.windows.net/backup?sv=2022-11-02&ss=b&srt=sco&sp=rwdl&se=2027-01-31T00:00:00Z&sig=",
                signature,
            ]
        ),
        "iot": joined([f"HostName={name}.azure-devices.net;SharedAccessKeyName=iothubowner;SharedAccessKey=", short]),
    }[kind]


def _header(kind: str, random: Random) -> Piece:
    pair = f"{_user(random)}:{password(random)}"
    basic = labelled(base64.b64encode(pair.encode()).decode(), "secret.basic_auth", f"basic_auth.{kind}")
    opaque = labelled(render("[A-Za-z0-9_-]{32,48}", random), "secret.bearer", f"bearer.{kind}")
    clear = joined([neutral(_user(random)), ":", labelled(password(random), "secret.basic_auth", f"basic_auth.{kind}")])
    return {
        "basic": joined(["Authorization: Basic ", basic]),
        "bearer": joined(["Authorization: Bearer ", opaque]),
        "x_api_key": joined(["X-API-Key: ", opaque]),
        "cookie": joined(["Cookie: sessionid=", opaque, "; theme=dark"]),
        "curl_user": joined(["curl -u ", clear, " https://nexus.example.org/service/rest/v1/status"]),
        "docker_config": joined(['{"auths": {"registry.example.org": {"auth": "', basic, '"}}}']),
        "npmrc": joined(["//npm.example.org/:_authToken=", opaque]),
    }[kind]


def _aws_pair(random: Random) -> Piece:
    by_name = {form.name: form for form in forms()}
    key, secret = by_name["aws.access_key"].make(random), by_name["aws.secret_key"].make(random)
    return joined(
        ["[default]\naws_access_key_id = ", key, "\naws_secret_access_key = ", secret, "\nregion = eu-central-1"]
    )


def _service_account(random: Random) -> Piece:
    """The JSON file of a Google service account, with a key of PKCS #8 in it."""
    key = labelled(keyfiles.rsa_pkcs8(random), "secret.google", "google.service_account")
    project = render("[a-z]{5,8}-prod-[0-9]{6}", random)
    mail = f"svc-{render('[a-z]{4,8}', random)}@{project}.iam.gserviceaccount.com"
    return joined(
        [
            f'{{\n  "type": "service_account",\n  "project_id": "{project}",\n  "private_key_id": "',
            neutral(render("[a-f0-9]{40}", random)),
            '",\n  "private_key": "',
            json_escaped(key),
            '",\n  "client_email": "',
            neutral(mail),
            f'",\n  "client_id": "{render("1[0-9]{20}", random)}",\n  "token_uri": "https://oauth2.googleapis.com/token"\n}}',
        ]
    )


def _kubernetes(random: Random) -> Piece:
    """A manifest, whose values are base64 of what they are."""
    token = token_with_checksum("ghp_", random)
    values = [base64.b64encode(text.encode()).decode() for text in (password(random), token)]
    marked = [labelled(value, "secret.kubernetes", "kubernetes.secret") for value in values]
    head = "apiVersion: v1\nkind: Secret\nmetadata:\n  name: app\ntype: Opaque\ndata:\n  password: "
    return joined([head, marked[0], "\n  github-token: ", marked[1]])


def snippets() -> dict[str, Callable[[Random], Piece]]:
    """Whole pieces of text that hold a secret, by `issuer.form`."""
    made: dict[str, Callable[[Random], Piece]] = {
        "aws.credentials_file": _aws_pair,
        "google.service_account": _service_account,
    }
    made["kubernetes.secret"] = _kubernetes
    made |= {f"database.{scheme}": functools.partial(connection, scheme) for scheme in URLS}
    made |= {
        f"azure.{kind}": functools.partial(_azure, kind) for kind in ("storage", "service_bus", "cosmos", "sas", "iot")
    }
    for kind in ("basic", "docker_config", "curl_user"):
        made[f"basic_auth.{kind}"] = functools.partial(_header, kind)
    for kind in ("bearer", "x_api_key", "cookie", "npmrc"):
        made[f"bearer.{kind}"] = functools.partial(_header, kind)
    for name, make in keyfiles.KINDS.items():
        made[f"private_key.{name}"] = functools.partial(_key, name, make)
    return made


def _key(name: str, make: Callable[[Random], str], random: Random) -> Piece:
    """PuTTY's files begin with what is public."""
    text = make(random)
    at = max(0, text.find("Private-Lines"))
    return joined([text[:at], labelled(text[at:], "secret.private_key", f"private_key.{name}")])
