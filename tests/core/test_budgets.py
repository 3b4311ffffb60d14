"""Budgets: what is over one is not fetched, nothing of it is visible, and it comes when there is
room.
"""

from __future__ import annotations

import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshnode.core.budgets import Budgets
from meshnode.core.effects import FetchObject, IndexSegment
from meshnode.core.events import (
    AnnouncementReceived,
    BudgetsChanged,
    Followed,
    ObjectsPurged,
    ObjectStored,
    Unfollowed,
)
from meshnode.core.gossip import announce
from meshnode.core.heads import decode_signed_head
from meshnode.core.identifiers import CatalogueId, Digest, PeerId, sha256
from meshnode.core.names import Ticket
from tests.core.institutions import Institution, altered, content, segment
from tests.core.solo import Solo, following, institution, submitted

A = PeerId("a")
ONE, TWO = CatalogueId(sha256(b"one")), CatalogueId(sha256(b"two"))
SIZE = len(content("1"))


def name_of(number: int) -> Digest:
    return sha256(content(str(number)))


def changed(
    each: int | None = None, total: int | None = None, own: dict[CatalogueId, int] | None = None
) -> BudgetsChanged:
    return BudgetsChanged(Ticket(7), each, total, tuple((own or {}).items()))


def within(made: Institution, event: BudgetsChanged) -> Solo:
    """Return a node that follows the catalogue within these budgets, and knows its whole log."""
    solo = following(made, A)
    solo.tell(event)
    solo.tell(submitted(made.log))
    return solo


def fetched(solo: Solo) -> list[Digest]:
    return [effect.digest for effect in solo.of(FetchObject)]


@pytest.mark.parametrize("event", [changed(each=2 * SIZE), changed(total=2 * SIZE)])
def test_l_91_what_is_over_a_budget_is_not_fetched(event: BudgetsChanged):
    made = institution(heads=3)
    solo = within(made, event)
    assert fetched(solo) == [name_of(2), name_of(1)]  # the newest first
    assert solo.node.replica.over_budget == {(made.catalogue, name_of(3)): SIZE}
    assert solo.node.budgets.spent(made.catalogue) == solo.node.budgets.total == 2 * SIZE


def test_an_own_budget_goes_before_the_one_of_all():
    made = institution(heads=3)
    solo = within(made, changed(each=SIZE, own={made.catalogue: 3 * SIZE}))
    assert len(fetched(solo)) == 3


def test_what_finds_room_later_is_fetched_then():
    made = institution(heads=3)
    solo = within(made, changed(each=SIZE))
    assert fetched(solo) == [name_of(1)]
    solo.tell(changed(each=3 * SIZE))
    assert fetched(solo) == [name_of(3), name_of(2)]
    assert solo.refusal() == ""
    assert solo.node.replica.over_budget == {}


def test_what_is_held_stays_when_a_budget_shrinks():
    made = institution(heads=2)
    solo = within(made, changed(each=2 * SIZE))
    solo.tell(ObjectStored(name_of(1)))
    solo.tell(changed(each=0))
    assert name_of(1) in solo.node.replica.objects
    assert solo.node.budgets.spent(made.catalogue) == 2 * SIZE


def test_bytes_that_are_here_already_are_counted_and_taken_whatever_the_budget():
    made = institution(heads=1)
    solo = following(made, A)
    solo.tell(changed(each=0))
    solo.tell(ObjectStored(name_of(1)))
    solo.tell(submitted(made.log))
    assert [work.ref.digest for work in solo.of(IndexSegment)] == [name_of(1)]
    assert solo.node.budgets.spent(made.catalogue) == SIZE


def test_replaced_bytes_stay_counted_while_they_are_on_the_disk():
    made = Institution("Ville")
    solo = following(made, A)
    solo.tell(changed(each=2 * SIZE))
    made.log.publish(segment(1))
    solo.tell(submitted(made.log))
    solo.tell(ObjectStored(name_of(1)))
    for clock in (2, 3):
        made.log.publish(segment(clock, replaces=(str(clock - 1),)))
    solo.tell(submitted(made.log))
    assert fetched(solo) == [name_of(3)]
    assert solo.node.budgets.spent(made.catalogue) == 2 * SIZE


def test_a_purge_frees_what_it_erases():
    made = institution(heads=1)
    solo = within(made, changed(each=SIZE))
    solo.tell(ObjectStored(name_of(1)))
    solo.tell(ObjectsPurged((name_of(1),)))
    assert solo.node.budgets.total == 0


