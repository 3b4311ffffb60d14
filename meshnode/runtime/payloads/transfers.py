"""One torrent in the engine: what is wanted of it, what came, and what went wrong.

The engine's alerts are told to a transfer as plain values; it never sees an alert object.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from functools import cached_property
from pathlib import Path
from typing import Final

import libtorrent as lt
import trio

from meshnode.errors import MeshnodeError, StorageError, UsageError
from meshnode.runtime.payloads.account import Progress, State
from meshnode.runtime.payloads.address_filter import Endpoint
from meshnode.runtime.payloads.attachment import Attachment, Snapshot, unfinished_blocks
from meshnode.runtime.payloads.holdings import Holdings
from meshnode.runtime.payloads.mirror_record import MirrorRecord
from meshnode.runtime.payloads.priorities import Priorities
from meshnode.runtime.payloads.room import Room
from meshnode.runtime.payloads.sources import Sources
from meshnode.runtime.quota import Quota

FLUSH_SECONDS_MAX: Final = 60  # a disk that takes longer to write its cache is reported
CHECK_SECONDS_MAX: Final = 6 * 3600  # hashing a large payload of a publisher's once
_PEERS_SECONDS_MAX: Final = 5.0  # to say whom it knows; they come back by themselves else


class Transfer:
    """A torrent that was added to the session. Methods that block say so; they run in threads.

    Invariant: a piece is `written` only after the engine verified it and flushed it to its file.
    """

    def __init__(
        self, holdings: Holdings, handle: lt.torrent_handle, quota: Quota, record: MirrorRecord
    ) -> None:
        self.torrent = holdings.torrent
        self.holdings = holdings
        self.handle = Attachment(handle, holdings.torrent.piece_count)
        self._record = record
        self.priorities = Priorities(self.handle, holdings.torrent.piece_count)
        self.room = Room(quota, self)
        self._is_checked = False
        self._checked: trio.Event | None = None
        self.failure: MeshnodeError | None = None
        self._news: trio.Event | None = None  # made by who waits: most payloads only lie there
        self._finished: set[int] = set()  # verified, perhaps not written yet
        self._flushed: trio.Event | None = None
        self._known: trio.Event | None = None
        self._peers: tuple[Endpoint, ...] = ()
        self._users = 0

    @cached_property
    def sources(self) -> Sources:
        """The mirrors and peers of this torrent."""
        return Sources(self.torrent.key, self.handle, self._record)

    @cached_property
    def _disk(self) -> trio.Lock:
        """Held by who flushes, records, or takes the torrent out of the engine."""
        return trio.Lock()

    @property
    def locations(self) -> tuple[Path, ...]:
        return self.holdings.locations

    @property
    def verified(self) -> set[int]:
        return self.holdings.verified

    @property
    def is_whole(self) -> bool:
        return self.holdings.is_whole

    @property
    def is_saved(self) -> bool:
        return self.holdings.is_saved

    @property
    def is_used(self) -> bool:
        """True while somebody downloads or reads."""
        return self._users > 0

    @property
    def is_broken(self) -> bool:
        """True when the last use failed and no other goes on."""
        return self.failure is not None and not self.is_used

    @property
    def is_stale(self) -> bool:
        """True when nobody uses it and the engine would not ask a source again that it banned."""
        return "sources" in vars(self) and self.sources.is_spoilt and not self.is_used

    @property
    def is_given_up(self) -> bool:
        """True when nobody uses it and a publisher's own files are not what they were."""
        return self.holdings.is_own and not self.is_used and not all(self.holdings.written)

    @contextmanager
    def in_use(self) -> Iterator[None]:
        self._users += 1
        try:
            yield
        finally:
            self._users -= 1

    # --- what the engine's alerts say -------------------------------------------------------------
    def catch_up(self) -> None:
        """Take note of what the engine did before its alerts found their way here."""
        if fault := self.handle.fault():
            self.note_failure(
                StorageError(f"payload: {fault}", hint="check the disk, then ask again")
            )
        elif self.handle.is_checked():
            self.note_checked()

    def note_checked(self) -> None:
        self._is_checked = True
        _set(self._checked)

    async def until_checked(self) -> None:
        """Wait until the engine knows what it has of the torrent, or that it failed."""
        if not self._is_checked:
            if self._checked is None:
                self._checked = trio.Event()
            await self._checked.wait()

    def begin_again(self) -> None:
        """The torrent comes into the engine anew."""
        self._is_checked, self._checked = False, None

    def note_piece(self, piece: int) -> None:
        self._finished.add(piece)
        self.holdings.is_saved = False
        self.wake()

    def note_flushed(self) -> None:
        _set(self._flushed)

    def note_peers(self, peers: tuple[Endpoint, ...]) -> None:
        """Learn where the peers listen that the engine knows."""
        self._peers = peers
        _set(self._known)

    def note_failure(self, failure: MeshnodeError) -> None:
        self.failure = failure
        self.note_checked()
        _set(self._flushed)
        _set(self._known)
        self.wake()

    def end(self) -> None:
        """Use the engine no more: it is about to end."""
        self.handle.abandon()
        self.note_failure(
            UsageError("this peer is stopping", hint="start it again: what came is kept")
        )

    def wake(self) -> None:
        """Have everybody look again who waits."""
        _set(self._news)
        self._news = None

    async def wait(self, seconds: float) -> None:
        """Wait so long, or until a piece came or something went wrong."""
        if self._news is None:
            self._news = trio.Event()
        news = self._news
        with trio.move_on_after(seconds):
            await news.wait()

    # --- progress ---------------------------------------------------------------------------------
    def choose(self, only: Sequence[int] | None) -> tuple[int, ...]:
        """Return these indices of the list's files in order, all for None; raises UsageError."""
        count = len(self.torrent.files.files)
        wanted = tuple(range(count)) if only is None else tuple(sorted(set(only)))
        if not wanted or wanted[0] < 0 or wanted[-1] >= count:
            raise UsageError(f"files {wanted}: the payload has {count} files")
        return wanted

    def progress(self, wanted: Mapping[int, int], state: State) -> Progress:
        """Of so many bytes in each wanted piece, say how many are here.

        Raises:
            MeshnodeError: what went wrong meanwhile.
        """
        if self.failure:
            raise self.failure
        by_source = self.sources.sent_bytes()
        held = self.held_pieces()
        done = sum(size for piece, size in wanted.items() if held[piece])
        return Progress(done, sum(wanted.values()), by_source, state)

    def held_pieces(self) -> tuple[bool, ...]:
        """Return a flag a piece: verified, perhaps not written yet."""
        return self.handle.pieces()

    def is_written(self, piece: int) -> bool:
        return bool(self.holdings.written[piece])

    def is_verified(self, piece: int) -> bool:
        return self.is_written(piece) or piece in self._finished

    def spare_pieces(self) -> list[int]:
        """Return the pieces that are here, and that nobody keeps, fetches or reads now."""
        holdings = self.holdings
        if holdings.is_own:
            return []
        flags = enumerate(zip(holdings.written, holdings.kept, strict=True))
        return [
            piece
            for piece, (is_here, is_kept) in flags
            if is_here and not is_kept and not self.priorities.is_wanted(piece)
        ]

    # --- the disk ---------------------------------------------------------------------------------
    async def flush(self) -> None:
        """Have the engine write what it caches: it calls a piece held before it is on the disk.

        Asked twice, because the engine also flushes of its own accord when a torrent finishes and
        says so in the same words: the first answer may be that one.

        Raises:
            StorageError: not within FLUSH_SECONDS_MAX, or the disk refused.
        """
        async with self._disk:
            await self._flush()

    async def _flush(self) -> None:
        finished = tuple(self._finished)
        await self._flush_once()
        await self._flush_once()
        if self.failure:
            raise self.failure
        for piece in finished:
            self.holdings.written[piece] = True
        self._finished.difference_update(finished)

    async def _flush_once(self) -> None:
        flushed = self._flushed = trio.Event()
        self.handle.flush_cache()
        with trio.move_on_after(FLUSH_SECONDS_MAX):
            await flushed.wait()
            return
        raise StorageError(
            f"the disk did not take its data within {FLUSH_SECONDS_MAX} s",
            hint="check the disk, then ask again: what came is kept",
        )

    async def save(self) -> None:
        """Record the pieces that are held now, after their bytes.

        Raises:
            StorageError: the disk refused.
        """
        async with self._disk:
            await self._save()

    async def _save(self) -> None:
        pieces = self.held_pieces()
        self.holdings.is_saved = True
        await self._flush()
        await trio.to_thread.run_sync(self.holdings.save, pieces)

    @asynccontextmanager
    async def at_rest(self) -> AsyncIterator[Snapshot]:
        """Enter with all that came on the disk and recorded; nothing is recorded in the block.

        Raises:
            StorageError: the disk refused.
        """
        async with self._disk:
            await self._save()
            known = self._known = trio.Event()
            self.handle.current.save_resume_data()
            with trio.move_on_after(_PEERS_SECONDS_MAX):
                await known.wait()
            self.sources.sent_bytes()  # the connections that end now are counted
            yield Snapshot(unfinished_blocks(self.handle.current), self._peers)

    @asynccontextmanager
    async def leaving(self) -> AsyncIterator[None]:
        """Wait until the torrent is in the engine, for who takes it out for good."""
        async with self._disk:
            yield

    def note_lost(self, pieces: Iterable[int]) -> None:
        """These pieces are given up."""
        self._finished.difference_update(pieces)


def _set(event: trio.Event | None) -> None:
    if event is not None:
        event.set()
