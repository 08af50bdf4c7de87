"""What a program was given when it began: variables that change whom it talks to or what it loads, and keys that lie open.

Invariants: any bytes are taken; no credential is kept, only its fingerprint; what comes out is bounded.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

import msgspec

from leeward.ai.keys import KeyForms, fingerprint, redact_url
from leeward.model.raw import FoundKey, ProcessExec

_MOST, _VALUE = 16, 512  # variables and keys of a process, characters of a value
_KEY = range(16, 513)  # characters of what may be a key
# Loaders, interpreters' start-up, proxies and their certificates, and where the AI providers' SDKs look for their servers.
_TELLING = re.compile(
    r"LD_(?:PRELOAD|LIBRARY_PATH|AUDIT)|PYTHON(?:STARTUP|PATH|HOME)|NODE_OPTIONS|BASH_ENV|PERL5(?:OPT|LIB)|RUBYOPT"
    r"|JAVA_TOOL_OPTIONS|PROMPT_COMMAND|SSLKEYLOGFILE|NODE_EXTRA_CA_CERTS|NODE_TLS_REJECT_UNAUTHORIZED"
    r"|(?:SSL_CERT|REQUESTS_CA|CURL_CA)_(?:FILE|DIR|BUNDLE)|(?i:(?:https?|all|ftp)_proxy)"
    r"|[A-Z0-9_]*_(?:BASE_URL|API_BASE|API_URL|API_HOST|ENDPOINT|BASE_URI)|OLLAMA_HOST|HF_ENDPOINT|AWS_ENDPOINT_URL[A-Z_]*"
)
_WORD = re.compile(r"[\w.+/=-]+")
_NAME = re.compile(r"-{0,2}([A-Za-z][\w.-]{0,63})=")


def surrounded(event: ProcessExec, environ: bytes, forms: KeyForms) -> ProcessExec:
    """The event with what its environment (`NAME=value`, NUL between) and its command line have."""
    named = list(_variables(environ))
    keys = [*_keys_of_words(event.argv, forms), *_keys_of_variables(named, forms)]
    variables = [(name, redact_url(value[:_VALUE], forms)) for name, value in named if _TELLING.fullmatch(name)]
    if not keys and not variables:
        return event
    unique = dict.fromkeys(keys)
    return msgspec.structs.replace(event, keys=tuple(unique)[:_MOST], variables=tuple(variables[:_MOST]))


def _variables(environ: bytes) -> Iterator[tuple[str, str]]:
    for entry in environ.decode("utf-8", "replace").split("\0"):
        name, given, value = entry.partition("=")
        if given:
            yield name, value


def _keys_of_variables(named: Iterable[tuple[str, str]], forms: KeyForms) -> Iterator[FoundKey]:
    for name, value in named:
        if len(value) in _KEY and _WORD.fullmatch(value) and (provider := forms.provider(value)):
            yield FoundKey(provider, fingerprint(value), "environ", name[:64])


def _keys_of_words(argv: Iterable[str], forms: KeyForms) -> Iterator[FoundKey]:
    option = ""
    for word in argv:
        if len(word) >= _KEY.start:
            given = _NAME.match(word)
            for provider, secret in forms.found(word[: 16 * _VALUE]):
                yield FoundKey(provider, fingerprint(secret), "argv", given[1] if given else option)
        option = word.lstrip("-")[:64] if word.startswith("-") and "=" not in word and len(word) < 65 else ""
