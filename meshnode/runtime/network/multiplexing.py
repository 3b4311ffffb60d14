"""Yamux with a bound on what a peer may send that nobody has read yet, and a look at who is silent.

py-libp2p 0.8.1 notes when a peer sends more than its window allows, and keeps the bytes. Its own
look at silent peers opens a stream for each ping: that was most of what an idle peer did and sent.
Yamux has a ping of its own, which is one frame there and one back.
"""

from __future__ import annotations

import struct
from contextlib import suppress
from typing import Any, Final

import structlog
import trio
from libp2p.abc import ISecureConn
from libp2p.stream_muxer import muxer_multistream
from libp2p.stream_muxer.yamux import yamux
from libp2p.stream_muxer.yamux.yamux import FLAG_SYN, TYPE_PING, YAMUX_HEADER_FORMAT, Yamux

UNREAD_BYTES_MAX: Final = 16 << 20  # of all streams of one connection
WINDOW_BYTES_MAX: Final = 4 << 20  # of one stream: 100 Mbit/s over a way of 300 ms and back
FIRST_LOOK_SECONDS: Final = 0.5  # after a connection: windows grow once the way is measured
LOOK_SECONDS: Final = 5.0  # between two looks whether a peer is there
SILENT_SECONDS_MAX: Final = 4.0  # for its answer: who was stopped is disconnected in about 9 s

_log = structlog.get_logger()

# The greatest window is no argument of anything: streams grow theirs up to this name.
yamux.MAX_WINDOW_SIZE = WINDOW_BYTES_MAX


class _Listening:
    """A secured connection that knows whether anything came since `is_heard` was cleared."""

    def __init__(self, inner: ISecureConn) -> None:
        self._inner = inner
        self.is_heard = False

    async def read(self, n: int | None = None) -> bytes:
        data: bytes = await self._inner.read(n)
        self.is_heard = True
        return data

    def __getattr__(self, name: str) -> object:
        return getattr(self._inner, name)


class BoundedYamux(Yamux):
    """Invariant: at most `UNREAD_BYTES_MAX` bytes wait to be read; a peer that sends more is
    disconnected, and so is one that neither sends anything nor answers a ping.
    """

    def __init__(self, secured_conn: ISecureConn, *arguments: Any, **named: Any) -> None:  # noqa: ANN401 - as upstream
        self._listening = _Listening(secured_conn)
        super().__init__(self._listening, *arguments, **named)  # type: ignore[arg-type]

    async def _read_data_body(self, length: int) -> bytes:
        unread = sum(map(len, self.stream_buffers.values()))
        if unread + length > UNREAD_BYTES_MAX:
            _log.info("a peer sends more than it may", peer=str(self.peer_id), unread=unread)
            self.event_shutting_down.set()
            await self._cleanup_on_error()
            return b""
        return await super()._read_data_body(length)

    async def _measure_rtt_loop(self) -> None:
        """Look again and again whether the peer is there; upstream's own loop of this name only
        measures, by the same answers, from which its windows are chosen.
        """
        seconds = FIRST_LOOK_SECONDS
        while not self.event_shutting_down.is_set():
            self._listening.is_heard = False
            with trio.move_on_after(seconds):
                await self.event_shutting_down.wait()
            if not await self._is_there():
                _log.info("a silent peer is disconnected", peer=str(self.peer_id))
                await self.secured_conn.close()  # whoever reads it cleans up
                return
            seconds = LOOK_SECONDS

    async def _is_there(self) -> bool:
        """Say whether the peer has sent anything since the last look, or answers a ping."""
        if self.event_shutting_down.is_set() or (self._listening.is_heard and self._rtt):
            return True
        if not self._ping_id or self._ping_event.is_set():
            self._ping_id += 1
            self._ping_event = trio.Event()
            assert self._nursery is not None  # this loop runs in it
            self._nursery.start_soon(self._ping)  # a write that was begun must not be cancelled
        with trio.move_on_after(SILENT_SECONDS_MAX):
            await self._ping_event.wait()
        return self._ping_event.is_set() or self._listening.is_heard

    async def _ping(self) -> None:
        ping = struct.pack(YAMUX_HEADER_FORMAT, 0, TYPE_PING, FLAG_SYN, 0, self._ping_id)
        self._ping_sent_time = trio.current_time()
        with suppress(Exception):  # the connection is closing, which others see to
            await self._write_frame(ping)


# Whatever class an option names, upstream makes its connections by this name.
muxer_multistream.Yamux = BoundedYamux  # type: ignore[attr-defined]
