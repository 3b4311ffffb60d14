"""What a request needs of the network: one byte stream to one peer, and how it may end."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol

from meshnode.core.identifiers import PeerId
from meshnode.errors import PeerError


class StreamBrokenError(PeerError):
    """The stream ended before its time. Networks do that: nobody is at fault."""


class Stream(Protocol):
    """A byte stream in both directions. Every method may raise StreamBrokenError.

    None of them has a deadline of its own: the caller sets one.
    """

    async def read(self, bytes_max: int) -> bytes:
        """Return at least one byte, or none at the end of the stream."""
        ...

    async def write(self, data: bytes) -> None: ...

    async def close(self) -> None:
        """End it in order: what was written still arrives, nothing more is read."""
        ...

    async def reset(self) -> None:
        """Give it up: what was written may be lost."""
        ...


OpenStream = Callable[[PeerId], Awaitable[Stream]]
