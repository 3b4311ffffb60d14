"""What of one payload is on the disk, for people: pieces held and kept, runs of them, blocks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import groupby
from typing import Any, Final

from meshnode.runtime.payloads.holes import held_bytes
from meshnode.runtime.payloads.payload_directory import PayloadDirectory
from meshnode.runtime.payloads.torrent_check import CheckedTorrent

RUNS_MAX: Final = 100  # of pieces that follow each other, in one answer


@dataclass(frozen=True, slots=True)
class Footprint:
    """`runs` are (first, last) of held pieces, RUNS_MAX at most; `kept_pieces` stay until they are

    released, here or still to come; `disk_bytes` counts blocks, 0 for a publisher's own files.
    """

    piece_count: int
    held_pieces: int
    kept_pieces: int
    files: int
    disk_bytes: int
    is_own: bool
    runs: tuple[tuple[int, int], ...]

    def said(self) -> dict[str, Any]:
        return asdict(self)


def footprint(directory: PayloadDirectory, torrent: CheckedTorrent) -> Footprint:
    """Read the records of a payload. Blocks."""
    state = directory.state(torrent)
    is_own = state.content is not None
    kept = torrent.piece_count if is_own else sum(directory.kept(torrent))
    if not directory.is_made:
        kept = 0
    return Footprint(
        torrent.piece_count,
        sum(state.pieces),
        kept,
        len(state.verified),
        0 if is_own else held_bytes(directory.locations(torrent, None)),
        is_own,
        runs(state.pieces),
    )


def runs(flags: Sequence[int]) -> tuple[tuple[int, int], ...]:
    """Return first and last of each run of flags that are true, the first RUNS_MAX of them."""
    found = []
    for is_set, group in groupby(range(len(flags)), key=lambda place: bool(flags[place])):
        if is_set:
            places = list(group)
            found.append((places[0], places[-1]))
            if len(found) == RUNS_MAX:
                break
    return tuple(found)
