"""Flags of pieces as bytes: bit i & 7 of byte i >> 3 is piece i."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

_FLAGS: Final = [bytes(byte >> bit & 1 for bit in range(8)) for byte in range(256)]


def packed(flags: Sequence[int]) -> bytes:
    """Return one bit for each flag that is true."""
    bits = bytearray((len(flags) + 7) // 8)
    for i, flag in enumerate(flags):
        if flag:
            bits[i >> 3] |= 1 << (i & 7)
    return bytes(bits)


def unpacked(bits: bytes, count: int) -> bytearray:
    """Return `count` flags, 0 or 1 each; raises ValueError if there are fewer bits."""
    flags = bytearray().join(map(_FLAGS.__getitem__, bits))
    if len(flags) < count:
        raise ValueError(f"{len(flags)} flags, not {count}")
    return flags[:count]
