"""The messages of set reconciliation: ranges of a sorted set, and what is said of each.

The format of negentropy, version 1 (protocol/05-sync.md, "Reconciliation"). Owns bytes and bounds;
what a peer answers to a message is in `reconciliation`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Final

from meshnode.core.encoding import MalformedRecordError
from meshnode.core.identifiers import DIGEST_BYTES, Digest
from meshnode.core.limits import INTEGER_MAX, RECONCILIATION_BYTES_MAX, RECONCILIATION_RANGES_MAX

VERSION: Final = 0x61  # protocol version 1
FINGERPRINT_BYTES: Final = 16
CLOSING_BYTES: Final = 96  # more than a skip up to some item and a fingerprint after it take

Item = tuple[int, Digest]  # when it was issued (unix seconds), its id: the order of every set
Bound = tuple[int, bytes]  # an item or a point between two: below it are the items that are less

ORIGIN: Final[Bound] = (0, bytes(DIGEST_BYTES))
INFINITY: Final[Bound] = (2**64 - 1, b"")  # above every item


class Mode(IntEnum):
    """What is said of a range."""

    SKIP = 0  # nothing more to say
    FINGERPRINT = 1  # of all ids in it
    IDS = 2  # all ids in it


@dataclass(frozen=True, slots=True)
class Range:
    """Items below `upper`, from the upper bound of the range before it on.

    `ids` are all there are in it for Mode.IDS.
    """

    upper: Bound
    mode: Mode
    fingerprint: bytes = b""
    ids: tuple[Digest, ...] = ()


def decode_ranges(raw: bytes) -> tuple[Range, ...]:
    """Return the ranges of a message, which begin at ORIGIN; what follows the last is skipped.

    Raises:
        MalformedRecordError: another version, too long, bounds that do not rise, bytes missing.
    """
    if len(raw) > RECONCILIATION_BYTES_MAX:
        raise MalformedRecordError(f"a message of {len(raw)} bytes")
    if raw[:1] != bytes([VERSION]):
        raise MalformedRecordError("not a message of reconciliation, version 1")
    return tuple(_Reader(raw, 1).ranges())


def encode_varint(value: int) -> bytes:
    """Return digits of seven bits, the most significant first; all but the last have bit 8 set."""
    digits = [value & 0x7F]
    while value := value >> 7:
        digits.append(value & 0x7F | 0x80)
    return bytes(reversed(digits))


def bound_between(before: Item, after: Item) -> Bound:
    """Return the shortest bound above `before` and not above `after`."""
    if before[0] != after[0]:
        return after[0], bytes(DIGEST_BYTES)
    shared = next(at for at in range(DIGEST_BYTES) if before[1][at] != after[1][at])
    return after[0], after[1][: shared + 1].ljust(DIGEST_BYTES, b"\0")


@dataclass(slots=True)
class RangeWriter:
    """A message as it grows; ranges are added in order. What is skipped at the end is left out.

    Invariant: there is always room for what `close` adds.
    """

    bytes_max: int
    _out: bytearray = field(default_factory=lambda: bytearray([VERSION]))
    _ranges: int = 0
    _second: int = 0
    _skipped: Bound | None = None

    @property
    def raw(self) -> bytes:
        return bytes(self._out)

    @property
    def is_empty(self) -> bool:
        """Say whether there is nothing left to talk about."""
        return self._ranges == 0

    @property
    def ids_max(self) -> int:
        """How many ids have room in one range more; negative if the range itself has none."""
        if self._ranges + 3 > RECONCILIATION_RANGES_MAX:  # with a skip before it, and `close`
            return -1
        return (self.bytes_max - len(self._out) - 2 * CLOSING_BYTES) // DIGEST_BYTES

    def skip(self, upper: Bound) -> None:
        self._skipped = upper

    def add_fingerprint(self, upper: Bound, fingerprint: bytes) -> None:
        self._add(upper, Mode.FINGERPRINT, fingerprint)

    def add_ids(self, upper: Bound, ids: Sequence[Digest]) -> None:
        self._add(upper, Mode.IDS, encode_varint(len(ids)) + b"".join(ids))

    def _add(self, upper: Bound, mode: Mode, said: bytes) -> None:
        if self._skipped is not None:
            self._write(self._skipped, Mode.SKIP, b"")
            self._skipped = None
        self._write(upper, mode, said)
        assert len(self._out) <= self.bytes_max

    def _write(self, upper: Bound, mode: Mode, said: bytes) -> None:
        second, prefix = upper[0], upper[1].rstrip(b"\0")
        if upper == INFINITY:
            self._out += encode_varint(0)
        else:
            self._out += encode_varint(1 + second - self._second)
            self._second = second
        self._out += encode_varint(len(prefix)) + prefix + encode_varint(mode) + said
        self._ranges += 1


@dataclass(slots=True)
class _Reader:
    raw: bytes
    at: int

    def ranges(self) -> Iterator[Range]:
        lower, count = ORIGIN, 0
        while self.at < len(self.raw):
            count += 1
            if count > RECONCILIATION_RANGES_MAX:
                raise MalformedRecordError(f"more than {RECONCILIATION_RANGES_MAX} ranges")
            upper = self._bound(lower)
            if upper <= lower:
                raise MalformedRecordError("the bounds of ranges do not rise")
            yield self._range(upper)
            lower = upper

    def _range(self, upper: Bound) -> Range:
        match self._varint():
            case Mode.SKIP:
                return Range(upper, Mode.SKIP)
            case Mode.FINGERPRINT:
                return Range(upper, Mode.FINGERPRINT, fingerprint=self._bytes(FINGERPRINT_BYTES))
            case Mode.IDS:
                raw = self._bytes(self._varint() * DIGEST_BYTES)
                starts = range(0, len(raw), DIGEST_BYTES)
                return Range(upper, Mode.IDS, ids=tuple(_id(raw, start) for start in starts))
            case mode:
                raise MalformedRecordError(f"a range of mode {mode}")

    def _bound(self, lower: Bound) -> Bound:
        """Read a bound; seconds are told as the difference to the bound before, plus 1."""
        if lower == INFINITY:
            raise MalformedRecordError("a range behind the last")
        told, length = self._varint(), self._varint()
        if length > DIGEST_BYTES:
            raise MalformedRecordError(f"a bound with {length} bytes of an id")
        prefix = self._bytes(length)
        if told == 0:
            if prefix:
                raise MalformedRecordError("the last bound names an id")
            return INFINITY
        second = lower[0] + told - 1
        if second > INTEGER_MAX:
            raise MalformedRecordError(f"a bound at second {second}")
        return second, prefix.ljust(DIGEST_BYTES, b"\0")

    def _varint(self) -> int:
        value = 0
        for at in range(self.at, min(self.at + 9, len(self.raw))):
            digit = self.raw[at]
            if digit == 0x80 and at == self.at:
                raise MalformedRecordError("a number begins with a digit 0")
            value = value << 7 | digit & 0x7F
            if digit < 0x80:
                self.at = at + 1
                return value
        raise MalformedRecordError("a number does not end")

    def _bytes(self, length: int) -> bytes:
        start, self.at = self.at, self.at + length
        if self.at > len(self.raw):
            raise MalformedRecordError(f"{self.at - len(self.raw)} bytes are missing")
        return self.raw[start : self.at]


def _id(raw: bytes, start: int) -> Digest:
    return Digest(raw[start : start + DIGEST_BYTES])
