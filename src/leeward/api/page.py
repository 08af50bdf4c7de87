"""The page: the form to log in, rendered here without a script, and the built one behind it.

Invariant: every value passes through `_text`, which makes control characters visible and escapes HTML.
"""

from __future__ import annotations

import base64
import hashlib
from html import escape
from pathlib import Path
from typing import Any

from leeward.api.visible import one_line

STYLE = (
    "body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:76rem;padding:0 1rem;color:#1b2430}"
    "h1{font-size:1.5rem}h2{font-size:1.1rem;margin-top:2rem}table{border-collapse:collapse;width:100%}"
    "th,td{text-align:left;padding:.25rem .6rem;border-bottom:1px solid #dde3ea;vertical-align:top}"
    "th{font-weight:600;color:#4a5765}td{overflow-wrap:anywhere}.bad{color:#a4161a;font-weight:600}"
    ".n{text-align:right;font-variant-numeric:tabular-nums}form{display:inline}"
    "input,button{font:inherit;padding:.3rem .6rem}header{display:flex;justify-content:space-between}"
)
_STYLE_HASH = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
CSP = (
    f"default-src 'none'; script-src 'self'; style-src 'self' 'sha256-{_STYLE_HASH}'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
"""For every answer of the server: what the page needs and nothing else."""
STATIC = Path(__file__).parent / "static"
"""The built page. Everything in it may be kept by browsers but index.html: the names hold hashes."""


def login_page(problem: str = "") -> str:
    said = f'<p class="bad">{_text(problem)}</p>' if problem else ""
    return _document(
        f"<h1>Leeward</h1>{said}<p>Paste the token that was printed at the first start (or one from "
        "<code>leeward token create</code>).</p>"
        '<form method="post" action="/login"><input type="password" name="token" autocomplete="current-password" '
        'size="50" required autofocus aria-label="Token"> <button>Log in</button></form>'
    )


def built_page() -> str:
    """The page as it was built (ui/), or how to build it."""
    index = STATIC / "index.html"
    if index.is_file():
        return index.read_text(encoding="utf-8")
    return _document(
        "<h1>Leeward</h1><p>The page was not built into this copy: <code>make setup</code> does. The API works.</p>"
    )


def _text(value: Any) -> str:
    return "" if value is None else escape(one_line(str(value), 300), quote=True)


def _document(body: str) -> str:
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width"><link rel="icon" href="/assets/leeward.svg">'
        f"<title>Leeward</title><style>{STYLE}</style></head>"
        f"<body>{body}</body></html>"
    )
