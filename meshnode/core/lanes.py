"""What is ready to be done, fair to those for whom it is: each lane in turn, in it by rank."""

from __future__ import annotations

import heapq
from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

Goal = TypeVar("Goal", bound=Hashable)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a goal stands: goals of one lane by rising rank, equal ones by age."""

    lane: Hashable = None
    rank: int = 0


ANYWHERE = Place()


@dataclass(slots=True)
class Lanes(Generic[Goal]):
    """Invariant: a lane is kept exactly while it has entries; an entry counts while its goal still
    has the number under which it was added.
    """

    _numbers: dict[Goal, int] = field(default_factory=dict)
    _lanes: dict[Hashable, list[tuple[int, int, Goal]]] = field(default_factory=dict)
    _number: int = 0

    def __bool__(self) -> bool:
        return bool(self._numbers)

    def add(self, goal: Goal, place: Place = ANYWHERE) -> None:
        """Add a goal, unless it is there."""
        if goal in self._numbers:
            return
        self._number += 1  # breaks ties, so that goals are never compared
        self._numbers[goal] = self._number
        heapq.heappush(self._lanes.setdefault(place.lane, []), (place.rank, self._number, goal))

    def discard(self, goal: Goal) -> None:
        self._numbers.pop(goal, None)

    def clear(self) -> None:
        """Forget all goals, and give back their memory."""
        self._numbers.clear()
        self._lanes.clear()

    def take(self) -> Goal | None:
        """Remove and return the first of the lane whose turn it is; None if there is nothing."""
        while self._lanes:
            lane, entries = next(iter(self._lanes.items()))
            del self._lanes[lane]
            goal = self._first(entries)
            if entries:
                self._lanes[lane] = entries  # at the end: the others come first
            if goal is not None:
                return goal
        return None

    def _first(self, entries: list[tuple[int, int, Goal]]) -> Goal | None:
        while entries:
            _, number, goal = heapq.heappop(entries)
            if self._numbers.get(goal) == number:
                del self._numbers[goal]
                return goal
        return None
