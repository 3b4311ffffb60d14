"""Pieces on the disk, compared with the hashes of their torrent."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from meshnode.runtime.files import refused_by_disk
from meshnode.runtime.payloads.piece_hashes import PieceHashes
from meshnode.runtime.payloads.torrent_check import CheckedTorrent

_READ_BYTES: Final = 1 << 20
_LOST: Final = (errno.ENOENT, errno.EIO)  # a bad sector is rot too


class PieceCheck:
    """The pieces of one torrent at its places on the disk.

    Of a piece that the torrent has no hash of (`PieceHashes.can_tell`), only missing bytes show.
    """

    def __init__(self, torrent: CheckedTorrent, locations: Sequence[Path]) -> None:
        self._torrent = torrent
        self._locations = locations
        self._hashes = PieceHashes(torrent)

    def is_right(self, piece: int) -> bool:
        """Read a piece and compare it. Blocks.

        Raises:
            StorageError: the disk refused, for another reason than that bytes are missing.
        """
        return self._right(piece) is not None

    def right_part(self, index: int, piece: int) -> bytes | None:
        """Return the bytes of file `index` in a piece, None if the piece is not right. Blocks.

        Raises:
            StorageError: as `is_right`.
        """
        raws = self._right(piece)
        return None if raws is None else raws[index]

    def _right(self, piece: int) -> dict[int, bytes] | None:
        """Return the bytes of each file in a piece, None if it is not right."""
        parts = self._hashes.parts(piece)
        raws = [b"".join(_parts_of(self._locations[index], part)) for index, part in parts]
        if any(len(raw) != len(part) for raw, (_, part) in zip(raws, parts, strict=True)):
            return None
        if self._hashes.can_tell(piece):
            whole = self._hashes.assemble(piece, parts, raws)
            if not self._hashes.is_right(piece, whole):
                return None
        return {index: raw for (index, _), raw in zip(parts, raws, strict=True)}


def _parts_of(path: Path, span: range) -> Iterator[bytes]:
    try:
        with path.open("rb") as file:
            for at in range(span.start, span.stop, _READ_BYTES):
                yield os.pread(file.fileno(), min(_READ_BYTES, span.stop - at), at)
    except OSError as error:
        if error.errno in _LOST:
            return
        raise refused_by_disk(f"cannot read {path}", error) from error
