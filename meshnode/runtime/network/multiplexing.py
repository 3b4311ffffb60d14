"""Yamux with a bound on what a peer may send that nobody has read yet.

py-libp2p 0.8.1 notes when a peer sends more than its window allows, and keeps the bytes.
"""

from __future__ import annotations

from typing import Final

import structlog
from libp2p.stream_muxer import muxer_multistream
from libp2p.stream_muxer.yamux import yamux
from libp2p.stream_muxer.yamux.yamux import Yamux

UNREAD_BYTES_MAX: Final = 16 << 20  # of all streams of one connection
WINDOW_BYTES_MAX: Final = 4 << 20  # of one stream: 100 Mbit/s over a way of 300 ms and back

_log = structlog.get_logger()

# The greatest window is no argument of anything: streams grow theirs up to this name.
yamux.MAX_WINDOW_SIZE = WINDOW_BYTES_MAX


class BoundedYamux(Yamux):
    """Invariant: at most `UNREAD_BYTES_MAX` bytes wait to be read; a peer that sends more is
    disconnected.
    """

    async def _read_data_body(self, length: int) -> bytes:
        unread = sum(map(len, self.stream_buffers.values()))
        if unread + length > UNREAD_BYTES_MAX:
            _log.info("a peer sends more than it may", peer=str(self.peer_id), unread=unread)
            self.event_shutting_down.set()
            await self._cleanup_on_error()
            return b""
        return await super()._read_data_body(length)


# Whatever class an option names, upstream makes its connections by this name.
muxer_multistream.Yamux = BoundedYamux  # type: ignore[attr-defined]
