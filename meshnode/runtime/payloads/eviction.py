"""Which pieces go when room is needed: those that nobody keeps, the longest unread first."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from functools import partial
from typing import Final

import trio

from meshnode.core.identifiers import Digest
from meshnode.errors import UsageError
from meshnode.runtime.payloads.roster import Roster
from meshnode.runtime.payloads.transfers import Transfer
from meshnode.runtime.quota import Quota

# Each time a torrent is out of the engine for a moment: rather seldom and more than often and less.
_BATCH_BYTES_MAX: Final = 256 << 20
_BATCH_PART: Final = 16  # of the quota


class Eviction:
    """Frees pieces of any payload, in the order in which they were read."""

    def __init__(self, roster: Roster, quota: Quota) -> None:
        self._roster = roster
        self._quota = quota

    async def make_room(self, needed_bytes: int) -> bool:
        """Free at least so many bytes if there are; say whether anything was freed.

        Room that is not needed any more, because the bytes are there, is given back before.

        Raises:
            StorageError: the disk refused.
        """
        before = self._quota.known().reserved_bytes
        for transfer in self._roster.transfers():
            transfer.room.shrink()
        if self._quota.known().reserved_bytes < before:
            return True
        batch = min(_BATCH_BYTES_MAX, self._quota.known().limit_bytes // _BATCH_PART)
        chosen = coldest(self._roster.transfers(), max(needed_bytes, batch))
        has_freed = False
        for transfer, pieces in chosen.items():
            if await self.free(transfer, pieces):
                has_freed = True
        return has_freed

    async def release(self, key: Digest, pieces: Collection[int] | None) -> int:
        """Keep these pieces, None for all, no longer, and free them; return how many were freed.

        Raises:
            StorageError: the disk refused.
            UsageError: nothing of the payload is here, or its files are the publisher's own.
        """
        transfer = self._roster.find(key)
        if transfer is None:
            raise UsageError("nothing of this payload is here", hint="meshnode payload list")
        holdings = transfer.holdings
        if holdings.is_own:
            raise UsageError("its files are the publisher's own: they stay where they lie")
        chosen = set(range(transfer.torrent.piece_count) if pieces is None else pieces)
        before = sum(holdings.written)
        await trio.to_thread.run_sync(partial(holdings.keep, chosen, is_kept=False))
        await self.free(transfer, chosen)
        return before - sum(holdings.written)

    async def free(self, transfer: Transfer, pieces: set[int]) -> bool:
        """Free these pieces of a payload as far as they are spare; of an empty one everything."""

        def still_spare() -> set[int]:
            return pieces.intersection(transfer.spare_pieces())

        has_strays = bool(transfer.room.strays)
        freed = await self._roster.lose(transfer, still_spare)
        if transfer.holdings.is_empty and not transfer.is_used:
            await self._roster.erase(transfer.torrent.key)
            return True
        return bool(freed) or has_strays


def coldest(transfers: Iterable[Transfer], needed_bytes: int) -> dict[Transfer, set[int]]:
    """Return spare pieces of so many bytes in all, by transfer; those read longest ago first.

    Every transfer that has parts of pieces which nobody wants any more is among them.
    """
    known = list(transfers)
    chosen: dict[Transfer, set[int]] = {each: set() for each in known if each.room.strays}
    spare = [
        (each.holdings.read_times[piece], place, piece)
        for place, each in enumerate(known)
        for piece in each.spare_pieces()
    ]
    found = 0
    for _, place, piece in sorted(spare):
        if found >= needed_bytes:
            break
        chosen.setdefault(known[place], set()).add(piece)
        found += known[place].torrent.piece_bytes(piece)
    return chosen
