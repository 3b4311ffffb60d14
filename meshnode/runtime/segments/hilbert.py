"""The order of rows in a segment: along a Hilbert curve, so that near places lie together."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

_BITS: Final = 16  # a cell is 600 m wide at the equator: finer than any row group

Numbers = Any  # a numpy array


def hilbert_indices(boxes: Numbers) -> Numbers:
    """Return where each box's centre lies on a Hilbert curve over the world, 0 to 2^32 - 1.

    `boxes`: rows of (west, south, east, north), degrees. The curve is that of C. Hamilton, "Compact
    Hilbert Indices" (2006), in two dimensions.
    """
    west, south, east, north = boxes.T
    is_world = east - west >= 360.0
    west = np.where(is_world, -180.0, _wrapped(west))
    east = np.where(is_world, 180.0, _wrapped(east))
    east = np.where(west > east, east + 360.0, east)
    longitude = (west + east) / 2
    longitude = np.where(longitude > 180.0, longitude - 360.0, longitude)
    return _indices(
        _cells((longitude + 180.0) / 360.0), _cells(((south + north) / 2 + 90.0) / 180.0)
    )


def _wrapped(degrees: Numbers) -> Numbers:
    """As `projection.wrapped`, for many longitudes."""
    lower = np.where(degrees > 180.0, degrees - 360.0, degrees)
    return np.where(degrees < -180.0, degrees + 360.0, lower)


def _cells(shares: Numbers) -> Numbers:
    cells = 1 << _BITS
    return np.clip((shares * cells).astype(np.int64), 0, cells - 1)


def _indices(x: Numbers, y: Numbers) -> Numbers:
    index = np.zeros_like(x)
    side = 1 << (_BITS - 1)
    while side:
        right, upper = (x & side) > 0, (y & side) > 0
        index += side * side * ((3 * right) ^ upper)
        # Turn the quadrant, so that the curve inside it begins where it was entered.
        is_turned = right & ~upper
        x, y = np.where(is_turned, ~x, x), np.where(is_turned, ~y, y)
        x, y = np.where(upper, x, y), np.where(upper, y, x)
        side >>= 1
    return index
