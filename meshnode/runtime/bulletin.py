"""What happens on this peer, for those who watch: each watcher has a bounded queue of its own.

A watcher chooses as it is posted to, so that its queue holds what it shows and no more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Generic, TypeVar

import trio

NOTICES_MAX = 4096  # a watcher that falls further behind misses notices and is told how many

Notice = TypeVar("Notice")
Chosen = TypeVar("Chosen")


class Bulletin(Generic[Notice]):
    """Publishes notices to any number of watchers; never waits for any of them."""

    def __init__(self) -> None:
        self._watchers: dict[int, Callable[[Notice], None]] = {}
        self._next = 0

    def post(self, notice: Notice) -> None:
        for put in self._watchers.values():
            put(notice)

    @contextmanager
    def watch(self, choose: Callable[[Notice], Chosen | None]) -> Iterator[Watcher[Chosen]]:
        """Receive what `choose` makes of each notice from now on; None is passed over."""
        watcher: Watcher[Chosen] = Watcher()

        def put(notice: Notice) -> None:
            if (chosen := choose(notice)) is not None:
                watcher.put(chosen)

        name, self._next = self._next, self._next + 1
        self._watchers[name] = put
        try:
            yield watcher
        finally:
            del self._watchers[name]


class Watcher(Generic[Chosen]):
    """One watcher's queue; `missed` counts what did not fit."""

    def __init__(self) -> None:
        self._send, self._receive = trio.open_memory_channel[Chosen](NOTICES_MAX)
        self.missed = 0

    def put(self, chosen: Chosen) -> None:
        try:
            self._send.send_nowait(chosen)
        except trio.WouldBlock:
            self.missed += 1

    async def receive(self) -> Chosen:
        return await self._receive.receive()

    def skip(self) -> None:
        """Drop what has come so far, for a watcher that looks at the state itself."""
        while self._receive.statistics().current_buffer_used:
            self._receive.receive_nowait()
