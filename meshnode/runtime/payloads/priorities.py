"""Which pieces of a torrent are fetched, and which first: the one place that says so.

Downloads and readers each claim the pieces they need. The engine is told the union, so that none
of them can take away what another one waits for.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final

import libtorrent as lt

_UNWANTED: Final = 0
_NORMAL: Final = 4
_URGENT: Final = 7
_STEP_MILLISECONDS: Final = 500  # between the deadlines of pieces that are read one after another


class Priorities:
    """Invariant: the engine wants a piece exactly while somebody claims it."""

    def __init__(self, handle: lt.torrent_handle, piece_count: int) -> None:
        self._handle = handle
        self._downloads = array("H", bytes(2 * piece_count))  # claims of each piece
        self._readers: dict[int, int] = {}
        self._is_closed = False

    def close(self) -> None:
        """Tell the engine nothing more: it is about to forget the torrent."""
        self._is_closed = True

    @contextmanager
    def downloading(self, pieces: Iterable[int]) -> Iterator[None]:
        """Have these pieces fetched, in whatever order, while the block runs."""
        claimed = sorted(set(pieces))
        self._count(claimed, 1)
        try:
            yield
        finally:
            self._count(claimed, -1)

    @contextmanager
    def reading(self) -> Iterator[Window]:
        """Have the pieces of a window that moves fetched first, in their order."""
        window = Window(self)
        try:
            yield window
        finally:
            window.move(())

    def is_wanted(self, piece: int) -> bool:
        return bool(self._downloads[piece]) or piece in self._readers

    def wanted(self) -> Iterator[int]:
        """Yield every piece that somebody claims, each once."""
        return (piece for piece in range(len(self._downloads)) if self.is_wanted(piece))

    def _count(self, pieces: list[int], change: int) -> None:
        for piece in pieces:
            self._downloads[piece] += change
        self._tell(pieces)

    def _add_reader(self, piece: int, milliseconds: int) -> None:
        self._readers[piece] = self._readers.get(piece, 0) + 1
        self._tell([piece])
        if not self._is_closed:
            self._handle.set_piece_deadline(piece, milliseconds)

    def _drop_reader(self, piece: int) -> None:
        self._readers[piece] -= 1
        if not self._readers[piece]:
            del self._readers[piece]
            if not self._is_closed:
                self._handle.reset_piece_deadline(piece)
            self._tell([piece])  # after it, since the engine goes on with a piece it had a deadline

    def _tell(self, pieces: list[int]) -> None:
        if not self._is_closed:
            self._handle.prioritize_pieces([(piece, self._priority(piece)) for piece in pieces])

    def _priority(self, piece: int) -> int:
        if piece in self._readers:
            return _URGENT
        return _NORMAL if self._downloads[piece] else _UNWANTED


class Window:
    """The pieces that one reader needs now, and those that it needs next."""

    def __init__(self, priorities: Priorities) -> None:
        self._priorities = priorities
        self._pieces: Sequence[int] = ()

    def move(self, pieces: Sequence[int]) -> None:
        """Claim these pieces, the first one most urgently, and no others any more."""
        before, self._pieces = self._pieces, pieces
        for place, piece in enumerate(pieces):
            if piece not in before:
                self._priorities._add_reader(piece, place * _STEP_MILLISECONDS)  # noqa: SLF001
        for piece in before:
            if piece not in pieces:
                self._priorities._drop_reader(piece)  # noqa: SLF001
