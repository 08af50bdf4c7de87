"""An MCP session over a stream of bytes in each direction (stdio): bytes in, exchanges out.

Never raises on any bytes; pieces may be cut anywhere. State is bounded: a line's kept bytes, what is pending (`mcp_pairs`).
Counters: `mcp_noise_lines` (not JSON: servers print there), `mcp_not_rpc` (JSON, but no JSON-RPC 2.0), `jsonrpc_bytes_lost`
(skipped after a hole), and those of `mcp_pairs`.
"""

from __future__ import annotations

import re
from collections import Counter

from leeward.ai.jsonrpc import Frame, Frames, read
from leeward.ai.mcp import PROVIDER, is_mcp
from leeward.ai.mcp_pairs import Pairs
from leeward.model.exchange import Evidence, Exchange, GenAI, TimedExchange

_SNIFFED_LINES = 16
_FRAMING = re.compile(rb"(?i)content-[a-z]+[ \t]*:")


def sniff(data: bytes) -> bool:
    """Whether one of the first lines of one direction is MCP's (`mcp.is_mcp` says what tells). The last line need not be
    whole. False may mean: not yet."""
    for line in data.split(b"\n", _SNIFFED_LINES)[:_SNIFFED_LINES]:
        text = line.strip()
        if text[:1] not in (b"{", b"[") or _FRAMING.match(text):
            continue
        # A lone field may belong to anything: what is cut before it says "jsonrpc" must wait.
        if b'"jsonrpc"' in text and any(is_mcp(message) for message in read(text)):
            return True
    return False


class McpSession:
    """transport: "stdio" names the API "mcp.stdio". line: bytes kept of one message; more are read as far as kept."""

    def __init__(self, transport: str, line: int = 1 << 20) -> None:
        self.counters: Counter[str] = Counter()
        self._api = f"mcp.{transport}"
        self._pairs = Pairs(self.counters)
        self._frames = {side: Frames(line, self.counters) for side in (True, False)}
        self._last = 0

    @property
    def peers(self) -> dict[str, str]:
        """What the peers said of themselves: `mcp.PEERS`."""
        return self._pairs.peers

    def feed(self, to_server: bool, ts: int, data: bytes) -> list[TimedExchange]:
        """ts: Unix ns at which the bytes passed; not decreasing."""
        self._last = ts
        return [found for frame in self._frames[to_server].feed(ts, data) for found in self._read(to_server, frame)]

    def gap(self, to_server: bool) -> list[TimedExchange]:
        """Bytes of this direction were lost. The text that they cut is read as far as it came; the next whole one counts."""
        self.counters["mcp_gaps"] += 1
        frames = self._frames[to_server]
        out = [found for frame in frames.flush(self._last) for found in self._read(to_server, frame, gap=True)]
        frames.skip()
        self._pairs.hole()
        return out

    def close(self, ts: int) -> list[TimedExchange]:
        """The session has ended: the last lines, even if nothing ends them, and the requests without answer."""
        out: list[TimedExchange] = []
        for side, frames in self._frames.items():
            out += [found for frame in frames.flush(ts) for found in self._read(side, frame)]
        return out + self._pairs.close(ts)

    def _read(self, to_server: bool, frame: Frame, *, gap: bool = False) -> list[TimedExchange]:
        messages = read(frame.text, frame.tail)
        if not messages:
            noise = frame.text.lstrip()[:1] not in (b"{", b"[")
            self.counters["mcp_noise_lines" if noise else "mcp_not_rpc"] += 1
        out: list[TimedExchange] = []
        for rpc in messages:
            rpc.truncated = frame.size > len(frame.text)
            rpc.gap = gap
            if rpc.kind == "request":
                out += self._pairs.request(to_server, rpc, self._exchange(), frame.start)
            elif rpc.kind == "notification":
                out += self._pairs.notify(to_server, rpc, frame.end)
            else:
                out += self._pairs.answer(to_server, rpc, frame.end)
        return out

    def _exchange(self) -> Exchange:
        return Exchange(gen_ai=GenAI(provider=PROVIDER, api=self._api), evidence=Evidence())
