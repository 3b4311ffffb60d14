"""One simulated peer: the node that ships, its disk and index, and the loop that drives it.

The loop is the runtime's: queued events make one batch, its durable effects are synced, and only
then do its other effects start. A crash forgets all but what is synced. A disk that refuses the
batch makes the node read-only, and nothing of the batch starts but its answers, which say why.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Final, ParamSpec, cast, get_args

from meshnode.core.durable import Durable
from meshnode.core.effects import Answer, Effect, IndexWork, Started
from meshnode.core.events import Event, Now, ObjectStored, StorageFailed
from meshnode.core.identifiers import Digest, PeerId
from meshnode.core.node import Node
from simulations.disk import Disk
from simulations.index import Index
from simulations.watching import Watchers
from simulations.world import EPOCH_UNIX, Action, World

BATCH_EVENTS_MAX = 256  # as in the runtime
Given = ParamSpec("Given")
_DURABLE: Final[frozenset[type]] = frozenset(get_args(Durable))


@dataclass(frozen=True, slots=True)
class Clock:
    """A wall clock that is wrong by `offset_seconds` at `since`, and gains from there on."""

    offset_seconds: float = 0.0
    drift_ppm: float = 0.0
    since: float = 0.0  # virtual second

    def unix(self, second: float) -> int:
        gained = (second - self.since) * self.drift_ppm * 1e-6
        return EPOCH_UNIX + int(second + self.offset_seconds + gained)


TRUE_CLOCK = Clock()


@dataclass(slots=True)
class Machine:
    """Invariant: while `syncing`, the node is not asked and nothing of its batch has started."""

    name: PeerId
    world: World
    build: Callable[[], Node]
    start: Callable[[Machine, Started], None]
    watchers: Watchers
    fsync_seconds: float
    clock: Clock = TRUE_CLOCK
    node: Node = field(init=False)
    disk: Disk = field(default_factory=Disk)
    index: Index = field(default_factory=Index)
    # Lists, though their first is taken: they are short, and an empty deque has room for 64.
    index_queue: list[IndexWork] = field(default_factory=list)
    inbox: list[Event] = field(default_factory=list)
    # Questions for objects that are on their way here, by a number each.
    questions: dict[Digest, dict[int, Action]] = field(default_factory=dict)
    version: int = 2  # of the protocol
    running: bool = True
    paused: bool = False  # the process stands still; what arrives waits
    syncing: bool = False
    life: int = 0  # crashes so far; what an earlier life began never ends
    wakeup: float = float("inf")

    def __post_init__(self) -> None:
        self.node = self.build()

    def now(self) -> Now:
        return Now(monotonic=self.world.now, unix=self.clock.unix(self.world.now))

    def tell(self, event: Event) -> None:
        """Queue an event; it is handled now unless the disk is busy."""
        if not self.running:
            return
        is_free = not self.syncing and not self.paused
        if is_free and not self.inbox:
            self._perform((event,), self.node.handle((event,), self.now()))
            return
        self.inbox.append(event)
        if is_free:
            self._turn()

    def store(self, digest: Digest, size_bytes: int) -> None:
        """Take in an object, as it arrives or as a publisher brings it."""
        self.disk.objects[digest] = size_bytes
        self.disk.bytes_written += size_bytes
        self.tell(ObjectStored(digest))

    def pause(self) -> None:
        self.paused = True

    def resume(self) -> None:
        """Go on with what has arrived meanwhile."""
        self.paused = False
        if self.running and not self.syncing:
            self._turn()

    def while_alive(
        self, action: Callable[Given, None], *args: Given.args, **named: Given.kwargs
    ) -> Action:
        """Return the action for later; it does nothing if the peer has crashed meanwhile."""
        return partial(self._in_life, self.life, action, *args, **named)

    def crash(self, *, written: bool = False) -> int:
        """Lose power; return how many unsynced effects and open operations are lost.

        Args:
            written: the batch under way reached the disk whole, though nobody was told; otherwise
                the disk finds it torn and rolls it back.
        """
        if written and self.disk.unsynced:
            self._write_down(self.disk.unsynced)
        lost = self.disk.lose_power() + len(self.inbox) + len(self.index_queue)
        self.running, self.paused, self.syncing = False, False, False
        self.life += 1
        self.inbox.clear()
        self.index_queue.clear()
        self.questions.clear()
        self.wakeup = float("inf")
        return lost

    def restart(self) -> None:
        """Boot from the disk, as the runtime does."""
        self.running = True
        self.node = self.build()
        restored = self.disk.restored(tuple(self.index.segments.items()))
        effects = self.node.restore(restored, self.now())
        for look in self.watchers.restored:
            look(self)
        self._perform((), effects)

    def _in_life(
        self, life: int, action: Callable[Given, None], *args: Given.args, **named: Given.kwargs
    ) -> None:
        if life == self.life:
            action(*args, **named)

    def _turn(self) -> None:
        batch, self.inbox = self.inbox[:BATCH_EVENTS_MAX], self.inbox[BATCH_EVENTS_MAX:]
        self._perform(batch, self.node.handle(batch, self.now()))

    def _perform(self, batch: Sequence[Event], effects: Sequence[Effect]) -> None:
        for look in self.watchers.handled:
            look(self, batch, effects)
        if _DURABLE.isdisjoint(map(type, effects)):
            self._start(cast(Sequence[Started], effects))
            return
        durable = [effect for effect in effects if isinstance(effect, Durable)]
        others = [effect for effect in effects if not isinstance(effect, Durable)]
        if self.disk.refuses:
            self._refused(others)
        else:
            self.syncing = True
            self.disk.write(durable)
            self.world.after(self.fsync_seconds, self.while_alive(self._synced, durable, others))

    def _refused(self, others: Sequence[Started]) -> None:
        """Nothing of this batch is on disk, so nothing of it may be acted on."""
        failed = StorageFailed(self.disk.refuses)
        self._perform([failed], self.node.handle([failed], self.now()))
        answers = [effect for effect in others if isinstance(effect, Answer)]
        self._start([replace(answer, refusal=self.disk.refuses) for answer in answers])

    def _synced(self, durable: Sequence[Durable], others: Sequence[Started]) -> None:
        self._write_down(durable)
        self._start(others)
        self.syncing = False
        if self.inbox and not self.paused:
            self._turn()

    def _write_down(self, durable: Sequence[Durable]) -> None:
        self.disk.sync()
        for look in self.watchers.synced:
            look(self, durable)

    def _start(self, effects: Sequence[Started]) -> None:
        for effect in effects:
            for look in self.watchers.started:
                look(self, effect)
            self.start(self, effect)
        self._set_alarm()

    def _set_alarm(self) -> None:
        deadline = self.node.next_deadline()
        if deadline < self.wakeup:
            self.wakeup = deadline
            self.world.at(deadline, self.while_alive(self._wake, deadline))

    def _wake(self, deadline: float) -> None:
        """Let the node act on its deadline; an alarm that was overtaken is passed over."""
        if deadline != self.wakeup:
            return
        self.wakeup = float("inf")
        if self.paused:
            return  # `resume` asks the node
        if self.syncing:
            self.world.after(self.fsync_seconds, self.while_alive(self._set_alarm))
        elif self.node.next_deadline() <= self.world.now:
            self._turn()
        else:
            self._set_alarm()
