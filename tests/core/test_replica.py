"""Which bytes are wanted, indexed and dropped, as a real catalogue's log moves on."""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import dataclass, field

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from meshnode.core.catalogue import Catalogue
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
from meshnode.core.entries import (
    CollectionAdded,
    Entry,
    ItemsRemoved,
    ObjectRef,
    Reason,
    SegmentRemoved,
)
from meshnode.core.events import SegmentRefused
from meshnode.core.heads import decode_signed_head
from meshnode.core.identifiers import Digest, PeerId, sha256
from meshnode.core.log import Extension
from meshnode.core.names import SegmentKey, SegmentRef, Withdrawal
from meshnode.core.replica import (
    FETCHES_AT_ONCE_MAX,
    INDEXING_AT_ONCE_MAX,
    SIZES_MAX,
    Replica,
)
from meshnode.core.trust import RootChain
from tests.core.institutions import Institution, content, segment

A, B = PeerId("a"), PeerId("b")


def digest_of(name: str) -> Digest:
    return sha256(content(name))


def no_heirs(_key: SegmentKey) -> tuple[SegmentRef, ...]:
    return ()


@dataclass(slots=True)
class Shelf:
    """A replica, and the catalogues that count; segments are known by their names."""

    catalogues: dict[str, tuple[Institution, Catalogue]] = field(default_factory=dict)
    replica: Replica = field(init=False)
    now: float = 0.0

    def __post_init__(self) -> None:
        self.replica = Replica(random.Random(1), self._counts, no_heirs, Denials({}))
        self.follow("Ville")

    def follow(self, name: str) -> None:
        ville = Institution(name)
        chain = RootChain.begin(ville.raw_root)
        catalogue = Catalogue(ville.catalogue, followed=True, chain=chain)
        self.catalogues[name] = (ville, catalogue)

    def publish(self, *entries: Entry, by: str = "Ville") -> list[Effect]:
        ville, catalogue = self.catalogues[by]
        first = len(ville.log.entries)
        head = decode_signed_head(ville.log.publish(*entries))
        extension = catalogue.consider(ville.log.writer, [head], first, ville.log.entries[first:])
        assert isinstance(extension, Extension)
        return list(self.replica.change(catalogue, catalogue.adopt(ville.log.writer, extension), A))

    def catalogue(self, name: str = "Ville") -> Catalogue:
        return self.catalogues[name][1]

    def key(self, name: str, by: str = "Ville") -> SegmentKey:
        return SegmentKey(self.catalogue(by).id, "ortho", digest_of(name))

    def ref(self, name: str) -> SegmentRef:
        ref = self._counts(self.key(name))
        assert ref is not None
        return ref

    def start(self, *peers: PeerId) -> list[Effect]:
        return list(self.replica.start(peers, self.now))

    def store(self, *names: str) -> None:
        for name in names:
            assert list(self.replica.stored(digest_of(name))) == []

    def hold(self, name: str) -> SegmentRef:
        """Store a segment and index it."""
        self.store(name)
        [work] = self.start()
        assert isinstance(work, IndexSegment)
        assert list(self.replica.segment_indexed(work.ref)) == []
        return work.ref

    def _counts(self, key: SegmentKey) -> SegmentRef | None:
        for _, catalogue in self.catalogues.values():
            if catalogue.id == key.catalogue and catalogue.followed:
                return catalogue.segment((key.collection, key.digest))
        return None


def removed(clock: int, name: str) -> SegmentRemoved:
    return SegmentRemoved(clock, "ortho", digest_of(name), Reason.ERROR)


# --- On the way into the index --------------------------------------------------------------------
def test_a_segment_is_fetched_from_who_told_of_it_then_indexed_and_then_at_rest() -> None:
    shelf = Shelf()
    shelf.publish(segment(1, "one"))
    [fetch] = shelf.start(B, A)
    assert fetch == FetchObject(A, digest_of("one"), len(content("one")), attempt=1)
    assert shelf.replica.backlog == 1
    shelf.store("one")
    assert shelf.start(A) == [IndexSegment(shelf.ref("one"))]
    assert (shelf.replica.backlog, shelf.replica.unindexed) == (1, 1)
    assert list(shelf.replica.segment_indexed(shelf.ref("one"))) == []
    assert shelf.start(A) == []
    assert shelf.replica.backlog == 0


