"""Whether bytes are a piece of a torrent: its v2 tree where there is one, else its v1 hash."""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from collections.abc import Sequence
from itertools import takewhile
from typing import Any

import libtorrent as lt

from meshnode.runtime.payloads.creation import piece_root
from meshnode.runtime.payloads.torrent_check import CheckedTorrent

_DIGEST_BYTES = 32


class PieceHashes:
    """The hashes of one torrent, read once. Making it takes milliseconds: use a worker thread."""

    def __init__(self, torrent: CheckedTorrent) -> None:
        self._torrent = torrent
        self._info = torrent.info()
        decoded: Any = lt.bdecode(torrent.raw)
        self._layers: dict[bytes, bytes] = decoded.get(b"piece layers") or {}
        self._has_v1 = torrent.claim.infohash_v1 is not None
        filled = (index for index, span in enumerate(torrent.spans) if span)
        self._in_order = sorted(filled, key=torrent.offsets.__getitem__)
        self._stops = [torrent.spans[index].stop for index in self._in_order]

    def parts(self, piece: int) -> list[tuple[int, range]]:
        """Return the files that have bytes of a piece, in its order, and which bytes of each."""
        torrent = self._torrent
        after = self._in_order[bisect_right(self._stops, piece) :]
        found = takewhile(lambda index: piece in torrent.spans[index], after)
        return [(index, torrent.part(index, piece)) for index in found]

    def assemble(self, piece: int, parts: Sequence[tuple[int, range]], raws: list[bytes]) -> bytes:
        """Put the bytes of `parts` where they belong in a piece; padding is zeros (BEP 47).

        A piece of a torrent of v2 alone ends with its file: the engine takes it in this form.
        """
        if not self._has_v1:
            return b"".join(raws)
        first = piece * self._torrent.claim.piece_size_bytes
        chunks, at = [], 0
        for (index, part), raw in zip(parts, raws, strict=True):
            start = self._torrent.offsets[index] + part.start - first
            chunks += [bytes(start - at), raw]
            at = start + len(raw)
        return b"".join([*chunks, bytes(self._info.piece_size(piece) - at)])

    def can_tell(self, piece: int) -> bool:
        """Say whether the torrent has a hash of this piece: one of v2 may lack its layers."""
        return self._has_v1 or self._v2_root(piece) is not None

    def is_right(self, piece: int, whole: bytes) -> bool:
        """Say whether these bytes, padding included, are the piece; `can_tell` comes first."""
        expected = self._v2_root(piece)
        if expected is not None:
            index = self.parts(piece)[0][0]
            part = self._torrent.part(index, piece)
            size = self._torrent.claim.piece_size_bytes
            is_one = self._torrent.files.files[index].size_bytes <= size
            return piece_root(whole[: len(part)], 0 if is_one else size) == expected
        assert self._has_v1  # whoever asks made sure that it can be told
        found = hashlib.sha1(whole, usedforsecurity=False).digest()
        return found == self._info.hash_for_piece(piece)

    def _v2_root(self, piece: int) -> bytes | None:
        """Return the root of a piece's tree; None in a torrent without v2 hashes of its pieces."""
        if self._torrent.claim.infohash_v2 is None:
            return None
        ((index, _),) = self.parts(piece)  # files begin with a piece of their own (BEP 52)
        root = self._torrent.files.files[index].root
        if root is None or len(self._torrent.spans[index]) == 1:
            return root
        at = (piece - self._torrent.spans[index].start) * _DIGEST_BYTES
        return self._layers.get(root, b"")[at : at + _DIGEST_BYTES] or None
