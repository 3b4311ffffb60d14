"""Reading a payload in place: any bytes of a file, fetched and verified before they are given."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Final

import trio

from meshnode.errors import StorageError
from meshnode.runtime.payloads.patience import Patience, StalledSourcesError
from meshnode.runtime.payloads.transfers import Transfer

AHEAD_BYTES: Final = 32 << 20  # fetched before they are read: what hides the delay of a mirror
PIECE_SECONDS_MAX: Final = 600.0  # others' bytes may come all the while that this piece does not
_PART_BYTES: Final = 1 << 20  # in memory for each reader
_LOOK_SECONDS: Final = 0.2


async def read(
    transfer: Transfer, index: int, span: range, *, stall_seconds: float
) -> AsyncGenerator[bytes, None]:
    """Yield these bytes of file `index` in order; leaving early fetches nothing more for them.

    The first piece is asked for alone, since what is asked for at the same time comes in any order;
    then, as TCP does in its slow start, twice as many after each.

    Raises:
        PeerError: sources send nothing for `stall_seconds`, or nothing true.
        StorageError: the disk refused.
        MeshnodeError: whatever ended the transfer meanwhile.
    """
    torrent = transfer.torrent
    pieces = torrent.pieces(index, span)
    ahead_max = max(AHEAD_BYTES // torrent.claim.piece_size_bytes, 1)
    ahead = 0
    with transfer.priorities.reading() as window:
        for piece in pieces:
            following = range(piece, min(piece + 1 + ahead, pieces.stop))
            ahead = min(2 * ahead + 1, ahead_max)
            await transfer.room.cover(following)
            window.move([each for each in following if not transfer.is_written(each)])
            await _until_written(transfer, piece, stall_seconds)
            part = torrent.part(index, piece)
            for start in range(max(part.start, span.start), min(part.stop, span.stop), _PART_BYTES):
                count = min(_PART_BYTES, part.stop - start, span.stop - start)
                yield await trio.to_thread.run_sync(
                    _bytes_at, transfer.locations[index], start, count
                )


async def _until_written(transfer: Transfer, piece: int, stall_seconds: float) -> None:
    patience = Patience(transfer.sources, stall_seconds)
    with trio.move_on_after(PIECE_SECONDS_MAX):
        while not transfer.is_written(piece):
            if transfer.failure:
                raise transfer.failure
            if transfer.handle.have_piece(piece):  # its alert may be on its way, or lost
                transfer.note_piece(piece)
                await transfer.flush()
                continue
            patience.look()
            await transfer.wait(_LOOK_SECONDS)
        return
    raise StalledSourcesError(
        f"piece {piece} did not come within {PIECE_SECONDS_MAX:.0f} s:"
        f" {transfer.sources.describe()}",
        hint="what came is kept; try again later",
    )


def _bytes_at(path: Path, start: int, count: int) -> bytes:
    try:
        with path.open("rb") as file:
            found = os.pread(file.fileno(), count, start)
    except OSError as error:
        raise StorageError(f"cannot read {path}: {error.strerror}") from error
    if len(found) != count:
        raise StorageError(f"{path} is shorter than what was verified of it")
    return found