def test_a_catalogue_that_is_left_makes_room_for_another():
    first, second = institution(2, "first"), institution(2, "second")
    solo = within(first, changed(total=2 * SIZE))
    solo.tell(Followed(Ticket(0), second.catalogue, (second.raw_root,)))
    solo.tell(submitted(second.log))
    assert fetched(solo) == []
    assert len(solo.node.replica.over_budget) == 2
    solo.tell(Unfollowed(Ticket(0), first.catalogue))
    assert len(fetched(solo)) == 2
    assert solo.node.replica.over_budget == {}
    assert solo.node.budgets.spent(first.catalogue) == 0


def test_a_segment_over_budget_that_is_withdrawn_waits_no_more():
    made = institution(heads=2)
    solo = within(made, changed(each=SIZE))
    made.log.publish(segment(9, replaces=("1", "2")))
    solo.tell(submitted(made.log))
    waiting = {name for _, name in solo.node.replica.over_budget}
    assert name_of(2) not in waiting


def test_the_reason_names_the_budget_that_is_full():
    budgets = Budgets(each_bytes_max=100, total_bytes_max=150)
    assert budgets.charge(ONE, name_of(1), 100)
    assert not budgets.charge(ONE, name_of(2), 1)
    assert budgets.reason(ONE) == "its budget of 100 bytes is full"
    assert not budgets.charge(TWO, name_of(2), 51)
    assert budgets.reason(TWO) == "the budget of 150 bytes for all catalogues is full"


MOVES = st.lists(
    st.tuples(
        st.sampled_from(["charge", "hold", "release", "release of one", "forget"]),
        st.sampled_from([ONE, TWO]),
        st.integers(1, 4),
        st.integers(0, 60),
    ),
    max_size=60,
)


@given(MOVES)
def test_sums_are_those_of_the_charges_and_nothing_asked_for_exceeds_a_limit(moves):
    budgets = Budgets(each_bytes_max=100, total_bytes_max=150)
    oracle: dict[tuple[CatalogueId, Digest], int] = {}
    for move, catalogue, number, size in moves:
        name = (catalogue, name_of(number))
        match move:
            case "charge":
                more = max(0, size - oracle.get(name, 0))
                mine = sum(v for (c, _), v in oracle.items() if c == catalogue)
                fits = mine + more <= 100 and sum(oracle.values()) + more <= 150
                assert budgets.charge(catalogue, name[1], size) is (fits or more == 0)
                if fits or more == 0:
                    oracle[name] = max(size, oracle.get(name, 0))
            case "hold":
                budgets.hold(catalogue, name[1], size)
                oracle[name] = max(size, oracle.get(name, 0))
            case "release":
                budgets.release(name[1])
                oracle = {key: v for key, v in oracle.items() if key[1] != name[1]}
            case "release of one":
                budgets.release(name[1], catalogue)
                oracle.pop(name, None)
            case _:
                budgets.forget(catalogue)
                oracle = {key: v for key, v in oracle.items() if key[0] != catalogue}
        assert budgets.total == sum(oracle.values())
        for each in (ONE, TWO):
            assert budgets.spent(each) == sum(v for (c, _), v in oracle.items() if c == each)


# --- Bombs ----------------------------------------------------------------------------------------
@pytest.mark.slow
def test_i11_ten_thousand_unknown_catalogues_leave_no_trace():
    made = institution(heads=1)
    solo = following(made, A)
    key = made.writer_keys[0]
    raws = [
        announce(
            decode_signed_head(altered(made.log.heads[0], key, catalogue=sha256(b"%d" % n))), 0, ()
        )
        for n in range(10_000)
    ]
    solo.tell(AnnouncementReceived(A, raws[0]))
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    for raw in raws:
        assert solo.node.judge(raw, solo.now()) is not None
        solo.tell(AnnouncementReceived(A, raw))
        assert solo.effects == []
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert list(solo.node.catalogues) == [made.catalogue]
    assert after - before < 1 << 20


@pytest.mark.slow
def test_i11_a_catalogue_that_names_a_thousand_segments_costs_no_more_than_its_budget():
    made = Institution("bomb")
    for first in range(0, 1000, 100):
        made.log.publish(*(segment(clock) for clock in range(first + 1, first + 101)))
    budget = 20 * SIZE
    solo = within(made, changed(each=budget))
    done: list[Digest] = []
    while waiting := fetched(solo):
        done += waiting
        for digest in waiting:
            solo.tell(ObjectStored(digest))
    assert solo.node.budgets.total <= budget
    assert len(done) <= 20
    assert solo.node.replica.backlog <= 20
