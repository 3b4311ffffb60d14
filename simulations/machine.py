"""One simulated peer: the node that ships, its disk and index, and the loop that drives it.

The loop is the runtime's: queued events make one batch, its durable effects are synced, and only
then do its other effects start. A crash forgets all but what is synced.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol

from meshnode.core import events as ev
from meshnode.core.identifiers import PeerId
from meshnode.core.node import Node
from simulations.disk import Disk
from simulations.index import Index
from simulations.world import EPOCH_UNIX, Action, World

BATCH_EVENTS_MAX = 256  # as in the runtime

IndexWork = ev.IndexSegment | ev.DropSegment | ev.HideItems | ev.ForgetCatalogue


class Watcher(Protocol):
    """Sees all that a peer does, as it does it."""

    def handled(
        self, machine: Machine, batch: Sequence[ev.Event], effects: Sequence[ev.Effect]
    ) -> None: ...

    def synced(self, machine: Machine, durable: Sequence[ev.Durable]) -> None: ...

    def started(self, machine: Machine, effect: ev.Started) -> None: ...

    def index_changed(self, machine: Machine, work: IndexWork) -> None: ...

    def restored(self, machine: Machine) -> None: ...


@dataclass(slots=True)
class Machine:
    """Invariant: while `syncing`, the node is not asked and nothing of its batch has started."""

    name: PeerId
    world: World
    build: Callable[[], Node]
    start: Callable[[Machine, ev.Started], None]
    watchers: Sequence[Watcher]
    fsync_seconds: float
    clock_offset_seconds: int = 0
    node: Node = field(init=False)
    disk: Disk = field(default_factory=Disk)
    index: Index = field(default_factory=Index)
    index_queue: deque[IndexWork] = field(default_factory=deque)
    inbox: deque[ev.Event] = field(default_factory=deque)
    running: bool = True
    syncing: bool = False
    life: int = 0  # crashes so far; what an earlier life began never ends
    wakeup: float = float("inf")

    def __post_init__(self) -> None:
        self.node = self.build()

    def now(self) -> ev.Now:
        unix = EPOCH_UNIX + int(self.world.now) + self.clock_offset_seconds
        return ev.Now(monotonic=self.world.now, unix=unix)

    def tell(self, event: ev.Event) -> None:
        """Queue an event; it is handled now unless the disk is busy."""
        if self.running:
            self.inbox.append(event)
            if not self.syncing:
                self._turn()

    def while_alive(self, action: Action) -> Action:
        """Return the action for later; it does nothing if the peer has crashed meanwhile."""
        return partial(self._in_life, self.life, action)

    def crash(self) -> int:
        """Lose power; return how many unsynced effects and open operations are lost."""
        lost = self.disk.lose_power() + len(self.inbox) + len(self.index_queue)
        self.running, self.syncing = False, False
        self.life += 1
        self.inbox.clear()
        self.index_queue.clear()
        self.wakeup = float("inf")
        return lost

    def restart(self) -> None:
        """Boot from the disk, as the runtime does."""
        self.running = True
        self.node = self.build()
        restored = self.disk.restored(tuple(self.index.segments.items()))
        effects = self.node.restore(restored, self.now())
        for watcher in self.watchers:
            watcher.restored(self)
        self._perform((), effects)

    def _in_life(self, life: int, action: Action) -> None:
        if life == self.life:
            action()

    def _turn(self) -> None:
        batch = [self.inbox.popleft() for _ in range(min(len(self.inbox), BATCH_EVENTS_MAX))]
        self._perform(batch, self.node.handle(batch, self.now()))

    def _perform(self, batch: Sequence[ev.Event], effects: Sequence[ev.Effect]) -> None:
        for watcher in self.watchers:
            watcher.handled(self, batch, effects)
        durable = [effect for effect in effects if isinstance(effect, ev.Durable)]
        others = [effect for effect in effects if not isinstance(effect, ev.Durable)]
        if durable:
            self.syncing = True
            self.disk.write(durable)
            action = partial(self._synced, durable, others)
            self.world.after(self.fsync_seconds, self.while_alive(action))
        else:
            self._start(others)

    def _synced(self, durable: Sequence[ev.Durable], others: Sequence[ev.Started]) -> None:
        self.disk.sync()
        for watcher in self.watchers:
            watcher.synced(self, durable)
        self._start(others)
        self.syncing = False
        if self.inbox:
            self._turn()

    def _start(self, effects: Sequence[ev.Started]) -> None:
        for effect in effects:
            for watcher in self.watchers:
                watcher.started(self, effect)
            self.start(self, effect)
        self._set_alarm()

    def _set_alarm(self) -> None:
        deadline = self.node.next_deadline()
        if deadline < self.wakeup:
            self.wakeup = deadline
            self.world.at(deadline, self.while_alive(partial(self._wake, deadline)))

    def _wake(self, deadline: float) -> None:
        """Let the node act on its deadline; an alarm that was overtaken is passed over."""
        if deadline != self.wakeup:
            return
        self.wakeup = float("inf")
        if self.syncing:
            self.world.after(self.fsync_seconds, self.while_alive(self._set_alarm))
        elif self.node.next_deadline() <= self.world.now:
            self._turn()
        else:
            self._set_alarm()
