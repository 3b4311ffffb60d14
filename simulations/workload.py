"""Institutions that publish: real keys, records and signatures, made by the core's authoring.

A publisher does what the command-line publisher does: takes the catalogue's clock from its home
peer, signs once, and submits the same bytes again until they are confirmed.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from meshnode.core.authoring import LogState, extend, first_root
from meshnode.core.effects import HideItems, PurgeItems
from meshnode.core.entries import (
    CollectionAdded,
    Entry,
    ItemsRemoved,
    ObjectRef,
    Reason,
    SegmentAdded,
)
from meshnode.core.events import Followed, Submitted
from meshnode.core.heads import SnapshotRef, decode_signed_head
from meshnode.core.identifiers import CatalogueId, Digest, key_id, sha256
from meshnode.core.merkle import Frontier, leaf_hash
from meshnode.core.names import LogId, SegmentKey, SegmentRef, Ticket
from meshnode.core.roots import Root, encode_root
from meshnode.core.signed import Signed, encode_signed
from meshnode.core.signing import public_key, sign
from meshnode.core.snapshots import encode_snapshot, snapshot_of
from simulations.index import ItemName
from simulations.ledger import Ledger, NamedSegment, PublishedLog, Withdrawal
from simulations.machine import Machine
from simulations.settings import Workload
from simulations.world import EPOCH_UNIX, World

COLLECTION = "orthoimagery"
COLLECTION_BYTES = 2_000
SEGMENT_FORMAT = 1
BBOX = (-1_400_000_000, 420_000_000, -520_000_000, 830_000_000)  # Canada, 1e-7 degrees
REVIEW_SECONDS = 365 * 86_400
RETRY_SECONDS = 10.0  # until an unanswered submission is submitted again


@dataclass(frozen=True, slots=True)
class Institution:
    """One catalogue: its id, its first root, and the key of its root role."""

    catalogue: CatalogueId
    root: Root
    root_key: Ed25519PrivateKey


@dataclass(slots=True)
class Publisher:
    """One writer at its home peer. Invariant: at most one submission is unconfirmed."""

    institution: Institution
    key: Ed25519PrivateKey
    home: Machine
    state: LogState
    pending: Submitted | None = None
    due: int = 0  # publications whose time has come
    made: int = 0
    snapshot_due: bool = False  # after the publication under way
    lost: bool = False  # its key was stolen, and its peer refuses what it signs

    @property
    def log(self) -> LogId:
        return LogId(self.institution.catalogue, self.state.writer)

    def sign_head(self, payload: bytes) -> Signed:
        return sign("head", payload, [self.key])


@dataclass(slots=True)
class Institutions:
    """All publishers of a run, and the ledger of what they signed."""

    world: World
    workload: Workload
    ledger: Ledger
    publishers: list[Publisher] = field(default_factory=list)
    rng: random.Random = field(init=False)
    confirmed: Callable[[LogId, int], None] = lambda log, seq: None  # told of each confirmed head
    not_ours: set[Ticket] = field(default_factory=set)  # others asked; only looked up in
    _tickets: dict[Ticket, tuple[Publisher, int]] = field(default_factory=dict)  # with the seq

    def __post_init__(self) -> None:
        self.rng = self.world.fork_rng()

    def found(self, homes: Sequence[Machine]) -> None:
        """Make every institution's keys and root; `homes` are the writers' peers, in order."""
        waiting = iter(homes)
        for number in range(self.workload.institutions):
            keys = [_key(self.rng) for _ in range(self.workload.writers_each)]
            root_key = _key(self.rng)
            institution = _institution(number, root_key, keys)
            self.ledger.roots[institution.catalogue] = [sign_root(institution.root, root_key)]
            for key in keys:
                self.publishers.append(self._publisher(institution, key, next(waiting)))

    def follow(self, machines: Sequence[Machine]) -> None:
        """Let these follow every catalogue; only the writers' peers are given the root."""
        at_home = {(p.home.name, p.institution.catalogue) for p in self.publishers}
        for machine in machines:
            for catalogue, chain in self.ledger.roots.items():
                roots = tuple(chain) if (machine.name, catalogue) in at_home else ()
                machine.tell(Followed(self._ticket(), catalogue, roots))

    def schedule(self) -> None:
        """Put every publication into the world's queue, writers a little apart."""
        work = self.workload
        for number, publisher in enumerate(self.publishers):
            shift = work.interval_seconds * number / len(self.publishers)
            for count in range(work.segments_each):
                second = work.start_seconds + shift + count * work.interval_seconds
                self.world.at(second, partial(self._fall_due, publisher))

    def confirm(self, ticket: Ticket, refusal: str) -> str:
        """Take the home peer's answer; return why it was refused for good, "" if it was not.

        A disk that takes nothing is no reason to give up; a key that others use, too, is.
        """
        if ticket in self.not_ours:
            return ""
        asked = self._tickets.pop(ticket, None)
        if asked is None:
            return refusal
        publisher, seq = asked
        if refusal and publisher.log in self.ledger.stolen:
            publisher.lost = True
            return ""
        if refusal and publisher.home.node.read_only:
            return ""
        if not refusal:
            self.confirmed(publisher.log, seq)
            published = self.ledger.logs[publisher.log]
            published.acknowledged = max(published.acknowledged, seq)
            if published.acknowledged == published.seq:
                publisher.pending = None
                self._go_on(publisher)
        return refusal

    def _go_on(self, publisher: Publisher) -> None:
        """Begin the snapshot that is due, or publish what is."""
        if not publisher.snapshot_due or publisher.lost:
            self._publish_if_due(publisher)
            return
        publisher.snapshot_due = False
        state, entries = publisher.state, self.ledger.logs[publisher.log].entries
        raw = encode_snapshot(snapshot_of(publisher.log, state.frontier, enumerate(entries)))
        digest = publisher.home.disk.keep_snapshot(raw)
        ref = SnapshotRef(len(entries), digest, len(raw))
        self.ledger.snapshots[publisher.log] = ref.index
        publisher.pending = self._sign(publisher, (), ref)
        self._submit(publisher, publisher.pending)

    def withdraw(self, publisher: Publisher, items: Sequence[ItemName], reason: Reason) -> bool:
        """Let a writer withdraw items; False while it cannot, since it waits or is down."""
        if publisher.lost or publisher.pending is not None or not publisher.home.running:
            return False
        clock, index = self._next_place(publisher)
        for item in items:
            self.ledger.withdrawals.append(Withdrawal(publisher.log, index, item, clock))
        ids = tuple(item for _, _, item in items)
        publisher.pending = self._sign(
            publisher, [ItemsRemoved(clock, COLLECTION, ids, reason, None)]
        )
        self._submit(publisher, publisher.pending)
        return True

    def publish_roots(self, publisher: Publisher) -> None:
        """Hand all roots and purges to the writer's home peer until its disk has them."""
        home, catalogue = publisher.home, publisher.institution.catalogue
        raws = (*self.ledger.roots[catalogue], *self.ledger.purges.get(catalogue, ()))
        if all(raw in home.disk.chain(catalogue) for raw in raws):
            return
        ticket = self._ticket()
        self.not_ours.add(ticket)
        home.tell(Followed(ticket, catalogue, raws))
        self.world.after(RETRY_SECONDS, partial(self.publish_roots, publisher))

    # --- Publishing -------------------------------------------------------------------------------
    def _publisher(
        self, institution: Institution, key: Ed25519PrivateKey, home: Machine
    ) -> Publisher:
        writer = key_id(public_key(key))
        state = LogState(institution.catalogue, writer, 1, None, Frontier(), 0)
        publisher = Publisher(institution, key, home, state)
        self.ledger.logs[publisher.log] = PublishedLog(home.name)
        return publisher

    def _ticket(self) -> Ticket:
        return Ticket(self.world.take_number())

    def _fall_due(self, publisher: Publisher) -> None:
        publisher.due += 1
        self._publish_if_due(publisher)

    def _publish_if_due(self, publisher: Publisher) -> None:
        if publisher.lost or publisher.pending is not None or publisher.made >= publisher.due:
            return
        if not publisher.home.running:
            self.world.after(RETRY_SECONDS, partial(self._publish_if_due, publisher))
            return
        publisher.made += 1
        publisher.pending = self._sign(publisher, list(self._entries(publisher)))
        self._submit(publisher, publisher.pending)

    def _submit(self, publisher: Publisher, submitted: Submitted) -> None:
        """Hand the same bytes over until the home peer confirms them."""
        if publisher.lost or publisher.pending is not submitted:
            return
        ticket = self._ticket()
        self._tickets[ticket] = publisher, self.ledger.logs[publisher.log].seq
        publisher.home.tell(Submitted(ticket, submitted.heads, submitted.first, submitted.entries))
        self.world.after(RETRY_SECONDS, partial(self._submit, publisher, submitted))

    def _sign(
        self, publisher: Publisher, entries: Sequence[Entry], snapshot: SnapshotRef | None = None
    ) -> Submitted:
        raw, first, raws = extend(
            publisher.state,
            entries,
            issued=EPOCH_UNIX + int(self.world.now),
            next_by=None,
            sign=publisher.sign_head,
            snapshot=snapshot,
        )
        state = publisher.state
        publisher.state = LogState(
            state.catalogue,
            state.writer,
            state.root_version,
            decode_signed_head(raw),
            state.frontier.extend([leaf_hash(entry) for entry in raws]),
            entries[-1].clock if entries else state.clock,
        )
        published = self.ledger.logs[publisher.log]
        published.heads.append(raw)
        published.entries += raws
        return Submitted(Ticket(0), (raw,), first, raws)

    def _entries(self, publisher: Publisher) -> Iterator[Entry]:
        """Yield what this publication adds: a segment, at times a collection or a withdrawal."""
        clock, index = self._next_place(publisher)
        often = self.workload.snapshot_every
        publisher.snapshot_due = bool(often) and publisher.made % often == 0
        if publisher.made == 1 or publisher.snapshot_due:
            yield CollectionAdded(clock, COLLECTION, self._collection(publisher))
            clock, index = clock + 1, index + 1
        yield self._segment(publisher, clock, index)
        every = self.workload.withdraw_every
        if every and publisher.made % every == 0:
            yield self._withdrawal(publisher, clock + 1, index + 1)

    def _next_place(self, publisher: Publisher) -> tuple[int, int]:
        """Return the clock and the index of the writer's next entry."""
        known = publisher.home.node.catalogues[publisher.institution.catalogue].contents.clock
        clock = max(known, publisher.state.clock) + 1
        return clock, len(self.ledger.logs[publisher.log].entries)

    def _collection(self, publisher: Publisher) -> ObjectRef:
        digest = sha256(b"collection" + publisher.institution.catalogue)
        publisher.home.store(digest, COLLECTION_BYTES)
        return ObjectRef(digest, COLLECTION_BYTES)

    def _segment(self, publisher: Publisher, clock: int, index: int) -> SegmentAdded:
        work, log = self.workload, publisher.log
        name = f"{log.catalogue.hex()}/{log.writer.hex()}/{publisher.made}"
        digest = sha256(name.encode())
        publisher.home.store(digest, work.segment_bytes)
        key = SegmentKey(log.catalogue, COLLECTION, digest)
        self.ledger.segments[key] = NamedSegment(log, index)
        self.ledger.segment_of[first_item(log, publisher.made)] = key
        return segment_added(work, digest, clock)

    def _withdrawal(self, publisher: Publisher, clock: int, index: int) -> ItemsRemoved:
        """Withdraw the first item of an earlier publication of this writer."""
        log = publisher.log
        every = self.workload.withdraw_every
        item = first_item(log, 1 + (publisher.made - every))
        self.ledger.withdrawals.append(Withdrawal(log, index, item, clock))
        return ItemsRemoved(clock, COLLECTION, (item[2],), Reason.ERROR, None)


