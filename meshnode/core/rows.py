"""A checked row of a segment, on its way from the segment check to the index."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class CheckedRow:
    """One item whose columns agree with its bytes (protocol/03-segments.md).

    Times are microseconds since 1970 UTC; `bbox` is (west, south, east, north) in degrees, 2-D,
    west > east across the antimeridian; `clock` is None for the clock of the segment's entry;
    `item` is the exact UTF-8 JSON that was published.
    """

    id: str
    datetime_us: int | None
    start_us: int | None
    end_us: int | None
    bbox: tuple[float, float, float, float]
    clock: int | None
    item: bytes
