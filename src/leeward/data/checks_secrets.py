"""Checks of credentials: what is a placeholder and what is not, checksums that issuers put into their tokens. See checks.py.

Three questions are kept apart. `not_placeholder`: could anybody have this as a secret? (for values whose form already names the
issuer). `random`: is it random text, and no word, identifier, path, version or number? (for values that only a name such as
`api_key` speaks for). `password` and its stricter sisters: could a person have chosen it? (for what somebody called a password).
"""

from __future__ import annotations

import base64
import binascii
import json
import math
import re
import zlib
from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from urllib.parse import unquote

from leeward.data.words_secrets import (
    COMMON_PASSWORDS,
    MEASURE,
    NO_PASSWORD,
    NOTHING,
    PAIRS,
    PASSWORD_WORDS,
    SAYS_SO,
    SENTENCE_WORDS,
    TECHNICAL,
    URL_PLACEHOLDERS,
)

Check = Callable[[str], bool]
_LONGEST_PASSWORD = 128
_LONGEST_KEY = 65536 + 128  # bytes of a PEM block with its markers

_DIGIT, _LETTER, _SPACE, _WORD = (re.compile(p) for p in (r"\d", r"[^\W\d_]", r"\s", r"[^\W_]"))
_SYMBOL = re.compile(r"[!@#$%^&*?+~=|€£§]")
_SORTS = (re.compile(r"[a-z]"), re.compile(r"[A-Z]"), _DIGIT, re.compile(r"[\W_]"))

# -- placeholders ------------------------------------------------------------------------------------------------------

_TEMPLATE = re.compile(
    r"\$\{|\$\(|\$\[|\{\{|\}\}|<[^<>]*>|\{[A-Za-z_][\w.:]*\}|%\(|%%|%[A-Za-z_][\w.]+%|\.\.\.|…|\*{3}|•{3}|#\{|\[[A-Za-z_ -]+\]|@@"
    r"|__[A-Z][A-Z0-9_]*__|-{4}|_{4}|^%[sdrv]$|^\$[A-Za-z_]\w*(?=$|[/:-])|^[$%@]\d$|^&|\\[(\[]|^ENC\["
)
_ELSEWHERE = re.compile(
    r"[A-Za-z_][\w.]*[(\[].*|(?:https?|file|vault|op|ref|secret|ssm|arn|env|data|keyring|gcp|aws|azure|s3)[:+].*|!.*",
    re.DOTALL,
)
_REFERENCE = re.compile(
    r"(?:[A-Za-z_]\w*(?:\.|->|::|\?\.))+[A-Za-z_]\w*[(\[]?.*|(?:~|\.{1,2})?/[\w.~-]+(?:/.*)?|[A-Za-z]:\\.*|(?:%(?:25)*[0-9a-f]{2})+",
    re.DOTALL | re.IGNORECASE,
)
_NOT_LETTER, _NOT_DIGIT = re.compile(r"[^a-z]+"), re.compile(r"[^0-9]+")
_ROW = re.compile(r"(.)\1{4}")
_NEXT = frozenset(a + b for row in ("abcdefghijklmnopqrstuvwxyza", "01234567890") for a, b in pairwise(row))


def not_placeholder(value: str) -> bool:
    """Nothing in it says that it stands for a secret: no template, no "example", no row of one character, no 0123456789."""
    lower = value.lower()
    if lower in NOTHING or SAYS_SO.search(lower) or monotonous(lower):
        return False
    return value.isalnum() or not _TEMPLATE.search(value)


