"""What the entries of a catalogue mean together: the greatest counts, in any order of arrival."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from meshnode.core.contents import Contents
from meshnode.core.entries import (
    CollectionAdded,
    Entry,
    InfoHash,
    ItemsRemoved,
    MirrorsChanged,
    ObjectRef,
    PayloadAdded,
    PayloadRemoved,
    Reason,
    RiskSet,
    SegmentRemoved,
    encode_entry,
)
from meshnode.core.identifiers import Digest, Kid, sha256
from tests.core.institutions import content, segment

KEY = sha256(b"payload")
NAME = ("ortho", KEY)
FILES, TORRENT = ObjectRef(sha256(b"files"), 5), ObjectRef(sha256(b"torrent"), 7)
OURS, THEIRS = Kid(bytes(16)), Kid(b"\1" * 16)


def payload(clock: int, *mirrors: str, size_bytes: int = 1) -> PayloadAdded:
    return PayloadAdded(
        clock=clock,
        collection="ortho",
        key=KEY,
        files=FILES,
        size_bytes=size_bytes,
        piece_size_bytes=1 << 20,
        infohash=InfoHash(sha256(b"torrent"), None),
        torrent=TORRENT,
        mirrors=mirrors,
        risk=0,
    )


def mirrors(clock: int, *, add: tuple[str, ...] = (), drop: tuple[str, ...] = ()) -> MirrorsChanged:
    return MirrorsChanged(clock, "ortho", KEY, add, drop)


def contents(*entries: Entry, writer: Kid = OURS) -> Contents:
    made = Contents()
    for entry in entries:
        made.apply(writer, entry, sha256(encode_entry(entry)))
    return made


def test_l_40_the_clock_of_a_catalogue_begins_before_the_least_clock_of_an_entry() -> None:
    assert Contents().clock == 0


def test_l_54_a_payload_counts_with_its_file_list_and_torrent_until_it_is_removed() -> None:
    added, gone = payload(2), PayloadRemoved(3, "ortho", KEY, Reason.ERROR)
    assert contents(added).live_payloads() == {NAME: added}
    assert contents(added).objects() == [FILES, TORRENT]
    assert contents(added, gone).live_payloads() == {}
    assert contents(added, gone).objects() == []
    assert contents(added, gone).payloads_named(KEY) == [added]
    again = payload(3, size_bytes=2)
    assert contents(gone, again, added).live_payloads() == {NAME: again}


def test_l_55_of_two_documents_the_one_with_the_greater_clock_counts() -> None:
    old, new = (CollectionAdded(n, "ortho", ObjectRef(sha256(bytes(n)), n)) for n in (1, 2))
    for made in (contents(old, new), contents(new, old)):
        assert made.objects() == [new.object]


def test_l_56_the_newest_word_on_each_mirror_counts() -> None:
    steps = (payload(1, "a", "b"), mirrors(2, drop=("a",)), mirrors(3, add=("c",), drop=("b",)))
    assert contents(*steps).mirrors_of(NAME) == ("c",)
    assert contents(*steps[::-1]).mirrors_of(NAME) == ("c",)
    assert contents(*steps, mirrors(4, add=("a",), drop=("a",))).mirrors_of(NAME) == ("a", "c")
    assert contents().mirrors_of(NAME) == ()


def test_the_newest_risk_counts() -> None:
    first, then = RiskSet(1, "ortho", KEY, 4, 10), RiskSet(2, "ortho", KEY, 1, 20)
    for made in (contents(first, then), contents(then, first)):
        assert made.risks[NAME][1] == then


def test_a_tie_of_clocks_goes_to_the_greater_writer() -> None:
    ours, theirs = payload(1, size_bytes=1), payload(1, size_bytes=2)
    for order in ((OURS, THEIRS), (THEIRS, OURS)):
        made = Contents()
        for writer in order:
            entry = ours if writer == OURS else theirs
            made.apply(writer, entry, sha256(encode_entry(entry)))
        assert made.live_payloads() == {NAME: theirs}


def test_a_removal_takes_what_was_added_with_a_smaller_clock_and_nothing_else() -> None:
    name = ("ortho", sha256(content("one")))
    added, gone = segment(2, "one"), SegmentRemoved(2, "ortho", name[1], Reason.RETIRED)
    assert contents(added, gone).live_segment(name) == (OURS, added)
    assert contents(added, replace(gone, clock=3)).live_segment(name) is None
    assert contents(gone).live_segment(name) is None
    assert contents().live_segment(name) is None


def test_two_states_differ_in_the_segments_that_count_in_one_alone() -> None:
    one, two = ("ortho", sha256(content("one"))), ("ortho", sha256(content("two")))
    before = contents(segment(1, "one"), segment(2, "two"))
    after = contents(segment(1, "one"), segment(3, "two", replaces=["one"]))
    assert before.differing_segments(after) == (one, two)
    assert before.differing_segments(before) == ()
    assert Contents().differing_segments(contents(segment(1, "one"))) == (one,)


def test_every_withdrawal_is_kept_and_what_erases_is_kept_apart() -> None:
    plain = ItemsRemoved(1, "ortho", ("a",), Reason.ERROR, None)
    erasing = ItemsRemoved(2, "ortho", ("b",), Reason.LEGAL, None)
    made = contents(erasing, plain)
    assert made.removals() == [erasing, plain]
    assert list(made.erasing.values()) == [erasing]


ENTRIES: tuple[Entry, ...] = (
    segment(1, "one"),
    segment(4, "one"),
    segment(3, "two", replaces=["one"]),
    SegmentRemoved(4, "ortho", sha256(content("two")), Reason.RETIRED),
    SegmentRemoved(2, "ortho", sha256(content("two")), Reason.LEGAL),
    payload(2, "a", "b"),
    payload(5, "c"),
    PayloadRemoved(5, "ortho", KEY, Reason.ERROR),
    mirrors(3, add=("d",), drop=("a",)),
    mirrors(6, drop=("c",)),
    RiskSet(1, "ortho", KEY, 4, 10),
    RiskSet(2, "ortho", KEY, 1, 20),
    CollectionAdded(1, "ortho", FILES),
    CollectionAdded(2, "ortho", TORRENT),
    ItemsRemoved(3, "ortho", ("a",), Reason.PRIVACY, None),
)


def shown(made: Contents) -> object:
    names: list[tuple[str, Digest]] = sorted(made.segments)
    return (
        [made.live_segment(name) for name in names],
        made.live_payloads(),
        made.mirrors_of(NAME),
        made.risks,
        made.collections,
        made.hidden,
        made.erasing,
        made.clock,
    )


@given(st.permutations(ENTRIES), st.lists(st.sampled_from(ENTRIES), max_size=4))
def test_l_50_order_and_repetition_change_nothing(order: list[Entry], again: list[Entry]) -> None:
    assert shown(contents(*order, *again)) == shown(contents(*ENTRIES))
