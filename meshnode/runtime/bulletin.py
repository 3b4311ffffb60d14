"""What happens on this peer, for those who watch: each watcher has a bounded queue of its own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Generic, TypeVar

import trio

NOTICES_MAX = 4096  # a watcher that falls further behind misses notices and is told how many

Notice = TypeVar("Notice")


class Bulletin(Generic[Notice]):
    """Publishes notices to any number of watchers; never waits for any of them."""

    def __init__(self) -> None:
        self._watchers: dict[int, Watcher[Notice]] = {}
        self._next = 0

    def post(self, notice: Notice) -> None:
        for watcher in self._watchers.values():
            watcher.put(notice)

    @contextmanager
    def watch(self) -> Iterator[Watcher[Notice]]:
        """Receive everything that is posted from now on."""
        name, self._next = self._next, self._next + 1
        self._watchers[name] = Watcher()
        try:
            yield self._watchers[name]
        finally:
            del self._watchers[name]


class Watcher(Generic[Notice]):
    """One watcher's queue; `missed` counts what did not fit."""

    def __init__(self) -> None:
        self._send, self._receive = trio.open_memory_channel[Notice](NOTICES_MAX)
        self.missed = 0

    def put(self, notice: Notice) -> None:
        try:
            self._send.send_nowait(notice)
        except trio.WouldBlock:
            self.missed += 1

    async def receive(self) -> Notice:
        return await self._receive.receive()

    def skip(self) -> None:
        """Drop what has come so far, for a watcher that looks at the state itself."""
        while self._receive.statistics().current_buffer_used:
            self._receive.receive_nowait()
