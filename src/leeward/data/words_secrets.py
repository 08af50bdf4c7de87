"""Words that tell a secret from what stands for one, for checks_secrets.py. All of lower case."""

from __future__ import annotations

import re


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


def _any_of(words: str) -> re.Pattern[str]:
    return re.compile("|".join(map(re.escape, words.split())))


SAYS_SO = _any_of(
    """example sample placeholder dummy redacted masked fixme lorem fake mock bogus invalid deadbeef xxxx changeme change-me
    change_me changeit change-it change_this change-this replace- replace_ replaceme insert- insert_ foobar foo-bar foo_bar
    notreal not-real not_real notasecret not-a- not_a_ some- some_ enter- enter_ supersecret super-secret super_secret your-
    your_ yourapi yoursecret yourtoken yourkey yourpass yourclient youraccess youraccount my-api my_api my-secret my_secret
    mysecret my-token my_token mytoken my-key my_key my-pass my_pass my-access my_access todo- todo_ tokenhere token-here
    token_here keyhere key-here key_here secrethere secret-here secret_here -here _here"""
)
"""A value with one of these in it stands for another."""

NOTHING = _set("null none nil undefined true false yes no empty unset n/a na tbd todo string str value default")
"""A value that is one of these is none."""

PASSWORD_WORDS = _any_of(
    """pass pwd pswd secret token credential kennwort contrase senha wachtwoord haslo hasło parol пароль motdepasse mot-de login
    user field string input label required optional hidden basic bearer plain auth encrypt hash digest none test foo bar abc
    lösenord losenord salasana heslo"""
)
"""A password of letters alone with one of these in it is a name, a label or a type."""

COMMON_PASSWORDS = _set(
    """letmein iloveyou qwerty qwertyuiop qwertz azerty asdfgh asdfghjkl zxcvbn zxcvbnm dragon monkey football baseball sunshine
    princess welcome shadow superman batman whatever starwars trustnoone opensesame swordfish hunter killer pokemon liverpool
    arsenal schatz hallo hallowelt"""
)
"""Words without digits that people are known to take as passwords."""

URL_PLACEHOLDERS = _set(
    """pass password passwd passw0rd pwd secret pw test token admin user root guest postgres mypassword mypass passwort hunter
    userpass username"""
)
"""What documentation writes between `user:` and `@host`."""

SENTENCE_WORDS = _set("the and for with that this from are you your not must was has password enter phrase word words")
"""Words that no list of seed words has."""

NO_PASSWORD = re.compile(
    r"""(?:admin|root|guest|postgres|mysql|redis|oracle|sa|test\d?|text|email|e-?mail|name|username|key|file|env|prompt|ask|always
    |never|object|any|int|integer|number|bool|boolean|varchar|char|byte|bytes|self|this|request|response|config|options?|args?
    |kwargs|data|body|params?)\d?|[x*!]:.*""",
    re.IGNORECASE | re.VERBOSE,
)
"""Names of types, of accounts and of parameters."""

TECHNICAL = re.compile(
    r"""(?:sha|md|aes|rsa|utf|base|iso|rfc|http|ipv|tls|ssl|oauth|bcrypt|scrypt|argon|pbkdf|blake|hmac|int|uint|float|n?varchar|char
    |string|str|arg|value|param|col|field|var|step|level|type|option|rule|line|page|part|win|ntlm|md5crypt|unix|x509
    |pkcs|openssl|python|java|ubuntu|debian)
    [-_ ]?\d{1,4}(?:[-_.]?[a-z]*(?:[-_ ][a-z0-9]+)*)?
    |(?:pw|pwd|pass(?:word|wd)?|token|secret|user|key)[-_]?\d|[a-z]\d{1,4}""",
    re.IGNORECASE | re.VERBOSE,
)
"""Algorithms, types and numbered names: sha256-hashed, utf8, arg1, password2."""

MEASURE = re.compile(
    r"""\d{1,4}(?:[.,:x/-]\d+)*[-+%]?[-_]?[a-zµ]{0,3}|\d+[-_]?(?:chars?|characters?|digits?|bytes?|bits?|days?|hours?|min\w*|sec\w*|times)\b.*""",
    re.IGNORECASE,
)
"""Numbers with a unit."""

PAIRS = _set(
    """th he in er an re nd at on nt ha es st en ed to it ou ea hi is or ti as te et ng of al de se le sa si ar ve ra
    ld ur ic ri ro me li io ne om ma ce co el la us ns ec ch ll be ta ee ss ca so no ot tr ge id il un wa ac ut ad ho
    pe em ow mo ly di ai oo wi rs ts sh su pa po pr pl ke ct rt if op bl ay ey ck gh ht ir ol ul um nc fo ab am ap av
    ev ex fi fe gr im lo mi na ni os ov ph qu rd rm rn ru sc sp sk sy tu ty ub ud up va vi we wo wh ye cl cr da do dr
    ef ep ff fr ga gi go gl ie ig ia iv ks lt mp nk nn ob od oc og pp rc rk rr tc tt ue ag bi bo br cu du ew gu jo ki
    kn lu mm mu nu oa ok ps sm tw ug uc ze"""
)
"""Pairs of letters that make up most of English text and of the names in programs; of random letters about three in ten are."""
