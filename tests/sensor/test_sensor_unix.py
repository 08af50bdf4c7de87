"""From the kernel's records of UNIX sockets to raw events."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leeward.model.net import Endpoint
from leeward.model.raw import SocketOpened, SocketStats, UnixData
from leeward.sensor import decode, layout
from leeward.sensor.unix_counts import IDLE_NS, MANY, unix_stats

NUMBER = layout.unix_number(7, 9)


@pytest.mark.parametrize(
    ("raw", "path"),
    [
        (b"/run/postgresql/.s.PGSQL.5432\0", "/run/postgresql/.s.PGSQL.5432"),
        (b"/as/long/as/it/may/be", "/as/long/as/it/may/be"),
        (b"\0/abstract/.s.PGSQL.1", "@/abstract/.s.PGSQL.1"),
        (b"mysql.sock\0", "./mysql.sock"),
        (b"/odd-\xff\0", "/odd-?"),
        (b"", ""),
    ],
)
def test_a_path_as_people_write_it(raw: bytes, path: str) -> None:
    assert decode.unix_path(raw) == path


@given(st.integers(0, 2**64 - 1), st.integers(0, 2**32 - 1), st.integers(0, 2**64 - 1), st.integers(0, 2**32 - 1))
def test_a_number_is_no_cookie_and_tells_generations_apart(inode: int, generation: int, other: int, later: int) -> None:
    number = layout.unix_number(inode, generation)
    assert 2**63 <= number < 2**64
    same = (inode & 0xFFFFFFFF, generation & 0x7FFFFFFF) == (other & 0xFFFFFFFF, later & 0x7FFFFFFF)
    assert (layout.unix_number(other, later) == number) == same


def test_records() -> None:
    path = b"/run/mysqld/mysqld.sock\0"
    opened = layout.UNIX_EVENT.pack(5, layout.UNIX, 11, NUMBER, len(path), 0, path)
    assert decode.record(opened, 0, 100) == SocketOpened(
        105, NUMBER, 11, "client", "unix", Endpoint("", 0), Endpoint("/run/mysqld/mysqld.sock", 0)
    )
    flags, data = layout.WRITTEN | layout.LATE, b"bytes"
    head = (6, layout.UNIX_BYTES, 12, NUMBER, 0, 2**32 - 10, 12, flags, 40, 16, len(data), 0)
    assert decode.record(layout.TLS_DATA.pack(*head) + data + b"left over", 0, 100) == UnixData(
        106, NUMBER, 12, True, 6, data, True
    )


def entry(inode: int, received: int, sent: int, *, told: int = 1, generation: int = 3) -> tuple[bytes, bytes]:
    value = layout.UNIX_SOCKET.pack(received, sent, generation, 5, 0, told, 0, 0, 0, 0, b"")
    return inode.to_bytes(8, "little"), value


def test_totals_are_told_when_they_move() -> None:
    said, counts, idle = unix_stats([entry(1, 10, 20), entry(2, 0, 5, told=0)], {}, 100)
    assert said == [SocketStats(100, layout.unix_number(1, 3), 20, 10, 0, 0, False)]
    assert unix_stats([entry(1, 10, 20)], counts, 200)[0] == []
    (moved,), _, _ = unix_stats([entry(1, 11, 20)], counts, 300)
    assert (moved.ts, moved.bytes_received, idle) == (300, 11, [])


@pytest.mark.parametrize(
    ("many", "later", "leave"), [(MANY, IDLE_NS + 1, 0), (MANY + 1, IDLE_NS, 0), (MANY + 1, IDLE_NS + 1, MANY)]
)
def test_idle_ones_leave_when_there_are_many(many: int, later: int, leave: int) -> None:
    """All but the first are idle."""
    _, counts, _ = unix_stats([entry(n, 1, 1) for n in range(many)], {}, 0)
    said, counts, idle = unix_stats([entry(n, 1, 1 + (not n)) for n in range(many)], counts, later)
    assert len(idle) == sum(event.closed for event in said) == leave
    assert len(counts) == many - leave
