"""How long a transfer waits for sources that send nothing, or nothing true."""

from __future__ import annotations

import trio

from meshnode.errors import PeerError
from meshnode.runtime.payloads.sources import Sources


class CorruptSourcesError(PeerError):
    """Every source that is known sent bytes that were not those of the payload."""


class StalledSourcesError(PeerError):
    """No source sends anything."""


class Patience:
    """Watches the bytes that sources send; `look` raises when it is no use to wait longer."""

    def __init__(self, sources: Sources, seconds: float) -> None:
        self._sources = sources
        self._seconds = seconds
        self._sent = -1
        self._moved_at = trio.current_time()

    def look(self) -> None:
        """Compare with the last look.

        Raises:
            CorruptSourcesError, StalledSourcesError: it is no use to wait.
        """
        sent = sum(self._sources.sent_bytes().values())
        if sent != self._sent:
            self._sent, self._moved_at = sent, trio.current_time()
        if self._sources.is_betrayed:
            raise CorruptSourcesError(
                f"every source is corrupt: {self._sources.describe()}",
                hint="try again when another peer or mirror has the payload",
            )
        if trio.current_time() - self._moved_at >= self._seconds:
            raise StalledSourcesError(
                f"nothing came for {self._seconds:.0f} s: {self._sources.describe()}",
                hint="what came is kept; try again later",
            )
