"""How much a peer may ask of this one: budgets that refill with time (token buckets)."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Final, Generic, TypeVar

REMEMBERED_MAX: Final = 1024  # of the many who may ask; one who is forgotten starts full again

Who = TypeVar("Who", bound=Hashable)


@dataclass(slots=True)
class Budgets(Generic[Who]):
    """One budget for each who asks: `per_second` units, and up to `burst` at once."""

    per_second: float
    burst: float
    _left: dict[Who, tuple[float, float]] = field(default_factory=dict)  # units, at second

    def spend(self, who: Who, amount: float, now: float) -> bool:
        """Take `amount` at monotonic second `now`; False, and nothing taken, if it is not there."""
        left = self._now(who, now)
        if left < amount:
            return False
        self._keep(who, left - amount, now)
        return True

    def overdraw(self, who: Who, amount: float, now: float) -> float:
        """Take `amount` in any case; return the seconds until the budget has made up for it."""
        left = self._now(who, now) - amount
        self._keep(who, left, now)
        return max(0.0, -left / self.per_second)

    def _now(self, who: Who, now: float) -> float:
        left, then = self._left.get(who, (self.burst, now))
        return min(self.burst, left + (now - then) * self.per_second)

    def _keep(self, who: Who, left: float, now: float) -> None:
        self._left.pop(who, None)
        self._left[who] = (left, now)  # last in order: who was silent longest is forgotten first
        if len(self._left) > REMEMBERED_MAX:
            del self._left[next(iter(self._left))]
