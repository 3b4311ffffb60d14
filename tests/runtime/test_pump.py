"""The pump: nothing of a batch starts before the batch is on disk."""

from __future__ import annotations

import gc
import random
import threading
from collections.abc import Sequence
from typing import cast

import pytest
import structlog
import trio
import trio.testing

from meshnode.core.durable import Durable, Restored, SetFollowed
from meshnode.core.effects import (
    Announce,
    Answer,
    AskHeads,
    CallHolder,
    CheckSnapshot,
    Effect,
    RecallEntries,
    Request,
    Started,
)
from meshnode.core.events import (
    Event,
    Followed,
    HolderCalled,
    Now,
    PeerConnected,
    RequestFailed,
    StorageFailed,
    Unfollowed,
)
from meshnode.core.exchange import HelloReceived
from meshnode.core.identifiers import CatalogueId, Digest, PeerId
from meshnode.core.names import Ticket
from meshnode.core.node import Node
from meshnode.core.verdicts import Topic
from meshnode.errors import StorageError
from meshnode.runtime.bulletin import NOTICES_MAX, Bulletin
from meshnode.runtime.effects import Effects, Tell
from meshnode.runtime.index.indexing import Indexing
from meshnode.runtime.pump import BATCH_EVENTS_MAX, LASTING_OBJECTS, Pump, take_over
from meshnode.runtime.tickets import Tickets

HERE, THERE = CatalogueId(bytes(32)), CatalogueId(bytes([1]) * 32)


class Disk:
    """Commits to a list; can be made to wait for `may_end`, or to fail."""

    def __init__(self) -> None:
        self.batches: list[list[Durable]] = []
        self.reason = ""
        self.begun = trio.Event()
        self.may_end = threading.Event()
        self.may_end.set()

    def commit(self, effects: Sequence[Durable]) -> None:
        trio.from_thread.run_sync(self.begun.set)
        assert self.may_end.wait(30)
        if self.reason:
            raise StorageError(self.reason)
        self.batches.append(list(effects))


class World:
    """A node with its pump; what was started, and what was on disk at that moment."""

    def __init__(self) -> None:
        self.disk = Disk()
        self.node = Node(random.Random(1))
        self.tickets = Tickets()
        self.started: list[tuple[Started, int]] = []
        self.seen: list[Event | Effect] = []
        self.pump = Pump(self.node, self.disk.commit, self._start, self.seen.append)

    def _start(self, effect: Started) -> None:
        self.started.append((effect, len(self.disk.batches)))
        if isinstance(effect, Answer):
            self.tickets.resolve(effect)

    async def follow(self, catalogue: CatalogueId) -> str:
        return await self.tickets.ask(self.pump.tell, lambda ticket: Followed(ticket, catalogue))


@pytest.fixture
async def world(nursery: trio.Nursery) -> World:
    world = World()
    nursery.start_soon(world.pump.run, Restored())
    return world


async def test_an_answer_is_given_only_when_its_batch_is_on_disk(world: World):
    with trio.fail_after(10):
        assert await world.follow(HERE) == ""
    assert world.disk.batches == [[SetFollowed(HERE, True)]]
    assert [on_disk for effect, on_disk in world.started if isinstance(effect, Answer)] == [1]


async def test_queued_events_share_one_batch():
    world = World()
    for number in range(5):
        await world.pump.tell(Followed(Ticket(number), CatalogueId(bytes([number]) * 32)))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(world.pump.run, Restored())
        with trio.fail_after(10):
            await world.follow(HERE)
        nursery.cancel_scope.cancel()
    assert [len(batch) for batch in world.disk.batches] == [5]


async def test_a_cancelled_pump_ends_its_commit_and_starts_all_of_it_or_nothing():
    world = World()
    world.disk.may_end.clear()
    await world.pump.tell(Followed(Ticket(0), HERE))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(world.pump.run, Restored())
        with trio.fail_after(10):
            await world.disk.begun.wait()
        nursery.cancel_scope.cancel()
        assert world.started == []
        world.disk.may_end.set()
    assert len(world.disk.batches) == 1
    assert [effect for effect, _ in world.started if isinstance(effect, Answer)] == [
        Answer(Ticket(0))
    ]


