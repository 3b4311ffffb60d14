"""The BitTorrent engine under trio: one libtorrent session that seeds and downloads payloads.

Owns the session, its alerts and its settings. It decides nothing about what is held. Sources are
named by the caller: no tracker, no DHT, no local discovery, no peer exchange (the mesh does that).
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import AsyncGenerator, Sequence
from pathlib import Path
from typing import Final

import libtorrent as lt
import trio

from meshnode.core.identifiers import Digest
from meshnode.errors import ConfigError, MeshnodeError, PeerError, StorageError, UsageError
from meshnode.runtime.payloads.address_filter import (
    Endpoint,
    is_forbidden,
    vet_mirror,
)
from meshnode.runtime.payloads.payload_directory import HeldState, PayloadDirectory, stamps_of
from meshnode.runtime.payloads.torrent_alerts import tell
from meshnode.runtime.payloads.torrent_check import CheckedTorrent
from meshnode.runtime.payloads.torrent_session import MIRRORS_MAX, TorrentSettings, open_session
from meshnode.runtime.payloads.transfers import CHECK_SECONDS_MAX, Progress, State, Transfer

PEERS_MAX: Final = 64  # that one download is told of
SAMPLE_SECONDS: Final = 0.2  # an open connection's bytes are counted this often
SAVE_SECONDS: Final = 2.0  # at most so much of a download is fetched again after a crash
SETTLE_SECONDS_MAX: Final = 5.0  # what is not recorded by then is fetched again
_LISTEN_SECONDS_MAX: Final = 10
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
        self.port = 0  # TCP, where peers reach this engine; known once it runs
        self._directory = directory
        self._transfers: dict[Digest, Transfer] = {}
        self._by_handle: dict[lt.torrent_handle, Transfer] = {}
        self._adding = trio.Lock()
        self._is_listening = False
        self._listen_error = ""
        self._session: lt.session

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
        self._session = open_session(self._settings)
        read_end, write_end = os.pipe()
        os.set_blocking(read_end, False)
        os.set_blocking(write_end, False)
        self._session.set_alert_fd(write_end)
        try:
            await self._wait_for_port(read_end)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._listen_to_alerts, read_end)
                await self._resume_all()
                task_status.started()
        finally:
            self._session.set_alert_fd(-1)  # before the number can name another file
            os.close(read_end)
            os.close(write_end)
            with trio.CancelScope(shield=True):  # the engine waits for its own threads
                await trio.to_thread.run_sync(self._close)

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
            UsageError: it is being downloaded already, or there is no such file.
        """
        transfer = await self._open(torrent)
        with transfer.claimed():
            wanted = transfer.want(only)
            try:
                if not set(wanted) <= transfer.verified:
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
    async def _open(self, torrent: CheckedTorrent) -> Transfer:
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

    async def _add_sources(
        self, transfer: Transfer, mirrors: Sequence[str], peers: Sequence[Endpoint]
    ) -> None:
        refused = []
        for url in mirrors[:MIRRORS_MAX]:
            try:
                allow_local = self._settings.allow_local_addresses
                transfer.add_mirror(await vet_mirror(url, allow_local=allow_local))
            except PeerError as error:
                refused.append(error)
        self._introduce(transfer, peers)
        if refused and len(refused) == len(mirrors) and not peers:
            raise refused[0]

    def _introduce(self, transfer: Transfer, peers: Sequence[Endpoint]) -> None:
        for address, port in peers[:PEERS_MAX]:
            if self._settings.allow_local_addresses or not is_forbidden(address):
                transfer.add_peer((address, port))

    async def _fetch(
        self, transfer: Transfer, wanted: Sequence[int]
    ) -> AsyncGenerator[Progress, None]:
        """Yield progress until every wanted byte is written; record the pieces on the way."""
        saved_at = moved_at = trio.current_time()
        last_sent = -1
        while True:
            progress = transfer.progress(wanted, State.TRANSFERRING)
            yield progress
            if progress.done_bytes == progress.total_bytes:
                return
            now, sent = trio.current_time(), sum(progress.by_source.values())
            if sent != last_sent:
                last_sent, moved_at = sent, now
            if transfer.is_betrayed:
                raise PeerError(
                    f"every source is corrupt: {transfer.describe_sources()}",
                    hint="try again when another peer or mirror has the payload",
                )
            if now - moved_at >= self._settings.stall_seconds:
                raise PeerError(
                    f"nothing came for {self._settings.stall_seconds:.0f} s: "
                    f"{transfer.describe_sources()}",
                    hint="what came is kept; try again later",
                )
            if now - saved_at >= SAVE_SECONDS:
                await transfer.save()
                saved_at = now
            await transfer.wait(SAMPLE_SECONDS)

    async def _settle(self, transfer: Transfer) -> None:
        """End a download, done or not: ask for nothing more and record what is held."""
        if self._transfers.get(transfer.torrent.key) is not transfer:
            return  # it was stopped meanwhile
        transfer.drop_mirrors()
        transfer.want_nothing()
        with contextlib.suppress(MeshnodeError):
            await transfer.save()

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
            transfer = Transfer(torrent, directory, state)
            parameters = torrent.parameters(directory.data, transfer.locations)
            parameters.piece_priorities = [0] * torrent.piece_count
            parameters.have_pieces = list(known)
            flags = int(parameters.flags) & ~int(_UNSCHEDULED) | int(_UNDISCOVERED)
            parameters.flags = flags
            try:
                handle = await trio.to_thread.run_sync(self._session.add_torrent, parameters)
            except RuntimeError as error:
                raise PeerError(f"torrent: {error}") from error
            transfer.handle = handle
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
            await trio.to_thread.run_sync(self._session.remove_torrent, transfer.handle)

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

    # --- alerts -----------------------------------------------------------------------------------
    async def _listen_to_alerts(self, read_end: int) -> None:
        while True:
            await self._take_alerts(read_end)

    async def _take_alerts(self, read_end: int) -> None:
        await trio.lowlevel.wait_readable(read_end)
        with contextlib.suppress(BlockingIOError):
            os.read(read_end, 1 << 16)
        for alert in self._session.pop_alerts():
            self._take(alert)  # alerts die with the next pop_alerts: nothing may await here

    def _take(self, alert: lt.alert) -> None:
        match alert:
            case lt.listen_succeeded_alert():
                self._is_listening = True
            case lt.listen_failed_alert():
                self._listen_error = str(alert.error.message())
                self._is_listening = True
            case lt.torrent_alert() if alert.handle in self._by_handle:
                tell(self._by_handle[alert.handle], alert)
            case _:
                pass

    async def _wait_for_port(self, read_end: int) -> None:
        with trio.move_on_after(_LISTEN_SECONDS_MAX):
            while not self._is_listening:
                await self._take_alerts(read_end)
        self.port = int(self._session.listen_port())
        if not self.port or self._listen_error:
            raise ConfigError(
                f"cannot listen on {self._settings.listen}: {self._listen_error or 'no answer'}",
                hint="stop what uses the port, or set another in [payload] listen",
            )

    def _close(self) -> None:
        self._by_handle.clear()
        self._transfers.clear()
        del self._session
