"""The torrents that are in the engine: added, checked, resumed after a start, dropped.

What is added wants nothing yet. Names and addresses of a torrent are never used.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Final

import libtorrent as lt
import trio

from meshnode.core.identifiers import Digest
from meshnode.errors import StorageError
from meshnode.runtime.payloads.engine import Engine
from meshnode.runtime.payloads.mirror_record import MirrorRecord
from meshnode.runtime.payloads.payload_directory import HeldState, PayloadDirectory, stamps_of
from meshnode.runtime.payloads.torrent_alerts import tell
from meshnode.runtime.payloads.torrent_check import CheckedTorrent
from meshnode.runtime.payloads.torrent_session import TorrentSettings
from meshnode.runtime.payloads.transfers import CHECK_SECONDS_MAX, Transfer
from meshnode.runtime.quota import Quota

_RECORD_BYTES: Final = 1024  # of a file list, for each file
_RECORDS_BYTES: Final = 64 << 10  # the other records of a payload, with the ends of their blocks
_UNSCHEDULED: Final = lt.torrent_flags.auto_managed | lt.torrent_flags.paused
_UNDISCOVERED: Final = (
    lt.torrent_flags.disable_dht
    | lt.torrent_flags.disable_lsd
    | lt.torrent_flags.disable_pex
    | lt.torrent_flags.apply_ip_filter
)


class Roster:
    """Invariant: each payload has at most one transfer, and its alerts find it."""

    def __init__(
        self, settings: TorrentSettings, directory: Path, quota: Quota, record: MirrorRecord
    ) -> None:
        self.engine = Engine(settings, self._hear)
        self._directory = directory
        self._quota = quota
        self._record_of_mirrors = record
        self._transfers: dict[Digest, Transfer] = {}
        self._by_handle: dict[lt.torrent_handle, Transfer] = {}
        self._adding = trio.Lock()

    def find(self, key: Digest) -> Transfer | None:
        return self._transfers.get(key)

    def directory_of(self, key: Digest) -> PayloadDirectory:
        return PayloadDirectory(self._directory, key)

    @contextmanager
    def emptied_at_the_end(self) -> Iterator[None]:
        """Forget every transfer when the block ends: handles must not outlive the session."""
        try:
            yield
        finally:
            self._by_handle.clear()
            self._transfers.clear()

    async def open(self, torrent: CheckedTorrent, *, cached: bool = False) -> Transfer:
        """Return the torrent's transfer, added to the session if it was not there.

        The engine does nothing more for a torrent that failed, and bans sources for good: such a
        torrent is added anew. A payload
        that is new here and `cached` goes by itself when its room is needed.

        Raises:
            StorageError: the disk refused, or the quota.
        """
        held = self._transfers.get(torrent.key)
        if held is not None and not held.is_broken:
            if not held.is_stale:
                return held
            await held.save()
        if held is not None and self._transfers.get(torrent.key) is held:  # nobody was faster
            await self.drop(torrent.key)
        directory = self.directory_of(torrent.key)
        await self._record(directory, torrent, cached=cached)
        state = await trio.to_thread.run_sync(directory.state, torrent)
        if state.content is not None:
            state = HeldState((False,) * torrent.piece_count)
        return await self._add(torrent, directory, state, state.pieces)

    async def seed(self, torrent: CheckedTorrent, content: Path) -> None:
        """Serve the publisher's own file or folder from where it lies; nothing is written there.

        The engine hashes it once. Later starts trust the record while size and time of every
        file are as they were.

        Raises:
            StorageError: the content is missing or is not what the torrent says.
        """
        if self._holds(torrent.key):
            return
        directory = self.directory_of(torrent.key)
        await self._record(directory, torrent, cached=False)
        await self.drop(torrent.key)
        own = Path(await trio.Path(content).absolute())
        nothing = HeldState((False,) * torrent.piece_count, content=own)
        await self._recheck(torrent, directory, nothing)
        if not self._holds(torrent.key):
            await self.drop(torrent.key)
            raise StorageError(
                f"{content} does not hold the payload {torrent.key.hex()}",
                hint="it was moved or changed since it was published: publish it again",
            )

    async def resume(self, key: Digest) -> None:
        """Serve a payload that was stopped again, as far as its files are here and as they were.

        Raises:
            StorageError: the disk refused.
        """
        directory = self.directory_of(key)
        torrent = await trio.to_thread.run_sync(directory.load)
        if torrent is not None and key not in self._transfers:
            await self._resume(torrent, directory)

    async def resume_all(self) -> None:
        for path in sorted(self._directory.glob("*/torrent")):
            await self.resume(Digest(bytes.fromhex(path.parent.name)))

    async def _record(
        self, directory: PayloadDirectory, torrent: CheckedTorrent, *, cached: bool
    ) -> None:
        """Make a payload's directory, within the quota."""
        if directory.is_made:
            return
        size = 2 * len(torrent.raw) + len(torrent.files.files) * _RECORD_BYTES + _RECORDS_BYTES
        await self._quota.reserve(directory, size)
        try:
            create = partial(directory.create, torrent, cached=cached)
            await trio.to_thread.run_sync(create)
        finally:
            self._quota.keep(directory, 0)

    def _holds(self, key: Digest) -> bool:
        transfer = self._transfers.get(key)
        return transfer is not None and transfer.is_whole

    async def _add(
        self,
        torrent: CheckedTorrent,
        directory: PayloadDirectory,
        state: HeldState,
        known: Sequence[bool],
    ) -> Transfer:
        """Add a torrent that wants nothing yet; with `known` empty the engine hashes the files."""
        async with self._adding:
            if torrent.key in self._transfers:
                return self._transfers[torrent.key]
            locations = directory.locations(torrent, state.content)
            parameters = torrent.parameters(directory.data, locations)
            parameters.piece_priorities = [0] * torrent.piece_count
            parameters.have_pieces = list(known)
            flags = int(parameters.flags) & ~int(_UNSCHEDULED) | int(_UNDISCOVERED)
            parameters.flags = flags
            handle = await self.engine.add(parameters)
            transfer = Transfer(
                torrent, directory, state, handle, self._quota, self._record_of_mirrors
            )
            self._by_handle[handle] = transfer
            transfer.catch_up()  # alerts that came before the line above had nobody to go to
            self._transfers[torrent.key] = transfer
        return transfer

    async def _recheck(
        self, torrent: CheckedTorrent, directory: PayloadDirectory, state: HeldState
    ) -> None:
        """Have the engine hash files that should be whole; they are held if all of it is right."""
        transfer = await self._add(torrent, directory, state, ())
        with trio.fail_after(CHECK_SECONDS_MAX):
            await transfer.checked.wait()
        if transfer.failure is None and all(transfer.held_pieces()):
            transfer.verified.update(range(len(torrent.files.files)))
            await transfer.save()

    async def drop(self, key: Digest) -> None:
        transfer = self._transfers.pop(key, None)
        if transfer is not None:
            del self._by_handle[transfer.handle]
            transfer.priorities.close()
            transfer.room.close()
            await self.engine.remove(transfer.handle)

    async def _resume(self, torrent: CheckedTorrent, directory: PayloadDirectory) -> None:
        state = await trio.to_thread.run_sync(directory.state, torrent)
        locations = directory.locations(torrent, state.content)
        stamps = stamps_of(locations[i] for i in state.verified)
        if not state.verified or stamps is None:
            return
        if stamps == state.stamps:
            await self._add(torrent, directory, state, state.pieces)
        else:
            nothing = HeldState((False,) * torrent.piece_count, content=state.content)
            await self._recheck(torrent, directory, nothing)

    def _hear(self, alert: lt.torrent_alert) -> None:
        if alert.handle in self._by_handle:
            tell(self._by_handle[alert.handle], alert)