async def test_when_the_disk_refuses_the_answer_is_the_refusal_and_the_node_is_read_only(
    world: World,
):
    world.disk.reason = "the disk is full"
    with trio.fail_after(10):
        assert await world.follow(HERE) == "the disk is full"
        assert await world.follow(THERE) == "this peer is read-only: the disk is full"
    assert world.node.read_only == "the disk is full"
    assert StorageFailed("the disk is full") in world.seen
    assert all(isinstance(effect, Answer) for effect, _ in world.started)


def test_no_garbage_is_collected_while_the_disk_is_taken_over_and_then_it_is_again():
    class Damaged(Node):
        def restore(self, _restored: Restored, _now: Now) -> list[Effect]:
            assert not gc.isenabled()
            raise StorageError("the log is damaged")

    with pytest.raises(StorageError):
        take_over(Damaged(random.Random(1)), Restored(), Now(0.0, 0))
    assert gc.isenabled()


class Growing(Node):
    """A node that holds so many objects once it is restored."""

    def __init__(self, count: int) -> None:
        super().__init__(random.Random(1))
        self.count = count

    def restore(self, restored: Restored, now: Now) -> list[Effect]:
        self.held = [[number] for number in range(self.count)]
        return super().restore(restored, now)


@pytest.mark.parametrize(("count", "is_frozen"), [(2 * LASTING_OBJECTS, True), (1_000, False)])
def test_only_what_is_much_is_never_walked_through_again(count: int, is_frozen: bool):
    node, before = Growing(count), gc.get_freeze_count()
    try:
        take_over(node, Restored(), Now(0.0, 0))
        assert (gc.get_freeze_count() > before + count) == is_frozen
    finally:
        gc.unfreeze()


async def test_a_full_queue_holds_its_producers_back_until_the_pump_takes_events(autojump_clock):
    world = World()
    told = []

    async def produce() -> None:
        for number in range(BATCH_EVENTS_MAX * 3):
            await world.pump.tell(StorageFailed("full"))
            told.append(number)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(produce)
        await trio.testing.wait_all_tasks_blocked()
        assert len(told) == BATCH_EVENTS_MAX
        nursery.start_soon(world.pump.run, Restored())
        await trio.testing.wait_all_tasks_blocked()
        assert len(told) == BATCH_EVENTS_MAX * 3
        nursery.cancel_scope.cancel()


async def test_without_events_the_node_is_asked_at_its_deadline(autojump_clock):
    world = World()
    await world.pump.tell(PeerConnected(PeerId("a")))
    await world.pump.tell(HelloReceived(PeerId("a"), 1, None))
    with trio.move_on_after(600):
        await world.pump.run(Restored(followed=(HERE,)))
    polls = [effect for effect, _ in world.started if isinstance(effect, AskHeads)]
    assert len(polls) > 3


async def test_a_question_that_was_given_up_leaves_nothing_behind(autojump_clock):
    tickets = Tickets()

    async def tell(_event: Event) -> None:
        await trio.lowlevel.checkpoint()

    with trio.move_on_after(1) as scope:
        await tickets.ask(tell, lambda ticket: Unfollowed(ticket, HERE))
    assert scope.cancelled_caught
    tickets.resolve(Answer(Ticket(0)))
    assert not tickets._waiting
    assert not tickets._answers


def test_a_watcher_that_falls_behind_misses_notices_and_nobody_waits_for_it():
    bulletin: Bulletin[int] = Bulletin()
    with bulletin.watch(lambda number: number) as slow:
        for number in range(NOTICES_MAX + 7):
            bulletin.post(number)
        assert slow.missed == 7
        slow.skip()
        bulletin.post(-1)
        assert slow._receive.receive_nowait() == -1
    bulletin.post(0)
    assert not bulletin._watchers


async def test_each_watcher_receives_what_it_chooses_of_what_is_posted_from_then_on():
    bulletin: Bulletin[int] = Bulletin()
    bulletin.post(0)
    with bulletin.watch(lambda number: number) as one:
        bulletin.post(1)
        with bulletin.watch(lambda number: f"{number}" if number % 2 == 0 else None) as two:
            for number in (2, 3, 4):
                bulletin.post(number)
            assert [await one.receive() for _ in range(4)] == [1, 2, 3, 4]
            assert [await two.receive() for _ in range(2)] == ["2", "4"]


