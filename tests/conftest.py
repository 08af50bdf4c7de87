"""Which tests may run beside which (pytest-xdist).

Those that start servers, clients, namespaces or the sensor on this host run one after another, in one process: the sensor's tests
see the whole host. The others are computation and run beside them, file by file. xdist's
`loadgroup` does nothing with pytest 9.2.
"""

from __future__ import annotations

from typing import Any

import pytest

ON_THE_HOST = ("api", "cli", "enforce", "gateway", "live", "range", "sensor", "ui")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    from xdist.scheduler import LoadScopeScheduling

    class ByRoom(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            path = nodeid.split("::", 1)[0]
            return "host" if path.split("/")[1] in ON_THE_HOST else path

    return ByRoom(config, log)