def test_bytes_that_are_here_already_are_not_fetched() -> None:
    shelf = Shelf()
    shelf.store("one")
    shelf.publish(segment(1, "one"))
    assert shelf.start(A) == [IndexSegment(shelf.ref("one"))]


def test_no_more_segments_are_in_work_than_allowed_and_the_rest_follows() -> None:
    shelf = Shelf()
    names = [f"s{number}" for number in range(5)]
    shelf.store(*names)
    shelf.publish(*(segment(number, name) for number, name in enumerate(names, 1)))
    first = shelf.start()
    assert len(first) == INDEXING_AT_ONCE_MAX
    assert shelf.start() == []
    assert shelf.replica.unindexed == 5
    list(shelf.replica.segment_indexed(shelf.ref("s0")))
    assert shelf.start() == [IndexSegment(shelf.ref("s2"))]


def test_no_more_objects_are_fetched_at_once_than_allowed() -> None:
    shelf = Shelf()
    shelf.publish(*(segment(number) for number in range(1, FETCHES_AT_ONCE_MAX + 4)))
    assert len(shelf.start(A)) == FETCHES_AT_ONCE_MAX


def test_a_segment_said_again_with_a_greater_clock_is_indexed_again() -> None:
    shelf = Shelf()
    shelf.publish(segment(1, "one"))
    shelf.hold("one")
    shelf.publish(segment(2, "one"))
    [work] = shelf.start()
    assert isinstance(work, IndexSegment)
    assert work.ref.clock == 2


def test_a_segment_whose_entry_changed_while_it_was_in_work_is_indexed_again() -> None:
    shelf = Shelf()
    shelf.store("one")
    shelf.publish(segment(1, "one"))
    old = shelf.ref("one")
    assert shelf.start() == [IndexSegment(old)]
    shelf.publish(segment(2, "one"))
    assert shelf.start() == []
    list(shelf.replica.segment_indexed(old))
    assert shelf.start() == [IndexSegment(shelf.ref("one"))]


# --- Dropped --------------------------------------------------------------------------------------
def test_a_segment_that_is_replaced_or_removed_is_dropped_from_the_index() -> None:
    shelf = Shelf()
    shelf.publish(segment(1, "one"), segment(2, "two"))
    shelf.hold("one")
    shelf.hold("two")
    replacing = shelf.publish(segment(3, "three", replaces=["one"]))
    assert replacing == [DropSegment(shelf.key("one"))]
    assert shelf.publish(removed(4, "two")) == [DropSegment(shelf.key("two"))]
    assert shelf.replica.indexed == {}


def test_what_is_removed_before_it_came_is_neither_fetched_nor_dropped() -> None:
    shelf = Shelf()
    shelf.publish(segment(1, "one"), segment(2, "two"))
    assert shelf.publish(removed(3, "one")) == []
    assert [fetch.digest for fetch in shelf.start(A)] == [digest_of("two")]  # type: ignore[union-attr]
    assert shelf.replica.backlog == 1


def test_what_is_removed_while_it_waits_for_the_index_is_not_indexed() -> None:
    shelf = Shelf()
    shelf.store("one")
    shelf.publish(segment(1, "one"))
    shelf.publish(removed(2, "one"))
    assert shelf.start() == []
    assert shelf.replica.backlog == 0


def test_what_counts_no_longer_when_its_turn_comes_is_not_indexed() -> None:
    shelf = Shelf()
    shelf.store("one", "two", "three")
    shelf.publish(segment(1, "one"), segment(2, "two"), segment(3, "three"))
    shelf.catalogue().purged[digest_of("one")] = None
    assert [work.ref.digest for work in shelf.start()] == [digest_of("two"), digest_of("three")]  # type: ignore[union-attr]


def test_what_is_removed_while_it_is_in_work_is_dropped_when_it_is_indexed() -> None:
    shelf = Shelf()
    shelf.store("one")
    shelf.publish(segment(1, "one"))
    ref = shelf.ref("one")
    assert shelf.start() == [IndexSegment(ref)]
    assert shelf.publish(removed(2, "one")) == []
    assert list(shelf.replica.segment_indexed(ref)) == [DropSegment(ref.key)]


def test_bytes_that_another_catalogue_still_wants_are_still_fetched() -> None:
    shelf = Shelf()
    shelf.follow("Campagne")
    shelf.publish(segment(1, "one"))
    shelf.publish(segment(1, "one"), by="Campagne")
    shelf.publish(removed(2, "one"))
    [fetch] = shelf.start(A)
    assert isinstance(fetch, FetchObject)
    shelf.store("one")
    [work] = shelf.start()
    assert isinstance(work, IndexSegment)
    assert work.ref.key == shelf.key("one", by="Campagne")


