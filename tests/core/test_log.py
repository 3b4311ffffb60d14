"""A log only grows, by what links and hashes to the signed tree; all else is left or refused."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshnode.core.encoding import encode
from meshnode.core.heads import SignedHead, decode_signed_head
from meshnode.core.identifiers import Digest
from meshnode.core.limits import HEAD_ENTRIES_MAX, HEAD_ENTRY_BYTES_MAX
from meshnode.core.log import Extension, Log, LogFault
from meshnode.core.merkle import Frontier, leaf_hash
from meshnode.core.verdicts import Check
from tests.core.institutions import Institution, LogCopy, altered, segment

HEADS = 6


def published(*sizes: int) -> LogCopy:
    """Return a log whose heads add this many entries each."""
    copy, clock = Institution("Ville").log, 0
    for size in sizes:
        copy.publish(*(segment(clock + number + 1) for number in range(size)))
        clock += size
    return copy


FULL = published(1, 2, 0, 3, 1, 1)


def read(raws: list[bytes]) -> list[SignedHead]:
    return [decode_signed_head(raw) for raw in raws]


def extended(log: Log, copy: LogCopy, first_head: int, last_head: int) -> Extension:
    start = copy.sizes[first_head - 1] if first_head else 0
    result = log.consider(
        read(copy.heads[first_head:last_head]), start, copy.entries[start : copy.sizes[-1]]
    )
    assert isinstance(result, Extension)
    return result


def held(copy: LogCopy, heads: int) -> Log:
    log = Log()
    if heads:
        log.adopt(extended(log, copy, 0, heads))
    return log


def fault(log: Log, head: bytes, first: int, entries: list[bytes]) -> LogFault:
    result = log.consider(read([head]), first, entries)
    assert isinstance(result, LogFault)
    return result


@given(st.lists(st.tuples(st.integers(0, HEADS), st.integers(0, HEADS)), max_size=8))
def test_however_a_log_arrives_it_grows_and_ends_the_same(offers: list[tuple[int, int]]) -> None:
    log = Log()
    for one, other in [*offers, (0, HEADS)]:
        first, last = sorted((one, other))
        before = log.seq
        offered = extended(log, FULL, first, last)
        if offered.heads:
            log.adopt(offered)
        assert log.seq == (last if first <= before < last else before)
        assert log.size == (FULL.sizes[log.seq - 1] if log.seq else 0)
    assert log.main.frontier == Frontier().extend([leaf_hash(raw) for raw in FULL.entries])
    assert all(log.holds(head.name) for head in read(FULL.heads))


@given(st.integers(0, HEADS - 1), st.data())
def test_a_flipped_bit_in_an_entry_never_passes(before: int, data: st.DataObject) -> None:
    entries = list(FULL.entries)
    at = data.draw(st.integers(0, len(entries) - 1))
    bit = data.draw(st.integers(0, len(entries[at]) * 8 - 1))
    spoiled = bytearray(entries[at])
    spoiled[bit // 8] ^= 1 << bit % 8
    entries[at] = bytes(spoiled)
    log = held(FULL, before)
    result = log.consider(read(FULL.heads), 0, entries)
    assert (
        isinstance(result, LogFault)
        or list(result.raws) == FULL.entries[log.size :][: len(result.raws)]
    )


@given(st.integers(0, 5), st.integers(0, 8))
def test_what_is_missing_is_no_fault_and_is_not_passed_over(first: int, count: int) -> None:
    result = Log().consider(read(FULL.heads), first, FULL.entries[first : first + count])
    assert isinstance(result, Extension)
    reached = [size for size in FULL.sizes if size <= count] if first == 0 else []
    assert len(result.heads) == len(reached)


def test_a_gap_between_heads_is_no_fault() -> None:
    result = held(FULL, 1).consider(read(FULL.heads[2:]), 0, FULL.entries)
    assert isinstance(result, Extension)
    assert result.heads == ()


def test_two_histories_share_what_is_common_and_keep_the_rest_each() -> None:
    ours, theirs = published(1, 2), published(1).fork()
    theirs.publish(segment(3))
    theirs.publish(segment(4))
    log = held(ours, 2)
    log.adopt(extended(log, theirs, 1, 3))

    assert [(b.seq, b.size, len(b.entries)) for b in log.branches] == [(2, 3, 2 + 1), (3, 3, 2)]
    for copy, branch in zip((ours, theirs), log.branches, strict=True):
        assert branch.frontier == Frontier().extend([leaf_hash(raw) for raw in copy.entries])
        assert all(log.holds(head.name) for head in read(copy.heads))
        assert [log.is_newest(head.name) for head in read(copy.heads)][-1]
    assert list(log.rivals(read(theirs.heads)[1].name)) == []


def test_a_head_that_names_an_older_root_than_the_one_before_is_refused() -> None:
    copy = published()
    copy.publish(segment(1), root_version=2)
    log = held(copy, 1)
    copy.publish(segment(2), root_version=1)
    assert "older root" in fault(log, copy.heads[1], 1, copy.entries[1:]).reason


@pytest.mark.parametrize(
    ("changes", "check"),
    [
        ({"size": 0}, Check.CHAIN),
        ({"size": HEAD_ENTRIES_MAX + 2}, Check.CHAIN),
        ({"tree": Digest(bytes(32))}, Check.TREE),
        ({"size": 2}, Check.TREE),
    ],
)
def test_a_signed_head_that_does_not_fit_is_refused(
    changes: dict[str, object], check: Check
) -> None:
    copy = published(1, 2)
    head = altered(copy.heads[1], copy.key, **changes)
    assert fault(held(copy, 1), head, 1, copy.entries[1:]).check is check


def signed_over(copy: LogCopy, *entries: bytes) -> bytes:
    """Sign a first head over entries that no publisher would make."""
    frontier = Frontier().extend([leaf_hash(raw) for raw in entries])
    first = published(1)
    return altered(first.heads[0], copy.key, size=frontier.size, tree=frontier.root())


def test_entries_that_are_none_are_refused_though_the_tree_covers_them() -> None:
    raw = encode(["segment+", 1, 1])
    assert fault(Log(), signed_over(FULL, raw), 0, [raw]).check is Check.ENCODING


def test_clocks_that_do_not_rise_are_refused() -> None:
    raws = [FULL.entries[1], FULL.entries[0]]
    assert fault(Log(), signed_over(FULL, *raws), 0, raws).check is Check.CLOCK


def test_too_many_bytes_under_one_head_are_refused_before_they_are_hashed() -> None:
    big = bytes(HEAD_ENTRY_BYTES_MAX)
    head = altered(FULL.heads[0], FULL.key, size=2)
    found = fault(Log(), head, 0, [big, b"\0"])
    assert found.check is Check.ENCODING
    assert "too many bytes" in found.reason


def test_what_can_be_followed_is_kept_when_a_later_head_is_wrong() -> None:
    copy = published(1, 1)
    heads = [copy.heads[0], altered(copy.heads[1], copy.key, tree=Digest(bytes(32)))]
    result = Log().consider(read(heads), 0, copy.entries)
    assert isinstance(result, Extension)
    assert [head.head.seq for head in result.heads] == [1]
    assert list(result.raws) == copy.entries[:1]


def test_an_extension_of_another_state_is_a_programmers_error() -> None:
    later = extended(held(FULL, 2), FULL, 2, 4)
    with pytest.raises(AssertionError):
        Log().adopt(later)
    with pytest.raises(AssertionError):
        held(FULL, 2).adopt(replace(later, heads=()))


def test_a_head_without_entries_leaves_the_clock_where_it_was() -> None:
    log = held(FULL, 3)
    assert (log.seq, log.size, log.main.clock) == (3, 3, 3)
    assert log.main.size_at(2) == log.main.size_at(3) == 3