def monotonous(lower: str) -> bool:
    """One character over and over, a handful of characters, or the alphabet and the digits in their order."""
    size, used = len(lower), set(lower)
    if size >= 12 and len(used) <= max(3, min(6, size // 6)):
        return True
    row = _ROW.search(lower)
    return (row is not None and (size <= 20 or row[1] * (size // 4 + 1) in lower)) or _walks(lower)


def _walks(lower: str) -> bool:
    """Most letters follow the letter before, and most digits the digit before: abc123def456, a1b2c3."""
    steps = [*pairwise(_NOT_LETTER.sub("", lower)), *pairwise(_NOT_DIGIT.sub("", lower))]
    return len(steps) >= 5 and sum(a + b in _NEXT for a, b in steps) >= 0.6 * len(steps)


# -- random text -------------------------------------------------------------------------------------------------------

_HEX = re.compile(r"[0-9a-f]+|[0-9A-F]+")
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.IGNORECASE)
_KNOWN_SHAPE = re.compile(
    r"(?:sha(?:1|256|384|512)|md5)[-:].*|[\w.+-]+@[\w-]+\.[\w.]+|[\d.:TZ+_/-]+|v?\d+(?:\.\d+){1,3}\S*|[\w-]+(?:\.[\w-]+)*\."
    r"(?:com|org|net|io|dev|ai|local|internal|json|ya?ml|py|js|ts|go|java|txt|pem|key|crt|md|html?|svg|png|css|so|dll|exe|zip|gz)"
)
_MEMBER = re.compile(r"(?=.{1,40}$)[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)+")
_RUN = re.compile(r"[A-Z]?[a-z]{2,}|[A-Z]{3,}")


def entropy(value: str) -> float:
    """Shannon entropy of the characters, bits a character."""
    size = len(value)
    return -sum(n / size * math.log2(n / size) for n in Counter(value).values()) if size else 0.0


def wordlike(value: str) -> bool:
    """There is a long word in it, or nearly half of it is words: runs of letters, parted at digits, signs and capitals, whose
    pairs of letters are those of words."""
    words = [word for word in _RUN.findall(value) if len(word) > 2 and _is_word(word.lower())]
    if any(len(word) >= 7 for word in words):
        return True
    return sum(map(len, words)) >= 0.45 * len(value)


def _is_word(word: str) -> bool:
    pairs = len(word) - 1
    good = sum(word[i : i + 2] in PAIRS for i in range(pairs))
    return good >= pairs * (1 if pairs < 3 else 0.6 if pairs < 6 else 0.7)


def is_random(argument: str) -> Check:
    """`random:16`: at least so many characters that look random."""
    least = int(argument)

    def check(value: str) -> bool:
        core = value.rstrip("=")
        if len(core) < least or not _LETTER.search(core) or not not_placeholder(value):
            return False
        if (
            _UUID.fullmatch(core)
            or _KNOWN_SHAPE.fullmatch(core)
            or _ELSEWHERE.fullmatch(core)
            or _MEMBER.fullmatch(core)
        ):
            return False
        if entropy(core) < (2.8 if len(core) < 24 else 3.1):
            return False
        if _HEX.fullmatch(core):
            return bool(_DIGIT.search(core))
        if not _DIGIT.search(core) and (len(core) < 20 or core.islower() or core.isupper()):
            return False
        return not wordlike(core)

    return check


def is_uuid(value: str) -> bool:
    """RFC 9562 text form, not all zero or the like."""
    return bool(_UUID.fullmatch(value)) and not monotonous(value.replace("-", "").lower())


# -- passwords ---------------------------------------------------------------------------------------------------------

_NEVER_BARE = frozenset("[]{}<>|^`\\")  # RFC 3986: not in a URL unless encoded
_SNAKE = re.compile(r"[a-z]+\d*(?:[_-](?:[a-z]+\d*|\d+))+|[A-Z]+\d*(?:_(?:[A-Z]+\d*|\d+))+|[a-z]+(?:[A-Z][a-z]+)+\d?")


def is_password(value: str) -> bool:
    """Could be a password that a program holds in quotes: a word too, but no word for a password, label, message or reference."""
    if not 4 <= len(value) <= _LONGEST_PASSWORD or _SPACE.search(value) or not _WORD.search(value):
        return False
    if value[0] in "-:,./" or value[-1] == ":" or not not_placeholder(value):
        return False
    if value.isdigit():
        return len(value) >= 6
    lower = value.lower()
    if lower in COMMON_PASSWORDS:
        return True
    plain_word = not _DIGIT.search(value) and not _SYMBOL.search(value)
    if plain_word and (len(value) < 6 or not lower.isascii() or PASSWORD_WORDS.search(lower)):
        return False
    refused = (NO_PASSWORD, _ELSEWHERE, _REFERENCE, TECHNICAL, MEASURE, _KNOWN_SHAPE)
    return not any(pattern.fullmatch(value) for pattern in refused)


def is_mixed_password(value: str) -> bool:
    """The same where nothing else parts it from the text: a digit or sign among its letters, so that it is no word of a sentence
    and no name of a program."""
    if not is_password(value) or not _LETTER.search(value) or "\\" in value:
        return False
    if value.lower() in COMMON_PASSWORDS:
        return True
    if _SNAKE.fullmatch(value) and wordlike(value):
        return False
    return bool(_DIGIT.search(value) or _SYMBOL.search(value.strip("!?*"))) or (
        value[-1] == "!" and not value[0].isupper()
    )


def is_strong_password(value: str) -> bool:
    """Eight or more characters of at least three sorts (lower, upper, digit, sign): hardly ever anything but a password."""
    return len(value) >= 8 and sum(bool(sort.search(value)) for sort in _SORTS) >= 3 and is_mixed_password(value)


def is_used_password(value: str) -> bool:
    """A password that stands where one is used (a URL, a command line, SQL): any but the words that stand for one."""
    return _in_use("", unquote(value))


def _in_use(user: str, password: str) -> bool:
    if not password:
        return bool(user) and is_random("16")(user)
    if (
        len(password) < 3
        or password.lower() == user.lower()
        or not not_placeholder(password)
        or _SPACE.search(password)
    ):
        return False
    if password.lower() in URL_PLACEHOLDERS or password[0] in "$%:" or _REFERENCE.fullmatch(password):
        return False
    return _NEVER_BARE.isdisjoint(user + password)


def is_passphrase(value: str) -> bool:
    """Words of a seed or passphrase: 4 to 24 words of lower case, none of them one that holds sentences together."""
    parts = value.split()
    plain = all(part.isalpha() and part.islower() and 3 <= len(part) <= 12 for part in parts)
    return 4 <= len(parts) <= 24 and plain and SENTENCE_WORDS.isdisjoint(parts) and len(set(parts)) >= len(parts) - 1


# -- forms that prove themselves ---------------------------------------------------------------------------------------

_BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_NOT_KEY = re.compile(r"\\[nrt]|[\s\"'+,\\>|]")
_BASE64_RUN = re.compile(r"[A-Za-z0-9/=_-]{40,}")


def has_token_checksum(value: str) -> bool:
    """The last six characters are the CRC-32 of the 30 before, in base 62, as in GitHub's and npm's tokens
    (github.blog/2021-04-05-behind-githubs-new-authentication-token-formats)."""
    body = value.rpartition("_")[2]
    number, digits = zlib.crc32(body[:-6].encode()), ""
    while number:
        number, rest = divmod(number, 62)
        digits = _BASE62[rest] + digits
    return len(body) == 36 and digits.rjust(6, "0") == body[-6:]


def decoded(text: str) -> bytes:
    """Base64 of either alphabet, with or without padding; b"" for what is none."""
    plain = text.rstrip("=").replace("-", "+").replace("_", "/")
    try:
        return base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)
    except (binascii.Error, ValueError):
        return b""


def is_jwt(value: str) -> bool:
    """The first part is a JOSE header (RFC 7515): a JSON object with `alg`."""
    try:
        header = json.loads(decoded(value.partition(".")[0]))
    except (ValueError, RecursionError):
        return False
    return isinstance(header, dict) and isinstance(header.get("alg"), str)


def is_basic_credentials(value: str) -> bool:
    """RFC 7617: base64 of `user:password`, the password being none that stands for one."""
    try:
        user, colon, password = decoded(value).decode().partition(":")
    except UnicodeDecodeError:
        return False
    return bool(colon and user + password) and (user + password).isprintable() and _in_use(user, password)


def has_url_password(value: str) -> bool:
    """`scheme://user:password@host`: a password is there, and nobody's example."""
    authority = re.split(r"[/?#](?=[^@]*$)", value.partition("://")[2], maxsplit=1)[0]
    user, _, password = authority.rpartition("@")[0].partition(":")
    return bool(password) and _in_use(unquote(user), unquote(password))


def is_key_block(value: str) -> bool:
    """After the marker of a PEM or PGP block there is enough base64 for a key, and not more than 64 KiB."""
    if len(value) > _LONGEST_KEY:
        return False
    body = value.partition("-----")[2].partition("-----")[2]
    runs = _BASE64_RUN.findall(_NOT_KEY.sub("", body.partition("-----END")[0]))
    return any(entropy(run) >= 4.0 for run in runs)


def is_discord_token(value: str) -> bool:
    """The first part is the account's number (a snowflake of 17 to 20 digits) in base64."""
    return decoded(value.partition(".")[0]).isdigit()


SIMPLE: dict[str, Check] = {
    "not_placeholder": not_placeholder,
    "uuid": is_uuid,
    "password": is_password,
    "mixed_password": is_mixed_password,
    "strong_password": is_strong_password,
    "used_password": is_used_password,
    "url_password": has_url_password,
    "passphrase": is_passphrase,
    "token_checksum": has_token_checksum,
    "jwt": is_jwt,
    "basic_credentials": is_basic_credentials,
    "key_block": is_key_block,
    "discord_token": is_discord_token,
}
MADE: dict[str, Callable[[str], Check]] = {"random": is_random}
