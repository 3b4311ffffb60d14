"""Room on the disk for the pieces of one transfer."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from meshnode.runtime.quota import Quota

if TYPE_CHECKING:
    from meshnode.runtime.payloads.transfers import Transfer

_PARTS: Final = 8  # of a quota: no reader takes more of it ahead


class Room:
    """Invariant: a piece that is claimed and not written has room of its own."""

    # A peer may hold ten thousand payloads: what each has costs little while it only lies there.
    __slots__ = ("_asked", "_covered", "_quota", "_transfer", "strays")

    def __init__(self, quota: Quota, transfer: Transfer) -> None:
        self._quota = quota
        self._transfer = transfer
        self._covered: frozenset[int] = frozenset()
        self._asked: list[set[int]] = []  # of the quota, by those who claim them next
        # Perhaps parts of these are on the disk, and nobody wants them.
        self.strays: frozenset[int] = frozenset()

    @property
    def is_needed(self) -> bool:
        """Say whether bytes are still to come for which room was reserved."""
        return bool(self._covered)

    def part_of(self, size_bytes: int) -> int:
        """Return so many bytes, or fewer where the quota is small against them."""
        limit = self._quota.known().limit_bytes
        return min(size_bytes, limit // _PARTS) if limit else size_bytes

    async def cover(self, pieces: Iterable[int]) -> None:
        """Reserve room for these pieces before they are claimed; raises StorageError."""
        new = {piece for piece in pieces if not self._transfer.is_written(piece)} - self._covered
        if not new:
            return
        self._covered |= new
        self._asked.append(new)
        try:
            await self._quota.reserve(self._transfer, self._size(new))
        except BaseException:
            self._covered -= new
            raise
        finally:
            self._asked.remove(new)
        self.strays -= new

    def shrink(self) -> None:
        """Give back the room of pieces that are written by now, or that nobody claims."""
        transfer = self._transfer
        missing = {piece for piece in self._covered if not transfer.is_written(piece)}
        asked = set().union(*self._asked)
        self._covered = frozenset(
            piece for piece in missing if piece in asked or transfer.priorities.is_wanted(piece)
        )
        self.strays |= missing - self._covered
        self._quota.keep(transfer, self._size(self._covered - asked))

    def close(self) -> None:
        """Give all back: the transfer ends."""
        self._covered = frozenset()
        self._quota.keep(self._transfer, 0)

    def _size(self, pieces: Iterable[int]) -> int:
        return sum(map(self._transfer.torrent.piece_bytes, pieces))
