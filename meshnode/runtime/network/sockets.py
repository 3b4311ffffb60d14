"""A connection that takes from the socket what is there, and gives of it what is asked for.

py-libp2p asks for two bytes of length, then for a message, then for the next two bytes: each a
system call and a round of the event loop.
"""

from __future__ import annotations

from typing import Final

from libp2p.network.connection.raw_connection import RawConnection
from libp2p.transport.tcp import tcp

_READ_BYTES: Final = 64 << 10


class BufferedConnection(RawConnection):
    """Invariant: at most `_READ_BYTES` are kept, and only while somebody asked for less."""

    _kept: bytes = b""
    _taken: int = 0

    async def read(self, n: int | None = None) -> bytes:
        """Return at least one byte and at most `n`, none at the end."""
        if self._taken == len(self._kept):
            self._kept, self._taken = await self._receive(), 0
        start = self._taken
        self._taken = len(self._kept) if n is None else min(start + n, len(self._kept))
        return self._kept[start : self._taken]

    async def _receive(self) -> bytes:
        return await super().read(_READ_BYTES)


# What is dialled is wrapped by this name.
tcp.RawConnection = BufferedConnection  # type: ignore[attr-defined]
