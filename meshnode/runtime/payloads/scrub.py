"""Looking for rot: held pieces are read and compared with their hashes, slowly, again and again.

    <hex key>/scrub   where the last look was cut off, and when one ended

A piece that is not right is given up at once: it is served to nobody, and whoever keeps it has it
fetched again.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncGenerator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Final

import structlog
import trio

from meshnode.core.identifiers import Digest
from meshnode.errors import MeshnodeError
from meshnode.runtime.clock import unix_now
from meshnode.runtime.files import write_durably
from meshnode.runtime.payloads.checked_pieces import CheckedPieces
from meshnode.runtime.payloads.payload_directory import PayloadDirectory
from meshnode.runtime.payloads.roster import Roster
from meshnode.runtime.payloads.transfers import Transfer

LOOK_SECONDS: Final = 300.0  # between two looks for payloads that are due
_SAVE_SECONDS: Final = 2.0  # at most so much is read again after a crash
_DAY_SECONDS: Final = 86_400
_FORMAT: Final = 1

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class ScrubRecord:
    """`next_piece` is where the next look begins; `ended` the last whole one, in unix seconds.

    `rotten_pieces` counts all that were ever found.
    """

    next_piece: int = 0
    ended: int = 0
    rotten_pieces: int = 0


@dataclass(frozen=True, slots=True)
class ScrubProgress:
    """Of the bytes that this look has to read: how many it has. `rotten`: pieces it found."""

    key: Digest
    done_bytes: int
    total_bytes: int
    rotten: tuple[int, ...]


class Scrubber:
    """Invariant: one look at a time, so that the disk is read at the rate that is set."""

    def __init__(
        self, roster: Roster, checked: CheckedPieces, bytes_per_second: int, days: int
    ) -> None:
        self._roster = roster
        self._checked = checked
        self._rate = bytes_per_second
        self._days = days
        self._looking = trio.Lock()

    async def run(self) -> None:
        """Scrub what was not looked at for so many days, until cancelled; 0 days: nothing."""
        while True:
            await trio.sleep(LOOK_SECONDS)
            for transfer in self._roster.transfers() if self._days else ():
                with contextlib.suppress(MeshnodeError):
                    if await trio.to_thread.run_sync(self._is_due, transfer):
                        async with contextlib.aclosing(self.scrub(transfer.torrent.key)) as steps:
                            async for _ in steps:
                                pass

    async def scrub(
        self, key: Digest, bytes_per_second: int | None = None
    ) -> AsyncGenerator[ScrubProgress, None]:
        """Look at each held piece of a payload, from where the last look was cut off.

        0 bytes a second: as fast as the disk gives them; None: as it is set.

        Raises:
            StorageError: the disk refused.
        """
        rate = self._rate if bytes_per_second is None else bytes_per_second
        async with self._looking:
            transfer = self._roster.find(key)
            if transfer is None:
                return
            directory = self._roster.directory_of(key)
            record = await trio.to_thread.run_sync(read_record, directory)
            look = _Look(transfer, record)
            saved_at = trio.current_time()
            try:
                yield look.progress()
                while (piece := look.next_piece()) is not None:
                    started = trio.current_time()
                    if not await self._is_right(transfer, piece):
                        look.rotten.append(piece)
                    look.pass_by(piece)
                    yield look.progress()
                    if trio.current_time() - saved_at >= _SAVE_SECONDS:
                        saved_at = trio.current_time()
                        await trio.to_thread.run_sync(write_record, directory, look.record())
                    if rate:
                        seconds = transfer.torrent.piece_bytes(piece) / rate
                        await trio.sleep_until(started + seconds)
            finally:
                with trio.move_on_after(_SAVE_SECONDS, shield=True):
                    if self._roster.find(key) is transfer:
                        await trio.to_thread.run_sync(write_record, directory, look.record())

    async def _is_right(self, transfer: Transfer, piece: int) -> bool:
        """Compare a piece; give it up if it is not right. One that went meanwhile is."""
        check = await self._checked.check(transfer)
        if await trio.to_thread.run_sync(check.is_right, piece) or not transfer.is_written(piece):
            return True
        self._checked.forget(transfer.torrent.key)
        await self._roster.lose(transfer, lambda: {piece}, is_rotten=True)
        _log.warning("a piece has rotted", payload=transfer.torrent.key.hex(), piece=piece)
        return False

    def _is_due(self, transfer: Transfer) -> bool:
        record = read_record(self._roster.directory_of(transfer.torrent.key))
        return unix_now() - record.ended >= self._days * _DAY_SECONDS


class _Look:
    """One look at a payload: what is behind it and what lies before it."""

    def __init__(self, transfer: Transfer, record: ScrubRecord) -> None:
        self.rotten: list[int] = []
        self._transfer = transfer
        self._before = record
        self._next = record.next_piece if record.next_piece < transfer.torrent.piece_count else 0
        self._done = 0

    def next_piece(self) -> int | None:
        pieces = range(self._next, self._transfer.torrent.piece_count)
        return next((each for each in pieces if self._transfer.is_written(each)), None)

    def pass_by(self, piece: int) -> None:
        self._next = piece + 1
        self._done += self._transfer.torrent.piece_bytes(piece)

    def progress(self) -> ScrubProgress:
        torrent = self._transfer.torrent
        left = sum(self._transfer.holdings.written[self._next :]) * torrent.claim.piece_size_bytes
        return ScrubProgress(torrent.key, self._done, self._done + left, tuple(self.rotten))

    def record(self) -> ScrubRecord:
        found = self._before.rotten_pieces + len(self.rotten)
        if self.next_piece() is None:
            return ScrubRecord(0, unix_now(), found)
        return replace(self._before, next_piece=self._next, rotten_pieces=found)


def read_record(directory: PayloadDirectory) -> ScrubRecord:
    """Read where the last look was; one that is missing or damaged begins anew. Blocks."""
    try:
        said = json.loads(_path(directory).read_bytes())
        if said.pop("format") != _FORMAT:
            return ScrubRecord()
        return ScrubRecord(**{name: int(value) for name, value in said.items()})
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return ScrubRecord()


def write_record(directory: PayloadDirectory, record: ScrubRecord) -> None:
    """Blocks; raises StorageError."""
    write_durably(_path(directory), json.dumps({"format": _FORMAT, **asdict(record)}).encode())


def _path(directory: PayloadDirectory) -> Path:
    return directory.path / "scrub"
