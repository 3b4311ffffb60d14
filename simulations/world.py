"""Virtual time: a queue of things to come. The same seed gives the same history, to the bit.

Owns the clock, the order of things and the one source of chance. What happens is decided by those
who put actions into the queue.
"""

from __future__ import annotations

import gc
import heapq
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager

EPOCH_UNIX = 1_750_000_000  # the unix second at which every simulation begins

Action = Callable[[], None]


class World:
    """A clock and a queue. Ties break by order of insertion, never by object identity."""

    def __init__(self, seed: int) -> None:
        self.now = 0.0  # virtual seconds since the beginning
        self.steps = 0
        self.rng = random.Random(seed)
        self._queue: list[tuple[float, int, Action]] = []
        self._order = 0

    def at(self, second: float, action: Action) -> None:
        """Do it at that virtual second, or now if that is past."""
        self._order += 1
        heapq.heappush(self._queue, (max(second, self.now), self._order, action))

    def after(self, seconds: float, action: Action) -> None:
        self.at(self.now + seconds, action)

    def run_until(self, second: float) -> None:
        """Let everything happen that is due until then, and leave the clock there."""
        queue = self._queue
        while queue and queue[0][0] <= second:
            self.now, _, action = heapq.heappop(queue)
            self.steps += 1
            action()
        self.now = second

    def end(self) -> None:
        """Let go of all that is still to come."""
        self._queue.clear()

    def take_number(self) -> int:
        """Return a number that was not taken before."""
        self._order += 1
        return self._order

    def fork_rng(self) -> random.Random:
        """Return a source of chance for one part, so that parts do not disturb each other."""
        return random.Random(self.rng.getrandbits(64))


@contextmanager
def without_collector() -> Iterator[None]:
    """Spare the search for cycles among the objects of a world: all of them live to the end."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.unfreeze()  # now all are of the oldest generation, and no search begins with them
        if was_enabled:
            gc.enable()
