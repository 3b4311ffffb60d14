"""The order of rows in a segment: along a Hilbert curve, so that near places lie together."""

from __future__ import annotations

from typing import Final

from meshnode.runtime.segments.projection import Box, wrapped

_BITS: Final = 16  # a cell is 600 m wide at the equator: finer than any row group


def hilbert_index(box: Box) -> int:
    """Return where the box's centre lies on a Hilbert curve over the world, 0 to 2^32 - 1.

    The curve is that of C. Hamilton, "Compact Hilbert Indices" (2006), in two dimensions.
    """
    west, south, east, north = wrapped(box)
    if west > east:
        east += 360.0
    longitude = (west + east) / 2
    if longitude > 180.0:
        longitude -= 360.0
    return _index(_cell((longitude + 180.0) / 360.0), _cell(((south + north) / 2 + 90.0) / 180.0))


def _cell(share: float) -> int:
    cells = 1 << _BITS
    return min(cells - 1, max(0, int(share * cells)))


def _index(x: int, y: int) -> int:
    index = 0
    side = 1 << (_BITS - 1)
    while side:
        right, upper = x & side > 0, y & side > 0
        index += side * side * ((3 * right) ^ upper)
        if not upper:  # turn the quadrant, so that the curve inside it begins where it was entered
            if right:
                x, y = ~x, ~y
            x, y = y, x
        side >>= 1
    return index
