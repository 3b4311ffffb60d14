"""One piece from one mirror, past the engine: fetched by range, and held against its hash."""

from __future__ import annotations

from dataclasses import dataclass

import trio

from meshnode.runtime.payloads.mirrors.file_addresses import FileAddresses
from meshnode.runtime.payloads.mirrors.range_client import (
    Fault,
    MirrorError,
    RangeClient,
    require_part,
)
from meshnode.runtime.payloads.piece_hashes import PieceHashes
from meshnode.runtime.payloads.torrent_check import CheckedTorrent

PIECE_SECONDS_MAX = 300.0  # the largest piece, at 56 kB/s: a mirror that is slower is none
CORRUPT = "sent corrupt bytes"


@dataclass(frozen=True, slots=True)
class Proof:
    """A piece that was right, padding included; `count` bytes of it came from the mirror.

    `delay_seconds` passed until the first byte, `seconds` from then on.
    """

    piece: int
    whole: bytes
    count: int
    delay_seconds: float
    seconds: float


async def fetch_piece(
    client: RangeClient,
    addresses: FileAddresses,
    torrent: CheckedTorrent,
    hashes: PieceHashes,
    piece: int,
) -> Proof:
    """Return a piece that is right.

    Raises:
        MirrorError: it is not to be had; WRONG where other bytes came.
    """
    parts, raws = hashes.parts(piece), list[bytes]()
    began, delay = trio.current_time(), 0.0
    try:
        with trio.fail_after(PIECE_SECONDS_MAX):
            for index, span in parts:
                size = torrent.files.files[index].size_bytes
                async with client.asked(addresses.url(index), span) as answer:
                    delay = delay or trio.current_time() - began
                    require_part(answer, span, size)
                    raws.append(await answer.read(len(span)))
    except trio.TooSlowError as error:
        said = f"sends less than a piece in {PIECE_SECONDS_MAX:.0f} s"
        raise MirrorError(Fault.UNREACHABLE, said) from error
    seconds = trio.current_time() - began - delay
    whole = await trio.to_thread.run_sync(hashes.assemble, piece, parts, raws)
    if not await trio.to_thread.run_sync(hashes.is_right, piece, whole):
        raise MirrorError(Fault.WRONG, CORRUPT, piece=piece)
    return Proof(piece, whole, sum(map(len, raws)), delay, seconds)
