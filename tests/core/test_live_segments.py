"""L-91, L-93: of too many live segments those of the least rank count, whatever came first."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshnode.core import live_segments
from meshnode.core.contents import Contents
from meshnode.core.entries import Reason, SegmentAdded, SegmentRemoved, encode_entry
from meshnode.core.identifiers import Kid, sha256
from meshnode.core.live_segments import Rank, SegmentName
from tests.core.institutions import content, segment

ROOM = 3
WRITERS = Kid(bytes(16)), Kid(b"\1" * 16)
Change = SegmentAdded | SegmentRemoved
Step = tuple[Kid, Change]


@pytest.fixture(autouse=True, scope="module")
def little_room() -> object:
    patch = pytest.MonkeyPatch()
    patch.setattr(live_segments, "LIVE_SEGMENTS_MAX", ROOM)
    yield
    patch.undo()


def added(number: int, clock: int, replaces: tuple[int, ...] = ()) -> SegmentAdded:
    made = segment(clock, f"s{number}")
    return replace(made, replaces=tuple(sha256(content(f"s{n}")) for n in replaces))


def removed(number: int, clock: int) -> SegmentRemoved:
    return SegmentRemoved(clock, "ortho", sha256(content(f"s{number}")), Reason.ERROR)


numbers = st.integers(0, 7)
clocks = st.integers(1, 12)
entries: st.SearchStrategy[Change] = st.one_of(
    st.builds(added, numbers, clocks),
    st.builds(removed, numbers, clocks),
    st.tuples(st.permutations(range(8)), clocks).map(lambda d: added(d[0][0], d[1], (d[0][1],))),
)
histories = st.lists(st.tuples(st.sampled_from(WRITERS), entries), max_size=24)


def rank(step: Step) -> Rank:
    return (step[1].clock, step[0], sha256(encode_entry(step[1])))


def counting(steps: list[Step]) -> dict[SegmentName, Rank]:
    """The rule of L-93, read from the whole set."""
    best: dict[SegmentName, Rank] = {}
    gone: dict[SegmentName, int] = {}
    for step in steps:
        entry = step[1]
        if isinstance(entry, SegmentAdded):
            name = (entry.collection, entry.segment)
            best[name] = max(rank(step), best.get(name, rank(step)))
        targets = entry.replaces if isinstance(entry, SegmentAdded) else (entry.segment,)
        for target in targets:
            gone["ortho", target] = max(entry.clock, gone.get(("ortho", target), 0))
    live = sorted((r, name) for name, r in best.items() if r[0] >= gone.get(name, 0))
    return {name: r for r, name in live[:ROOM]}


def shown(contents: Contents) -> dict[SegmentName, Rank]:
    found = {name: contents.live_segment(name) for name in contents.segments}
    return {n: rank((live[0], live[1])) for n, live in found.items() if live is not None}


@given(histories, st.randoms(use_true_random=False))
def test_l_93_what_counts_follows_from_the_set(steps, rng) -> None:
    shuffled = [*steps, *steps[:3]]
    rng.shuffle(shuffled)
    contents = Contents()
    for writer, entry in shuffled:
        before = shown(contents)
        touched = contents.apply(writer, entry, sha256(encode_entry(entry)))
        after = shown(contents)
        differing = {n for n in before | after if before.get(n) != after.get(n)}
        assert differing <= set(touched)
    assert shown(contents) == counting(steps)


def test_l_93_a_segment_without_room_counts_once_another_is_gone() -> None:
    contents = Contents()
    for number in range(ROOM + 1):
        entry = added(number, number + 1)
        contents.apply(WRITERS[0], entry, sha256(encode_entry(entry)))
    last = ("ortho", sha256(content(f"s{ROOM}")))
    assert (contents.live_segment(last), contents.excess_segments) == (None, 1)
    assert contents.live_segment_count == ROOM
    gone = removed(0, 9)
    contents.apply(WRITERS[0], gone, sha256(encode_entry(gone)))
    assert contents.live_segment(last) is not None
    assert (contents.excess_segments, contents.live_segment_count) == (0, ROOM)
