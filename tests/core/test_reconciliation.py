"""Two sets are reconciled: what one lacks is found, in few bytes, whatever the sets and limits."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterable
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshnode.core.encoding import MalformedRecordError
from meshnode.core.identifiers import Digest
from meshnode.core.limits import (
    INTEGER_MAX,
    RECONCILIATION_BYTES_MAX,
    RECONCILIATION_BYTES_MIN,
    RECONCILIATION_RANGES_MAX,
)
from meshnode.core.ranges import (
    INFINITY,
    Bound,
    Item,
    Mode,
    Range,
    RangeWriter,
    bound_between,
    decode_ranges,
    encode_varint,
)
from meshnode.core.reconciliation import LISTED_MAX, PARTS, ItemSet, Reconciler, answer

NO_ID = bytes(32)
DIGESTS = st.one_of(
    st.binary(min_size=32, max_size=32),
    st.integers(0, 3).map(lambda last: bytes(31) + bytes([last])),  # that differ at the end
    st.integers(0, 3).map(lambda first: bytes([first]) + bytes(31)),
).map(Digest)
SECONDS = st.one_of(st.integers(0, 3), st.integers(0, INTEGER_MAX))
WHERE = st.sampled_from(["here", "there", "both", "both", "both"])
RECORDS = st.dictionaries(DIGESTS, st.tuples(SECONDS, WHERE), max_size=200)


@dataclass(slots=True)
class Talk:
    """What a whole reconciliation came to."""

    lacked: tuple[Digest, ...]
    rounds: int
    bytes_said: int


def reconcile(
    here: Iterable[Item],
    there: Iterable[Item],
    asked_max: int = RECONCILIATION_BYTES_MAX,
    answered_max: int = RECONCILIATION_BYTES_MAX,
) -> Talk:
    ours, theirs = ItemSet(here), ItemSet(there)
    reconciler = Reconciler(ours, asked_max)
    question: bytes | None = reconciler.first()
    lacked: dict[Digest, None] = {}
    rounds = said = 0
    while question is not None:
        answered = answer(theirs, question, answered_max)
        assert len(question) <= asked_max
        assert len(answered) <= answered_max
        step = reconciler.take(answered)
        lacked |= dict.fromkeys(step.lacked)
        rounds, said = rounds + 1, said + len(question) + len(answered)
        assert rounds <= len(ours) + len(theirs) + 2, "it never ends"
        question = step.question
    return Talk(tuple(lacked), rounds, said)


def items(count: int, seed: int = 1) -> list[Item]:
    """Return items of random ids, issued within a year."""
    rng = random.Random(seed)
    return [(1_700_000_000 + rng.randrange(3 * 10**7), digest(rng)) for _ in range(count)]


def digest(rng: random.Random) -> Digest:
    return Digest(rng.randbytes(32))


# --- Both sides end with the union ----------------------------------------------------------------
@given(records=RECORDS, room=st.sampled_from([RECONCILIATION_BYTES_MIN, RECONCILIATION_BYTES_MAX]))
def test_each_side_learns_exactly_what_it_lacks(
    records: dict[Digest, tuple[int, str]], room: int
) -> None:
    ours = [(second, name) for name, (second, where) in records.items() if where != "there"]
    theirs = [(second, name) for name, (second, where) in records.items() if where != "here"]
    only_there = {name for name, (_, where) in records.items() if where == "there"}
    only_here = {name for name, (_, where) in records.items() if where == "here"}
    assert set(reconcile(ours, theirs, room, room).lacked) == only_there
    assert set(reconcile(theirs, ours, room, room).lacked) == only_here


@pytest.mark.parametrize("asked_max", [RECONCILIATION_BYTES_MIN, RECONCILIATION_BYTES_MAX])
@pytest.mark.parametrize("answered_max", [RECONCILIATION_BYTES_MIN, RECONCILIATION_BYTES_MAX])
def test_large_sets_with_nothing_in_common_take_several_messages(
    asked_max: int, answered_max: int
) -> None:
    ours, theirs = items(3000, 1), items(3000, 2)
    talk = reconcile(ours, theirs, asked_max, answered_max)
    assert set(talk.lacked) == {name for _, name in theirs}
    assert talk.rounds > 1


def test_items_of_one_second_are_told_apart_by_their_ids() -> None:
    rng = random.Random(3)
    ours = [(7, digest(rng)) for _ in range(500)]
    assert reconcile(ours[1:], ours).lacked == (ours[0][1],)


# --- What it costs --------------------------------------------------------------------------------
def test_equal_sets_cost_one_fingerprint_and_an_empty_answer() -> None:
    held = items(1000)
    assert reconcile(held, held) == Talk((), 1, 21)


def test_ten_differences_in_a_thousand_cost_less_than_six_kilobytes_and_two_rounds() -> None:
    held = items(1000)
    talk = reconcile(held[10:], held)
    assert set(talk.lacked) == {name for _, name in held[:10]}
    assert talk.rounds == 2
    assert talk.bytes_said < 6_000


def test_who_holds_nothing_is_told_all_at_once() -> None:
    held = items(1000)
    talk = reconcile([], held)
    assert set(talk.lacked) == {name for _, name in held}
    assert talk.rounds == 1


def test_few_items_of_a_range_are_listed_and_more_are_split() -> None:
    held = sorted(items(LISTED_MAX + 1))
    [listed] = decode_ranges(
        answer(ItemSet(held[1:]), Reconciler(ItemSet(held), 9999).first(), 9999)
    )
    assert (listed.mode, len(listed.ids)) == (Mode.IDS, LISTED_MAX)
    parts = decode_ranges(answer(ItemSet(held), Reconciler(ItemSet(held[1:]), 9999).first(), 9999))
    assert [part.mode for part in parts] == [Mode.FINGERPRINT] * PARTS
    assert parts[-1].upper == INFINITY


# --- Fingerprints ---------------------------------------------------------------------------------
def test_a_fingerprint_is_of_the_sum_of_ids_and_their_number() -> None:
    """As negentropy says: little-endian, modulo 2^256, SHA-256 with the number, 16 bytes."""
    first, second = Digest(b"\xff" * 32), Digest(b"\x02" + bytes(31))
    held = ItemSet([(1, first), (2, second)])
    total = (2**256 - 1 + 2) % 2**256
    wanted = hashlib.sha256(total.to_bytes(32, "little") + b"\x02").digest()[:16]
    assert held.fingerprint(0, 2) == wanted
    assert held.fingerprint(1, 2) == hashlib.sha256(second + b"\x01").digest()[:16]
    assert held.fingerprint(1, 1) == hashlib.sha256(bytes(32) + b"\x00").digest()[:16]


# --- Messages -------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("value", "raw"),
    [(0, "00"), (1, "01"), (127, "7f"), (128, "8100"), (300, "822c"), (16384, "818000")],
)
def test_a_number_has_digits_of_seven_bits(value: int, raw: str) -> None:
    assert encode_varint(value).hex() == raw


@pytest.mark.parametrize(
    ("before", "after", "bound"),
    [
        ((1, b"\x01" * 32), (2, b"\x01" * 32), (2, NO_ID)),
        ((1, b"\x01" * 32), (1, b"\x02" * 32), (1, b"\x02" + bytes(31))),
        ((1, bytes(32)), (1, bytes(31) + b"\x09"), (1, bytes(31) + b"\x09")),
    ],
)
def test_a_bound_is_the_shortest_that_parts_two_items(
    before: Item, after: Item, bound: Bound
) -> None:
    assert bound_between(before, after) == bound
    assert before < bound <= after


def test_a_message_says_what_was_written() -> None:
    writer = RangeWriter(RECONCILIATION_BYTES_MAX)
    writer.skip((5, NO_ID))
    writer.skip((7, b"\x01" + bytes(31)))
    writer.add_fingerprint((7, b"\x02" + bytes(31)), b"f" * 16)
    writer.add_ids((9, NO_ID), [Digest(b"i" * 32)])
    writer.skip(INFINITY)
    assert decode_ranges(writer.raw) == (
        Range((7, b"\x01" + bytes(31)), Mode.SKIP),
        Range((7, b"\x02" + bytes(31)), Mode.FINGERPRINT, fingerprint=b"f" * 16),
        Range((9, NO_ID), Mode.IDS, ids=(Digest(b"i" * 32),)),
    )
    assert not writer.is_empty


@pytest.mark.parametrize(
    "raw",
    [
        "",
        "60",  # another version
        "61 01",  # ends within a bound
        "61 0000",  # ends before the mode
        "61 0000 03",  # no such mode
        "61 0000 01 00",  # ends within a fingerprint
        "61 0000 02 02" + "00" * 32,  # fewer ids than told
        "61 0000 02 ffffffffffffff7f",  # more ids than anything has
        "61 0001 05 00",  # the last bound names an id
        "61 0100 00",  # a first range of nothing
        "61 0300 00 0100 00",  # bounds that stay
        "61 0000 00 0000 00",  # behind the last
        "61 0121" + "01" * 33 + "00",  # a bound with more than an id
        "61 800200 00",  # a number that begins with 0
        "61 9fffffffffffff7f00 00",  # a second beyond 2^53 - 1
        "61 ffffffffffffffffffff",  # a number that does not end
        "61" + "0200 00" * (RECONCILIATION_RANGES_MAX + 1),  # too many ranges
        "61" + "00" * RECONCILIATION_BYTES_MAX,  # too long
    ],
)
def test_what_is_no_message_is_refused(raw: str) -> None:
    with pytest.raises(MalformedRecordError):
        decode_ranges(bytes.fromhex(raw))


@given(raw=st.binary(max_size=200), has_version=st.booleans())
def test_any_bytes_are_a_message_or_refused(raw: bytes, has_version: bool) -> None:
    held, said = ItemSet(items(50)), b"\x61" * has_version + raw
    try:
        answered = answer(held, said, RECONCILIATION_BYTES_MIN)
        step = Reconciler(held, RECONCILIATION_BYTES_MIN).take(said)
    except MalformedRecordError:
        return
    decode_ranges(answered)
    assert step.question is None or decode_ranges(step.question)


@pytest.mark.parametrize("items_each", [0, 4])
def test_a_message_of_the_most_ranges_is_answered_with_no_more(items_each: int) -> None:
    """It says of each range that it differs; what has no room comes under one fingerprint."""
    seconds = range(4 * RECONCILIATION_RANGES_MAX * items_each // 4)
    held = ItemSet((second, Digest(second.to_bytes(32, "big"))) for second in seconds)
    asked = b"\x61" + (b"\x05\x00\x01" + bytes(16)) * RECONCILIATION_RANGES_MAX
    answered = decode_ranges(answer(held, asked, RECONCILIATION_BYTES_MAX))
    assert answered[-1].upper == INFINITY
    assert answered[-1].mode == Mode.FINGERPRINT
    assert {told.mode for told in answered[:-1]} == {Mode.IDS}