# --- Refused --------------------------------------------------------------------------------------
def test_a_refused_segment_is_remembered_and_not_tried_again() -> None:
    shelf = Shelf()
    shelf.store("one")
    shelf.publish(segment(1, "one"))
    shelf.start()
    refused = SegmentRefused(shelf.ref("one"), "a column is missing")
    assert list(shelf.replica.segment_refused(refused)) == []
    assert shelf.start() == []
    assert shelf.replica.refused == {shelf.key("one"): refused}
    assert list(shelf.replica.resume(shelf.catalogue())) == [SetHidden(shelf.catalogue().id, ())]
    assert shelf.start() == []


def test_a_refused_segment_that_is_removed_is_forgotten() -> None:
    shelf = Shelf()
    shelf.store("one")
    shelf.publish(segment(1, "one"))
    shelf.start()
    list(shelf.replica.segment_refused(SegmentRefused(shelf.ref("one"), "no")))
    assert shelf.publish(removed(2, "one")) == []
    assert shelf.replica.refused == {}


def test_a_refused_segment_is_tried_again_under_another_entry_and_a_refusal_drops_the_old() -> None:
    shelf = Shelf()
    shelf.publish(segment(1, "one"))
    shelf.hold("one")
    shelf.publish(segment(2, "one"))
    [work] = shelf.start()
    assert isinstance(work, IndexSegment)
    effects = list(shelf.replica.segment_refused(SegmentRefused(work.ref, "other rows")))
    assert effects == [DropSegment(shelf.key("one"))]
    shelf.publish(segment(3, "one"))
    assert shelf.start() == [IndexSegment(shelf.ref("one"))]


def test_a_refusal_is_forgotten_when_the_segment_is_indexed_under_another_entry() -> None:
    shelf = Shelf()
    shelf.store("one")
    shelf.publish(segment(1, "one"))
    shelf.start()
    list(shelf.replica.segment_refused(SegmentRefused(shelf.ref("one"), "other rows")))
    shelf.publish(segment(2, "one"))
    shelf.start()
    list(shelf.replica.segment_indexed(shelf.ref("one")))
    assert shelf.replica.refused == {}


# --- Sizes ----------------------------------------------------------------------------------------
def test_every_declared_size_is_tried_in_turn_up_to_a_bound() -> None:
    """A writer may lie about another's object; only one size can be true."""
    shelf = Shelf()
    digest = digest_of("document")
    for number in range(SIZES_MAX + 3):
        shelf.publish(CollectionAdded(number + 1, f"c{number}", ObjectRef(digest, number + 1)))
    asked: list[int] = []
    while len(asked) <= SIZES_MAX:
        for fetch in shelf.start(A):
            assert isinstance(fetch, FetchObject)
            asked.append(fetch.size_bytes)
            shelf.replica.fetch_failed(fetch, at_fault=False)
        shelf.now += 100
    assert asked == [*range(1, SIZES_MAX + 1), 1]


def test_a_failure_of_what_is_wanted_no_more_changes_nothing() -> None:
    shelf = Shelf()
    shelf.publish(segment(1, "one"))
    [fetch] = shelf.start(A)
    assert isinstance(fetch, FetchObject)
    shelf.store("one")
    shelf.replica.fetch_failed(fetch, at_fault=False)
    assert shelf.start(A) == [IndexSegment(shelf.ref("one"))]


# --- Other objects --------------------------------------------------------------------------------
def test_a_document_is_fetched_once_and_never_indexed() -> None:
    shelf = Shelf()
    entry = CollectionAdded(1, "ortho", ObjectRef(digest_of("document"), 9))
    shelf.publish(entry)
    [fetch] = shelf.start(A)
    assert isinstance(fetch, FetchObject)
    assert fetch.size_bytes == 9
    shelf.store("document")
    assert shelf.start(A) == []
    shelf.publish(CollectionAdded(2, "other", ObjectRef(digest_of("document"), 9)))
    assert shelf.start(A) == []


