"""What the figures of a run mean to a reader: which way is good, and how a number is written.

A figure's unit is the last word of its name. Owns no measuring: that is `simulations/output.py`.
"""

from __future__ import annotations

import math
from typing import Final

# Figures of the machine that simulated, not of the mesh that was simulated.
MACHINE: Final = ("cpu_seconds", "memory_most_bytes")
# What most questions are about.
KEY: Final = (
    "passed_share",
    "settled_seconds",
    "head_propagation_p99_seconds",
    "segment_visibility_p99_seconds",
    "sent_mean_bytes",
)
# Of runs, each of which has it or has it not.
SHARES: Final = ("passed_share", "settled_share")

_LESS_IS_BETTER: Final = ("_seconds", "_bytes", "duplicates_count", "RequestFailed_count")
_MORE_IS_BETTER: Final = ("_share",)
_PREFIXES: Final = ("", "k", "M", "G", "T", "P")


def direction(figure: str) -> int:
    """Return +1 if more is better, -1 if less is, 0 if neither is good in itself."""
    if figure.endswith(_MORE_IS_BETTER):
        return 1
    return -1 if figure.endswith(_LESS_IS_BETTER) else 0


def short(value: float) -> str:
    """Write a number with three significant digits and the prefix of a power of 1000.

    >>> short(1234567), short(0.01234), short(-45.6)
    ('1.23M', '0.0123', '-45.6')
    """
    size = abs(value)
    power = 0
    while size >= 999.5 and power < len(_PREFIXES) - 1:
        size /= 1000
        power += 1
    digits = 2 - math.floor(math.log10(size)) if size else 0
    text = f"{math.copysign(size, value):.{max(0, min(digits, 9))}f}"
    return (text.rstrip("0").rstrip(".") if "." in text else text) + _PREFIXES[power]
