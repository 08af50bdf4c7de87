"""An agent that does nothing but hold: live_enforcer.py POLICIES DEADLINE_MS FAIL PID ...

Prints "ready", reads commands from standard input, one a line, and answers each with a line of JSON: `pids` (of holder and
judge), `counts`, `decided` (what was decided since the last time), `end`.
"""

import json
import os
import select
import sys
import time
from pathlib import Path

import msgspec

from leeward.enforce import sockets
from leeward.enforce.enforcer import Enforcer
from leeward.enforce.messages import Decided, Who
from leeward.model.exchange import ProcessRef
from leeward.model.process import Workload
from leeward.model.raw import ProcessExec, RawEvent
from leeward.sensor.kernel import KernelSensor, Options
from leeward.sensor.layout import PLAIN_CONNECTION


def introduce(enforcer: Enforcer, events: list[RawEvent]) -> None:
    """A child of a held process that runs a program of its own waits until it is told who that is."""
    for event in events:
        if isinstance(event, ProcessExec) and event.pid in enforcer.held:
            try:
                argv = Path(f"/proc/{event.pid}/cmdline").read_bytes().decode().split("\0")
                process = ProcessRef(pid=event.pid, exe=os.readlink(f"/proc/{event.pid}/exe"), argv=argv)
            except OSError:
                continue  # it is gone
            enforcer.hold(msgspec.structs.replace(enforcer.held[event.pid], process=process))


def main(policies: str, pids: list[int], deadline: int, fail: str) -> None:
    sensor = KernelSensor(Options())
    sensor.scan()
    enforcer = Enforcer(sensor, [Path(policies)], b"k" * 32)
    try:
        enforcer.ready()
        for pid in pids:
            who = Who(pid, ProcessRef(pid=pid), Workload(f"exe:{pid}", "test", "executable"), None, deadline, fail)
            enforcer.hold(who)
            sensor.watch_plain(pid)
        until = time.monotonic() + 10
        while time.monotonic() < until and enforcer.totals()["taken"] < len(pids):
            enforcer.poll()
            time.sleep(0.01)
        print(json.dumps({"ready": True, "refused": enforcer.refused}), flush=True)
        decided: list[Decided] = []
        while True:
            events = sensor.poll(0.01)
            fresh = enforcer.poll()
            introduce(enforcer, events)
            decided += fresh
            for one in fresh:
                if one.action == "block" and one.tls & PLAIN_CONNECTION:
                    sockets.destroy_by_cookie(one.pid, one.tls ^ PLAIN_CONNECTION)
            if not select.select([0], [], [], 0)[0]:
                continue
            command = os.read(0, 100).decode().strip()
            if command == "pids":
                answer: object = enforcer.pids()
            elif command == "counts":
                sensor.stats()
                answer = dict(enforcer.totals()) | {k: v for k, v in sensor.counters.items() if k.startswith("hold_")}
            elif command == "decided":
                answer, decided = msgspec.to_builtins(decided), []
            else:
                return
            print(json.dumps(answer), flush=True)
    finally:
        enforcer.close()
        sensor.close()


if __name__ == "__main__":
    main(sys.argv[1], [int(pid) for pid in sys.argv[4:]], int(sys.argv[2]), sys.argv[3])
