"""Which mirror is the best source now: one pure function of what is known of each.

A mirror is worth the milliseconds that it is expected to take for one request of a payload,
verified: from its delay and speed, from what it failed in, from what asks it already, and from
where it is. Integers only, so that the same knowledge gives the same order everywhere.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from typing import Final

REQUEST_BYTES: Final = 4 << 20  # what is compared: a few seconds of a usual line
UNKNOWN_BYTES_PER_SECOND: Final = (
    2_000_000  # a mirror that was never asked is neither best nor last
)
UNKNOWN_DELAY_MS: Final = 300
STANDBY_FACTOR: Final = 20  # so much worse than the best one it only holds others' pieces up
ACTIVE_MIN: Final = 2  # however bad the second one is: the best may vanish
_FAILURES_MAX: Final = 16  # beyond it nothing becomes worse


class Tier(Enum):
    """What a mirror is for, as a factor in permille."""

    NEAR = 250  # in the operator's own region or network, as he says
    USUAL = 1000
    ARCHIVE = 4000  # kept for long, throttled: asked when others do not have it


@dataclass(frozen=True, slots=True)
class MirrorStanding:
    """What is known of one mirror; zeros where nothing is.

    `failures` in a row, `owed` verified ranges since it sent wrong bytes, `transfers` that ask it
    now, `is_resting` while it is left alone. `doubters` and `vouchers` are other peers, weighed.
    """

    url: str
    bytes_per_second: int = 0
    delay_ms: int = 0
    failures: int = 0
    owed: int = 0
    transfers: int = 0
    is_resting: bool = False
    tier: Tier = Tier.USUAL
    doubters: int = 0
    vouchers: int = 0


@dataclass(frozen=True, slots=True)
class Choice:
    """Mirrors in the order in which they are asked; those of `standby` only if no other gives."""

    active: tuple[str, ...]
    standby: tuple[str, ...]
    resting: tuple[str, ...]


def cost_ms(mirror: MirrorStanding) -> int:
    """Return the expected milliseconds for REQUEST_BYTES that are right; less is better."""
    speed = mirror.bytes_per_second or UNKNOWN_BYTES_PER_SECOND
    share = 1 + max(mirror.transfers, 0)
    taken = (mirror.delay_ms or UNKNOWN_DELAY_MS) + REQUEST_BYTES * 1000 * share // speed
    failed = 1 + min(mirror.failures, _FAILURES_MAX)
    wrong = 1 + 2 * min(mirror.owed, _FAILURES_MAX)
    told = 1000 * (2 + mirror.doubters) // (2 + mirror.vouchers)
    told = min(max(told, 500), 2000)  # others' word moves a mirror by a factor of two at most
    return max(1, taken * failed * wrong * mirror.tier.value * told // 1_000_000)


def ranked(mirrors: Iterable[MirrorStanding]) -> list[MirrorStanding]:
    """Return the mirrors, the best first; those that rest come last."""
    return sorted(mirrors, key=lambda each: (each.is_resting, cost_ms(each), each.url))


def choose(mirrors: Iterable[MirrorStanding], count_max: int) -> Choice:
    """Say who is asked, in which order, and who only if nobody else gives."""
    order = ranked(mirrors)
    awake = [each for each in order if not each.is_resting][:count_max]
    limit = STANDBY_FACTOR * cost_ms(awake[0]) if awake else 0
    active = [
        each for place, each in enumerate(awake) if place < ACTIVE_MIN or cost_ms(each) <= limit
    ]
    return Choice(
        _urls(active), _urls(awake[len(active) :]), _urls(o for o in order if o.is_resting)
    )


def _urls(mirrors: Iterable[MirrorStanding]) -> tuple[str, ...]:
    return tuple(each.url for each in mirrors)