def test_withdrawn_items_are_hidden_as_their_entry_says() -> None:
    shelf = Shelf()
    entry = ItemsRemoved(1, "ortho", ("a", "b"), Reason.PRIVACY, None)
    hide = HideItems(shelf.catalogue().id, "ortho", ("a", "b"), 1, erases=True)
    assert shelf.publish(entry) == [hide]
    [hidden] = shelf.replica.resume(shelf.catalogue())
    withdrawal = Withdrawal("ortho", ("a", "b"), 1, erases=True)
    assert hidden == SetHidden(shelf.catalogue().id, (withdrawal,))


# --- Lost, purged, forgotten ----------------------------------------------------------------------
def test_a_lost_document_is_fetched_again() -> None:
    shelf = Shelf()
    shelf.publish(CollectionAdded(1, "ortho", ObjectRef(digest_of("document"), 9)))
    shelf.store("document")
    shelf.replica.lost(digest_of("document"))
    assert shelf.start(A) == []
    shelf.replica.want_again(shelf.catalogue(), digest_of("document"))
    [fetch] = shelf.start(A)
    assert (fetch.digest, fetch.size_bytes) == (digest_of("document"), 9)  # type: ignore[union-attr]


def test_a_lost_segment_that_waited_for_the_index_is_fetched_first() -> None:
    shelf = Shelf()
    shelf.store("one", "two")
    shelf.publish(segment(1, "one"), segment(2, "two"))
    shelf.replica.lost(digest_of("one"))
    shelf.replica.want_again(shelf.catalogue(), digest_of("one"))
    fetch, work = shelf.start(A)
    assert (fetch.digest, work) == (digest_of("one"), IndexSegment(shelf.ref("two")))  # type: ignore[union-attr]
    shelf.store("one")
    assert shelf.start(A) == [IndexSegment(shelf.ref("one"))]


def test_a_start_wants_the_documents_that_are_not_here() -> None:
    shelf = Shelf()
    shelf.publish(CollectionAdded(1, "ortho", ObjectRef(digest_of("document"), 9)))
    again = Replica(random.Random(1), shelf._counts, no_heirs, Denials({}))
    list(again.resume(shelf.catalogue()))
    [fetch] = again.start([A], 0.0)
    assert (fetch.digest, fetch.size_bytes) == (digest_of("document"), 9)  # type: ignore[union-attr]


def test_a_lost_segment_that_does_not_count_is_not_fetched() -> None:
    shelf = Shelf()
    shelf.publish(segment(1, "one"))
    shelf.publish(CollectionAdded(5, "ortho", ObjectRef(digest_of("document"), 9)))
    shelf.store("document")
    shelf.hold("one")
    shelf.publish(removed(6, "one"))
    shelf.replica.lost(digest_of("one"))
    shelf.replica.want_again(shelf.catalogue(), digest_of("one"))
    assert shelf.start(A) == []


def test_purged_bytes_are_fetched_again_only_if_they_are_counted_anew() -> None:
    shelf = Shelf()
    shelf.publish(segment(1, "one"))
    shelf.hold("one")
    shelf.publish(removed(2, "one"))
    shelf.replica.purged([digest_of("one"), digest_of("never held")])
    assert shelf.start(A) == []
    shelf.publish(segment(3, "one"))
    assert [fetch.digest for fetch in shelf.start(A)] == [digest_of("one")]  # type: ignore[union-attr]


def test_a_forgotten_catalogue_wants_and_shows_nothing_but_keeps_the_bytes() -> None:
    shelf = Shelf()
    shelf.follow("Campagne")
    shelf.publish(segment(1, "one"), segment(2, "two"))
    shelf.publish(CollectionAdded(3, "ortho", ObjectRef(digest_of("document"), 9)))
    shelf.publish(segment(1, "far"), by="Campagne")
    shelf.hold("one")
    shelf.store("two")
    shelf.catalogue().followed = False
    shelf.replica.forget(shelf.catalogue().id)
    assert shelf.replica.indexed == {}
    assert digest_of("one") in shelf.replica.objects
    assert [fetch.digest for fetch in shelf.start(A)] == [digest_of("far")]  # type: ignore[union-attr]


def test_work_that_ends_after_its_catalogue_was_forgotten_leaves_no_trace() -> None:
    shelf = Shelf()
    shelf.store("one")
    shelf.publish(segment(1, "one"))
    ref = shelf.ref("one")
    shelf.start()
    shelf.catalogue().followed = False
    shelf.replica.forget(ref.key.catalogue)
    assert list(shelf.replica.segment_indexed(ref)) == []
    assert shelf.replica.indexed == {}
    shelf.catalogue().followed = True
    list(shelf.replica.resume(shelf.catalogue()))
    assert shelf.start() == [IndexSegment(ref)]


