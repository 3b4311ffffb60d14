"""Range-based set reconciliation: two peers find what one of them lacks, in a few short messages.

The algorithm of negentropy, version 1 (protocol/05-sync.md, "Reconciliation"): the asker sends
fingerprints of ranges of its sorted set; where they differ, the other splits the range, or lists
its ids if they are few. The answerer remembers nothing between messages. Owns no transport and
nothing of what the items are.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Final, assert_never

from meshnode.core.identifiers import Digest
from meshnode.core.ranges import (
    FINGERPRINT_BYTES,
    INFINITY,
    Bound,
    Item,
    Mode,
    Range,
    RangeWriter,
    bound_between,
    decode_ranges,
    encode_varint,
)

PARTS: Final = 16  # that a range is split into
LISTED_MAX: Final = 2 * PARTS - 1  # ids of a range that are listed instead: no longer than 16 parts

_MODULUS_MASK: Final = (1 << 256) - 1


class ItemSet:
    """A set of items that does not change. Its fingerprints cost the same however long a range is:
    sums of ids are kept from the first item to each.
    """

    def __init__(self, items: Iterable[Item]) -> None:
        self.items: Final = sorted(items)
        self._sums: Final = list(accumulate(map(_number, self.items), _add, initial=0))

    def __len__(self) -> int:
        return len(self.items)

    def below(self, bound: Bound) -> int:
        """Return how many items are below a bound."""
        return bisect_left(self.items, bound)

    def ids(self, start: int, stop: int) -> list[Digest]:
        return [digest for _, digest in self.items[start:stop]]

    def fingerprint(self, start: int, stop: int) -> bytes:
        """Return the fingerprint of items `start` to `stop` - 1, 16 bytes."""
        total = (self._sums[stop] - self._sums[start]) & _MODULUS_MASK
        hashed = hashlib.sha256(total.to_bytes(32, "little") + encode_varint(stop - start))
        return hashed.digest()[:FINGERPRINT_BYTES]


def answer(held: ItemSet, raw: bytes, bytes_max: int) -> bytes:
    """Answer a message: say more of every range that differs from what is held.

    Raises:
        MalformedRecordError: not a message.
    """
    writer = _SetWriter(held, RangeWriter(bytes_max))
    start = 0
    for told in decode_ranges(raw):
        stop = held.below(told.upper)
        match told.mode:
            case Mode.SKIP:
                writer.out.skip(told.upper)
            case Mode.FINGERPRINT:
                writer.compare(start, stop, told)
            case Mode.IDS:
                writer.list_ids(start, stop, told.upper)
            case _:
                assert_never(told.mode)
        if writer.is_full:
            break
        start = stop
    return writer.out.raw


@dataclass(frozen=True, slots=True)
class Step:
    """What an answer showed to be lacking here, by ids; `question` goes on, None at the end."""

    lacked: tuple[Digest, ...]
    question: bytes | None


@dataclass(slots=True)
class Reconciler:
    """The asking side of one reconciliation. Of what it asks next only the last answer counts."""

    held: ItemSet
    bytes_max: int

    def first(self) -> bytes:
        """Return the first message: one fingerprint, since mostly nothing differs."""
        out = RangeWriter(self.bytes_max)
        if len(self.held):
            out.add_fingerprint(INFINITY, self.held.fingerprint(0, len(self.held)))
        else:
            out.add_ids(INFINITY, ())
        return out.raw

    def take(self, raw: bytes) -> Step:
        """Take an answer.

        Raises:
            MalformedRecordError: not a message.
        """
        writer = _SetWriter(self.held, RangeWriter(self.bytes_max))
        lacked: dict[Digest, None] = {}
        start = 0
        for told in decode_ranges(raw):
            stop = self.held.below(told.upper)
            match told.mode:
                case Mode.SKIP:
                    writer.out.skip(told.upper)
                case Mode.FINGERPRINT:
                    writer.compare(start, stop, told)
                case Mode.IDS:
                    here = frozenset(self.held.ids(start, stop))
                    lacked |= {digest: None for digest in told.ids if digest not in here}
                    writer.out.skip(told.upper)
                case _:
                    assert_never(told.mode)
            if writer.is_full:
                break
            start = stop
        question = None if writer.out.is_empty else writer.out.raw
        return Step(tuple(lacked), question)


@dataclass(slots=True)
class _SetWriter:
    """Writes of a set what fits; the rest is closed with one fingerprint, and comes up again."""

    held: ItemSet
    out: RangeWriter
    is_full: bool = field(default=False)

    def compare(self, start: int, stop: int, told: Range) -> None:
        """Pass over a range that is equal here; else say more of it."""
        if self.held.fingerprint(start, stop) == told.fingerprint:
            self.out.skip(told.upper)
        elif stop - start <= LISTED_MAX:
            self.list_ids(start, stop, told.upper)
        else:
            self._split(start, stop, told.upper)

    def list_ids(self, start: int, stop: int, upper: Bound) -> None:
        room = self.out.ids_max
        if room < 0:
            self._close(start)
        elif stop - start <= room:
            self.out.add_ids(upper, self.held.ids(start, stop))
        else:
            cut = start + room
            if room:
                self.out.add_ids(self._bound_at(cut), self.held.ids(start, cut))
            self._close(cut)

    def _split(self, start: int, stop: int, upper: Bound) -> None:
        ends = [start + (stop - start) * part // PARTS for part in range(1, PARTS + 1)]
        for end in ends:
            if self.out.ids_max < 0:
                self._close(start)
                return
            bound = upper if end == stop else self._bound_at(end)
            self.out.add_fingerprint(bound, self.held.fingerprint(start, end))
            start = end

    def _close(self, start: int) -> None:
        self.is_full = True
        self.out.add_fingerprint(INFINITY, self.held.fingerprint(start, len(self.held)))

    def _bound_at(self, place: int) -> Bound:
        return bound_between(self.held.items[place - 1], self.held.items[place])


def _number(item: Item) -> int:
    return int.from_bytes(item[1], "little")


def _add(a: int, b: int) -> int:
    return (a + b) & _MODULUS_MASK
