"""Stratum, what miners and their pools speak: JSON, a message a line, known by the first of them.

Methods: Bitcoin's and its like (`mining.subscribe` and others, BIP 310), Ethereum's (`eth_submitLogin`), Monero's and Grin's
(`login` with a wallet, `job`, `submit`: what xmrig and its pools say). Stratum's second version is encrypted and not known here.
"""

from __future__ import annotations

import re

MOST = 512  # bytes of a message that are enough; the kernel copies no more (bpf/sockets.h)
_METHOD = re.compile(rb'"method"\s*:\s*"(mining\.[a-z_]{3,20}|eth_submit(?:Login|Work|Hashrate)|login|job|submit)"')
_PARAMETERS = {
    b"login": (b'"login"', b'"pass"'),
    b"job": (b'"job_id"', b'"target"'),
    b"submit": (b'"job_id"', b'"nonce"'),
}


def begins(data: bytes) -> bool:
    """Is what a connection begins with (or goes on with, if its begin was not seen) a miner's message or its pool's?"""
    if not data.startswith(b"{"):
        return False
    head = data[:MOST]
    method = _METHOD.search(head)
    if method is None:
        return False
    return all(re.search(re.escape(name) + rb"\s*:", head) for name in _PARAMETERS.get(method[1], ()))