def inspect(ledger: Ledger, ref: SegmentRef) -> str:
    """Stand for the segment check: only content that was published passes."""
    made = ref.key in ledger.segments or ref.key in ledger.stolen_segments
    return "" if made else "no publisher made this content"


def holding(ledger: Ledger, effect: PurgeItems | HideItems) -> tuple[Digest, ...]:
    """Stand for the index: return the segments that hold one of the items."""
    names = [(effect.catalogue, effect.collection, item) for item in effect.ids]
    return tuple(ledger.segment_of[name].digest for name in names if name in ledger.segment_of)


def segment_added(work: Workload, digest: Digest, clock: int) -> SegmentAdded:
    return SegmentAdded(
        clock=clock,
        collection=COLLECTION,
        segment=digest,
        size_bytes=work.segment_bytes,
        rows=work.segment_rows,
        format=SEGMENT_FORMAT,
        bbox=BBOX,
        span=(EPOCH_UNIX - 86_400, EPOCH_UNIX),
        replaces=(),
    )


def sign_root(root: Root, key: Ed25519PrivateKey) -> bytes:
    return encode_signed(sign("root", encode_root(root), [key]))


def _key(rng: random.Random) -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(hashlib.sha256(rng.randbytes(32)).digest())


def _institution(
    number: int, root_key: Ed25519PrivateKey, writers: Sequence[Ed25519PrivateKey]
) -> Institution:
    named = [(public_key(key), f"writer {place}") for place, key in enumerate(writers, 1)]
    root = first_root(
        public_key(root_key),
        named,
        {"title": f"Institution {number + 1}"},
        EPOCH_UNIX,
        EPOCH_UNIX + REVIEW_SECONDS,
    )
    return Institution(CatalogueId(sha256(encode_root(root))), root, root_key)


def first_item(log: LogId, publication: int) -> ItemName:
    return log.catalogue, COLLECTION, f"{log.writer.hex()[:8]}-{publication}"
