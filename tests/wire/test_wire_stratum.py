"""Stratum is known by a connection's first message, at packets and at a library's calls; other JSON is not."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_wire_connections import CLIENT, RANDOM, REQUEST, RESPONSE, SERVER, both_ends, done, said, world

from leeward.model.raw import Segment, SocketOpened, TlsOpened
from leeward.wire import stratum

SUBSCRIBE = b'{"id":1,"method":"mining.subscribe","params":["optimizer/1.0"]}\n'
MINERS = [
    SUBSCRIBE,
    b'{"params": ["acct.7", "x"], "id": 2, "method": "mining.authorize"}\n',
    b'{"id":1,"jsonrpc":"2.0","method":"login","params":{"login":"48edfHu7V9Z8","pass":"x","agent":"x/6","algo":["rx/0"]}}\n',
    b'{"jsonrpc":"2.0","method":"job","params":{"blob":"0e0e' + b"ab" * 80 + b'","job_id":"7","target":"b88d0600"}}\n',
    b'{"id":9,"jsonrpc":"2.0","method":"submit","params":{"id":"1","job_id":"7","nonce":"d0030040","result":"e1"}}\n',
    b'{"id":1,"method":"eth_submitLogin","worker":"rig","params":["0x0000000000000000000000000000000000000001"]}\n',
    b'{"id":null,"method":"mining.notify","params":["bf","4d16b6f8"]}\n',
]
OTHERS = [
    b"",
    b"{",
    b'{"jsonrpc":"2.0","id":1,"method":"initialize","params":{}}\n',
    b'{"id":1,"method":"login","params":{"user":"ann","pass":"x"}}\n',
    b'{"method":"submit","params":{"form":"mining.subscribe"}}\n',
    b'{"method":"job","job_id":"7"}\n',
    b'{"id":1,"method":"eth_blockNumber","params":[]}\n',
    b'{"message":"\\"method\\": said \\"mining.subscribe\\"","level":"info"}\n',
    b'["method","mining.subscribe"]',
    b'POST / HTTP/1.1\r\n\r\n{"method":"mining.subscribe"}',
]


@pytest.mark.parametrize("data", MINERS)
def test_miners_and_pools(data: bytes) -> None:
    assert stratum.begins(data)
    assert stratum.begins(json.dumps(json.loads(data)).encode())


@pytest.mark.parametrize("data", OTHERS)
def test_others(data: bytes) -> None:
    assert not stratum.begins(data)


@given(st.binary(max_size=600))
def test_any_bytes_are_read(data: bytes) -> None:
    stratum.begins(data)
    stratum.begins(b'{"method":"submit"' + data)


@pytest.mark.parametrize(("data", "l7"), [(SUBSCRIBE, "stratum"), (OTHERS[2], "")])
def test_a_flow_in_the_clear_is_named(data: bytes, l7: str) -> None:
    connections, flows, quiet = world()
    socket = flows.opened(SocketOpened(0, 1, 11, "client", "tcp", CLIENT, SERVER))
    for seq in (100, 100 + len(data)):
        assert connections.segment(Segment(1, 1, "tcp", CLIENT, SERVER, True, seq, data, len(data)))[1:] == []
    assert socket.flow.l7 == l7
    assert (("socket", 1, None) in quiet.told) == (l7 == "stratum")


def test_the_middle_of_a_request_does_not_hide_the_next() -> None:
    connections, flows, _ = world()
    socket = flows.opened(SocketOpened(0, 1, 11, "client", "tcp", CLIENT, SERVER))
    seq = 100
    for data in (OTHERS[2], REQUEST):
        connections.segment(Segment(1, 1, "tcp", CLIENT, SERVER, True, seq, data, len(data)))
        seq += len(data)
    heard = connections.segment(Segment(1, 1, "tcp", CLIENT, SERVER, False, 900, RESPONSE, len(RESPONSE)))
    assert done(heard) == [(11, b"{}", b"ok")]
    assert socket.flow.l7 == "http"


def test_a_flow_in_tls_is_named() -> None:
    connections, flows, quiet = world()
    both_ends(flows)
    connections.tls_opened(TlsOpened(1, 11, 100, 0, RANDOM))
    connections.plaintext(said(11, 100, 0, True, SUBSCRIBE))
    socket = flows.find(1)
    assert socket is not None
    assert (socket.flow.l7, socket.flow.domain) == ("stratum", "api.openai.com")
    assert ("tls", 11, 100, None) in quiet.told
