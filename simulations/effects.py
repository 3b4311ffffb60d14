"""Performs in virtual time what the node asks for; each effect ends in the event the node expects.

What a peer is answered is in `answers`. Nothing that a node decides is decided here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import assert_never

from meshnode.core.effects import (
    Announce,
    Answer,
    AskHeads,
    AskLog,
    AskRoots,
    AskSnapshot,
    Blame,
    CallHolder,
    CheckSnapshot,
    DropSegment,
    FetchObject,
    ForgetCatalogue,
    HideItems,
    IndexSegment,
    IndexWork,
    PurgeItems,
    PurgeObject,
    PurgePayload,
    RecallEntries,
    Request,
    ServePayload,
    SetHidden,
    Started,
    StopPayload,
)
from meshnode.core.events import (
    EntriesRecalled,
    Event,
    HolderCalled,
    LogReceived,
    ObjectsPurged,
    ObjectStored,
    RequestFailed,
    SegmentIndexed,
    SegmentRefused,
    SnapshotChecked,
    SnapshotReceived,
)
from meshnode.core.exchange import (
    AskHello,
    AskRecon,
    AskRecords,
    HelloReceived,
)
from meshnode.core.identifiers import Digest, PeerId, sha256
from meshnode.core.names import SegmentRef
from meshnode.core.snapshots import encode_snapshot, snapshot_of
from meshnode.core.statement_bodies import Endpoint
from simulations.adversaries import Adversaries
from simulations.answers import answer_from, said_bytes
from simulations.machine import Machine
from simulations.network import Network
from simulations.settings import DiskModel
from simulations.swarm.gossip import Gossip
from simulations.world import Action, World

# A request is a stream of its own, whose protocol is agreed on first: two round trips, and bytes as
# `python -m benchmarks.wire` measures them for py-libp2p 0.8.1, with a frame of a few ids.
STREAM_ROUND_TRIPS = 2
QUESTION_BYTES = 400
ANSWER_OVERHEAD_BYTES = 350
WAIT_SECONDS_MAX = 4.0  # of a question for what is on its way to the one asked, as in the runtime
TIMEOUT_SECONDS = 30.0  # after which an unanswered request has failed, as in the runtime
CHECK_SECONDS = 0.5  # of a snapshot: tens of thousands of entries are read, one after the other
CALL_SECONDS = 10.0  # until it is known whether a call came through, as in the runtime
INDEX_SECONDS = 0.02  # a small change of the index


# A question and its answer are objects, not closures: tens of thousands are on their way at a time.
@dataclass(slots=True)
class _Question:
    """What one life of a machine asks; what becomes of it concerns no later life."""

    performer: Performer
    machine: Machine
    life: int
    request: Request

    def __call__(self) -> None:
        if self.is_awaited:
            self.performer.answer(self)

    def lost(self) -> None:
        if self.is_awaited:
            self.performer.give_up(self.machine, self.request)

    @property
    def is_awaited(self) -> bool:
        return self.life == self.machine.life


@dataclass(slots=True)
class _Reply:
    """The event in which a question ends, on its way to the asker."""

    asked: _Question
    event: Event
    size_bytes: int

    def __call__(self) -> None:
        if self.asked.is_awaited:
            self.asked.performer.arrive(self.asked.machine, self.event, self.size_bytes)


class Performer:
    """Starts effects of every machine.

    Args:
        inspect: the segment check; returns why the content breaks the rules, "" if it does not.
        holding: finds the segments that hold one of some items. Once sealed they are served to
            nobody, also where a root has since closed the withdrawal's log.
    """

    def __init__(
        self,
        world: World,
        network: Network,
        gossip: Gossip,
        machines: dict[PeerId, Machine],
        model: DiskModel,
        inspect: Callable[[SegmentRef], str],
        holding: Callable[[PurgeItems | HideItems], tuple[Digest, ...]],
        adversaries: Adversaries,
    ) -> None:
        self._world = world
        self._network = network
        self._gossip = gossip
        self._machines = machines
        self._model = model
        self._inspect = inspect
        self._holding = holding
        self._adversaries = adversaries

    def start(self, machine: Machine, effect: Started) -> None:
        match effect:
            case Announce(raw):
                self._gossip.publish(machine.name, raw)
            case (
                AskHeads()
                | AskRoots()
                | AskLog()
                | AskSnapshot()
                | FetchObject()
                | AskHello()
                | AskRecon()
                | AskRecords()
            ):
                self._ask(machine, effect)
            case CallHolder():
                self._call(machine, effect)
            case CheckSnapshot():
                check = machine.while_alive(_check_snapshot, machine, effect)
                self._world.after(CHECK_SECONDS, check)
            case RecallEntries():
                recall = machine.while_alive(_recall_entries, machine, effect)
                self._world.after(CHECK_SECONDS, recall)
            case (
                IndexSegment()
                | DropSegment()
                | HideItems()
                | SetHidden()
                | ForgetCatalogue()
                | PurgeObject()
                | PurgeItems()
            ):
                machine.index_queue.append(effect)
                if len(machine.index_queue) == 1:
                    self._work(machine)
            case Answer() | Blame():
                pass  # seen by the watchers
            case StopPayload() | ServePayload() | PurgePayload():
                pass  # no payload of this world is named in a log
            case _:
                assert_never(effect)

    # --- Calls ------------------------------------------------------------------------------------
    def _call(self, machine: Machine, call: CallHolder) -> None:
        """Link two peers, if the one that is called is where it states to be; time shows."""
        target = next((m for m in map(self._at, call.endpoints) if m is not None), None)
        if target is not None:
            self._network.link(machine.name, target.name)
        ended = machine.while_alive(self._called, machine, call, target)
        self._world.after(CALL_SECONDS, ended)

    def _called(self, machine: Machine, call: CallHolder, target: Machine | None) -> None:
        up = self._network.peers_of(machine.name)
        kept_word = target is not None and target.name in up
        machine.tell(HolderCalled(call.peer, kept_word))

    def _at(self, endpoint: Endpoint) -> Machine | None:
        number = int.from_bytes(endpoint.address, "big")
        names = tuple(self._machines)
        return self._machines[names[number]] if number < len(names) else None

    # --- Requests ---------------------------------------------------------------------------------
    def _ask(self, machine: Machine, request: Request) -> None:
        if isinstance(request, AskHello) and machine.version < 2:
            self._world.after(0.0, machine.while_alive(_take_for_former, machine, request))
            return
        asked = _Question(self, machine, machine.life, request)
        opening = STREAM_ROUND_TRIPS * self._network.round_trip_seconds(machine.name, request.peer)
        size_bytes = QUESTION_BYTES + said_bytes(request)
        self._network.send(machine.name, request.peer, size_bytes, asked, asked.lost, opening)

    def give_up(self, machine: Machine, request: Request) -> None:
        """Nobody will answer: the asker finds out when its patience ends."""
        failed = RequestFailed(request, "no answer in time")
        self._world.after(TIMEOUT_SECONDS, machine.while_alive(machine.tell, failed))

    def answer(self, asked: _Question) -> None:
        """The question is at the holder, who lets it wait for an object that is on its way."""
        request, holder = asked.request, self._machines[asked.request.peer]
        if isinstance(request, FetchObject) and _is_coming(request.digest, holder):
            waiting = holder.questions.setdefault(request.digest, {})
            number = self._world.take_number()
            waiting[number] = asked.machine.while_alive(self._reply, holder, asked)
            late = holder.while_alive(_let_go, waiting, number)
            self._world.after(WAIT_SECONDS_MAX, late)
        else:
            self._reply(holder, asked)

    def _reply(self, holder: Machine, asked: _Question) -> None:
        """Send what the holder's disk says, or what it prefers to say."""
        request = asked.request
        reply = self._adversaries.reply(holder, request, answer_from(holder, request))
        if reply is None:
            asked.lost()
            return
        event, size_bytes = reply
        carry = self._network.send_bulk if is_bulk(event) else self._network.send
        arrive = _Reply(asked, event, size_bytes)
        sent_bytes = size_bytes + ANSWER_OVERHEAD_BYTES
        carry(holder.name, asked.machine.name, sent_bytes, arrive, asked.lost)

    def arrive(self, machine: Machine, event: Event, size_bytes: int) -> None:
        """An answer is here, with the bytes that it is about."""
        if not isinstance(event, ObjectStored):
            if isinstance(event, SnapshotReceived):
                machine.disk.keep_snapshot(event.beginning.raw)
            machine.tell(event)
            return
        machine.store(event.digest, size_bytes)
        waiting = machine.questions.pop(event.digest, {})
        for number in tuple(waiting):
            _let_go(waiting, number)

    # --- The index --------------------------------------------------------------------------------
    def _work(self, machine: Machine) -> None:
        """Begin the oldest operation of the index queue."""
        work = machine.index_queue[0]
        seconds = INDEX_SECONDS
        if isinstance(work, IndexSegment):
            seconds += work.ref.rows * self._model.index_seconds_per_row
        self._world.after(seconds, machine.while_alive(self._worked, machine))

    def _worked(self, machine: Machine) -> None:
        work = machine.index_queue.pop(0)
        event = self._apply(machine, work)
        for look in machine.watchers.index_changed:
            look(machine, work)
        if machine.index_queue:
            self._work(machine)
        if event is not None:
            machine.tell(event)

    def _apply(self, machine: Machine, work: IndexWork) -> Event | None:
        match work:
            case IndexSegment(ref):
                return self._index_segment(machine, ref)
            case DropSegment(key):
                machine.index.drop(key)
            case HideItems():
                machine.index.hide(work)
                if work.erases:
                    machine.index.seal(self._holding(work))
            case SetHidden():
                machine.index.set_hidden(work)
            case ForgetCatalogue(catalogue):
                machine.index.forget(catalogue)
            case PurgeObject(digest):
                machine.disk.objects.pop(digest, None)
            case PurgeItems():
                return self._purge_items(machine, work)
            case _:
                assert_never(work)
        return None

    def _purge_items(self, machine: Machine, effect: PurgeItems) -> Event:
        """Erase the objects of all segments that hold one of the items."""
        digests = self._holding(effect)
        for digest in digests:
            machine.disk.objects.pop(digest, None)
        return ObjectsPurged(digests)

    def _index_segment(self, machine: Machine, ref: SegmentRef) -> Event:
        held = machine.disk.objects.get(ref.digest)
        reason = "its bytes are not held" if held is None else self._inspect(ref)
        if reason:
            return SegmentRefused(ref, reason)
        machine.index.insert(ref)
        return SegmentIndexed(ref)


