"""Rising numbers as Golomb-Rice gaps: how a holding writes extents (02-records.md, R-44)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from meshnode.core.encoding import MalformedRecordError

RICE_MAX: Final = 31
EXTENTS_MAX: Final = 1 << 23  # of a payload of 2^48 bytes, and as many again


def encode_gaps(numbers: Sequence[int]) -> tuple[int, bytes]:
    """Return (rice, bytes) of numbers that rise, with the `rice` that makes the fewest bytes."""
    gaps = list(_gaps(numbers))
    rice = min(range(RICE_MAX + 1), key=lambda low: _bits(gaps, low))
    bits, length = 0, 0
    for gap in gaps:
        ones = gap >> rice
        word = (((1 << ones) - 1) << 1) << rice | gap & ((1 << rice) - 1)
        width = ones + 1 + rice
        bits, length = bits << width | word, length + width
    padding = -length % 8
    return rice, (bits << padding).to_bytes((length + padding) // 8)


def decode_gaps(count: int, rice: int, data: bytes) -> list[int]:
    """Return `count` rising numbers.

    Raises:
        MalformedRecordError: The bytes are more or fewer than the numbers need, the rest of the
            last byte is not zero, or a number is above EXTENTS_MAX.
    """
    bits = _Bits(data)
    numbers, at = [], -1
    for _ in range(count):
        at += 1 + (bits.ones() << rice | bits.take(rice))
        if at > EXTENTS_MAX:
            raise MalformedRecordError("an extent's number is out of range")
        numbers.append(at)
    bits.end()
    return numbers


def _gaps(numbers: Sequence[int]) -> Iterator[int]:
    before = -1
    for number in numbers:
        if number <= before:
            raise ValueError("extents are numbered from 0 and rise")
        yield number - before - 1
        before = number


def _bits(gaps: Sequence[int], rice: int) -> int:
    return sum((gap >> rice) + 1 + rice for gap in gaps)


class _Bits:
    """Bits of bytes, the highest of each byte first."""

    def __init__(self, data: bytes) -> None:
        self._text = bin(int.from_bytes(b"\1" + data))[3:]
        self._at = 0

    def ones(self) -> int:
        """Return how many one-bits come before the next zero-bit, and pass that, too."""
        end = self._text.find("0", self._at)
        if end < 0:
            raise MalformedRecordError("a holding ends within a gap")
        ones, self._at = end - self._at, end + 1
        return ones

    def take(self, width: int) -> int:
        if self._at + width > len(self._text):
            raise MalformedRecordError("a holding ends within a gap")
        bits, self._at = self._text[self._at : self._at + width], self._at + width
        return int(bits or "0", 2)

    def end(self) -> None:
        rest = self._text[self._at :]
        if len(rest) > 7 or "1" in rest:
            raise MalformedRecordError("a holding goes on after its last gap")
