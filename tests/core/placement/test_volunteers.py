"""What copies count, against a count by hand."""

from __future__ import annotations

from itertools import combinations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from meshnode.core.placement.archive import Archive
from meshnode.core.placement.volunteers import (
    AUDITED_SECONDS,
    Volunteer,
    Volunteers,
    copy_permille,
)
from tests.core.placement.worlds import archives, volunteers_of


def related(each: list[Volunteer]) -> list[set[int]]:
    """Return the groups of those that share an operator or a network, found by joining sets."""
    groups = [{place} for place in range(len(each))]
    for one, other in combinations(range(len(each)), 2):
        a, b = each[one], each[other]
        if (a.operator and a.operator == b.operator) or a.prefixes & b.prefixes:
            first = next(group for group in groups if one in group)
            second = next(group for group in groups if other in group)
            if first is not second:
                first |= second
                groups.remove(second)
    return groups


@given(archives.flatmap(lambda one: st.tuples(st.just(one), volunteers_of(one))))
def test_of_one_operator_or_network_the_best_copy_counts(
    world: tuple[Archive, Volunteers],
) -> None:
    archive, volunteers = world
    each = list(volunteers.each)
    for extent in range(len(archive)):
        near, far = (
            sum(
                max(
                    (
                        each[place].weight
                        for place in group
                        if extent in each[place].held and each[place].reachable is reachable
                    ),
                    default=0,
                )
                for group in related(each)
            )
            for reachable in (True, False)
        )
        assert int(volunteers.availability[extent]) == near + min(far, 999)
        assert int(volunteers.counts[extent]) == sum(extent in one.held for one in each)
        assert int(volunteers.audited[extent]) == sum(
            extent in one.held for one in each if one.audited
        )
        rows, holders = volunteers.copies_of(np.array([extent]))
        assert set(rows.tolist()) <= {0}
        assert sorted(holders.tolist()) == [
            place for place, one in enumerate(each) if extent in one.held
        ]


@given(archives.flatmap(lambda one: st.tuples(st.just(one), volunteers_of(one))))
def test_the_only_jurisdiction_is_named(world: tuple[Archive, Volunteers]) -> None:
    archive, volunteers = world
    known = sorted({one.jurisdiction for one in volunteers.each if one.jurisdiction})
    for extent in range(len(archive)):
        holders = [one for one in volunteers.each if extent in one.held]
        places = {one.jurisdiction for one in holders if one.jurisdiction}
        expected = -1 if len(places) > 1 else 1 + known.index(min(places)) if places else 0
        assert int(volunteers.only_jurisdiction[extent]) == expected


@given(archives.flatmap(lambda one: st.tuples(st.just(one), volunteers_of(one))), st.data())
def test_who_shares_a_group_with_a_holder_has_it_taken(
    world: tuple[Archive, Volunteers], data: st.DataObject
) -> None:
    archive, volunteers = world
    asked = sorted(data.draw(st.sets(st.integers(0, len(archive) - 1), min_size=1)))
    taken = volunteers.taken(np.array(asked, np.int64))
    groups = related(list(volunteers.each))
    for row, extent in enumerate(asked):
        for place in range(len(volunteers.each)):
            group = next(group for group in groups if place in group)
            expected = any(extent in volunteers.each[other].held for other in group)
            assert bool(taken[row, place]) == expected


def test_a_copy_counts_by_what_was_seen_of_its_holder() -> None:
    def weight(age: int | None, *, failed: bool = False, reachable: bool = True) -> int:
        return copy_permille(950, audited_seconds=age, failed=failed, reachable=reachable)

    assert weight(0) == weight(AUDITED_SECONDS) == 950
    assert weight(None) == weight(AUDITED_SECONDS + 1) == 475
    assert weight(0, reachable=False) == 237
    assert weight(0, failed=True) == 0
