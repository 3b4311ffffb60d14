"""Drive a `Node` in real time: events in, durable effects to disk, then everything else."""

from __future__ import annotations

import gc
from collections.abc import Callable, Sequence
from dataclasses import replace

import trio

from meshnode.core.durable import Durable, Restored
from meshnode.core.effects import Answer, Effect, Started
from meshnode.core.events import Event, Now, StorageFailed
from meshnode.core.node import Node
from meshnode.errors import StorageError
from meshnode.runtime.clock import unix_now

BATCH_EVENTS_MAX = 256  # shares one fsync; more would only delay the first of them
LASTING_OBJECTS = 100_000  # of a restored node; the collector walks through fewer within 50 ms

Commit = Callable[[Sequence[Durable]], None]
Start = Callable[[Started], None]
Observe = Callable[[Event | Effect], None]


class Pump:
    """Owns the order of things: what a batch decides is on disk before any of it is acted on.

    Args:
        commit: makes durable effects durable; runs in a worker thread; raises StorageError.
        start: starts one of the other effects without waiting for its end.
        observe: sees each event and effect, for the log and the event stream.
    """

    def __init__(self, node: Node, commit: Commit, start: Start, observe: Observe) -> None:
        self._node = node
        self._commit = commit
        self._start = start
        self._observe = observe
        # Its own thread: searches may have taken all of the shared ones.
        self._writer = trio.CapacityLimiter(1)
        self._send, self._receive = trio.open_memory_channel[Event](BATCH_EVENTS_MAX)

    async def tell(self, event: Event) -> None:
        """Queue an event; waits while the queue is full, which holds back whoever produces it."""
        await self._send.send(event)

    async def run(
        self, restored: Restored, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Restore the node, then react until cancelled.

        Raises:
            StorageError: what is on disk is not what this peer once checked.
        """
        await self._perform(take_over(self._node, restored, now()))
        task_status.started()
        while True:
            batch = await self._next_batch()
            for event in batch:
                self._observe(event)
            await self._perform(self._node.handle(batch, now()))

    async def _next_batch(self) -> list[Event]:
        """Take what is queued; wait for one event or the node's deadline if nothing is."""
        batch: list[Event] = []
        with trio.move_on_at(self._node.next_deadline()):
            batch.append(await self._receive.receive())
        while len(batch) < BATCH_EVENTS_MAX:
            try:
                batch.append(self._receive.receive_nowait())
            except trio.WouldBlock:
                break
        return batch

    async def _perform(self, effects: Sequence[Effect]) -> None:
        durable = [effect for effect in effects if isinstance(effect, Durable)]
        started = [effect for effect in effects if not isinstance(effect, Durable)]
        for effect in effects:
            self._observe(effect)
        try:
            if durable:
                await trio.to_thread.run_sync(self._commit, durable, limiter=self._writer)
        except StorageError as error:
            # Nothing of this batch is known to the disk, so nothing of it may be acted on.
            started = [
                replace(effect, refusal=str(error))
                for effect in started
                if isinstance(effect, Answer)
            ]
            failed = StorageFailed(str(error))
            self._observe(failed)
            await self._perform(self._node.handle([failed], now()))
        for other in started:
            self._start(other)


def take_over(node: Node, restored: Restored, now: Now) -> list[Effect]:
    """Restore the node while no garbage is collected: nothing that a log becomes is garbage, and
    the collector would walk through all of it again and again. Of much, it never looks at it later,
    either: that would hold up the loop. What is dropped of it is freed all the same.

    Raises:
        StorageError: what is on disk is not what this peer once checked.
    """
    gc.disable()
    try:
        effects = node.restore(restored, now)
        if gc.get_count()[0] > LASTING_OBJECTS:
            gc.freeze()
        return effects
    finally:
        gc.enable()


def now() -> Now:
    return Now(monotonic=trio.current_time(), unix=unix_now())