# --- Starts ---------------------------------------------------------------------------------------
def test_a_start_keeps_what_is_indexed_and_drops_what_counts_no_longer() -> None:
    shelf = Shelf()
    shelf.publish(segment(1, "one"), segment(2, "two"))
    objects = frozenset(map(digest_of, ("one", "two")))
    indexed = ((shelf.key("one"), 1), (shelf.key("gone"), 1))
    effects = list(shelf.replica.restore(Restored(objects=objects, indexed=indexed)))
    assert effects == [DropSegment(shelf.key("gone"))]
    list(shelf.replica.resume(shelf.catalogue()))
    assert shelf.start() == [IndexSegment(shelf.ref("two"))]


# --- The law --------------------------------------------------------------------------------------
NAMES = ("one", "two", "three")
ANY = st.sampled_from(NAMES)


class ReplicaMachine(RuleBasedStateMachine):
    """Any order of entries, bytes that come and are lost, work that ends well or is refused."""

    def __init__(self) -> None:
        super().__init__()
        self.shelf = Shelf()
        self.clock = 0
        self.held: set[Digest] = set()
        self.index: dict[SegmentKey, int] = {}
        self.working: list[SegmentRef] = []

    @rule(name=ANY, replaced=st.none() | ANY)
    def add(self, name: str, replaced: str | None) -> None:
        self.clock += 1
        replaces = [replaced] if replaced not in (None, name) else []
        self._perform(self.shelf.publish(segment(self.clock, name, replaces=replaces)))

    @rule(name=ANY)
    def remove(self, name: str) -> None:
        self.clock += 1
        self._perform(self.shelf.publish(removed(self.clock, name)))

    @rule(name=ANY)
    def store(self, name: str) -> None:
        self.held.add(digest_of(name))
        self._perform(self.shelf.replica.stored(digest_of(name)))

    @rule(name=ANY)
    def lose(self, name: str) -> None:
        """The disk damages an object; who looks at it next finds out."""
        if digest_of(name) in self.held:
            self._lose(digest_of(name))

    @rule()
    def work(self) -> None:
        self._perform(self.shelf.start())

    @precondition(lambda self: self.working)
    @rule(refused=st.booleans())
    def finish(self, refused: bool) -> None:
        ref, replica = self.working.pop(0), self.shelf.replica
        if ref.digest not in self.held:
            self._perform(replica.segment_refused(SegmentRefused(ref, "not here")))
            self._lose(ref.digest)
        elif refused:
            self._perform(replica.segment_refused(SegmentRefused(ref, "broken")))
        else:
            self.index[ref.key] = ref.clock
            self._perform(replica.segment_indexed(ref))

    @invariant()
    def the_replica_knows_what_is_indexed(self) -> None:
        assert self.shelf.replica.indexed == self.index

    @invariant()
    def nothing_is_indexed_that_counts_no_longer(self) -> None:
        assert all(self.shelf._counts(key) is not None for key in self.index)

    def teardown(self) -> None:
        """Let all bytes come and all work end: exactly what counts is indexed or refused."""
        for _ in range(20):
            self._perform(self.shelf.start(A))
            while self.working:
                self.finish(refused=False)
        refused = {key: event.ref.clock for key, event in self.shelf.replica.refused.items()}
        counted = map(self.shelf._counts, map(self.shelf.key, NAMES))
        due = {ref.key: ref.clock for ref in counted if ref is not None}
        assert self.index | refused == due
        assert self.index.keys().isdisjoint(refused)
        assert {key.digest for key in due} <= self.held
        assert self.shelf.replica.backlog == 0

    def _lose(self, digest: Digest) -> None:
        self.held.discard(digest)
        self.shelf.replica.lost(digest)
        self.shelf.replica.want_again(self.shelf.catalogue(), digest)

    def _perform(self, effects: Iterable[Effect]) -> None:
        for effect in effects:
            match effect:
                case DropSegment(key):
                    del self.index[key]
                case IndexSegment(ref):
                    self.working.append(ref)
                case FetchObject(_, digest):
                    self.held.add(digest)
                    self._perform(self.shelf.replica.stored(digest))
                case _:
                    pass


TestReplicaMachine = ReplicaMachine.TestCase
