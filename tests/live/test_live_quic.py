"""QUIC to a known AI host: the connection, its name, and that its content is not seen."""

from __future__ import annotations

import json
import socket
import subprocess
import sys

import pytest
from live_run import LEEWARD

SENDER = """
import socket, sys
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.connection import QuicConnection
protocols = ["h3"] + ["protocol-%040d" % n for n in range(int(sys.argv[1]))]
client = QuicConnection(configuration=QuicConfiguration(server_name="api.openai.com", alpn_protocols=protocols))
client.connect(("127.0.0.1", 443), now=0.0)
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
    sender.connect(("127.0.0.1", 443))
    for data, _ in client.datagrams_to_send(now=0.0):
        sender.send(data)
"""


@pytest.mark.kernel
@pytest.mark.parametrize("protocols", [0, 60], ids=["one datagram", "several"])
def test_a_flow_with_its_name(protocols: int) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 443))
        command = [LEEWARD, "exec", "--no-model", "--json", "--", sys.executable, "-c", SENDER, str(protocols)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    records = [json.loads(line) for line in done.stdout.splitlines()]
    flow = [r for r in records if r["type"] == "flow" and r["l7"] == "quic"][-1]
    assert (flow["sni"], flow["provider"], flow["dst"]) == ("api.openai.com", "openai", "127.0.0.1:443")
    assert flow["content"] == "not visible: QUIC is seen as a flow only"
    (row,) = [c for r in records if r["type"] == "stats" for c in r["coverage"]]
    assert (row["visible"], row["services"]) == ("metadata", ["api.openai.com"])
