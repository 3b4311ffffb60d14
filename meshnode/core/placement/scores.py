"""Who should hold an extent: weighted rendezvous in integers (protocol/06-payloads.md, P-42).

A volunteer of twice the capacity comes first for twice as many extents, and when one comes or goes,
only extents of its own move. The score is capacity / -log2(u), where u is drawn by a hash of the
volunteer and the extent. Logarithms have 32 binary places and are read from a table.
"""

from __future__ import annotations

from functools import cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

Words = NDArray[np.uint64]

CAPACITY_MAX: Final = (1 << 20) - 1  # extents of 1 GiB: a PiB; more counts as so much
SCORE_BITS: Final = 11  # binary places of a score
_DRAW_BITS: Final = 53
_TABLE_BITS: Final = 12
_PLACES: Final = 32  # binary places of a logarithm
_GOLDEN: Final = 0x9E3779B97F4A7C15


def volunteer_word(key_digest: bytes) -> int:
    """Return a volunteer's 64 bits: the first of the SHA-256 of its public key."""
    return int.from_bytes(key_digest[:8])


def extent_words(payload_key: bytes, count: int) -> Words:
    """Return the 64 bits of a payload's extents 0 to `count` - 1."""
    first = np.uint64(int.from_bytes(payload_key[:8]))
    return mixed(first + np.arange(count, dtype=np.uint64) * np.uint64(_GOLDEN))


def scores(volunteers: Words, capacities: NDArray[np.int64], extents: Words) -> NDArray[np.int64]:
    """Return the score of each volunteer for each extent.

    Args:
        volunteers: Words, of any shape that broadcasts with `extents`.
        capacities: Extents of 1 GiB, shaped like `volunteers`.
        extents: Words of extents.
    """
    weight = np.clip(capacities, 0, CAPACITY_MAX).astype(np.uint64) << np.uint64(
        SCORE_BITS + _PLACES
    )
    return (weight // _negative_log2(mixed(volunteers ^ extents))).astype(np.int64)


def mixed(words: Words) -> Words:
    """Return words all of whose bits depend on all bits: the finalizer of SplitMix64."""
    words = np.asarray(words ^ (words >> np.uint64(30)))
    words = words * np.uint64(0xBF58476D1CE4E5B9)
    words = words ^ (words >> np.uint64(27))
    words = words * np.uint64(0x94D049BB133111EB)
    return words ^ (words >> np.uint64(31))


def _negative_log2(words: Words) -> Words:
    """Return -log2 of the upper 53 bits as a fraction of 1, at least one unit of the last place."""
    draws = np.maximum(words >> np.uint64(64 - _DRAW_BITS), np.uint64(1))
    length = np.frexp(draws.astype(np.float64))[1].astype(np.uint64)  # exact: 53 bits or fewer
    fraction = (draws << (np.uint64(_DRAW_BITS) - length)) & np.uint64((1 << _DRAW_BITS - 1) - 1)
    rest_bits = _DRAW_BITS - 1 - _TABLE_BITS
    index = (fraction >> np.uint64(rest_bits)).astype(np.intp)
    rest = (fraction & np.uint64((1 << rest_bits) - 1)) >> np.uint64(rest_bits - _PLACES)
    table = _logarithms()
    below = table[index]
    log2 = below + ((table[index + 1] - below) * rest >> np.uint64(_PLACES))
    whole = (np.uint64(_DRAW_BITS + 1) - length) << np.uint64(_PLACES)
    negative: Words = np.maximum(whole - log2, np.uint64(1))
    return negative


@cache
def _logarithms() -> Words:
    """Return log2(1 + i / 4096) for i from 0 to 4096, in units of 2^-32, rounded down."""
    steps = 1 << _TABLE_BITS
    return np.array([_logarithm(steps + i, steps) for i in range(steps + 1)], dtype=np.uint64)


def _logarithm(numerator: int, denominator: int) -> int:
    """Return log2 of a ratio from 1 to 2, in units of 2^-32: one bit for each squaring."""
    if numerator == 2 * denominator:
        return 1 << _PLACES
    guard = 2 * _PLACES
    value, log2 = (numerator << guard) // denominator, 0
    for _ in range(_PLACES):
        value = value * value >> guard
        log2 <<= 1
        if value >> guard >= 2:
            value, log2 = value >> 1, log2 | 1
    return log2
