"""detect-secrets with all its plugins and its default filters, in its kindest reading. Nothing is verified over the network.

It scans files and looks at their names, and a text has none. Each is scanned as YAML: of .txt, .py, .conf and all of them
together that gave the best F1 on our corpora, since what is not in quotes is found too. A private key, of which it reports
the first line, counts to its end.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from detect_secrets.core import scan
from detect_secrets.core.plugins.util import get_mapping_from_secret_type_to_class
from detect_secrets.core.potential_secret import PotentialSecret
from detect_secrets.settings import configure_settings_from_baseline

from bench.data.records import Match

_PLUGINS = [{"name": plugin.__name__} for plugin in get_mapping_from_secret_type_to_class().values()]
configure_settings_from_baseline({"plugins_used": _PLUGINS})
_FOLDER = tempfile.TemporaryDirectory(prefix="leeward-bench-")
_PATH = Path(_FOLDER.name) / "prompt.yaml"


def find(text: str) -> list[Match]:
    lines = text.splitlines(keepends=True)
    starts = [0]
    for line in lines:
        starts.append(starts[-1] + len(line))
    _PATH.write_text(text, encoding="utf-8")
    found: dict[Match, None] = {}
    for secret in scan.scan_file(str(_PATH)):
        number = min(secret.line_number, len(lines)) - 1
        for match in _places(secret, text, starts[number], lines[number]):
            found[match] = None
    return list(found)


def _places(secret: PotentialSecret, text: str, at: int, line: str) -> list[Match]:
    """Where in the text the secret stands; if the line was transformed, then its first place anywhere."""
    value = secret.secret_value or ""
    start = at + line.find(value) if value in line else text.find(value)
    if not value or start < 0:
        return []
    begin, end = start, start + len(value)
    if secret.type == "Private Key":
        begin = start if value.startswith("-----") else max(0, text.rfind("-----", 0, start))
        close = text.find("-----END", end)
        end = text.find("-----", close + 8) + 5 if close >= 0 else end
    return [Match(begin, end, secret.type, 1.0)]
