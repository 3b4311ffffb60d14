"""Peers introduce themselves: versions, limits, and a list of catalogues with what changed."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshnode.core.encoding import MalformedRecordError
from meshnode.core.hello import (
    FORMER_MAX,
    VERSIONS,
    Acquaintance,
    Admitted,
    Greeting,
    choose,
    chosen_of,
    list_name,
    meet,
)
from meshnode.core.identifiers import CatalogueId, Digest
from meshnode.core.limits import (
    ADMITTED_MAX,
    COMPARED_RECORDS_MAX,
    RECONCILIATION_BYTES_MAX,
    RECONCILIATION_BYTES_MIN,
)


def names(*numbers: int) -> tuple[CatalogueId, ...]:
    return tuple(CatalogueId(number.to_bytes(32, "big")) for number in numbers)


NUMBERS = st.lists(st.integers(0, 40), unique=True, max_size=30)


def admitting(*numbers: int) -> Admitted:
    admitted = Admitted()
    admitted.update(names(*numbers))
    return admitted


# --- The list -------------------------------------------------------------------------------------
def test_a_stranger_is_told_the_whole_list_by_rising_id() -> None:
    greeting = admitting(3, 1, 2).greet(None)
    assert (greeting.base, greeting.added, greeting.removed) == (None, names(1, 2, 3), ())
    assert greeting.admitted == list_name(names(1, 2, 3))
    assert meet(greeting, None) == Acquaintance(
        2, RECONCILIATION_BYTES_MAX, COMPARED_RECORDS_MAX, names(1, 2, 3), greeting.admitted
    )


def test_who_knows_a_former_list_is_told_what_changed() -> None:
    admitted = admitting(1, 2, 3)
    before = meet(admitted.greet(None), None)
    admitted.update(names(2, 3, 4))
    greeting = admitted.greet(before.name)
    assert (greeting.base, greeting.added, greeting.removed) == (before.name, names(4), names(1))
    assert meet(greeting, before).admitted == names(2, 3, 4)


def test_who_knows_the_list_is_told_that_nothing_changed() -> None:
    greeting = admitting(1, 2).greet(list_name(names(1, 2)))
    assert (greeting.base, greeting.added, greeting.removed) == (greeting.admitted, (), ())


def test_a_list_of_long_ago_is_forgotten_and_the_whole_is_told() -> None:
    admitted = admitting(0)
    for number in range(1, FORMER_MAX + 2):
        admitted.update(names(number))
    greeting = admitted.greet(list_name(names(0)))
    assert (greeting.base, greeting.added) == (None, names(FORMER_MAX + 1))
    assert admitted.greet(list_name(names(FORMER_MAX))).removed == names(FORMER_MAX)


@given(lists=st.lists(NUMBERS, min_size=1, max_size=12), skipped=st.integers(0, 3))
def test_whoever_follows_the_changes_knows_the_list(lists: list[list[int]], skipped: int) -> None:
    admitted, known = Admitted(), None
    for turn, numbers in enumerate(lists):
        admitted.update(names(*numbers))
        if turn % (skipped + 1) == 0:
            known = meet(admitted.greet(known.name if known else None), known)
            assert known.admitted == names(*sorted(numbers))


def test_of_too_many_catalogues_those_of_the_smallest_ids_are_told() -> None:
    greeting = admitting(*range(ADMITTED_MAX + 1)).greet(None)
    assert len(greeting.added) == ADMITTED_MAX
    assert len(meet(greeting, None).admitted) == ADMITTED_MAX


# --- What is refused ------------------------------------------------------------------------------
GOOD = admitting(1, 2).greet(None)


@pytest.mark.parametrize(
    "bad",
    [
        replace(GOOD, versions=(0, 2)),
        replace(GOOD, versions=(3, 2)),
        replace(GOOD, message_bytes_max=RECONCILIATION_BYTES_MIN - 1),
        replace(GOOD, records_max=0),
        replace(GOOD, base=Digest(bytes(32))),
        replace(GOOD, added=names(1)),
        replace(GOOD, added=names(1, 1, 2)),
        replace(GOOD, admitted=Digest(bytes(32))),
        replace(GOOD, removed=names(9), added=names(1, 2, 9)),
    ],
)
def test_a_greeting_that_contradicts_itself_is_malformed(bad: Greeting) -> None:
    with pytest.raises(MalformedRecordError):
        meet(bad, None)


def test_a_list_that_is_too_long_is_malformed() -> None:
    many = names(*range(ADMITTED_MAX + 1))
    with pytest.raises(MalformedRecordError):
        meet(replace(GOOD, added=many, admitted=list_name(many)), None)


def test_changes_to_another_list_than_the_one_known_are_malformed() -> None:
    known = meet(GOOD, None)
    with pytest.raises(MalformedRecordError):
        meet(replace(GOOD, base=list_name(names(7))), known)


# --- Versions and limits --------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("versions", "spoken"), [((1, 1), 1), ((1, 2), 2), ((2, 3), 2), ((1, 9), 2), ((3, 4), 0)]
)
def test_the_greatest_version_that_both_speak_is_spoken(
    versions: tuple[int, int], spoken: int
) -> None:
    assert VERSIONS == (1, 2)
    assert meet(replace(GOOD, versions=versions), None).version == spoken


def test_the_smaller_limit_of_the_two_is_kept() -> None:
    small = meet(replace(GOOD, message_bytes_max=5000, records_max=3), None)
    large = meet(replace(GOOD, message_bytes_max=1 << 40, records_max=1 << 40), None)
    assert (small.message_bytes_max, small.records_max) == (5000, 3)
    assert (large.message_bytes_max, large.records_max) == (
        RECONCILIATION_BYTES_MAX,
        COMPARED_RECORDS_MAX,
    )


# --- A part of the list ---------------------------------------------------------------------------
@given(theirs=NUMBERS, ours=NUMBERS)
def test_what_both_admit_is_named_so_that_the_other_finds_the_same(
    theirs: list[int], ours: list[int]
) -> None:
    listed = names(*sorted(theirs))
    chosen, bitmap = choose(listed, names(*ours))
    assert chosen == names(*sorted({*theirs} & {*ours}))
    assert chosen_of(listed, bitmap) == chosen
    assert (bitmap is None) == ({*theirs} <= {*ours})


@pytest.mark.parametrize("bitmap", [b"", b"\x01\x00", b"\x08"])
def test_a_choice_needs_a_bit_for_each_of_the_list(bitmap: bytes) -> None:
    with pytest.raises(MalformedRecordError):
        chosen_of(names(1, 2, 3), bitmap)