async def test_searches_that_have_taken_every_thread_do_not_hold_up_the_pump(world: World):
    may_end = threading.Event()
    threads = trio.to_thread.current_default_thread_limiter()
    async with trio.open_nursery() as searches:
        for _ in range(int(threads.total_tokens)):
            searches.start_soon(lambda: trio.to_thread.run_sync(may_end.wait))
        try:
            with trio.fail_after(10):
                while threads.available_tokens:
                    await trio.lowlevel.checkpoint()
                assert await world.follow(HERE) == ""
        finally:
            may_end.set()


# --- Effects: what the pump starts ----------------------------------------------------------------
class Village:
    """A network that answers each request at once, or raises what no network should."""

    def __init__(self) -> None:
        self.published: list[bytes] = []
        self.is_broken = False

    async def publish(self, raw: bytes, topic: Topic) -> None:
        if self.is_broken:
            raise KeyError(raw)
        self.published.append(raw)

    async def perform(self, request: Request) -> Event:
        if self.is_broken:
            raise KeyError(request)
        return RequestFailed(request, "nobody knows")

    async def call_holder(self, call: CallHolder) -> HolderCalled:
        if self.is_broken:
            raise KeyError(call)
        return HolderCalled(call.peer, kept_word=True)

    async def stop_payload(self, key: Digest, *, erase: bool) -> None:
        pytest.fail(f"nobody asks to stop {key.hex()}, {erase}")

    async def serve_payload(self, key: Digest) -> None:
        pytest.fail(f"nobody asks to serve {key.hex()}")


class Nothing:
    """Nothing is indexed here."""

    async def run(self) -> None:
        await trio.sleep_forever()


def no_log(effect: CheckSnapshot | RecallEntries) -> Event:
    pytest.fail(f"nobody asks to read for {effect}")


def effects_of(village: Village, tell: Tell) -> Effects:
    return Effects(village, cast("Indexing", Nothing()), Tickets(), tell, no_log)


async def test_an_effect_that_fails_ends_in_an_event_and_in_the_log_and_others_go_on():
    village, told = Village(), trio.open_memory_channel[Event](10)
    effects = effects_of(village, told[0].send)
    request = AskHeads(PeerId("a"), (HERE,))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(effects.run)
        village.is_broken = True
        with trio.fail_after(10), structlog.testing.capture_logs() as logs:
            effects.start(Announce(b"lost"))
            effects.start(request)
            failed = await told[1].receive()
        village.is_broken = False
        with trio.fail_after(10):
            effects.start(Announce(b"heard"))
            effects.start(request)
            assert await told[1].receive() == RequestFailed(request, "nobody knows")
        nursery.cancel_scope.cancel()
    assert isinstance(failed, RequestFailed)
    assert failed.check is None
    assert sorted(line["event"] for line in logs) == ["a request failed", "an announcement failed"]
    assert village.published == [b"heard"]


async def test_events_and_effects_by_the_thousand_do_not_hold_each_other_up(autojump_clock):
    """Each event asks for two requests more, and each request tells an event, while both queues
    are full from the first moment on.
    """
    asked = 0
    both: list[Effect] = [AskHeads(PeerId("a"), (HERE,)), AskHeads(PeerId("b"), (HERE,))]

    class Echo:
        def restore(self, _restored: Restored, _now: Now) -> list[Effect]:
            return both * BATCH_EVENTS_MAX

        def handle(self, batch: Sequence[Event], _now: Now) -> list[Effect]:
            nonlocal asked
            asked += len(batch)
            return both * len(batch) if asked < 3_000 else []

        def next_deadline(self) -> float:
            return float("inf")

    node = cast("Node", Echo())
    pump = Pump(node, Disk().commit, lambda effect: effects.start(effect), lambda _: None)
    effects = effects_of(Village(), pump.tell)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(effects.run)
        nursery.start_soon(pump.run, Restored())
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    assert asked > 3_000
