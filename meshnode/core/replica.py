"""The bytes behind the logs: which objects this peer holds, wants, checks and has indexed."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from meshnode.core.budgets import Budgets
from meshnode.core.catalogue import Catalogue, Changes
from meshnode.core.denials import Denials
from meshnode.core.durable import Restored
from meshnode.core.effects import (
    DropSegment,
    Effect,
    FetchObject,
    HideItems,
    IndexSegment,
    SetHidden,
)
from meshnode.core.entries import ObjectRef
from meshnode.core.events import SegmentRefused
from meshnode.core.fetching import FetchQueue
from meshnode.core.identifiers import CatalogueId, Digest, PeerId
from meshnode.core.lanes import Place
from meshnode.core.limits import INTEGER_MAX
from meshnode.core.names import SegmentKey, SegmentRef, Withdrawal

FETCHES_AT_ONCE_MAX = 32  # small objects; of large ones a quarter, more only share the same line
PEER_SHARE_MAX = FETCHES_AT_ONCE_MAX // 2  # of one peer, so that one that stalls holds up half
SMALL_BYTES = 256 << 10  # so large an object counts as one, and at most LARGE_WEIGHT times so much
LARGE_WEIGHT = 4
OFFERER_ATTEMPTS = 3  # an object follows its entry from peer to peer within a few pauses
INDEXING_AT_ONCE_MAX = 2  # one is checked while the other is written
DOCUMENT_RANK = -INTEGER_MAX - 1  # few and small, and needed to show what the items are
SIZES_MAX = 8  # declared for one object; one that is named truly is among the first

Kept = TypeVar("Kept")


@dataclass(slots=True)
class Awaited:
    """An object that is wanted, and by whom. `sizes` are its sizes in bytes as logs declare them.

    Only one can be true, but a writer may lie about the object of another, so all are tried.
    """

    sizes: list[int] = field(default_factory=list)
    segments: dict[SegmentKey, None] = field(default_factory=dict)
    catalogues: dict[CatalogueId, None] = field(default_factory=dict)  # for other objects

    @property
    def is_wanted(self) -> bool:
        return bool(self.segments or self.catalogues)


@dataclass(slots=True)
class Replica:
    """Invariant: a segment that counts is awaited, to be indexed, indexed, refused or over budget.

    `counts` returns a segment as the followed catalogues name it now, None if it does not count;
    `heirs` those that took over its rows. Until they are searchable it stays so (L-69).
    """

    rng: random.Random
    counts: Callable[[SegmentKey], SegmentRef | None]
    heirs: Callable[[SegmentKey], Sequence[SegmentRef]]
    denials: Denials
    budgets: Budgets = field(default_factory=Budgets)
    objects: dict[Digest, None] = field(default_factory=dict)
    indexed: dict[SegmentKey, int] = field(default_factory=dict)  # the clock it was indexed at
    refused: dict[SegmentKey, SegmentRefused] = field(default_factory=dict)
    over_budget: dict[tuple[CatalogueId, Digest], int] = field(default_factory=dict)  # in bytes
    fetches: FetchQueue[Digest] = field(init=False)
    _awaited: dict[Digest, Awaited] = field(default_factory=dict)
    _to_index: dict[SegmentKey, None] = field(default_factory=dict)
    _outgoing: dict[SegmentKey, None] = field(default_factory=dict)  # await their heirs
    # In work; False if the catalogue was forgotten meanwhile, and the rows with it.
    _indexing: dict[SegmentKey, bool] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.fetches = FetchQueue(
            self.rng, FETCHES_AT_ONCE_MAX, OFFERER_ATTEMPTS, PEER_SHARE_MAX, self._weigh
        )

    def restore(self, restored: Restored) -> Iterator[Effect]:
        """Take over what the disk holds; drop from the index what no longer counts."""
        self.objects = dict.fromkeys(sorted(restored.objects))
        self.indexed = dict(restored.indexed)
        for key in [key for key in self.indexed if self.counts(key) is None]:
            yield from self._settle(key, None)

    def account(self, catalogue: Catalogue) -> None:
        """Count what is on the disk of a catalogue against its budget, replaced bytes too."""
        for (_, digest), additions in catalogue.contents.segments.items():
            if digest in self.objects and additions.best is not None:
                self.budgets.hold(catalogue.id, digest, additions.best[1].size_bytes)
        for ref in catalogue.objects():
            if ref.digest in self.objects:
                self.budgets.hold(catalogue.id, ref.digest, ref.size_bytes)

    def resume(self, catalogue: Catalogue) -> Iterator[Effect]:
        """Bring a whole catalogue towards being searchable: at boot, or newly followed."""
        yield self._hidden(catalogue)
        self.account(catalogue)
        for name in catalogue.contents.segments:
            yield from self._settle(catalogue.key(name), None)
        for wanted in catalogue.objects():
            self._want_for(catalogue, wanted, None)

    def change(
        self, catalogue: Catalogue, changes: Changes, source: PeerId | None
    ) -> Iterator[Effect]:
        """Follow what newly adopted entries changed; `source` is asked for objects first."""
        if changes.recounted:
            yield self._hidden(catalogue)
        for entry in changes.hidden:
            erases = entry.reason.erases
            yield HideItems(catalogue.id, entry.collection, entry.ids, entry.clock, erases)
        for name in changes.segments:
            yield from self._settle(catalogue.key(name), source)
        if changes.recounted or changes.segments:
            yield from self._settle_outgoing()  # their heirs may be others now
        for wanted in changes.objects:
            self._want_for(catalogue, wanted, source)

    def stored(self, digest: Digest) -> Iterator[Effect]:
        self.objects[digest] = None
        self.fetches.done(digest)
        awaited = self._awaited.pop(digest, Awaited())
        for key in awaited.segments:
            yield from self._settle(key, None)

    def purged(self, digests: Iterable[Digest]) -> None:
        """These bytes are not held any more; they are fetched again only if somebody counts them
        anew.
        """
        for digest in digests:
            self.objects.pop(digest, None)
            self.budgets.release(digest)

    def lost(self, digest: Digest) -> None:
        """The disk damaged these bytes: whatever was refused may have been refused for that."""
        self.purged((digest,))
        self._to_index = {key: None for key in self._to_index if key.digest != digest}
        self.refused = {key: event for key, event in self.refused.items() if key.digest != digest}

    def want_again(self, catalogue: Catalogue, digest: Digest) -> None:
        """Want lost bytes for all that counts in this catalogue, also what is indexed already."""
        for name in catalogue.contents.segments:
            if name[1] == digest and (ref := self.counts(catalogue.key(name))) is not None:
                self._want(digest, ref.size_bytes, None, _place(ref)).segments[ref.key] = None
        for wanted in catalogue.objects():
            if wanted.digest == digest:
                self._want_for(catalogue, wanted, None)

    def drop_denied(self) -> None:
        """Fetch nothing any more that is denied; segments are settled one by one."""
        for digest in [digest for digest in self._awaited if self.denials.denies(digest)]:
            del self._awaited[digest]
            self.fetches.done(digest)
            self._release_unheld(digest)

    def index_anew(self, catalogue: Catalogue, collection: str) -> None:
        """Have a collection's segments indexed again whose bytes were erased, when they settle."""
        for name in catalogue.contents.segments:
            if name[0] == collection and name[1] not in self.objects:
                self.indexed.pop(catalogue.key(name), None)

    def fetch_failed(self, request: FetchObject, *, at_fault: bool) -> None:
        fetch = (request.digest, request.peer)
        self.fetches.failed(*fetch, attempt=request.attempt, at_fault=at_fault)
        awaited = self._awaited.get(request.digest)
        if awaited is not None and awaited.sizes[0] == request.size_bytes:
            awaited.sizes.append(awaited.sizes.pop(0))

    def segment_indexed(self, ref: SegmentRef) -> Iterator[Effect]:
        """The index has it; if the log moved on meanwhile, follow."""
        if self._indexing.pop(ref.key, True):
            self.indexed[ref.key] = ref.clock
            self.refused.pop(ref.key, None)  # that was of an earlier entry
        yield from self._settle(ref.key, None)
        yield from self._settle_outgoing()

    def segment_refused(self, event: SegmentRefused) -> Iterator[Effect]:
        key = event.ref.key
        self._indexing.pop(key, None)
        self.refused[key] = event
        if self.indexed.pop(key, None) is not None:
            yield DropSegment(key)  # indexed for an earlier entry, which counts no longer
        yield from self._settle(key, None)
        yield from self._settle_outgoing()

    def forget(self, catalogue: CatalogueId) -> None:
        """Nothing of this catalogue is searchable or wanted any more; the bytes held stay."""
        self.indexed = _without(self.indexed, catalogue)
        self.refused = _without(self.refused, catalogue)
        self._to_index = _without(self._to_index, catalogue)
        self._outgoing = _without(self._outgoing, catalogue)
        self.over_budget = {k: v for k, v in self.over_budget.items() if k[0] != catalogue}
        self.budgets.forget(catalogue)
        for key in self._indexing:
            self._indexing[key] = self._indexing[key] and key.catalogue != catalogue
        for digest, awaited in list(self._awaited.items()):
            awaited.segments = _without(awaited.segments, catalogue)
            awaited.catalogues.pop(catalogue, None)
            self._abandon_unwanted(digest)

    def is_due(self, now: float) -> bool:
        """Say whether `start` may have something to fetch or to index."""
        return bool(self._to_index) or self.fetches.is_due(now)

    def start(self, peers: Sequence[PeerId], now: float) -> Iterator[Effect]:
        for digest, peer in self.fetches.start(peers, now):
            size_bytes = self._awaited[digest].sizes[0]
            yield FetchObject(peer, digest, size_bytes, self.fetches.attempt(digest))
        while self._to_index and len(self._indexing) < INDEXING_AT_ONCE_MAX:
            key = next(iter(self._to_index))
            del self._to_index[key]
            if (ref := self.counts(key)) is not None:
                self._indexing[key] = True
                yield IndexSegment(ref)

    def lacking(self) -> list[CatalogueId]:
        """Return the catalogues of which every connected peer was asked in vain for some bytes."""
        lanes = dict.fromkeys(place.lane for place in self.fetches.take_in_vain())
        return [CatalogueId(lane) for lane in lanes if isinstance(lane, bytes)]

    def is_complete(self, catalogue: CatalogueId) -> bool:
        """Say whether all bytes that a catalogue counts are here."""
        wanted = any(
            catalogue in each.catalogues or any(key.catalogue == catalogue for key in each.segments)
            for each in self._awaited.values()
        )
        return not wanted and not any(name == catalogue for name, _ in self.over_budget)

    @property
    def backlog(self) -> int:
        """Objects still to fetch and segments still to index."""
        return len(self.fetches.wanted) + self.unindexed

    @property
    def unindexed(self) -> int:
        """Segments that are here and not searchable yet."""
        return len(self._to_index) + len(self._indexing)

    def _settle(self, key: SegmentKey, source: PeerId | None) -> Iterator[Effect]:
        """Bring one segment a step nearer to where the log wants it."""
        ref = self.counts(key)
        self._outgoing.pop(key, None)
        if ref is None and key in self.indexed and self._awaits_heirs(key):
            self._outgoing[key] = None
        elif ref is None:
            yield from self._drop(key)
        elif not self._is_settled(key, ref):
            if ref.digest in self.objects:
                self.budgets.hold(key.catalogue, ref.digest, ref.size_bytes)
                self._to_index[key] = None
            elif self._affords(key.catalogue, ref.digest, ref.size_bytes):
                awaited = self._want(ref.digest, ref.size_bytes, source, _place(ref))
                awaited.segments[key] = None

    def _settle_outgoing(self) -> Iterator[Effect]:
        for key in list(self._outgoing):
            yield from self._settle(key, None)

    def _awaits_heirs(self, key: SegmentKey) -> bool:
        return any(
            self.indexed.get(ref.key) != ref.clock and ref.key not in self.refused
            for ref in self.heirs(key)
        )

    def _is_settled(self, key: SegmentKey, ref: SegmentRef) -> bool:
        refused = self.refused.get(key)
        return (
            self.indexed.get(key) == ref.clock
            or key in self._indexing  # its end brings it here again
            or (refused is not None and refused.ref == ref)
        )

    def _want_for(self, catalogue: Catalogue, wanted: ObjectRef, source: PeerId | None) -> None:
        if wanted.digest in self.objects:
            self.budgets.hold(catalogue.id, wanted.digest, wanted.size_bytes)
        elif self.denials.denies(wanted.digest):
            return
        elif self._affords(catalogue.id, wanted.digest, wanted.size_bytes):
            place = Place(catalogue.id, DOCUMENT_RANK)
            awaited = self._want(wanted.digest, wanted.size_bytes, source, place)
            awaited.catalogues[catalogue.id] = None

    def _want(
        self, digest: Digest, size_bytes: int, source: PeerId | None, place: Place
    ) -> Awaited:
        awaited = self._awaited.setdefault(digest, Awaited())
        if size_bytes not in awaited.sizes and len(awaited.sizes) < SIZES_MAX:
            awaited.sizes.append(size_bytes)
        self.fetches.want(digest, source, place)
        return awaited

    def _weigh(self, digest: Digest) -> int:
        size_bytes = self._awaited[digest].sizes[0]
        return min(1 + size_bytes // SMALL_BYTES, LARGE_WEIGHT)

    def _affords(self, catalogue: CatalogueId, digest: Digest, size_bytes: int) -> bool:
        """Say whether an object is within the budgets, and count it; note one that is not."""
        name = (catalogue, digest)
        self.over_budget.pop(name, None)
        if self.budgets.charge(catalogue, digest, size_bytes):
            return True
        self.over_budget[name] = size_bytes
        return False

    def _drop(self, key: SegmentKey) -> Iterator[Effect]:
        """Take back whatever was begun for a segment that no longer counts."""
        self.refused.pop(key, None)
        self._to_index.pop(key, None)
        self.over_budget.pop((key.catalogue, key.digest), None)
        awaited = self._awaited.get(key.digest)
        if awaited is not None:
            awaited.segments.pop(key, None)
            if not any(other.catalogue == key.catalogue for other in awaited.segments):
                self.budgets.release(key.digest, key.catalogue)
            self._abandon_unwanted(key.digest)
        if self.indexed.pop(key, None) is not None:
            yield DropSegment(key)

    def _hidden(self, catalogue: Catalogue) -> SetHidden:
        removals = catalogue.contents.removals()
        withdrawals = tuple(
            Withdrawal(entry.collection, entry.ids, entry.clock, entry.reason.erases)
            for entry in removals
        )
        denied = self.denials.withdrawals(catalogue.id)
        return SetHidden(catalogue.id, withdrawals + denied)

    def _abandon_unwanted(self, digest: Digest) -> None:
        if not self._awaited[digest].is_wanted:
            del self._awaited[digest]
            self.fetches.done(digest)
            self._release_unheld(digest)

    def _release_unheld(self, digest: Digest) -> None:
        if digest not in self.objects:
            self.budgets.release(digest)


def _place(ref: SegmentRef) -> Place:
    """Catalogues take turns; of one, what was said last is what people look for first."""
    return Place(ref.log.catalogue, -ref.clock)


def _without(keys: dict[SegmentKey, Kept], catalogue: CatalogueId) -> dict[SegmentKey, Kept]:
    return {key: value for key, value in keys.items() if key.catalogue != catalogue}
