"""One real node among honest, slow and hostile peers, with crashes, under any order of events.

After every step the promises of protocol/04-log-and-trust.md are checked from what is durable and
indexed, by code of its own (`disks`): nothing is visible that no writer published, logs only grow,
a root's closing holds, withdrawn items stay hidden, what was acknowledged survives. At the end the
node is among honest peers alone and must hold and show everything.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from itertools import takewhile

import cbor2
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from meshnode.core.durable import Durable, StoredLog
from meshnode.core.effects import (
    Answer,
    AskHeads,
    AskLog,
    AskRoots,
    AskSnapshot,
    Blame,
    Comparing,
    Effect,
    FetchObject,
    ForgetCatalogue,
    IndexSegment,
    Request,
)
from meshnode.core.entries import ItemsRemoved, Reason, SegmentAdded
from meshnode.core.events import (
    AnnouncementReceived,
    Event,
    Followed,
    HeadsReceived,
    LogReceived,
    Now,
    ObjectStored,
    PeerConnected,
    PeerDisconnected,
    RequestFailed,
    RootsReceived,
    SegmentIndexed,
    SegmentRefused,
    StorageFailed,
    Submitted,
    Unfollowed,
)
from meshnode.core.exchange import AskHello, AskRecon, AskRecords, HelloReceived
from meshnode.core.heads import (
    AnnouncedHead,
    Announcement,
    decode_signed_head,
    encode_announcement,
)
from meshnode.core.identifiers import Digest, PeerId, sha256
from meshnode.core.names import HeadName, LogId, RootName, SegmentRef, Ticket
from meshnode.core.newest import NewestRecords
from meshnode.core.node import Node
from meshnode.core.notices import notice_of
from meshnode.core.replica import FETCHES_AT_ONCE_MAX
from meshnode.core.roots import Closing, LastHead
from meshnode.core.signed import decode_signed
from meshnode.core.verdicts import Check, Verdict
from tests.core.ceremonies import Version
from tests.core.disks import Disk, counted, state_of
from tests.core.federation import VERIFY
from tests.core.institutions import ISSUED, Institution, LogCopy, content, segment

HONEST = (PeerId("honest one"), PeerId("honest two"))
EVIL = PeerId("evil")
PEERS = st.sampled_from((*HONEST, EVIL))
COLLECTION = "ortho"
HEADS_MAX = 8  # of one log; more would show nothing new
SETTLING_STEPS_MAX = 2_000
HEAD_BYTES = 1 << 10  # more than any head here has
DATA = st.data()
Told = AnnouncementReceived | HeadsReceived | RootsReceived | LogReceived
OUTCOMES = st.sampled_from(["answer", "answer", "part", "none"])


@dataclass(slots=True)
class Truth:
    """What the institution really signed: main branches, one fork, roots by version."""

    ville: Institution
    ours: LogCopy
    theirs: LogCopy
    forks: list[LogCopy] = field(default_factory=list)
    clock: int = 0
    names: dict[Digest, str] = field(default_factory=dict)  # of segments; each has one item
    roots: list[Version] = field(default_factory=list)

    @property
    def copies(self) -> tuple[LogCopy, ...]:
        return (self.ours, self.theirs, *self.forks)

    def branches(self, log: LogId) -> list[LogCopy]:
        return [copy for copy in self.copies if self.log_of(copy) == log]

    def log_of(self, copy: LogCopy) -> LogId:
        return LogId(self.ville.catalogue, copy.writer)

    def publish(self, copy: LogCopy, *, removes: list[str], replaces: list[str]) -> None:
        self.clock += 1
        name = f"segment {self.clock}"
        self.names[sha256(content(name))] = name
        entries: list[SegmentAdded | ItemsRemoved] = [
            segment(self.clock, name, collection=COLLECTION, replaces=replaces)
        ]
        if removes:
            self.clock += 1
            withdrawn = tuple(removes)
            entries.append(ItemsRemoved(self.clock, COLLECTION, withdrawn, Reason.ERROR, None))
        copy.publish(*entries)


def world() -> Truth:
    ville = Institution("Ville", ("ours", "theirs"))
    ours, theirs = ville.logs
    return Truth(ville, ours, theirs, roots=[Version(ville.root, ville.raw_root)])


class NodeMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.truth = world()
        self.disk = Disk()
        self.node = self._build()
        self.seconds = 0.0
        self.connected: dict[PeerId, None] = {}
        self.asked: list[Request] = []  # of connected peers, not answered yet
        self.late: list[Request] = []  # of peers that left meanwhile
        self.to_index: list[SegmentRef] = []
        self.forgotten = 0  # how many of them, the first, the index forgets as soon as it has them
        self.refused: list[SegmentRef] = []
        self.told: list[Told] = []
        self.acknowledged: list[bytes] = []
        self.held_when_closed: int | None = None  # heads of the log that a root closes
        self.answers: list[str] = []
        self.full = False
        self._handle(Followed(Ticket(0), self.catalogue, (self.truth.roots[0].raw,)))
        for _ in range(2):
            self.truth.publish(self.truth.theirs, removes=[], replaces=[])
        for peer in (*HONEST, EVIL):
            self.connect(peer)

    @property
    def catalogue(self):
        return self.truth.ville.catalogue

    # --- The institution --------------------------------------------------------------------------
    @rule(ours=st.booleans(), data=DATA)
    def publish(self, ours: bool, data: st.DataObject) -> None:
        copy = self.truth.ours if ours else self.truth.theirs
        if len(copy.heads) >= HEADS_MAX:
            return
        known = sorted(self.truth.names.values())
        chosen = st.lists(st.sampled_from(known), unique=True, max_size=2) if known else st.just([])
        self.truth.publish(copy, removes=data.draw(chosen), replaces=data.draw(chosen))
        if ours and not self.full:
            self._submit(copy)

    @rule()
    def fork(self) -> None:
        """The other writer goes on from an old backup, and signs another history.

        Its first heads add nothing, so that only their links tell the two histories apart.
        """
        if not self.truth.forks:
            other = self.truth.theirs.fork()
            self.truth.forks.append(other)
            self.truth.theirs.publish()
            for _ in range(4):
                other.publish(issued=ISSUED + 1)
            self.truth.publish(other, removes=[], replaces=[])

    @rule(data=DATA)
    def close(self, data: st.DataObject) -> None:
        heads = self.truth.theirs.heads
        if len(self.truth.roots) > 1 or not heads:
            return
        seq = data.draw(st.integers(0, len(heads)))
        closed: Closing = False
        if seq:
            closed = LastHead(seq, decode_signed_head(heads[seq - 1]).signed.digest)
        self.truth.roots.append(self.truth.roots[0].closing("theirs", closed, by=["Ville root"]))

    # --- Peers ------------------------------------------------------------------------------------
    @rule(peer=PEERS)
    def connect(self, peer: PeerId) -> None:
        if peer not in self.connected:
            self.connected[peer] = None
            self._handle(PeerConnected(peer))

    @rule(peer=PEERS)
    def disconnect(self, peer: PeerId) -> None:
        if peer in self.connected:
            del self.connected[peer]
            self.late += [request for request in self.asked if request.peer == peer]
            self.asked = [request for request in self.asked if request.peer != peer]
            self._handle(PeerDisconnected(peer))

    @rule(peer=PEERS)
    def reconnect(self, peer: PeerId) -> None:
        """The line breaks and is there again; the node has asked again before the old ends."""
        self.disconnect(peer)
        self.connect(peer)
        self.wait(seconds=1.0)

    @rule(data=DATA, outcomes=st.lists(OUTCOMES, min_size=1, max_size=6))
    def reply(self, data: st.DataObject, outcomes: list[str]) -> None:
        """Peers answer some questions; a hostile one with whatever it likes."""
        for outcome in outcomes[: len(self.asked)]:
            if self.asked:
                self._reply(outcome, data)

    def _reply(self, outcome: str, data: st.DataObject) -> None:
        request = self.asked.pop(data.draw(st.integers(0, len(self.asked) - 1)))
        if outcome == "none":
            self._handle(RequestFailed(request, "not held"))
            return
        event = self._answer(request, data.draw(st.integers(0, 6)) if outcome == "part" else 99)
        if request.peer == EVIL:
            event = self._spoil(event, request, data)
        self._handle(event)

    @rule()
    def catch_up(self) -> None:
        """Honest peers answer all that they are asked, and the index does its work."""
        for _ in range(SETTLING_STEPS_MAX):
            if honest := [request for request in self.asked if request.peer != EVIL]:
                self.asked.remove(honest[0])
                self._handle(self._answer(honest[0], 99))
            elif self.to_index:
                self._index()
            else:
                return
        raise AssertionError("the node asks without end")

    @rule(data=DATA, succeeds=st.booleans())
    def reply_late(self, data: st.DataObject, succeeds: bool) -> None:
        if self.late:
            request = self.late.pop(data.draw(st.integers(0, len(self.late) - 1)))
            failed = RequestFailed(request, "the stream broke")
            self._handle(self._answer(request, 99) if succeeds else failed)

    @rule(data=DATA)
    def replay(self, data: st.DataObject) -> None:
        """A hostile peer says again what anyone said before, though nobody asked."""
        if self.told:
            self._handle(replace(data.draw(st.sampled_from(self.told)), peer=EVIL))

    @rule(data=DATA, peer=PEERS, with_entries=st.booleans())
    def gossip(self, data: st.DataObject, peer: PeerId, with_entries: bool) -> None:
        copy = data.draw(st.sampled_from(self.truth.copies))
        if not copy.heads:
            return
        seq = data.draw(st.integers(1, len(copy.heads)))
        first = copy.sizes[seq - 2] if seq > 1 else 0
        entries = copy.entries[first : copy.sizes[seq - 1]] if with_entries else []
        if peer == EVIL:
            entries = list(_altered(tuple(entries), data))
        head = decode_signed(copy.heads[seq - 1], HEAD_BYTES)
        raw = encode_announcement(Announcement((AnnouncedHead(head, first, tuple(entries)),)))
        if peer == EVIL and data.draw(st.booleans()):
            raw = _mutated(raw, data)
        self._gossip(peer, raw)

    @rule(data=DATA, peer=PEERS)
    def gossip_root(self, data: st.DataObject, peer: PeerId) -> None:
        raw = notice_of(self.catalogue, data.draw(st.sampled_from(self.truth.roots)).raw)
        self._gossip(peer, _mutated(raw, data) if peer == EVIL else raw)

    # --- The machine ------------------------------------------------------------------------------
    @rule(seconds=st.sampled_from([0.0, 0.6, 5.0, 70.0]))
    def wait(self, seconds: float) -> None:
        self.seconds += seconds
        self._handle()

    @rule(refused=st.booleans())
    def index(self, refused: bool) -> None:
        if self.to_index and refused:
            ref, _ = self._next_to_index()
            self.refused.append(ref)
            self._handle(SegmentRefused(ref, "the content breaks the rules"))
        elif self.to_index:
            self._index()

    @rule()
    def unfollow_and_follow_again(self) -> None:
        if not self.full:
            self._handle(Unfollowed(Ticket(1), self.catalogue))
            # What is asked about the catalogue ends; comparisons are with peers, and go on.
            self.late += [ask for ask in self.asked if not isinstance(ask, Comparing)]
            self.asked = [ask for ask in self.asked if isinstance(ask, Comparing)]
            self._handle(Followed(Ticket(2), self.catalogue))

    @rule()
    def fill_the_disk(self) -> None:
        self._handle(StorageFailed("no space left on device"))
        self.full = True

    @precondition(lambda self: self.full)
    @rule()
    def refuse_what_needs_the_disk(self) -> None:
        before = len(self.answers)
        self._handle(Followed(Ticket(3), self.catalogue))
        assert "read-only" in self.answers[before]

    @rule(lost=st.sampled_from(["all", "effects"]), data=DATA)
    def crash(self, lost: str, data: st.DataObject) -> None:
        """Lose power while one more answer is handled: before it is durable, or just after."""
        if self.asked and not self.full:
            request = self.asked[data.draw(st.integers(0, len(self.asked) - 1))]
            event = self._answer(request, 99)
            effects = self.node.handle([event], self._now())
            for effect in effects:
                if isinstance(effect, Durable) and lost == "effects":
                    self.disk.make_durable(effect)
        self._restart()

    # --- What always holds ------------------------------------------------------------------------
    @invariant()
    def logs_are_prefixes_of_what_a_writer_signed(self) -> None:
        for stored in self.disk.branches.values():
            assert any(_is_part(stored, copy) for copy in self.truth.branches(stored.log))

    @invariant()
    def what_is_compared_is_what_is_held_now(self) -> None:
        """The sets are made anew only where something changed: nothing that changes is missed."""
        kept = self.node.disclosure.newest.items((self.catalogue,)).items
        assert kept == NewestRecords(self.node.catalogues).items((self.catalogue,)).items

    @invariant()
    def roots_are_what_the_institution_signed(self) -> None:
        signed = [(self.catalogue, root.root.version, root.raw) for root in self.truth.roots]
        assert all(held in signed for held in self.disk.roots)

    @invariant()
    def only_what_counts_is_visible_and_what_is_withdrawn_is_hidden(self) -> None:
        if self.catalogue not in self.disk.followed:
            assert not self.disk.indexed
            return
        live, hidden = self._due()
        for key, ref in self.disk.indexed.items():
            name = (key.collection, key.digest)
            assert live.get(name, -1) >= ref.clock or self._awaits_heirs(name, live)
            assert key.digest in self.disk.objects
        shown = {(c, item): clock for (_, c, item), clock in self.disk.hidden.items()}
        assert shown == hidden

    @invariant()
    def a_closed_log_grows_no_further_than_its_closing(self) -> None:
        newest = self.truth.roots[-1]
        if (self.catalogue, 2, newest.raw) not in self.disk.roots:
            return
        [closed] = [writer.closed for writer in newest.root.writers if writer.closed is not None]
        log = self.truth.log_of(self.truth.theirs)
        kept: list[bytes] = []
        if closed:
            name = HeadName(closed.seq, closed.head)
            kept = next(c for c in self.truth.branches(log) if _has(c, name)).heads[: closed.seq]
        stored = (s for s in self.disk.branches.values() if s.log == log)
        held = sum(raw not in kept for branch in stored for raw in branch.heads)
        if self.held_when_closed is None:
            self.held_when_closed = held
        assert held <= self.held_when_closed

    @invariant()
    def what_was_acknowledged_is_durable(self) -> None:
        held = self.truth.ours.heads[: self._held(self.truth.ours)]
        assert all(raw in held for raw in self.acknowledged)

    @invariant()
    def an_object_is_asked_of_one_connected_peer_at_a_time(self) -> None:
        assert all(request.peer in self.connected for request in self.asked)
        digests = [ask.digest for ask in self.asked if isinstance(ask, FetchObject)]
        assert len(set(digests)) == len(digests) <= FETCHES_AT_ONCE_MAX

    def teardown(self) -> None:
        """Leave the node among honest peers: it must come to hold and show everything."""
        self.disconnect(EVIL)
        if self.full:
            self._restart()
        for peer in HONEST:
            self.connect(peer)
        for _ in range(SETTLING_STEPS_MAX):
            if self.asked:
                self._handle(self._answer(self.asked.pop(0), 99))
            elif self.to_index:
                self._index()
            elif self._is_complete():
                return
            else:
                self.seconds = max(self.seconds, self.node.next_deadline())
                self._handle()
        raise AssertionError("the node does not come to hold and show everything")

    # --- How it is driven -------------------------------------------------------------------------
    def _build(self) -> Node:
        return Node(random.Random(7), VERIFY)

    def _now(self) -> Now:
        return Now(self.seconds, ISSUED + int(self.seconds))

    def _restart(self) -> None:
        self.node, self.full = self._build(), False
        self.asked, self.late, self.to_index, self.forgotten = [], [], [], 0
        self._carry_out(self.node.restore(self.disk.restored(), self._now()))
        for peer in self.connected:
            self._handle(PeerConnected(peer))

    def _handle(self, *batch: Event) -> None:
        for event in batch:
            if isinstance(event, ObjectStored):
                self.disk.objects[event.digest] = None
            elif isinstance(event, Told):
                self.told.append(event)
        self._carry_out(self.node.handle(batch, self._now()))

    def _carry_out(self, effects: list[Effect]) -> None:
        for effect in effects:
            if isinstance(effect, Durable):
                self.disk.make_durable(effect)
        for effect in effects:
            match effect:
                case AskHeads() | AskRoots() | AskLog() | FetchObject() | AskHello():
                    self.asked.append(effect)
                case IndexSegment(ref):
                    assert ref.digest in self.disk.objects
                    self.to_index.append(ref)
                case ForgetCatalogue():
                    self.forgotten = len(self.to_index)  # the index works in the order it was told
                    self.disk.change_index(effect)
                case Blame(peer):
                    assert peer == EVIL
                case Answer(_, refusal):
                    self.answers.append(refusal)
                case _:
                    self.disk.change_index(effect)

    def _submit(self, copy: LogCopy) -> None:
        submitted = Submitted(Ticket(4), tuple(copy.heads), 0, tuple(copy.entries))
        self._handle(submitted)
        if not self.answers[-1]:
            self.acknowledged = list(copy.heads)

    def _next_to_index(self) -> tuple[SegmentRef, bool]:
        """Return the next segment, and whether its catalogue is forgotten right after."""
        is_forgotten = self.forgotten > 0
        self.forgotten -= is_forgotten
        return self.to_index.pop(0), is_forgotten

    def _index(self) -> None:
        """End the work on a segment; what the log says meanwhile comes after."""
        ref, is_forgotten = self._next_to_index()
        if self.catalogue in self.disk.followed and not is_forgotten:
            live, _ = self._due()
            if live.get((ref.collection, ref.digest), -1) >= ref.clock:
                self.disk.indexed[ref.key] = ref
        self._handle(SegmentIndexed(ref))

    def _gossip(self, peer: PeerId, raw: bytes) -> None:
        refusal = self.node.judge(raw, self._now())
        if refusal is None:
            assert any(part in raw for part in self._signed_parts())
        assert refusal is None or refusal.verdict is Verdict.IGNORE or peer == EVIL
        self._handle(AnnouncementReceived(peer, raw))

    def _signed_parts(self) -> list[bytes]:
        copies = self.truth.copies
        raws = [raw for copy in copies for raw in copy.heads]
        return [*raws, *(root.raw for root in self.truth.roots)]

    def _answer(self, request: Request, most: int) -> Event:
        """Return what an honest peer says; it may hold only the first few heads of a log."""
        match request:
            case AskHeads(peer):
                copies = self.truth.copies
                heads = tuple(copy.heads[:most][-1] for copy in copies if copy.heads[:most])
                newest = self.truth.roots[-1]
                name = RootName(self.catalogue, newest.root.version, newest.digest)
                return HeadsReceived(peer, heads, (name,) if newest.root.version > 1 else ())
            case AskRoots(peer, catalogue, after):
                raws = tuple(r.raw for r in self.truth.roots if r.root.version > after)
                return RootsReceived(peer, catalogue, raws[:most])
            case AskLog(peer, log, wanted, known):
                copy = next(c for c in self.truth.branches(log) if _has(c, wanted))
                after = max((name.seq for name in known if _has(copy, name)), default=0)
                first, stop = ([0, *copy.sizes])[after], copy.sizes[wanted.seq - 1]
                heads = tuple(copy.heads[after : wanted.seq][:most])
                return LogReceived(peer, log, heads, first, tuple(copy.entries[first:stop]))
            case AskSnapshot():
                raise AssertionError("no head here begins a snapshot")
            case AskHello(peer, _, attempt):
                return HelloReceived(peer, attempt, None)
            case AskRecon() | AskRecords():
                raise AssertionError("nobody here has said that he knows this question")
            case FetchObject(_, digest, size_bytes):
                assert digest in self.truth.names, "an object that no writer named"
                assert size_bytes == len(content(self.truth.names[digest]))
                return ObjectStored(digest)

    def _spoil(self, event: Event, request: Request, data: st.DataObject) -> Event:
        match event:
            case ObjectStored():
                return RequestFailed(request, "other bytes", Check.CONTENT_HASH)
            case HeadsReceived() if data.draw(st.booleans()):
                return event  # so that it is asked for what it can then spoil
            case HeadsReceived() | RootsReceived():
                return replace(event, raws=_altered(event.raws, data))
            case LogReceived():
                spoil: Callable[[], Event] = data.draw(
                    st.sampled_from(
                        [
                            lambda: replace(event, heads=_altered(event.heads, data)),
                            lambda: replace(event, entries=_altered(event.entries, data)),
                            lambda: replace(event, first=event.first + 1),
                            lambda: replace(event, log=LogId(self.catalogue, event.log.writer)),
                            lambda: replace(event, heads=tuple(self.truth.ours.heads)),
                        ]
                    )
                )
                return spoil()
            case _:
                return event

    def _due(self) -> tuple[dict[tuple[str, bytes], int], dict[tuple[str, str], int]]:
        newest = cbor2.loads(cbor2.loads(self.disk.chain(self.catalogue, 0)[-1])[0])
        writers = {sha256(writer[0])[:16]: writer[3] for writer in newest[9]}
        entries: list[list[object]] = []
        for log in map(self.truth.log_of, (self.truth.ours, self.truth.theirs)):
            histories = [(copy, self._held(copy)) for copy in self.truth.branches(log)]
            entries += counted(histories, writers[log.writer])
        return state_of(entries)

    def _awaits_heirs(self, name: tuple[str, bytes], live: Mapping[tuple[str, bytes], int]) -> bool:
        """Say whether one that took over its rows counts and is not searchable yet (L-69)."""
        indexed = {(key.collection, key.digest) for key in self.disk.indexed}
        every = [cbor2.loads(raw) for copy in self.truth.copies for raw in copy.entries]
        replacing = [entry for entry in every if entry[0] == "segment+" and entry[7]]
        reached = {name}
        for _ in replacing:  # a chain has no more links
            reached |= {
                (e[3], e[4][0])
                for e in replacing
                for replaced in e[7]
                if (e[3], replaced) in reached and (e[3], replaced) not in live
            }
        return any(heir in live and heir not in indexed for heir in reached)

    def _wanted(self, copy: LogCopy) -> int:
        """Return how many heads of a history the node must come to hold: what no root closes."""
        if copy is self.truth.ours or len(self.truth.roots) == 1:
            return len(copy.heads)
        last = self.truth.roots[-1].root.writers[1].closed
        return last.seq if last and _has(copy, HeadName(last.seq, last.head)) else 0

    def _held(self, copy: LogCopy) -> int:
        """Return how many heads of a history are durable, whatever the branches they are on."""
        raws = {raw for stored in self.disk.branches.values() for raw in stored.heads}
        return sum(1 for _ in takewhile(raws.__contains__, copy.heads))

    def _is_complete(self) -> bool:
        newest = self.truth.roots[-1]
        if (self.catalogue, newest.root.version, newest.raw) not in self.disk.roots:
            return False
        if any(self._held(copy) < self._wanted(copy) for copy in self.truth.copies):
            return False
        live, _ = self._due()
        indexed = {(k.collection, k.digest): r.clock for k, r in self.disk.indexed.items()}
        refused = {(ref.collection, ref.digest, ref.clock) for ref in self.refused}
        lacks = live.items() - indexed.items()
        return indexed.items() <= live.items() and all((*n, clock) in refused for n, clock in lacks)


def _has(copy: LogCopy, name: HeadName) -> bool:
    heads = copy.heads[name.seq - 1 : name.seq]
    return [decode_signed_head(raw).name for raw in heads] == [name]


def _is_part(stored: StoredLog, copy: LogCopy) -> bool:
    """Say whether a branch as stored is a part of this history."""
    if stored.heads[0] not in copy.heads:
        return False
    begin = copy.heads.index(stored.heads[0])
    end = begin + len(stored.heads)
    if list(stored.heads) != copy.heads[begin:end]:
        return False
    first, stop = ([0, *copy.sizes])[begin], copy.sizes[end - 1]
    is_whole = list(stored.entries) == copy.entries[first:stop]
    return is_whole and (stored.first == first or not stored.entries)


def _mutated(raw: bytes, data: st.DataObject) -> bytes:
    spoiled = bytearray(raw)
    spoiled[data.draw(st.integers(0, len(raw) - 1))] ^= data.draw(st.integers(0, 255))
    return bytes(spoiled)


def _altered(raws: tuple[bytes, ...], data: st.DataObject) -> tuple[bytes, ...]:
    """Change a byte of one of them, leave one out, or turn the order round."""
    if not raws:
        return (data.draw(st.binary(min_size=1, max_size=20)),)
    at = data.draw(st.integers(0, len(raws) - 1))
    return data.draw(
        st.sampled_from(
            [
                (*raws[:at], _mutated(raws[at], data), *raws[at + 1 :]),
                (*raws[:at], *raws[at + 1 :]),
                raws[::-1],
                (raws[at],) * len(raws),
            ]
        )
    )


NodeMachine.TestCase.settings = settings(stateful_step_count=30)
TestNodeMachine = pytest.mark.slow(NodeMachine.TestCase)
