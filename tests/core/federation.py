"""Several real nodes that hear each other at once, for tests that need no network between them.

Each peer keeps what its node made durable, and an index in which every segment holds one item of
the segment's name. Nothing is lost or late; what is cut off hears nothing until it is joined again.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache

from meshnode.core.durable import (
    AdoptRoot,
    DropStatements,
    Durable,
    ExtendLog,
    KeepDenyList,
    KeepFork,
    KeepStatement,
    Restored,
    SetFollowed,
    StampEntry,
    StoredLog,
)
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
    Effect,
    FetchObject,
    ForgetCatalogue,
    HideItems,
    IndexSegment,
    PurgeItems,
    PurgeObject,
    PurgePayload,
    RecallEntries,
    Request,
    ServePayload,
    SetHidden,
    StopPayload,
)
from meshnode.core.encoding import MalformedRecordError
from meshnode.core.events import (
    AnnouncementReceived,
    EntriesRecalled,
    Event,
    Followed,
    HeadsReceived,
    HolderCalled,
    LogReceived,
    Now,
    ObjectsPurged,
    ObjectStored,
    PeerConnected,
    PeerDisconnected,
    RequestFailed,
    RootsReceived,
    SegmentIndexed,
    SnapshotChecked,
    SnapshotReceived,
    Submitted,
)
from meshnode.core.exchange import AskHello, AskRecon, AskRecords
from meshnode.core.heads import decode_signed_head
from meshnode.core.identifiers import CatalogueId, Digest, PeerId, sha256
from meshnode.core.merkle import Frontier
from meshnode.core.names import LogId, SegmentKey, SegmentRef, Stretch, Ticket
from meshnode.core.node import Node
from meshnode.core.signing import verify
from meshnode.core.snapshots import begin, decode_snapshot, encode_snapshot, snapshot_of
from meshnode.core.statements import StatementName
from meshnode.core.verdicts import Verdict
from tests.core.institutions import ISSUED, LogCopy, content
from tests.core.telling import told_by

VERIFY = lru_cache(65_536)(verify)
NAMES: dict[Digest, str] = {}  # of every segment that a test named
SNAPSHOTS: dict[Digest, bytes] = {}  # every one that a test made


def named(name: str) -> str:
    """Remember the name of a segment, which is also the id of its one item."""
    NAMES[sha256(content(name))] = name
    return name


Branches = dict[tuple[LogId, int], StoredLog]


def extend_branch(branches: Branches, effect: ExtendLog) -> None:
    """Keep what a node made durable of one branch, as a store does."""
    held = branches.get((effect.log, effect.branch))
    if held is None:
        assert (effect.log, effect.branch - 1) in branches or effect.branch == 0
        held = StoredLog(effect.log, (), (), effect.first, effect.beginning)
    assert effect.first == held.first + len(held.entries)
    heads = tuple(raw for _, raw in effect.heads)
    branches[effect.log, effect.branch] = replace(
        held, heads=held.heads + heads, entries=held.entries + effect.entries
    )


def read_branches(
    branches: Branches, log: LogId, stretches: Sequence[Stretch]
) -> tuple[tuple[bytes, ...], int, tuple[bytes, ...]]:
    """Return the heads, the index of the first entry, and the entries of these stretches."""
    heads: list[bytes] = []
    entries: list[bytes] = []
    for part in stretches:
        held = branches[log, part.branch]
        seqs = [decode_signed_head(raw).head.seq for raw in held.heads]
        heads += [
            raw
            for seq, raw in zip(seqs, held.heads, strict=True)
            if part.after_seq < seq <= part.seq
        ]
        entries += held.entries[part.first - held.first : part.stop - held.first]
    return tuple(heads), stretches[0].first, tuple(entries)


def made_snapshot(
    branches: Branches, log: LogId, frontier: Frontier, stretches: Sequence[Stretch]
) -> bytes:
    """Return the snapshot of the entries on this way, known from now on by its digest."""
    entries: list[tuple[int, bytes]] = []
    for part in stretches:
        held = branches[log, part.branch]
        if held.beginning:
            entries += decode_snapshot(held.beginning).entries
        numbered = list(enumerate(held.entries, held.first))
        entries += numbered[part.first - held.first : part.stop - held.first]
    return known_snapshot(encode_snapshot(snapshot_of(log, frontier, entries)))


def known_snapshot(raw: bytes) -> bytes:
    """Remember what an object says, so that whoever holds it by name can be told."""
    SNAPSHOTS[sha256(raw)] = raw
    return raw


@dataclass(slots=True)
class Peer:
    """One node with what is durable and what is indexed."""

    name: PeerId
    node: Node = field(init=False)
    roots: dict[tuple[CatalogueId, int, bytes], None] = field(default_factory=dict)
    followed: dict[CatalogueId, None] = field(default_factory=dict)
    branches: dict[tuple[LogId, int], StoredLog] = field(default_factory=dict)
    forks: dict[LogId, bytes] = field(default_factory=dict)
    objects: dict[Digest, None] = field(default_factory=dict)
    segments: dict[SegmentKey, SegmentRef] = field(default_factory=dict)
    hidden: dict[tuple[CatalogueId, str, str], int] = field(default_factory=dict)
    stamps: dict[Digest, StampEntry] = field(default_factory=dict)
    deny_lists: dict[str, KeepDenyList] = field(default_factory=dict)
    statements: dict[StatementName, bytes] = field(default_factory=dict)
    erased: list[Effect] = field(default_factory=list)
    blames: list[Blame] = field(default_factory=list)
    answers: list[Answer] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.node = Node(random.Random(self.name), VERIFY)

    @property
    def visible(self) -> list[str]:
        """Return the items that a search finds, by name."""
        found = []
        for key, ref in self.segments.items():
            item = NAMES[key.digest]
            if ref.clock >= self.hidden.get((key.catalogue, key.collection, item), 0):
                found.append(item)
        return sorted(found)

    def root_version(self, catalogue: CatalogueId) -> int:
        chain = self.node.catalogues[catalogue].chain
        return chain.current.version if chain else 0

    def make_durable(self, effect: Durable) -> None:
        match effect:
            case AdoptRoot(catalogue, version, raw):
                self.roots[catalogue, version, raw] = None
            case SetFollowed(catalogue, followed):
                (self.followed.setdefault if followed else self.followed.pop)(catalogue, None)
            case ExtendLog():
                extend_branch(self.branches, effect)
            case KeepFork(log, raw):
                self.forks[log] = raw
            case StampEntry(_, entry):
                self.stamps[entry] = effect
            case KeepDenyList(name):
                self.deny_lists[name] = effect
            case KeepStatement(said, raw):
                self.statements[said] = raw
            case DropStatements(names):
                for gone in names:
                    self.statements.pop(gone, None)

    def check_snapshot(self, effect: CheckSnapshot) -> SnapshotChecked:
        """Make it from what is durable, and keep it if it is the one that was named."""
        raw = made_snapshot(self.branches, effect.log, effect.frontier, effect.stretches)
        listed = tuple(index for index, _ in decode_snapshot(raw).entries)
        is_true = sha256(raw) == effect.ref.object
        if is_true:
            self.objects[sha256(raw)] = None
        return SnapshotChecked(effect.log, effect.ref, is_true, effect.frontier, listed)

    def recall(self, effect: RecallEntries) -> EntriesRecalled:
        held = self.branches[effect.log, effect.branch]
        raws = held.entries[effect.first - held.first : effect.stop - held.first]
        return EntriesRecalled(effect.log, effect.branch, raws)

    def restored(self) -> Restored:
        catalogues = dict.fromkeys(catalogue for catalogue, _, _ in self.roots)
        return Restored(
            followed=tuple(self.followed),
            roots=tuple((c, self.chain(c, 0)) for c in catalogues),
            logs=tuple(self.branches[place] for place in sorted(self.branches)),
            forks=tuple(self.forks.values()),
            objects=frozenset(self.objects),
            indexed=tuple((key, ref.clock) for key, ref in self.segments.items()),
            stamps=tuple(self.stamps.values()),
            deny_lists=tuple(kept for kept in self.deny_lists.values() if kept.raw),
            statements=tuple(self.statements.values()),
        )

    def chain(self, catalogue: CatalogueId, after: int) -> tuple[bytes, ...]:
        held = sorted((v, raw) for c, v, raw in self.roots if c == catalogue and v > after)
        return tuple(raw for _, raw in held)

    def erase(self, catalogue: CatalogueId, ids: Iterable[str]) -> tuple[Digest, ...]:
        """Erase the one row of each of these segments, and the bytes with it."""
        gone = [k.digest for k in self.segments if NAMES[k.digest] in ids]
        for digest in gone:
            self.objects.pop(digest, None)
        return tuple(gone)

    def change_index(self, effect: Effect) -> None:
        match effect:
            case IndexSegment(ref):
                assert ref.digest in self.objects
                self.segments[ref.key] = ref
            case DropSegment(key):
                del self.segments[key]
            case ForgetCatalogue(catalogue):
                self.segments = {k: r for k, r in self.segments.items() if k.catalogue != catalogue}
                self.hidden = {n: c for n, c in self.hidden.items() if n[0] != catalogue}
            case HideItems(catalogue, collection, ids, clock):
                self._hide(catalogue, collection, ids, clock)
            case SetHidden(catalogue, withdrawals):
                self.hidden = {n: c for n, c in self.hidden.items() if n[0] != catalogue}
                for gone in withdrawals:
                    self._hide(catalogue, gone.collection, gone.ids, gone.clock)
            case _:
                pass

    def _hide(
        self, catalogue: CatalogueId, collection: str, ids: Iterable[str], clock: int
    ) -> None:
        for item in ids:
            name = (catalogue, collection, item)
            self.hidden[name] = max(clock, self.hidden.get(name, 0))


class Federation:
    """Peers by name. `lines` are the pairs that hear each other."""

    def __init__(self, *names: str) -> None:
        self.peers = {PeerId(name): Peer(PeerId(name)) for name in names}
        self.lines: dict[frozenset[PeerId], None] = {}
        self.seconds = 0.0
        self._queue: deque[tuple[Peer, Event]] = deque()

    def __getitem__(self, name: str) -> Peer:
        return self.peers[PeerId(name)]

    def now(self) -> Now:
        return Now(self.seconds, ISSUED + int(self.seconds))

    def join(self, *names: str) -> None:
        """Connect each of these peers with each."""
        for a in names:
            for b in names:
                if a < b:
                    self.lines[frozenset((PeerId(a), PeerId(b)))] = None
                    self.tell(a, PeerConnected(PeerId(b)))
                    self.tell(b, PeerConnected(PeerId(a)))

    def cut(self, a: str, b: str) -> None:
        del self.lines[frozenset((PeerId(a), PeerId(b)))]
        self.tell(a, PeerDisconnected(PeerId(b)))
        self.tell(b, PeerDisconnected(PeerId(a)))

    def follow(self, catalogue: CatalogueId, *roots: bytes) -> None:
        for name in self.peers:
            self.tell(name, Followed(Ticket(0), catalogue, roots))

    def publish_root(self, name: str, catalogue: CatalogueId, raw: bytes) -> None:
        self.tell(name, Followed(Ticket(1), catalogue, (raw,)))

    def submit(self, name: str, log: LogCopy) -> str:
        """Hand the whole log to a peer of ours; return why it is refused, empty if it is not."""
        self.tell(name, Submitted(Ticket(2), tuple(log.heads), 0, tuple(log.entries)))
        return self[name].answers[-1].refusal

    def store(self, name: str, *contents: str) -> None:
        for each in contents:
            self.tell(name, ObjectStored(sha256(content(named(each)))))

    def restart(self, name: str) -> None:
        """End a peer and start it from what was durable, with its connections."""
        old = self[name]
        peer = self.peers[old.name]
        peer.node = Node(random.Random(name), VERIFY)
        self._carry_out(peer, peer.node.restore(peer.restored(), self.now()))
        for line in self.lines:
            if old.name in line:
                [other] = line - {old.name}
                self.tell(name, PeerConnected(other))

    def wait(self, seconds: float) -> None:
        """Let time pass, in steps in which every node may act on its deadline."""
        end = self.seconds + seconds
        while self.seconds < end:
            nearest = min(peer.node.next_deadline() for peer in self.peers.values())
            self.seconds = min(end, max(nearest, self.seconds + 0.01))
            for peer in self.peers.values():
                self._carry_out(peer, peer.node.handle([], self.now()))
            self._run()

    def skip(self, seconds: float) -> None:
        """Let a long time pass at once."""
        self.seconds += seconds
        self.wait(1)

    def tell(self, name: str, event: Event) -> None:
        self._queue.append((self[name], event))
        self._run()

    def _run(self) -> None:
        while self._queue:
            peer, event = self._queue.popleft()
            if isinstance(event, ObjectStored):
                peer.objects[event.digest] = None
            self._carry_out(peer, peer.node.handle([event], self.now()))

    def _carry_out(  # noqa: C901, PLR0912 - one branch an effect
        self, peer: Peer, effects: list[Effect]
    ) -> None:
        for effect in effects:
            match effect:
                case _ if isinstance(effect, Durable):
                    peer.make_durable(effect)
                case Announce(raw):
                    self._gossip(peer, raw)
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
                    self._queue.append((peer, self._answer(peer, effect)))
                case CallHolder(name):
                    self._queue.append((peer, self._call(peer, name)))
                case CheckSnapshot():
                    self._queue.append((peer, peer.check_snapshot(effect)))
                case RecallEntries():
                    self._queue.append((peer, peer.recall(effect)))
                case Blame():
                    peer.blames.append(effect)
                case Answer():
                    peer.answers.append(effect)
                case PurgeObject(digest):
                    peer.erased.append(effect)
                    peer.objects.pop(digest, None)
                case PurgeItems(catalogue, _, ids):
                    peer.erased.append(effect)
                    self._queue.append((peer, ObjectsPurged(peer.erase(catalogue, ids))))
                case StopPayload() | ServePayload() | PurgePayload():
                    peer.erased.append(effect)
                case IndexSegment(ref):
                    peer.change_index(effect)
                    self._queue.append((peer, SegmentIndexed(ref)))
                case _:
                    peer.change_index(effect)

    def _gossip(self, source: Peer, raw: bytes) -> None:
        """Flood: whoever accepts a message that he did not see passes it on."""
        seen, spreading = {source.name: None}, [source.name]
        while spreading:
            sender = spreading.pop(0)
            for other in self.peers.values():
                if frozenset((sender, other.name)) in self.lines and other.name not in seen:
                    seen[other.name] = None
                    refusal = other.node.judge(raw, self.now())
                    assert refusal is None or refusal.verdict is Verdict.IGNORE, refusal
                    if refusal is None:
                        spreading.append(other.name)
                        self._queue.append((other, AnnouncementReceived(sender, raw)))

    def _call(self, caller: Peer, name: PeerId) -> HolderCalled:
        """Connect two peers, if there is one of this name."""
        if name in self.peers:
            self.lines[frozenset((caller.name, name))] = None
            self._queue.append((caller, PeerConnected(name)))
            self._queue.append((self.peers[name], PeerConnected(caller.name)))
        return HolderCalled(name, kept_word=name in self.peers)

    def _answer(  # noqa: C901, PLR0911 - one branch a question
        self, asker: Peer, request: Request
    ) -> Event:
        if frozenset((asker.name, request.peer)) not in self.lines:
            return RequestFailed(request, "not connected")
        holder = self.peers[request.peer]
        match request:
            case AskHeads(peer, catalogues):
                heads = tuple(
                    stored.heads[-1]
                    for stored in holder.branches.values()
                    if stored.log.catalogue in catalogues
                )
                return HeadsReceived(peer, heads, holder.node.newest_roots(catalogues))
            case AskRoots(peer, catalogue, after):
                return RootsReceived(peer, catalogue, holder.chain(catalogue, after))
            case AskLog(peer, log, wanted, known):
                stretches = holder.node.stretches(log, wanted, known)
                if not stretches:
                    return RequestFailed(request, "not held")
                return LogReceived(peer, log, *read_branches(holder.branches, log, stretches))
            case AskSnapshot(peer, log, ref):
                if ref.object not in holder.objects:
                    return RequestFailed(request, "not held")
                asker.objects[ref.object] = None
                try:
                    beginning = begin(log, ref, SNAPSHOTS[ref.object])
                except MalformedRecordError as error:
                    return RequestFailed(request, str(error))
                return SnapshotReceived(peer, log, beginning)
            case FetchObject(_, digest):
                if digest in holder.objects and not holder.node.withholds(digest):
                    return ObjectStored(digest)
                return RequestFailed(request, "not held")
            case AskHello() | AskRecon() | AskRecords():
                return told_by(holder.node, request)
