"""Payloads of one data directory in the BitTorrent engine: seeded, downloaded, read in place.

It decides nothing about what is held. Sources are named by the caller: no tracker, no DHT, no local
discovery, no peer exchange (the mesh does that).
"""

from __future__ import annotations

import contextlib
import random
from collections.abc import AsyncGenerator, Collection, Sequence
from functools import partial
from pathlib import Path
from typing import Final

import trio

from meshnode.core.identifiers import Digest
from meshnode.core.mirror_health import Heard
from meshnode.errors import StorageError, UsageError
from meshnode.runtime.clock import unix_now
from meshnode.runtime.payloads.account import Progress
from meshnode.runtime.payloads.address_filter import Endpoint
from meshnode.runtime.payloads.checked_pieces import CheckedPieces
from meshnode.runtime.payloads.downloading import Order, carry_out
from meshnode.runtime.payloads.eviction import Eviction
from meshnode.runtime.payloads.governor import Governor
from meshnode.runtime.payloads.holes import can_punch
from meshnode.runtime.payloads.mirror_record import MirrorRecord
from meshnode.runtime.payloads.mirrors.bridging import Bridging
from meshnode.runtime.payloads.mirrors.enrolment import Enrolments
from meshnode.runtime.payloads.mirrors.inspection import Found, Inspection
from meshnode.runtime.payloads.reading import read
from meshnode.runtime.payloads.roster import Roster
from meshnode.runtime.payloads.scrub import Scrubber, ScrubProgress
from meshnode.runtime.payloads.tending import Tending
from meshnode.runtime.payloads.torrent_check import CheckedTorrent
from meshnode.runtime.payloads.torrent_session import TorrentSettings
from meshnode.runtime.payloads.traffic import Traffic
from meshnode.runtime.payloads.transfers import Transfer
from meshnode.runtime.payloads.wants import Want
from meshnode.runtime.quota import Quota

SETTLE_SECONDS_MAX: Final = 5.0  # what is not recorded by then is fetched again


