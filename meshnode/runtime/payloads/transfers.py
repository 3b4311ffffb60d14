"""One torrent in the engine: what it holds, what is wanted of it, and what went wrong.

The engine's alerts are told to a transfer as plain values; it never sees an alert object.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import libtorrent as lt
import trio

from meshnode.errors import MeshnodeError, PeerError, StorageError, UsageError
from meshnode.runtime.payloads.account import Progress, State
from meshnode.runtime.payloads.mirror_record import MirrorRecord
from meshnode.runtime.payloads.payload_directory import (
    HeldState,
    PayloadDirectory,
    stamps_of,
    sync_files,
)
from meshnode.runtime.payloads.priorities import Priorities
from meshnode.runtime.payloads.room import Room
from meshnode.runtime.payloads.sources import Sources
from meshnode.runtime.payloads.torrent_check import CheckedTorrent
from meshnode.runtime.quota import Quota

FLUSH_SECONDS_MAX: Final = 60  # a disk that takes longer to write its cache is reported
CHECK_SECONDS_MAX: Final = 6 * 3600  # hashing a large payload of a publisher's once
_READ_BYTES: Final = 1 << 20

_CHECKING: Final = (
    lt.torrent_status.states.checking_files,
    lt.torrent_status.states.checking_resume_data,
)


class Transfer:
    """A torrent that was added to the session. Methods that block say so; they run in threads.

    Invariant: a piece is `written` only after the engine verified it and flushed it to its file.
    """

    def __init__(
        self,
        torrent: CheckedTorrent,
        directory: PayloadDirectory,
        state: HeldState,
        handle: lt.torrent_handle,
        quota: Quota,
        record: MirrorRecord,
    ) -> None:
        self.torrent = torrent
        self.handle = handle
        self.locations = directory.locations(torrent, state.content)
        self.sources = Sources(handle, record)
        self.priorities = Priorities(handle, torrent.piece_count)
        self.room = Room(quota, self)
        self.checked = trio.Event()
        self.verified = set(state.verified)
        self.failure: MeshnodeError | None = None
        self.is_saved = True
        self._written = bytearray(state.pieces)
        self._stamps = dict(zip(state.verified, state.stamps, strict=False))
        self._directory = directory
        self._content = state.content
        self._news = trio.Event()
        self._finished: set[int] = set()  # verified, perhaps not written yet
        self._flushed = trio.Event()
        self._flushing = trio.Lock()
        self._saving = trio.Lock()
        self._users = 0

    @property
    def is_whole(self) -> bool:
        return len(self.verified) == len(self.torrent.files.files)

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
        return self.sources.is_spoilt and not self.is_used

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
        status = self.handle.status(0)
        if status.errc.value():
            self.note_failure(StorageError(f"payload: {status.errc.message()}"))
        elif status.state not in _CHECKING:
            self.note_checked()

    def note_checked(self) -> None:
        self.checked.set()

    def note_piece(self, piece: int) -> None:
        self._finished.add(piece)
        self.is_saved = False
        self.wake()

    def note_flushed(self) -> None:
        self._flushed.set()

    def note_failure(self, failure: MeshnodeError) -> None:
        self.failure = failure
        self.checked.set()
        self._flushed.set()
        self.wake()

    def wake(self) -> None:
        """Have everybody look again who waits."""
        self._news.set()
        self._news = trio.Event()

    async def wait(self, seconds: float) -> None:
        """Wait so long, or until a piece came or something went wrong."""
        with trio.move_on_after(seconds):
            await self._news.wait()

    # --- progress ---------------------------------------------------------------------------------
    def choose(self, only: Sequence[int] | None) -> tuple[int, ...]:
        """Return these indices of the list's files in order, all for None; raises UsageError."""
        count = len(self.torrent.files.files)
        wanted = tuple(range(count)) if only is None else tuple(sorted(set(only)))
        if not wanted or wanted[0] < 0 or wanted[-1] >= count:
            raise UsageError(f"files {wanted}: the payload has {count} files")
        return wanted

    def pieces_of(self, wanted: Sequence[int]) -> list[int]:
        return [piece for index in wanted for piece in self.torrent.spans[index]]

    def progress(self, wanted: Sequence[int], state: State) -> Progress:
        """Read the engine's counters; raises what went wrong meanwhile."""
        if self.failure:
            raise self.failure
        by_source = self.sources.sent_bytes()
        held = self.held_pieces()
        files = self.torrent.files.files
        total = sum(files[i].size_bytes for i in wanted)
        missing = sum(
            len(self.torrent.part(index, piece))
            for index in wanted
            for piece in self.torrent.spans[index]
            if not held[piece]
        )
        return Progress(total - missing, total, by_source, state)

    def held_pieces(self) -> tuple[bool, ...]:
        """Return a flag a piece: verified, perhaps not written yet. The engine pads to bytes."""
        pieces = self.handle.status(lt.torrent_handle.query_pieces).pieces
        held = tuple(bool(piece) for piece in pieces)[: self.torrent.piece_count]
        return held or (False,) * self.torrent.piece_count

    def is_written(self, piece: int) -> bool:
        return bool(self._written[piece])

    def is_verified(self, piece: int) -> bool:
        return self.is_written(piece) or piece in self._finished

    # --- the disk ---------------------------------------------------------------------------------
    async def flush(self) -> None:
        """Have the engine write what it caches: it calls a piece held before it is on the disk.

        Asked twice, because the engine also flushes of its own accord when a torrent finishes and
        says so in the same words: the first answer may be that one.

        Raises:
            StorageError: not within FLUSH_SECONDS_MAX, or the disk refused.
        """
        async with self._flushing:
            finished = tuple(self._finished)
            await self._flush_once()
            await self._flush_once()
            if self.failure:
                raise self.failure
            for piece in finished:
                self._written[piece] = True
            self._finished.difference_update(finished)

    async def _flush_once(self) -> None:
        self._flushed = trio.Event()
        self.handle.flush_cache()
        with trio.move_on_after(FLUSH_SECONDS_MAX):
            await self._flushed.wait()
            return
        raise StorageError(f"the disk did not take its data within {FLUSH_SECONDS_MAX} s")

    async def save(self) -> None:
        """Record the pieces that are held now, after their bytes.

        Raises:
            StorageError: the disk refused.
        """
        async with self._saving:
            pieces = self.held_pieces()
            self.is_saved = True
            await self.flush()
            await trio.to_thread.run_sync(self._save, pieces)
            self._written = bytearray(map(max, self._written, pieces))

    def _save(self, pieces: tuple[bool, ...]) -> None:
        verified = tuple(sorted(self.verified))
        if self._content is None:
            sync_files(self.locations)
        stamps = stamps_of(self.locations[i] for i in verified) or ()
        self._stamps = dict(zip(verified, stamps, strict=False))
        self._directory.save(HeldState(pieces, verified, self._content, stamps))

    def is_untouched(self, index: int) -> bool:
        """Say whether nobody wrote to a file since it was verified. Blocks."""
        stamp = self._stamps.get(index)
        return stamp is None or stamps_of([self.locations[index]]) == (stamp,)

    # --- verification -----------------------------------------------------------------------------
    def verify(self, wanted: Sequence[int]) -> None:
        """Compare files with the list's SHA-256. Blocks.

        Raises:
            PeerError: the torrent passed its own hashes, but the file is not what was signed.
            StorageError: a file cannot be read.
        """
        for index in wanted:
            file = self.torrent.files.files[index]
            if file.sha256 is not None and _sha256_of(self.locations[index]) != file.sha256:
                raise PeerError(
                    f"{file.path!r} matches the publisher's torrent, not its SHA-256",
                    hint="the publisher must publish this payload again",
                )
            self.verified.add(index)


def _sha256_of(path: Path) -> bytes:
    whole = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while part := file.read(_READ_BYTES):
                whole.update(part)
    except FileNotFoundError:
        return b""
    except OSError as error:
        raise StorageError(f"cannot read {path}: {error.strerror}") from error
    return whole.digest()
