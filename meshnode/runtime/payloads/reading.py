"""Reading a payload in place: any bytes of a file, fetched and verified before they are given.

A piece is compared with its hash each time that it is read from the disk: what rotted since it came
is not given, but fetched again.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Final

import trio

from meshnode.errors import StorageError
from meshnode.runtime.clock import unix_milliseconds
from meshnode.runtime.payloads.checked_pieces import CheckedPieces
from meshnode.runtime.payloads.patience import Patience, StalledSourcesError
from meshnode.runtime.payloads.transfers import Transfer
from meshnode.runtime.quota import QuotaError

AHEAD_BYTES: Final = 32 << 20  # fetched before they are read: what hides the delay of a mirror
PIECE_SECONDS_MAX: Final = 600.0  # others' bytes may come all the while that this piece does not
_PART_BYTES: Final = 1 << 20  # given at once
_LOOK_SECONDS: Final = 0.2
_ROTS_MAX: Final = 3  # of one piece, while one reader waits for it: the disk itself is bad then

Lose = Callable[[Transfer, list[int]], Awaitable[object]]


async def read(
    transfer: Transfer,
    index: int,
    span: range,
    *,
    stall_seconds: float,
    pieces_of: CheckedPieces,
    lose: Lose,
    require_moving: Callable[[], None],
) -> AsyncGenerator[bytes, None]:
    """Yield these bytes of file `index` in order; leaving early fetches nothing more for them.

    The first piece is asked for alone, since what is asked for at the same time comes in any order;
    then, as TCP does in its slow start, twice as many after each. `lose` gives up rotten pieces,
    and `require_moving` raises while nothing may be fetched.

    Raises:
        PeerError: sources send nothing for `stall_seconds`, or nothing true.
        StorageError: the disk refused.
        MeshnodeError: whatever ended the transfer meanwhile.
    """
    torrent = transfer.torrent
    pieces = torrent.pieces(index, span)
    ahead_max = max(transfer.room.part_of(AHEAD_BYTES) // torrent.claim.piece_size_bytes, 1)
    ahead = 0
    with transfer.priorities.reading(transfer.is_written) as window:
        for piece in pieces:
            following = range(piece, min(piece + 1 + ahead, pieces.stop))
            ahead = min(2 * ahead + 1, ahead_max)
            window.pass_to(piece)
            if not await _has_room(transfer, following):
                following, ahead = range(piece, piece + 1), 0
                await transfer.room.cover(following)
            window.move(following)
            transfer.holdings.note_read([piece], unix_milliseconds())
            for _ in range(_ROTS_MAX):
                await _until_written(transfer, piece, stall_seconds, require_moving)
                raw = await pieces_of.part(transfer, index, piece)
                if raw is not None:
                    break
                await lose(transfer, [piece])
                await transfer.room.cover([piece])
                window.ask(piece)
            else:
                raise StorageError(
                    f"{transfer.locations[index]} gives other bytes than were written to it",
                    hint="check the disk",
                )
            part = torrent.part(index, piece)
            first, last = max(part.start, span.start), min(part.stop, span.stop)
            for start in range(first - part.start, last - part.start, _PART_BYTES):
                if transfer.failure:  # it was denied meanwhile
                    raise transfer.failure
                yield raw[start : min(start + _PART_BYTES, last - part.start)]


async def _has_room(transfer: Transfer, pieces: range) -> bool:
    """Reserve room for these pieces; False if there is none for what is only read ahead."""
    try:
        await transfer.room.cover(pieces)
    except QuotaError:
        if len(pieces) == 1:
            raise
        return False
    return True


async def _until_written(
    transfer: Transfer, piece: int, stall_seconds: float, require_moving: Callable[[], None]
) -> None:
    patience = Patience(transfer.sources, stall_seconds)
    with trio.move_on_after(PIECE_SECONDS_MAX):
        while not transfer.is_written(piece):
            if transfer.failure:
                raise transfer.failure
            if transfer.handle.have_piece(piece):  # its alert may be on its way, or lost
                transfer.note_piece(piece)
                await transfer.flush()
                continue
            require_moving()
            patience.look()
            await transfer.wait(_LOOK_SECONDS)
        return
    raise StalledSourcesError(
        f"piece {piece} did not come within {PIECE_SECONDS_MAX:.0f} s:"
        f" {transfer.sources.describe()}",
        hint="what came is kept; try again later",
    )
