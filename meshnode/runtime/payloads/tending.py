"""Looking after transfers in use: what came is recorded, and mirrors go some time later."""

from __future__ import annotations

import contextlib
from typing import Final

import trio

from meshnode.core.identifiers import Digest
from meshnode.errors import MeshnodeError, StorageError
from meshnode.runtime.payloads.downloading import SAVE_SECONDS
from meshnode.runtime.payloads.eviction import Eviction
from meshnode.runtime.payloads.mirror_record import MirrorRecord
from meshnode.runtime.payloads.mirrors.enrolment import Enrolments
from meshnode.runtime.payloads.roster import Roster
from meshnode.runtime.payloads.transfers import Transfer
from meshnode.runtime.quota import Quota, QuotaError

LINGER_SECONDS: Final = 60.0  # a reader's next request finds the mirrors still connected


class Tending:
    """Knows which payloads were used of late."""

    def __init__(
        self,
        roster: Roster,
        quota: Quota,
        eviction: Eviction,
        mirrors: MirrorRecord,
        enrolments: Enrolments,
    ) -> None:
        self._eviction = eviction
        self._roster = roster
        self._quota = quota
        self._mirrors = mirrors
        self._enrolments = enrolments
        self._used: dict[Digest, float] = {}  # when last, on trio's clock

    def note_use(self, key: Digest) -> None:
        self._used[key] = trio.current_time()

    async def settle(self, transfer: Transfer) -> None:
        """Record what is held when a download ends, done or not."""
        if self._roster.find(transfer.torrent.key) is not transfer:
            return  # it was stopped meanwhile
        with contextlib.suppress(MeshnodeError):
            await transfer.save()
        self.note_use(transfer.torrent.key)

    async def run(self) -> None:
        while True:
            await trio.sleep(SAVE_SECONDS)
            with contextlib.suppress(StorageError):
                await trio.to_thread.run_sync(self._mirrors.save)
            await self._give_way()
            for key, used_at in list(self._used.items()):
                transfer = self._roster.find(key)
                if transfer is None or transfer.is_broken:
                    del self._used[key]
                    continue
                await self._look_after(transfer)
                if transfer.is_used:
                    self.note_use(key)
                elif trio.current_time() - used_at >= LINGER_SECONDS:
                    transfer.sources.drop_mirrors()
                    self._enrolments.leave(transfer)
                    del self._used[key]

    async def _give_way(self) -> None:
        """Free what nobody keeps while others fill the disk into what is to stay free."""
        with contextlib.suppress(MeshnodeError):
            while self._quota.is_disk_full:
                if not await self._eviction.make_room(self._quota.free_bytes_missing):
                    return

    async def _look_after(self, transfer: Transfer) -> None:
        with contextlib.suppress(MeshnodeError):
            if not transfer.is_saved:
                await transfer.save()
            await trio.to_thread.run_sync(transfer.holdings.save_read_times)
        transfer.room.shrink()
        if transfer.room.is_needed and self._quota.is_disk_full:
            transfer.note_failure(
                QuotaError(
                    "the disk is filled up to what is to stay free on it",
                    hint="free disk space, then ask again: what came is kept",
                )
            )