class Torrents:
    """Payloads of one data directory. Nothing works before `run` has started."""

    def __init__(
        self,
        settings: TorrentSettings,
        directory: Path,
        quota: Quota | None = None,
        record: MirrorRecord | None = None,
        bridge: Bridging | None = None,
        traffic: Traffic | None = None,
        hear: Heard = lambda _key: {},
    ) -> None:
        self._settings = settings
        self._directory = directory
        self._quota = quota or Quota(directory)
        self.mirrors = record or MirrorRecord(None, unix_now)
        self._roster = Roster(settings, directory, self._quota, self.mirrors)
        self._eviction = Eviction(self._roster, self._quota)
        self._quota.on_need(self._eviction.make_room)
        self._checked = CheckedPieces()
        rng = random.Random()  # noqa: S311 - jitter, and which piece a mirror is asked for
        engine = self._roster.engine
        self.governor = Governor(engine, settings.limits, traffic or Traffic(None, unix_now))
        engine.hear_counters = self.governor.traffic.note
        self._enrolments = Enrolments(
            self.mirrors, settings, rng, self.governor, bridge, engine.allow, hear
        )
        self._tending = Tending(
            self._roster, self._quota, self._eviction, self.mirrors, self._enrolments
        )
        self._scrubber = Scrubber(
            self._roster, self._checked, settings.scrub_bytes_per_second, settings.scrub_days
        )
        allow_local = settings.allow_local_addresses
        self._inspection = Inspection(self.mirrors, rng, allow_local=allow_local)

    @property
    def port(self) -> int:
        """The TCP port where peers reach the engine: 0 before it runs, or if it does not listen."""
        return self._roster.engine.port

    @property
    def near_mirrors(self) -> tuple[str, ...]:
        """Patterns of the hosts that the operator has asked before others."""
        return self._settings.near_mirrors

    def holds(self, key: Digest) -> bool:
        """Say whether every file of the payload is here, verified, and served."""
        transfer = self._roster.find(key)
        return transfer is not None and transfer.is_whole

    def serves(self, key: Digest) -> bool:
        """Say whether some of the payload is here, verified, and served."""
        transfer = self._roster.find(key)
        return transfer is not None and any(transfer.holdings.written)

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
                    self._roster.punches = await trio.to_thread.run_sync(can_punch, self._directory)
                    await self._roster.resume_all()
                    nursery.start_soon(self._tending.run)
                    nursery.start_soon(self._enrolments.run)
                    nursery.start_soon(self._scrubber.run)
                    nursery.start_soon(self.governor.run)
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
        """Fetch the files (`only`: indices in the list) from all sources at once, and keep them.

        Ends after a Progress that is DONE: every byte is on disk and every SHA-256 agrees; the
        payload is seeded from then on. Leaving earlier keeps what came (use `aclosing`), and the
        next call goes on from there. A refused source is left out and named if all fail.

        Raises:
            PeerError, StorageError: as `downloading.carry_out`.
            UsageError: there is no such file.
        """
        transfer = await self.open(torrent)
        wanted = transfer.choose(only)
        order = Order(Want.DOWNLOAD, torrent.sizes(wanted), wanted, mirrors, peers)
        async with contextlib.aclosing(self._carry_out(transfer, order)) as steps:
            async for step in steps:
                yield step

    async def hold(
        self,
        torrent: CheckedTorrent,
        pieces: Collection[int] | None = None,
        *,
        mirrors: Sequence[str] = (),
        peers: Sequence[Endpoint] = (),
    ) -> AsyncGenerator[Progress, None]:
        """Keep these pieces, None for all, and fetch those that are missing, after all others.

        They are kept from the first step on, also if they could not be fetched. Else as `download`.
        """
        transfer = await self.open(torrent, cached=True)
        sizes = torrent.sizes(range(len(torrent.files.files)))
        if pieces is not None:
            sizes = {piece: sizes[piece] for piece in sorted(pieces) if piece in sizes}
        whole = [i for i, span in enumerate(torrent.spans) if all(each in sizes for each in span)]
        order = Order(Want.HOLD, sizes, whole, mirrors, peers)
        async with contextlib.aclosing(self._carry_out(transfer, order)) as steps:
            async for step in steps:
                yield step

    async def release(self, key: Digest, pieces: Collection[int] | None = None) -> int:
        """Keep these pieces, None for all, no longer, and free them, as `Eviction.release`."""
        return await self._eviction.release(key, pieces)

    async def _carry_out(self, transfer: Transfer, order: Order) -> AsyncGenerator[Progress, None]:
        key = transfer.torrent.key
        steps = carry_out(
            transfer,
            order,
            self._enrolments,
            allow_local=self._allows_local,
            stall_seconds=self._settings.stall_seconds,
            require_moving=self.governor.require_moving,
        )
        is_hold = order.want is Want.HOLD
        paced = self.governor.holding(transfer) if is_hold else contextlib.nullcontext()
        with transfer.in_use(), paced:
            try:
                self._roster.engine.size_requests(transfer.torrent.files.size_bytes)
                self._tending.note_use(key)
                keep = partial(transfer.holdings.keep, order.sizes, is_kept=True)
                await trio.to_thread.run_sync(keep)
                async with contextlib.aclosing(steps):
                    async for step in steps:
                        yield step
            finally:
                with trio.move_on_after(SETTLE_SECONDS_MAX, shield=True):
                    await self._tending.settle(transfer)

    async def read(
        self, torrent: CheckedTorrent, index: int, span: range, *, mirrors: Sequence[str] = ()
    ) -> AsyncGenerator[bytes, None]:
        """Yield these bytes of file `index` in order, each of them fetched and verified before.

        Peers are told by `introduce`. Many may read at once, beside downloads.

        Raises:
            PeerError: every source sent corrupt bytes, or none sends any for
                `read_stall_seconds`.
            StorageError: the disk refused, or the quota, or a publisher's own file was changed.
        """
        transfer = await self.open(torrent, cached=True)
        with transfer.in_use():
            self._tending.note_use(torrent.key)
            if not all(map(transfer.is_written, torrent.pieces(index, span))):
                await self._enrolments.enrol(transfer, mirrors, is_reading=True)
            stall_seconds = self._settings.read_stall_seconds
            parts = read(
                transfer,
                index,
                span,
                stall_seconds=stall_seconds,
                pieces_of=self._checked,
                lose=self.lose,
                require_moving=self.governor.require_moving,
            )
            async with contextlib.aclosing(parts):
                async for part in parts:
                    yield part

    def scrub(
        self, key: Digest, bytes_per_second: int | None = None
    ) -> AsyncGenerator[ScrubProgress, None]:
        """Look for rot in what is held of a payload, as `Scrubber.scrub`."""
        return self._scrubber.scrub(key, bytes_per_second)

    def held(self) -> list[Digest]:
        """Return the payloads of which something is here."""
        transfers = self._roster.transfers()
        return sorted(each.torrent.key for each in transfers if any(each.holdings.written))

    def missing(self) -> dict[Digest, set[int]]:
        """Return the pieces that are kept and not here, of payloads that nobody fetches now."""
        return {
            each.torrent.key: missing
            for each in self._roster.transfers()
            if not each.is_used and (missing := each.holdings.missing())
        }

    def lacks(self, torrent: CheckedTorrent, index: int, span: range) -> bool:
        """Say whether some of these bytes of file `index` are still to be fetched."""
        transfer = self._roster.find(torrent.key)
        pieces = torrent.pieces(index, span)
        return transfer is None or not all(map(transfer.is_written, pieces))

    async def inspect(self, torrent: CheckedTorrent, mirror: str) -> Found:
        """Ask a mirror for one range, and verify it, as `Inspection.look`."""
        return await self._inspection.look(torrent, mirror, partial(self.locate, torrent.key))

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
        self._checked.forget(key)
        if erase:
            await self._roster.erase(key)
        else:
            await self._roster.drop(key)

    async def lose(self, transfer: Transfer, pieces: Collection[int]) -> None:
        """Give up pieces whose bytes are not right any more: they are served to nobody.

        Raises:
            StorageError: the disk refused, or they are in a publisher's own files.
        """
        self._checked.forget(transfer.torrent.key)
        await self._roster.lose(transfer, lambda: pieces, is_rotten=True)
        if transfer.holdings.is_own:
            raise StorageError(
                f"{transfer.holdings.content} was changed since it was published",
                hint="publish it again, or put back what was there and start the peer again",
            )

    @property
    def _allows_local(self) -> bool:
        return self._settings.allow_local_addresses
