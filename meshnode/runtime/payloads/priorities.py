"""Which pieces of a torrent are fetched, and which first: the one place that tells the engine.

Downloads, readers and holds each claim the pieces they need. The engine is told the union
(`wants.priority`), so that none of them can take away what another one waits for.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from meshnode.runtime.payloads.attachment import Attachment
from meshnode.runtime.payloads.wants import Want, priority

_STEP_MILLISECONDS: Final = 500  # between the deadlines of pieces that are read one after another


class Priorities:
    """Invariant: the engine wants a piece exactly while somebody claims it."""

    __slots__ = ("_downloads", "_handle", "_holds", "_is_closed", "_readers")  # as Room's

    def __init__(self, handle: Attachment, piece_count: int) -> None:
        self._handle = handle
        self._downloads = array("H", bytes(2 * piece_count))  # claims of each piece
        self._holds = array("H", bytes(2 * piece_count))
        self._readers: dict[int, int] = {}
        self._is_closed = False

    @property
    def is_closed(self) -> bool:
        return self._is_closed

    def close(self) -> None:
        """Tell the engine nothing more: it is about to forget the torrent."""
        self._is_closed = True

    @contextmanager
    def claiming(self, want: Want, pieces: Iterable[int]) -> Iterator[None]:
        """Have these pieces fetched, in whatever order, while the block runs."""
        claims = self._holds if want is Want.HOLD else self._downloads
        claimed = sorted(set(pieces))
        self._count(claims, claimed, 1)
        try:
            yield
        finally:
            self._count(claims, claimed, -1)

    @contextmanager
    def reading(self, is_here: Callable[[int], bool]) -> Iterator[Window]:
        """Have the pieces of a window that moves fetched first, in their order.

        Those that are here stay while they are in the window.
        """
        window = Window(self, is_here)
        try:
            yield window
        finally:
            window.move(())

    def is_wanted(self, piece: int) -> bool:
        return bool(self._downloads[piece] or self._holds[piece]) or piece in self._readers

    @property
    def is_held_only(self) -> bool:
        """True when nobody waits for any piece: what is fetched is fetched for others."""
        return not self._readers and not any(self._downloads)

    def wanted(self) -> Iterator[int]:
        """Yield every piece that somebody claims, each once."""
        return (piece for piece in range(len(self._downloads)) if self.is_wanted(piece))

    def all(self) -> list[int]:
        """Return the priority of every piece, for a torrent that comes back into the engine."""
        return [self._priority(piece) for piece in range(len(self._downloads))]

    def tell_deadlines(self) -> None:
        """Tell the deadlines again, to an engine that has the priorities."""
        for place, piece in enumerate(sorted(self._readers)):
            if not self._is_closed and not self._handle.have_piece(piece):
                self._handle.set_piece_deadline(piece, place * _STEP_MILLISECONDS)

    def urgent(self) -> list[int]:
        """Return what readers wait for, in the order in which they came to need it."""
        return list(self._readers)

    def _count(self, claims: array[int], pieces: list[int], change: int) -> None:
        for piece in pieces:
            claims[piece] += change
        self._tell(pieces)

    def _add_reader(self, piece: int, milliseconds: int | None) -> None:
        """Claim a piece for a reader; without a deadline if it is here."""
        self._readers[piece] = self._readers.get(piece, 0) + 1
        if milliseconds is not None and not self._is_closed:
            self._tell([piece])
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
        return priority(
            readers=self._readers.get(piece, 0),
            downloads=self._downloads[piece],
            holds=self._holds[piece],
        )


class Window:
    """The pieces that one reader needs now, and those that it needs next."""

    def __init__(self, priorities: Priorities, is_here: Callable[[int], bool]) -> None:
        self._priorities = priorities
        self._is_here = is_here
        self._pieces: Sequence[int] = ()

    def move(self, pieces: Sequence[int]) -> None:
        """Claim these pieces, the first one most urgently, and no others any more."""
        before, self._pieces = self._pieces, pieces
        for place, piece in enumerate(pieces):
            if piece not in before:
                due = None if self._is_here(piece) else place * _STEP_MILLISECONDS
                self._priorities._add_reader(piece, due)  # noqa: SLF001
        for piece in before:
            if piece not in pieces:
                self._priorities._drop_reader(piece)  # noqa: SLF001

    def pass_to(self, piece: int) -> None:
        """Claim none of the pieces before this one any more."""
        self.move([each for each in self._pieces if each >= piece])

    def ask(self, piece: int) -> None:
        """Have a piece of the window fetched that was here and is not any more."""
        self._priorities._tell([piece])  # noqa: SLF001
        self._priorities._handle.set_piece_deadline(piece, 0)  # noqa: SLF001
