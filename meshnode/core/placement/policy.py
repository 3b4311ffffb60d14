"""The numbers of placement: the design's, and others where one is to be seen at work."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

PERMILLE: Final = 1000  # of a copy


@dataclass(frozen=True, slots=True)
class Policy:
    """How many copies are wanted, and how soon something is done about one that lacks.

    Args:
        copies: Wanted of an extent at no risk.
        more: Wanted beyond that, by level of risk.
        patience: The streak, in periods, at which an extent in want is fetched by those that have
            room, or something far above its target.
        hard_pressed: The streak at which others make room by what is one copy above its target.
    """

    copies: int = 4
    more: tuple[int, ...] = (0, 1, 2, 3, 4)
    patience: int = 5
    hard_pressed: int = 10


DEFAULTS: Final = Policy()
