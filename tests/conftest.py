"""Which tests may run beside which (pytest-xdist).

Those that start servers, clients, namespaces or the sensor on this host run one after another, in one process: the sensor's tests
see the whole host. The others are computation and run beside them, file by file. xdist's
`loadgroup` does nothing with pytest 9.2.
"""

from __future__ import annotations

from typing import Any

import pytest

ON_THE_HOST = ("cli", "enforce", "gateway", "live", "range", "sensor", "ui")
#: Files of those rooms that only compute, or only read what was recorded.
BESIDE = frozenset(
    f"test_{name}.py"
    for room, names in {
        "cli": "baseline replay classify policy query incidents",
        "enforce": "addresses connect holder judge names rules spans",
        "gateway": "parts",
        "range": "recorded",
        "sensor": "calibrate files layout pcap ring system unix",
    }.items()
    for name in (f"{room}_{one}" for one in names.split())
)


#: Files of other rooms that have real clients and servers speak of AI, which the sensor's tests would see.
AMONG = ("test_ai_mcp_peers.py",)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    from xdist.scheduler import LoadScopeScheduling

    class ByRoom(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            path = nodeid.split("::", 1)[0]
            room, name = path.split("/")[1], path.rsplit("/", 1)[1]
            host = name in AMONG or (room in ON_THE_HOST and name not in BESIDE)
            return "host" if host else path

        def _assign_work_unit(self, node: Any) -> None:
            """The longest of all begins first."""
            if "host" in self.workqueue:
                self.workqueue.move_to_end("host", last=False)
            super()._assign_work_unit(node)

    return ByRoom(config, log)
