"""Pieces on the disk, compared with the hashes of their torrent."""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import libtorrent as lt

from meshnode.runtime.files import refused_by_disk
from meshnode.runtime.payloads.creation import BLOCK_BYTES, merkle_root
from meshnode.runtime.payloads.torrent_check import CheckedTorrent

_READ_BYTES: Final = 1 << 20
_ROOT_BYTES: Final = 32
_LOST: Final = (errno.ENOENT, errno.EIO)  # a bad sector is rot too


class PieceCheck:
    """The hashes of one torrent. SHA-1 of whole pieces where it has them, else trees of SHA-256.

    Either is enough to find rot: what came was verified when it came.
    """

    def __init__(self, torrent: CheckedTorrent, locations: Sequence[Path]) -> None:
        parameters = torrent.parameters(Path(), tuple(locations))
        assert parameters.ti is not None  # a torrent that was checked has its info dictionary
        self._torrent = torrent
        self._locations = locations
        self._info = parameters.ti
        self._indices = {place: index for index, place in enumerate(torrent.places)}
        self._has_v1 = parameters.info_hashes.has_v1()
        self._layers: Mapping[bytes, bytes] = {}
        if not self._has_v1:
            decoded: Any = lt.bdecode(torrent.raw)
            self._layers = decoded.get(b"piece layers", {})

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
        raw = self._right(piece)
        if raw is None:
            return None
        part, torrent = self._torrent.part(index, piece), self._torrent
        start = torrent.offsets[index] + part.start - piece * torrent.claim.piece_size_bytes
        return raw[start : start + len(part)]

    def _right(self, piece: int) -> bytes | None:
        raw = b"".join(self._parts(piece))
        if len(raw) != self._info.piece_size(piece):
            return None
        if self._has_v1:
            found = hashlib.sha1(raw, usedforsecurity=False).digest()
            return raw if found == self._info.hash_for_piece(piece) else None
        return raw if self._root_of(piece, raw) == self._wanted_root(piece) else None

    def _root_of(self, piece: int, raw: bytes) -> bytes:
        """Return the root of the tree over the file's bytes in a piece (BEP 52)."""
        torrent, size = self._torrent, self._torrent.claim.piece_size_bytes
        index = self._file_of(piece)
        view = memoryview(raw)[: len(torrent.part(index, piece))]
        starts = range(0, len(view), BLOCK_BYTES)
        row = [hashlib.sha256(view[at : at + BLOCK_BYTES]).digest() for at in starts]
        if torrent.files.files[index].size_bytes > size:
            row += [bytes(_ROOT_BYTES)] * (size // BLOCK_BYTES - len(row))
        return merkle_root(row, bytes(_ROOT_BYTES))

    def _wanted_root(self, piece: int) -> bytes:
        index = self._file_of(piece)
        file = self._torrent.files.files[index]
        if file.size_bytes <= self._torrent.claim.piece_size_bytes:
            return bytes(file.root or b"")
        at = (piece - self._torrent.spans[index].start) * _ROOT_BYTES
        return self._layers[bytes(file.root or b"")][at : at + _ROOT_BYTES]

    def _file_of(self, piece: int) -> int:
        return next(i for i, span in enumerate(self._torrent.spans) if piece in span)

    def _parts(self, piece: int) -> Iterator[bytes]:
        """Yield what a piece is made of: bytes of files, and the zeros between them."""
        size = self._info.piece_size(piece)
        for each in self._info.map_block(piece, 0, size):
            index = self._indices.get(each.file_index)
            if index is None:
                yield bytes(each.size)
            else:
                span = range(each.offset, each.offset + each.size)
                yield from _parts_of(self._locations[index], span)


def _parts_of(path: Path, span: range) -> Iterator[bytes]:
    try:
        with path.open("rb") as file:
            for at in range(span.start, span.stop, _READ_BYTES):
                yield os.pread(file.fileno(), min(_READ_BYTES, span.stop - at), at)
    except OSError as error:
        if error.errno in _LOST:
            return
        raise refused_by_disk(f"cannot read {path}", error) from error
