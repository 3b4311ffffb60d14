"""Objects on their way here, and the questions that wait for them (protocol/05-sync.md, N-49).

News are faster than bytes: a peer is often asked for what it is just fetching itself. Whoever asks
then waits here for a moment, which is sooner than to be refused and to ask again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import trio

from meshnode.core.identifiers import Digest

# Below the time after which the core takes a peer that says no for a slow one.
WAIT_SECONDS_MAX: Final = 4.0


class Arrivals:
    """Invariant: an event is kept exactly while somebody waits for it.

    Args:
        is_expected: says whether an object is being fetched now.
    """

    def __init__(
        self,
        is_expected: Callable[[Digest], bool],
        wait_seconds_max: float = WAIT_SECONDS_MAX,
    ) -> None:
        self._is_expected = is_expected
        self._wait_seconds_max = wait_seconds_max
        # How many wait is bounded where questions are: so many of one peer are answered at once.
        self._events: dict[Digest, trio.Event] = {}

    @property
    def waiting(self) -> int:
        """Return how many objects somebody waits for."""
        return len(self._events)

    def came(self, digest: Digest) -> None:
        """Let go whoever waits for an object that is stored now."""
        event = self._events.pop(digest, None)
        if event is not None:
            event.set()

    async def wait(self, digest: Digest) -> bool:
        """Wait for an object if it is expected, for so long at most; return whether it came."""
        if not self._is_expected(digest):
            return False
        event = self._events.setdefault(digest, trio.Event())
        with trio.move_on_after(self._wait_seconds_max):
            await event.wait()
        if not event.statistics().tasks_waiting and self._events.get(digest) is event:
            del self._events[digest]
        return event.is_set()
