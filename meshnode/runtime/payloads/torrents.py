"""Payloads of one data directory in the BitTorrent engine: seeded, downloaded, read in place.

It decides nothing about what is held. Sources are named by the caller: no tracker, no DHT, no local
discovery, no peer exchange (the mesh does that).
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, Sequence
from pathlib import Path
from typing import Final

import trio

from meshnode.core.identifiers import Digest
from meshnode.errors import MeshnodeError, StorageError, UsageError
from meshnode.runtime.clock import unix_now
from meshnode.runtime.payloads.account import Progress, State
from meshnode.runtime.payloads.address_filter import Endpoint
from meshnode.runtime.payloads.mirror_record import MirrorRecord
from meshnode.runtime.payloads.patience import Patience
from meshnode.runtime.payloads.payload_directory import cached_keys
from meshnode.runtime.payloads.reading import read
from meshnode.runtime.payloads.roster import Roster
from meshnode.runtime.payloads.torrent_check import CheckedTorrent
from meshnode.runtime.payloads.torrent_session import TorrentSettings
from meshnode.runtime.payloads.transfers import Transfer
from meshnode.runtime.quota import Quota, QuotaError

SAMPLE_SECONDS: Final = 0.2  # an open connection's bytes are counted this often
SAVE_SECONDS: Final = 2.0  # at most so much of a transfer is fetched again after a crash
SETTLE_SECONDS_MAX: Final = 5.0  # what is not recorded by then is fetched again
LINGER_SECONDS: Final = 60.0  # a reader's next request finds the mirrors still connected


class Torrents:
    """Payloads of one data directory. Nothing works before `run` has started."""

    def __init__(
        self,
        settings: TorrentSettings,
        directory: Path,
        quota: Quota | None = None,
        record: MirrorRecord | None = None,
    ) -> None:
        self._settings = settings
        self._directory = directory
        self._quota = quota or Quota(directory)
        self._quota.on_need(self._evict)
        self.mirrors = record or MirrorRecord(None, unix_now)
        self._roster = Roster(settings, directory, self._quota, self.mirrors)
        self._tended: dict[Digest, float] = {}  # used of late, and when last, on trio's clock

    @property
    def port(self) -> int:
        """The TCP port where peers reach the engine: 0 before it runs, or if it does not listen."""
        return self._roster.engine.port

    def holds(self, key: Digest) -> bool:
        """Say whether every file of the payload is here, verified, and served."""
        transfer = self._roster.find(key)
        return transfer is not None and transfer.is_whole

    def locate(self, key: Digest, index: int) -> Path | None:
        """Return where file `index` of the payload's list lies, None unless it was verified."""
        transfer = self._roster.find(key)
        if transfer is None or index not in transfer.verified:
            return None
        return transfer.locations[index]

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Run the session until cancelled; what was complete before is served again at once.

        Raises:
            ConfigError: the address to listen on is not to be had.
        """
        engine = self._roster.engine
        async with engine.open():
            with self._roster.emptied_at_the_end():
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(engine.listen_to_alerts)
                    await self._roster.resume_all()
                    nursery.start_soon(self._tend)
                    task_status.started()

    async def seed(self, torrent: CheckedTorrent, content: Path) -> None:
        """Serve the publisher's own file or folder, as `Roster.seed`."""
        await self._roster.seed(torrent, content)

    async def open(self, torrent: CheckedTorrent, *, cached: bool = False) -> Transfer:
        """Return the torrent's transfer, as `Roster.open`."""
        return await self._roster.open(torrent, cached=cached)

    async def resume(self, key: Digest) -> None:
        """Serve again what was stopped, as `Roster.resume`."""
        await self._roster.resume(key)

    async def download(
        self,
        torrent: CheckedTorrent,
        *,
        mirrors: Sequence[str] = (),
        peers: Sequence[Endpoint] = (),
        only: Sequence[int] | None = None,
    ) -> AsyncGenerator[Progress, None]:
        """Fetch the files (`only`: indices in the list) from all sources at once.

        Ends after a Progress that is DONE: every byte is on disk and every SHA-256 agrees; the
        payload is seeded from then on. Leaving earlier keeps what came (use `aclosing`), and the
        next call goes on from there. A refused source is left out and named if all fail.

        Raises:
            PeerError: every source sent corrupt bytes, none sends any, or the torrent is not
                what its file list says.
            StorageError: the disk refused, or the quota, before anything was fetched.
            UsageError: there is no such file.
        """
        transfer = await self.open(torrent)
        wanted = transfer.choose(only)
        with transfer.in_use():
            try:
                self._tended[torrent.key] = trio.current_time()
                await trio.to_thread.run_sync(self._roster.directory_of(torrent.key).keep)
                if not set(wanted) <= transfer.verified:
                    pieces = transfer.pieces_of(wanted)
                    await transfer.room.cover(pieces)
                    with transfer.priorities.downloading(pieces):
                        allow_local = self._allows_local
                        refused = await transfer.sources.add(
                            mirrors, peers, allow_local=allow_local
                        )
                        if refused and len(refused) == len(mirrors) and not peers:
                            raise refused[0]
                        async with contextlib.aclosing(self._fetch(transfer, wanted)) as steps:
                            async for progress in steps:
                                yield progress
                    yield transfer.progress(wanted, State.VERIFYING)
                    await transfer.flush()
                    await trio.to_thread.run_sync(transfer.verify, wanted, abandon_on_cancel=True)
                    transfer.sources.note_whole()
                yield transfer.progress(wanted, State.DONE)
            finally:
                with trio.move_on_after(SETTLE_SECONDS_MAX, shield=True):
                    await self._settle(transfer)

    async def read(
        self, torrent: CheckedTorrent, index: int, span: range, *, mirrors: Sequence[str] = ()
    ) -> AsyncGenerator[bytes, None]:
        """Yield these bytes of file `index` in order, each of them fetched and verified before.

        Peers are told by `introduce`. Many may read at once, beside downloads.

        Raises:
            PeerError: every source sent corrupt bytes, or none sends any for
                `read_stall_seconds`.
            StorageError: the disk refused, or the quota, or the file was changed since it was
                verified.
        """
        transfer = await self.open(torrent, cached=True)
        with transfer.in_use():
            self._tended[torrent.key] = trio.current_time()
            await trio.to_thread.run_sync(self._roster.directory_of(torrent.key).note_read)
            if not await trio.to_thread.run_sync(transfer.is_untouched, index):
                raise StorageError(
                    f"{transfer.locations[index]} was changed since it was verified",
                    hint="start the peer again: it then looks at the file anew",
                )
            if not all(map(transfer.is_written, torrent.pieces(index, span))):
                await transfer.sources.add(mirrors, (), allow_local=self._allows_local)
            stall_seconds = self._settings.read_stall_seconds
            parts = read(transfer, index, span, stall_seconds=stall_seconds)
            async with contextlib.aclosing(parts):
                async for part in parts:
                    yield part

    def lacks(self, torrent: CheckedTorrent, index: int, span: range) -> bool:
        """Say whether some of these bytes of file `index` are still to be fetched."""
        transfer = self._roster.find(torrent.key)
        pieces = torrent.pieces(index, span)
        return transfer is None or not all(map(transfer.is_written, pieces))

    def introduce(self, key: Digest, peers: Sequence[Endpoint]) -> None:
        """Name peers that have a payload which is being read."""
        if (transfer := self._roster.find(key)) is not None:
            transfer.sources.add_peers(peers, allow_local=self._allows_local)

    async def stop(self, key: Digest, *, erase: bool) -> None:
        """Serve a payload no more; `erase` its directory too, but no file of a publisher's own.

        A download of it ends with an error.

        Raises:
            StorageError: the disk refused.
        """
        if (transfer := self._roster.find(key)) is not None:
            transfer.note_failure(UsageError("this payload was withdrawn or denied meanwhile"))
        await self._roster.drop(key)
        if erase:
            await trio.to_thread.run_sync(self._roster.directory_of(key).erase)

    # --- downloading ------------------------------------------------------------------------------
    async def _fetch(
        self, transfer: Transfer, wanted: Sequence[int]
    ) -> AsyncGenerator[Progress, None]:
        """Yield progress until every wanted byte is verified; record the pieces on the way."""
        patience = Patience(transfer.sources, self._settings.stall_seconds)
        saved_at = trio.current_time()
        while True:
            progress = transfer.progress(wanted, State.TRANSFERRING)
            yield progress
            if progress.done_bytes == progress.total_bytes:
                return
            if transfer.failure:
                raise transfer.failure
            patience.look()
            if trio.current_time() - saved_at >= SAVE_SECONDS:
                await transfer.save()
                saved_at = trio.current_time()
            await transfer.wait(SAMPLE_SECONDS)

    async def _settle(self, transfer: Transfer) -> None:
        """Record what is held when a download ends, done or not; mirrors go when nobody reads."""
        if self._roster.find(transfer.torrent.key) is not transfer:
            return  # it was stopped meanwhile
        with contextlib.suppress(MeshnodeError):
            await transfer.save()
        self._tended[transfer.torrent.key] = trio.current_time()

    async def _evict(self) -> bool:
        """Erase the cached payload that nobody reads and that was not read for the longest time."""
        for key in await trio.to_thread.run_sync(cached_keys, self._directory):
            transfer = self._roster.find(key)
            if transfer is None or not transfer.is_used:
                await self.stop(key, erase=True)
                return True
        return False

    @property
    def _allows_local(self) -> bool:
        return self._settings.allow_local_addresses

    async def _tend(self) -> None:
        """Look after what is read: record what came, and let the mirrors go some time later."""
        while True:
            await trio.sleep(SAVE_SECONDS)
            with contextlib.suppress(StorageError):
                await trio.to_thread.run_sync(self.mirrors.save)
            for key, used_at in list(self._tended.items()):
                transfer = self._roster.find(key)
                if transfer is None or transfer.is_broken:
                    del self._tended[key]
                    continue
                if not transfer.is_saved:
                    with contextlib.suppress(MeshnodeError):
                        await transfer.save()
                transfer.room.shrink()
                if transfer.room.is_needed and self._quota.is_disk_full:
                    transfer.note_failure(
                        QuotaError(
                            "the disk is filled up to what is to stay free on it",
                            hint="free disk space, then ask again: what came is kept",
                        )
                    )
                if transfer.is_used:
                    self._tended[key] = trio.current_time()
                elif trio.current_time() - used_at >= LINGER_SECONDS:
                    transfer.sources.drop_mirrors()
                    del self._tended[key]
