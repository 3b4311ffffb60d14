"""Payloads of one data directory in the BitTorrent engine: seeded, downloaded, read in place.

It decides nothing about what is held. Sources are named by the caller: no tracker, no DHT, no local
discovery, no peer exchange (the mesh does that).
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, Sequence
from pathlib import Path
from typing import Final

import libtorrent as lt
import trio

from meshnode.core.identifiers import Digest
from meshnode.errors import MeshnodeError, PeerError, StorageError, UsageError
from meshnode.runtime.payloads.account import Progress, State
from meshnode.runtime.payloads.address_filter import (
    Endpoint,
    is_forbidden,
    vet_mirror,
)
from meshnode.runtime.payloads.engine import Engine
from meshnode.runtime.payloads.patience import Patience
from meshnode.runtime.payloads.payload_directory import HeldState, PayloadDirectory, stamps_of
from meshnode.runtime.payloads.reading import read
from meshnode.runtime.payloads.torrent_alerts import tell
from meshnode.runtime.payloads.torrent_check import CheckedTorrent
from meshnode.runtime.payloads.torrent_session import MIRRORS_MAX, TorrentSettings
from meshnode.runtime.payloads.transfers import CHECK_SECONDS_MAX, Transfer

PEERS_MAX: Final = 64  # that one download is told of
SAMPLE_SECONDS: Final = 0.2  # an open connection's bytes are counted this often
SAVE_SECONDS: Final = 2.0  # at most so much of a transfer is fetched again after a crash
SETTLE_SECONDS_MAX: Final = 5.0  # what is not recorded by then is fetched again
LINGER_SECONDS: Final = 60.0  # a reader's next request finds the mirrors still connected
_UNSCHEDULED: Final = lt.torrent_flags.auto_managed | lt.torrent_flags.paused
_UNDISCOVERED: Final = (
    lt.torrent_flags.disable_dht
    | lt.torrent_flags.disable_lsd
    | lt.torrent_flags.disable_pex
    | lt.torrent_flags.apply_ip_filter
)


class Torrents:
    """Payloads of one data directory. Nothing works before `run` has started."""

    def __init__(self, settings: TorrentSettings, directory: Path) -> None:
        self._settings = settings
        self._directory = directory
        self._engine = Engine(settings, self._hear)
        self._transfers: dict[Digest, Transfer] = {}
        self._by_handle: dict[lt.torrent_handle, Transfer] = {}
        self._tended: dict[Digest, float] = {}  # used of late, and when last, on trio's clock
        self._adding = trio.Lock()

    @property
    def port(self) -> int:
        """The TCP port where peers reach the engine: 0 before it runs, or if it does not listen."""
        return self._engine.port

    def holds(self, key: Digest) -> bool:
        """Say whether every file of the payload is here, verified, and served."""
        transfer = self._transfers.get(key)
        return transfer is not None and transfer.is_whole

    def locate(self, key: Digest, index: int) -> Path | None:
        """Return where file `index` of the payload's list lies, None unless it was verified."""
        transfer = self._transfers.get(key)
        if transfer is None or index not in transfer.verified:
            return None
        return transfer.locations[index]

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Run the session until cancelled; what was complete before is served again at once.

        Raises:
            ConfigError: the address to listen on is not to be had.
        """
        async with self._engine.open():
            try:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._engine.listen_to_alerts)
                    await self._resume_all()
                    nursery.start_soon(self._tend)
                    task_status.started()
            finally:
                self._by_handle.clear()
                self._transfers.clear()

    async def seed(self, torrent: CheckedTorrent, content: Path) -> None:
        """Serve the publisher's own file or folder from where it lies; nothing is written there.

        The engine hashes it once. Later starts trust the record while size and time of every
        file are as they were.

        Raises:
            StorageError: the content is missing or is not what the torrent says.
        """
        if self.holds(torrent.key):
            return
        directory = PayloadDirectory(self._directory, torrent.key)
        await trio.to_thread.run_sync(directory.create, torrent)
        await self._drop(torrent.key)
        own = Path(await trio.Path(content).absolute())
        nothing = HeldState((False,) * torrent.piece_count, content=own)
        await self._recheck(torrent, directory, nothing)
        if not self.holds(torrent.key):
            await self._drop(torrent.key)
            raise StorageError(
                f"{content} does not hold the payload {torrent.key.hex()}",
                hint="it was moved or changed since it was published: publish it again",
            )

    async def open(self, torrent: CheckedTorrent) -> Transfer:
        """Return the torrent's transfer, added to the session if it was not there.

        The engine does nothing more for a torrent that failed: that one is added anew.
        """
        held = self._transfers.get(torrent.key)
        if held is not None and not held.is_broken:
            return held
        await self._drop(torrent.key)
        directory = PayloadDirectory(self._directory, torrent.key)
        await trio.to_thread.run_sync(directory.create, torrent)
        state = await trio.to_thread.run_sync(directory.state, torrent)
        if state.content is not None:
            state = HeldState((False,) * torrent.piece_count)
        return await self._add(torrent, directory, state, state.pieces)

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
            StorageError: the disk refused.
            UsageError: there is no such file.
        """
        transfer = await self.open(torrent)
        wanted = transfer.choose(only)
        with transfer.in_use():
            try:
                if not set(wanted) <= transfer.verified:
                    with transfer.priorities.downloading(transfer.pieces_of(wanted)):
                        await self._add_sources(transfer, mirrors, peers)
                        async with contextlib.aclosing(self._fetch(transfer, wanted)) as steps:
                            async for progress in steps:
                                yield progress
                    yield transfer.progress(wanted, State.VERIFYING)
                    await transfer.flush()
                    await trio.to_thread.run_sync(transfer.verify, wanted, abandon_on_cancel=True)
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
            StorageError: the disk refused, or the file was changed since it was verified.
        """
        transfer = await self.open(torrent)
        with transfer.in_use():
            self._tended[torrent.key] = trio.current_time()
            if not await trio.to_thread.run_sync(transfer.is_untouched, index):
                raise StorageError(
                    f"{transfer.locations[index]} was changed since it was verified",
                    hint="start the peer again: it then looks at the file anew",
                )
            if not all(map(transfer.is_written, torrent.pieces(index, span))):
                await self._add_sources(transfer, mirrors, ())
            stall_seconds = self._settings.read_stall_seconds
            parts = read(transfer, index, span, stall_seconds=stall_seconds)
            async with contextlib.aclosing(parts):
                async for part in parts:
                    yield part

    def lacks(self, torrent: CheckedTorrent, index: int, span: range) -> bool:
        """Say whether some of these bytes of file `index` are still to be fetched."""
        transfer = self._transfers.get(torrent.key)
        pieces = torrent.pieces(index, span)
        return transfer is None or not all(map(transfer.is_written, pieces))

    def introduce(self, key: Digest, peers: Sequence[Endpoint]) -> None:
        """Name peers that have a payload which is being read."""
        if (transfer := self._transfers.get(key)) is not None:
            self._introduce(transfer, peers)

    async def stop(self, key: Digest, *, erase: bool) -> None:
        """Serve a payload no more; `erase` its directory too, but no file of a publisher's own.

        A download of it ends with an error.

        Raises:
            StorageError: the disk refused.
        """
        if (transfer := self._transfers.get(key)) is not None:
            transfer.note_failure(UsageError("this payload was withdrawn or denied meanwhile"))
        await self._drop(key)
        if erase:
            await trio.to_thread.run_sync(PayloadDirectory(self._directory, key).erase)

    async def resume(self, key: Digest) -> None:
        """Serve a payload that was stopped again, as far as its files are here and as they were.

        Raises:
            StorageError: the disk refused.
        """
        directory = PayloadDirectory(self._directory, key)
        torrent = await trio.to_thread.run_sync(directory.load)
        if torrent is not None and key not in self._transfers:
            await self._resume(torrent, directory)

    # --- downloading ------------------------------------------------------------------------------
    async def _add_sources(
        self, transfer: Transfer, mirrors: Sequence[str], peers: Sequence[Endpoint]
    ) -> None:
        refused = []
        for url in mirrors[:MIRRORS_MAX]:
            if transfer.sources.is_attached(url):
                continue
            try:
                allow_local = self._settings.allow_local_addresses
                transfer.sources.add_mirror(await vet_mirror(url, allow_local=allow_local))
            except PeerError as error:
                refused.append(error)
        self._introduce(transfer, peers)
        if refused and len(refused) == len(mirrors) and not peers:
            raise refused[0]

    def _introduce(self, transfer: Transfer, peers: Sequence[Endpoint]) -> None:
        for address, port in peers[:PEERS_MAX]:
            if self._settings.allow_local_addresses or not is_forbidden(address):
                transfer.sources.add_peer((address, port))

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
        if self._transfers.get(transfer.torrent.key) is not transfer:
            return  # it was stopped meanwhile
        with contextlib.suppress(MeshnodeError):
            await transfer.save()
        self._tended[transfer.torrent.key] = trio.current_time()

    async def _tend(self) -> None:
        """Look after what is read: record what came, and let the mirrors go some time later."""
        while True:
            await trio.sleep(SAVE_SECONDS)
            for key, used_at in list(self._tended.items()):
                transfer = self._transfers.get(key)
                if transfer is None or transfer.is_broken:
                    del self._tended[key]
                    continue
                if not transfer.is_saved:
                    with contextlib.suppress(MeshnodeError):
                        await transfer.save()
                if transfer.is_used:
                    self._tended[key] = trio.current_time()
                elif trio.current_time() - used_at >= LINGER_SECONDS:
                    transfer.sources.drop_mirrors()
                    del self._tended[key]

    # --- the session's torrents -------------------------------------------------------------------
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
            handle = await self._engine.add(parameters)
            transfer = Transfer(torrent, directory, state, handle)
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

    async def _drop(self, key: Digest) -> None:
        transfer = self._transfers.pop(key, None)
        if transfer is not None:
            del self._by_handle[transfer.handle]
            transfer.priorities.close()
            await self._engine.remove(transfer.handle)

    async def _resume_all(self) -> None:
        for path in sorted(self._directory.glob("*/torrent")):
            await self.resume(Digest(bytes.fromhex(path.parent.name)))

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
