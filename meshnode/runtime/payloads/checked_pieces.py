"""Pieces that were read from the disk and compared with their hash, a few of them in memory.

Programs read one file in many small ranges: a piece is read and hashed once for all that follow
each other closely.
"""

from __future__ import annotations

from collections import OrderedDict
from functools import partial
from typing import Final

import trio

from meshnode.core.identifiers import Digest
from meshnode.runtime.payloads.piece_check import PieceCheck
from meshnode.runtime.payloads.transfers import Transfer

MEMORY_BYTES_MAX: Final = 64 << 20
_CHECKS_MAX: Final = 4  # torrents whose hashes are in memory


class CheckedPieces:
    """Invariant: what it gives was right when it was read, and is in memory since."""

    def __init__(self) -> None:
        self._parts: OrderedDict[tuple[Digest, int, int], bytes] = OrderedDict()
        self._bytes = 0
        self._checks: OrderedDict[Digest, PieceCheck] = OrderedDict()
        self._reading = trio.CapacityLimiter(2)  # of the disk; each has a piece in memory

    async def part(self, transfer: Transfer, index: int, piece: int) -> bytes | None:
        """Return the bytes of file `index` in a written piece; None if the piece is not right.

        Raises:
            StorageError: the disk refused.
        """
        name = (transfer.torrent.key, index, piece)
        async with self._reading:
            if name not in self._parts:
                check = await self.check(transfer)
                raw = await trio.to_thread.run_sync(check.right_part, index, piece)
                if raw is None:
                    return None
                self._put(name, raw)
            self._parts.move_to_end(name)
            return self._parts[name]

    async def check(self, transfer: Transfer) -> PieceCheck:
        """Return the hashes of a torrent."""
        key = transfer.torrent.key
        if key not in self._checks:
            make = partial(PieceCheck, transfer.torrent, transfer.locations)
            self._checks[key] = await trio.to_thread.run_sync(make)
        self._checks.move_to_end(key)
        while len(self._checks) > _CHECKS_MAX:
            self._checks.popitem(last=False)
        return self._checks[key]

    def forget(self, key: Digest) -> None:
        """Give up what is remembered of a payload."""
        self._checks.pop(key, None)
        for name in [name for name in self._parts if name[0] == key]:
            self._bytes -= len(self._parts.pop(name))

    def _put(self, name: tuple[Digest, int, int], raw: bytes) -> None:
        self._parts[name] = raw
        self._bytes += len(raw)
        while self._bytes > MEMORY_BYTES_MAX and len(self._parts) > 1:
            _, gone = self._parts.popitem(last=False)
            self._bytes -= len(gone)