def _is_coming(digest: Digest, holder: Machine) -> bool:
    return digest not in holder.disk.objects and holder.node.expects(digest)


def _let_go(waiting: dict[int, Action], number: int) -> None:
    """Answer a question that has waited, unless it was answered before."""
    if reply := waiting.pop(number, None):
        reply()


def _take_for_former(machine: Machine, request: AskHello) -> None:
    """A peer of version 1 does not know how to ask: it asks everybody as if they were of it."""
    machine.tell(HelloReceived(request.peer, request.attempt, None))


def is_bulk(event: Event) -> bool:
    return isinstance(event, ObjectStored | LogReceived | SnapshotReceived)


def _check_snapshot(machine: Machine, effect: CheckSnapshot) -> None:
    """Make the snapshot of what is synced, and keep it if it is the one that was named."""
    entries = machine.disk.numbered_entries(effect.log, effect.stretches)
    made = snapshot_of(effect.log, effect.frontier, entries)
    raw = encode_snapshot(made)
    is_true = sha256(raw) == effect.ref.object
    if is_true:
        machine.disk.keep_snapshot(raw)
    listed = tuple(index for index, _ in made.entries)
    machine.tell(SnapshotChecked(effect.log, effect.ref, is_true, effect.frontier, listed))


def _recall_entries(machine: Machine, effect: RecallEntries) -> None:
    file = machine.disk.branches[effect.log][effect.branch]
    raws = file.entries[effect.first - file.first : effect.stop - file.first]
    machine.tell(EntriesRecalled(effect.log, effect.branch, tuple(raws)))
