"""What a publisher signs is what peers take, and what they would refuse is never signed."""

from __future__ import annotations

from dataclasses import replace

import pytest

from meshnode.core.authoring import extend
from meshnode.core.entries import Entry, ItemsRemoved, Reason, decode_entry
from meshnode.core.heads import decode_signed_head
from meshnode.core.limits import HEAD_ENTRIES_MAX, HEAD_ENTRY_BYTES_MAX
from meshnode.core.log import Extension, Log
from meshnode.core.signed import Signed
from meshnode.core.signing import sign
from meshnode.errors import UsageError
from tests.core.institutions import ISSUED, Institution, segment

VILLE = Institution("Ville")


def signed(*entries: Entry, log=VILLE.log) -> tuple[bytes, int, tuple[bytes, ...]]:
    def with_key(payload: bytes) -> Signed:
        return sign("head", payload, [log.key])

    return extend(log.state, entries, issued=ISSUED, next_by=ISSUED + 9, sign=with_key)


def nobody(payload: bytes) -> Signed:
    raise AssertionError("nothing is signed")


def withdrawal(clock: int, size: int) -> ItemsRemoved:
    """Return an entry that takes a little more than `size` bytes."""
    ids = tuple(f"{number:0250d}" for number in range(size // 250))
    return ItemsRemoved(clock, "ortho", ids, Reason.ERROR, None)


def test_each_head_follows_the_one_before_and_a_log_takes_them_all() -> None:
    ville, log = Institution("Ville"), Log()
    for number in range(1, 4):
        ville.log.publish(segment(2 * number), segment(2 * number + 1))
    ville.log.publish()
    heads = [decode_signed_head(raw) for raw in ville.log.heads]
    extension = log.consider(heads, 0, ville.log.entries)
    assert isinstance(extension, Extension)
    assert [head.head.seq for head in extension.heads] == [1, 2, 3, 4]
    assert [head.head.size for head in extension.heads] == [2, 4, 6, 6]


def test_the_head_says_what_the_publisher_said() -> None:
    raw, first, raws = signed(segment(1))
    head = decode_signed_head(raw).head
    assert (head.issued, head.next_by, head.root_version) == (ISSUED, ISSUED + 9, 1)
    assert (head.catalogue, head.writer, head.prev) == (VILLE.catalogue, VILLE.log.writer, None)
    assert (first, [decode_entry(entry) for entry in raws]) == (0, [segment(1)])


def test_an_entry_that_no_peer_would_take_is_refused_before_anybody_signs() -> None:
    wrong = replace(segment(1), collection="")
    with pytest.raises(UsageError, match="an entry breaks the rules of the log: "):
        extend(VILLE.log.state, [wrong], issued=ISSUED, next_by=None, sign=nobody)


def test_as_many_entries_as_allowed_are_signed_and_one_more_is_refused() -> None:
    entries = [segment(clock) for clock in range(1, HEAD_ENTRIES_MAX + 2)]
    raw, _, _ = signed(*entries[:-1])
    assert decode_signed_head(raw).head.size == HEAD_ENTRIES_MAX
    with pytest.raises(UsageError, match=f"{HEAD_ENTRIES_MAX + 1} entries of .* too many") as no:
        extend(VILLE.log.state, entries, issued=ISSUED, next_by=None, sign=nobody)
    assert no.value.hint == "publish them in several steps"


def test_more_bytes_of_entries_than_a_peer_takes_under_one_head_are_refused() -> None:
    count = HEAD_ENTRY_BYTES_MAX // 15_000 + 1
    entries = [withdrawal(clock, 15_000) for clock in range(1, count + 1)]
    assert count <= HEAD_ENTRIES_MAX
    with pytest.raises(UsageError, match="too many under one head"):
        extend(VILLE.log.state, entries, issued=ISSUED, next_by=None, sign=nobody)


def test_clocks_that_do_not_rise_are_a_mistake_of_ours() -> None:
    with pytest.raises(AssertionError, match="clocks rise"):
        signed(segment(2), segment(2))
