"""Which tests may run beside which (pytest-xdist, `--dist loadgroup`).

Those that start servers, clients, namespaces or the sensor on this host run one after another: the sensor's tests see the whole
host. The others are computation and run beside them, file by file.
"""

from __future__ import annotations

from pathlib import Path

import pytest

HERE = Path(__file__).parent
ON_THE_HOST = ("api", "cli", "enforce", "gateway", "live", "range", "sensor", "ui")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents:
            room = item.path.relative_to(HERE).parts[0]
            group = "host" if room in ON_THE_HOST else str(item.path.relative_to(HERE))
            item.add_marker(pytest.mark.xdist_group(group))
