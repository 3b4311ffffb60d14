"""The torrents that are in the engine: added, checked, resumed after a start, dropped.

What is added wants nothing yet. Names and addresses of a torrent are never used.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Final

import libtorrent as lt
import trio

from meshnode.core.identifiers import Digest
from meshnode.errors import PeerError, StorageError
from meshnode.runtime.payloads.attachment import Snapshot
from meshnode.runtime.payloads.engine import Engine
from meshnode.runtime.payloads.holdings import Holdings
from meshnode.runtime.payloads.mirror_record import MirrorRecord
from meshnode.runtime.payloads.payload_directory import PayloadDirectory
from meshnode.runtime.payloads.torrent_alerts import tell
from meshnode.runtime.payloads.torrent_check import CheckedTorrent
from meshnode.runtime.payloads.torrent_session import TorrentSettings, parameters_of
from meshnode.runtime.payloads.transfers import CHECK_SECONDS_MAX, Transfer
from meshnode.runtime.quota import Quota

_RECORD_BYTES: Final = 1024  # of a file list, for each file
_RECORDS_BYTES: Final = 64 << 10  # the other records of a payload, with the ends of their blocks


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
        self.punches = True  # the file system can free parts of files

    def find(self, key: Digest) -> Transfer | None:
        return self._transfers.get(key)

    def transfers(self) -> list[Transfer]:
        return list(self._transfers.values())

    def directory_of(self, key: Digest) -> PayloadDirectory:
        return PayloadDirectory(self._directory, key)

    @contextmanager
    def emptied_at_the_end(self) -> Iterator[None]:
        """Forget every transfer when the block ends: handles must not outlive the session."""
        try:
            yield
        finally:
            for transfer in self.transfers():
                transfer.end()
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
            if not held.is_stale and not held.is_given_up:
                return held
            await held.save()
        if held is not None and self._transfers.get(torrent.key) is held:  # nobody was faster
            await self.drop(torrent.key)
        directory = self.directory_of(torrent.key)
        await self._record(directory, torrent, cached=cached)
        holdings = await trio.to_thread.run_sync(Holdings.of, torrent, directory)
        if holdings.is_own:
            holdings = await trio.to_thread.run_sync(Holdings.empty, torrent, directory)
        return await self._add(holdings, bytes(holdings.written))

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
        nothing = await trio.to_thread.run_sync(Holdings.empty, torrent, directory, own)
        await self._recheck(nothing)
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

    async def _add(self, holdings: Holdings, known: Sequence[int]) -> Transfer:
        """Add a torrent that wants nothing yet; with `known` empty the engine hashes the files."""
        torrent = holdings.torrent
        async with self._adding:
            if torrent.key in self._transfers:
                return self._transfers[torrent.key]
            parameters = parameters_of(holdings, known)
            parameters.piece_priorities = [0] * torrent.piece_count
            handle = await self.engine.add(parameters)
            transfer = Transfer(holdings, handle, self._quota, self._record_of_mirrors)
            self._by_handle[handle] = transfer
            transfer.catch_up()  # alerts that came before the line above had nobody to go to
            self._transfers[torrent.key] = transfer
        return transfer

    async def _recheck(self, holdings: Holdings) -> None:
        """Have the engine hash files that should be whole; they are held if all of it is right."""
        transfer = await self._add(holdings, ())
        with trio.fail_after(CHECK_SECONDS_MAX):
            await transfer.until_checked()
        if transfer.failure is None and all(transfer.held_pieces()):
            transfer.verified.update(range(len(holdings.torrent.files.files)))
            await transfer.save()

    async def drop(self, key: Digest) -> None:
        transfer = self._transfers.pop(key, None)
        if transfer is not None:
            transfer.priorities.close()
            transfer.room.close()
            async with transfer.leaving():
                handle = transfer.handle.detach()
                del self._by_handle[handle]
                await self.engine.remove(handle)

    async def erase(self, key: Digest) -> None:
        """Drop a payload and remove its directory, but no file of a publisher's own."""
        await self.drop(key)
        await trio.to_thread.run_sync(self.directory_of(key).erase)

    async def lose(
        self,
        transfer: Transfer,
        choose: Callable[[], Collection[int]],
        *,
        is_rotten: bool = False,
    ) -> set[int]:
        """Give up the pieces of a transfer that `choose` returns; free their blocks.

        It is asked when all is at rest: what somebody wants by then need not be among them. The
        torrent is out of the engine for a moment. It is recorded first that the pieces are gone:
        a crash leaves blocks that nobody counts on, never a piece that is not there. If they are
        rotten they go also where their blocks cannot.

        Raises:
            StorageError: the disk refused.
        """
        with trio.CancelScope(shield=True):  # half of it would be a torrent that is nowhere
            async with transfer.at_rest() as snapshot:
                holdings, strays = transfer.holdings, transfer.room.strays
                pieces = set(choose())
                if not is_rotten:
                    freeable = partial(holdings.freeable, pieces, punches=self.punches)
                    pieces = await trio.to_thread.run_sync(freeable)
                    pieces &= set(choose())
                if self._transfers.get(transfer.torrent.key) is not transfer:
                    return set()
                if not pieces and not strays:
                    return set()
                handle = transfer.handle.detach()
                del self._by_handle[handle]
                unfinished = {
                    piece: blocks
                    for piece, blocks in snapshot.unfinished.items()
                    if transfer.priorities.is_wanted(piece)
                }
                try:
                    await self.engine.remove(handle)
                    await trio.to_thread.run_sync(holdings.forget, pieces)
                    transfer.note_lost(pieces)
                    free = partial(
                        holdings.free, pieces | strays, punches=self.punches, begun=unfinished
                    )
                    await trio.to_thread.run_sync(free)
                    transfer.room.strays = frozenset()
                finally:
                    await self._put_back(transfer, replace(snapshot, unfinished=unfinished))
        return pieces

    async def _put_back(self, transfer: Transfer, snapshot: Snapshot) -> None:
        parameters = parameters_of(transfer.holdings, transfer.holdings.written)
        parameters.piece_priorities = transfer.priorities.all()
        parameters.unfinished_pieces = snapshot.unfinished
        parameters.peers = list(snapshot.peers)
        transfer.begin_again()
        try:
            handle = await self.engine.add(parameters)
        except PeerError as error:
            transfer.note_failure(error)
            return
        self._by_handle[handle] = transfer
        transfer.handle.attach(handle)
        transfer.catch_up()
        await transfer.until_checked()
        transfer.priorities.tell_deadlines()

    async def _resume(self, torrent: CheckedTorrent, directory: PayloadDirectory) -> None:
        """Serve what is here. What was not recorded before a crash is freed: nobody counts on it.

        Pieces of files that somebody touched are compared with their hashes first.
        """
        holdings = await trio.to_thread.run_sync(Holdings.of, torrent, directory)
        touched = await trio.to_thread.run_sync(holdings.touched)
        if holdings.is_own and touched:
            nothing = partial(Holdings.empty, torrent, directory, holdings.content)
            await self._recheck(await trio.to_thread.run_sync(nothing))
            return
        if touched:
            await trio.to_thread.run_sync(holdings.drop_rotten, touched)
        free = partial(holdings.free_unrecorded, punches=self.punches)
        await trio.to_thread.run_sync(free)
        if any(holdings.written):
            await self._add(holdings, bytes(holdings.written))

    def _hear(self, alert: lt.torrent_alert) -> None:
        if alert.handle in self._by_handle:
            tell(self._by_handle[alert.handle], alert)
