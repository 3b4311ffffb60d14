"""A TCP relay between two peers that can be cut and healed: a network fault that is none of theirs.

Bytes go through unchanged, so that the peers' own handshake and encryption hold end to end. They
can be made to take their time, as on a long or narrow way, and are counted.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import trio

_PART_BYTES: Final = 64 << 10
_PARTS_MAX: Final = 64  # on their way in one direction; the sender waits while there are more


@dataclass(slots=True)
class Way:
    """One direction of all connections: how long bytes take, how many a second it carries (0: any
    number), and how many have set out.
    """

    latency_seconds: float = 0.0
    bytes_per_second: float = 0.0
    sent_bytes: int = 0
    _free_at: float = 0.0

    def send(self, size_bytes: int) -> float:
        """Send bytes after those that are on the way; return when they will be there."""
        self.sent_bytes += size_bytes
        self._free_at = max(self._free_at, trio.current_time())
        if self.bytes_per_second:
            self._free_at += size_bytes / self.bytes_per_second
        return self._free_at + self.latency_seconds


class Relay:
    """Carries connections to `target` (host, port) while it is not cut.

    `forth` is the way to the target, `back` the other one.
    """

    def __init__(
        self,
        target: tuple[str, int],
        host: str = "127.0.0.1",
        port: int = 0,
        *,
        forth_seconds: float = 0.0,
        back_seconds: float = 0.0,
    ) -> None:
        self.target = target
        self.host = host
        self.port = port  # the one it listens on, once it runs
        self.is_cut = False
        self.forth, self.back = Way(forth_seconds), Way(back_seconds)
        self._carried: dict[int, trio.CancelScope] = {}

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Relay until cancelled; `started` when it listens. Raises OSError if the port is taken."""
        listeners = await trio.open_tcp_listeners(self.port, host=self.host)
        self.port = listeners[0].socket.getsockname()[1]
        task_status.started()
        await trio.serve_listeners(self._carry, listeners)

    def cut(self) -> None:
        """Drop every connection, and each new one as soon as it comes."""
        self.is_cut = True
        for scope in self._carried.values():
            scope.cancel()

    def heal(self) -> None:
        self.is_cut = False

    async def _carry(self, inbound: trio.SocketStream) -> None:
        if self.is_cut:
            return
        with trio.CancelScope() as scope:
            self._carried[id(scope)] = scope
            try:
                await self._connect(inbound)
            finally:
                del self._carried[id(scope)]

    async def _connect(self, inbound: trio.SocketStream) -> None:
        try:
            outbound = await trio.open_tcp_stream(*self.target)
        except OSError:
            return
        async with outbound, trio.open_nursery() as nursery:
            nursery.start_soon(_pour, inbound, outbound, self.forth, nursery.cancel_scope)
            nursery.start_soon(_pour, outbound, inbound, self.back, nursery.cancel_scope)


async def _pour(
    source: trio.SocketStream, sink: trio.SocketStream, way: Way, both: trio.CancelScope
) -> None:
    """Pass bytes on until the source ends; a broken side ends the other direction too."""
    send, receive = trio.open_memory_channel[tuple[float, bytes]](_PARTS_MAX)
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_put, receive, sink)
            async with send:
                while part := await source.receive_some(_PART_BYTES):
                    await send.send((way.send(len(part)), part))
    except* (trio.BrokenResourceError, trio.ClosedResourceError):
        both.cancel()


async def _put(
    parts: trio.MemoryReceiveChannel[tuple[float, bytes]], sink: trio.SocketStream
) -> None:
    """Deliver each part when it is due, and then the end."""
    async for due, part in parts:
        await trio.sleep_until(due)
        await sink.send_all(part)
    await sink.send_eof()
