"""How current a catalogue is shown to be: stale is a warning, and never makes anything invalid.

Implements protocol/04-log-and-trust.md, L-5: times in roots and heads are claims of the publisher,
and an archive outlives him.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum


class Freshness(Enum):
    """CURRENT: nothing is overdue. STALE: the maintainers meant to look at their keys again by now.

    FROZEN: a writer meant to sign again by now. Either he did not, or this peer hears of nothing:
    whoever cuts it off cannot forge a newer head, only keep it away.
    """

    CURRENT = "current"
    STALE = "stale"
    FROZEN = "possibly frozen"


def freshness(review_by: int, next_bys: Iterable[int], now_unix: int) -> tuple[Freshness, ...]:
    """Return what is overdue at this unix second, or CURRENT alone.

    `next_bys` are those of the newest heads of writers that are not closed. All in unix seconds.
    """
    overdue = []
    if review_by < now_unix:
        overdue.append(Freshness.STALE)
    if any(next_by < now_unix for next_by in next_bys):
        overdue.append(Freshness.FROZEN)
    return tuple(overdue) or (Freshness.CURRENT,)
