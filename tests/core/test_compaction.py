"""What a writer may leave out of his segments, and that readers do not notice."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from meshnode.core import compaction
from meshnode.core.compaction import OwnSegment, Row, plan
from meshnode.core.entries import Reason, SegmentRemoved
from meshnode.core.identifiers import sha256
from tests.core.ceremonies import Ceremony, Signers
from tests.core.federation import Federation, named
from tests.core.institutions import LogCopy, content, segment
from tests.core.test_closings import log_of, publish

IDS = ("a", "b", "c")
ROWS = st.tuples(st.sampled_from(IDS), st.integers(1, 9), st.integers(0, 1))
SEGMENTS = st.lists(st.lists(ROWS, min_size=1, max_size=4), min_size=1, max_size=6)
CLOCKS = st.dictionaries(st.sampled_from(IDS), st.integers(1, 9))


def row(item_id: str, clock: int, version: int = 0) -> Row:
    return Row(clock, sha256(f"{item_id} {version}".encode()), item_id)


def made(*segments: list[tuple[str, int, int]]) -> list[OwnSegment]:
    return [
        OwnSegment(sha256(str(n).encode()), tuple(dict.fromkeys(row(*each) for each in rows)))
        for n, rows in enumerate(segments)
    ]


def found(rows: list[Row], withdrawn: dict[str, int]) -> dict[str, Row]:
    """Return what a search finds of these rows, as L-53 says, written again."""
    shown: dict[str, Row] = {}
    for each in sorted(rows):
        shown[each.id] = each
    return {i: each for i, each in shown.items() if withdrawn.get(i, 0) <= each.clock}


@given(SEGMENTS, CLOCKS, SEGMENTS, CLOCKS)
def test_l_68_what_is_found_stays_the_same_whatever_others_publish_and_take_back(
    own, own_withdrawn, others, others_withdrawn
):
    segments = made(*own)
    planned = plan(segments, own_withdrawn)
    if planned is None:
        return
    left = [r for each in segments if each.digest not in planned.segments for r in each.rows]
    after = [*left, *planned.kept]
    before = [r for each in segments for r in each.rows]
    theirs = [r for each in made(*others) for r in each.rows]
    both = {i: max(own_withdrawn.get(i, 0), others_withdrawn.get(i, 0)) for i in IDS}
    for more, withdrawn in (([], own_withdrawn), (theirs, own_withdrawn), (theirs, both)):
        assert found([*before, *more], withdrawn) == found([*after, *more], withdrawn)
    assert planned.dropped == sum(
        r not in planned.kept
        for each in segments
        if each.digest in planned.segments
        for r in each.rows
    )


def test_few_segments_with_few_beaten_rows_are_left_alone():
    rows = [[("a", 1, 0), ("b", 1, 0), ("c", 1, 0)], [("a", 2, 1)]]
    assert plan(made(*rows), {}) is None
    beaten = plan(made(*rows, [("b", 3, 1)]), {})
    assert beaten is not None
    assert (len(beaten.segments), beaten.dropped) == (3, 2)


def test_many_segments_are_merged_and_large_whole_ones_are_left(monkeypatch):
    monkeypatch.setattr(compaction, "SMALL_ROWS", 3)
    many = [[(f"{n}", n + 1, 0)] for n in range(compaction.SEGMENTS_MAX)]
    assert plan(made(*many), {}) is None
    large = [("x", 90, 0), ("y", 90, 0), ("z", 90, 0)]
    planned = plan(made(*many, large), {})
    assert planned is not None
    assert len(planned.segments) == compaction.SEGMENTS_MAX
    assert planned.dropped == 0


def replaced() -> tuple[Federation, Ceremony, LogCopy]:
    """Two peers that show two segments; one has the segment that replaces both."""
    ceremony = Ceremony(Signers(("alice",)), ("laptop", "pipeline"))
    log = log_of(ceremony, "laptop")
    publish(log, "one", 1)
    publish(log, "two", 2)
    world = Federation("ada", "ben")
    world.follow(ceremony.catalogue, ceremony.first.raw)
    world.join("ada", "ben")
    world.store("ada", "one", "two")
    assert world.submit("ada", log) == ""
    world.wait(5)
    log.publish(segment(3, named("both"), replaces=["one", "two"]))
    assert world.submit("ada", log) == ""
    world.wait(5)
    return world, ceremony, log


def test_l_69_what_is_replaced_shows_until_its_heir_is_searchable():
    world, _, _ = replaced()
    assert [peer.visible for peer in world.peers.values()] == [["one", "two"]] * 2
    world.restart("ben")
    assert world["ben"].visible == ["one", "two"]
    world.store("ada", "both")
    world.wait(60)
    assert [peer.visible for peer in world.peers.values()] == [["both"]] * 2


def test_l_69_what_is_withdrawn_by_name_goes_at_once():
    world, ceremony, _ = replaced()
    other = log_of(ceremony, "pipeline")
    other.publish(SegmentRemoved(4, "ortho", sha256(content("one")), Reason.PRIVACY))
    assert world.submit("ben", other) == ""
    world.wait(5)
    assert [peer.visible for peer in world.peers.values()] == [["two"]] * 2


def test_l_69_what_is_replaced_shows_until_the_heir_of_its_heir_is_searchable():
    world, _, log = replaced()
    log.publish(segment(4, named("all"), replaces=["both"]))
    assert world.submit("ada", log) == ""
    world.wait(5)
    assert [peer.visible for peer in world.peers.values()] == [["one", "two"]] * 2
    world.store("ada", "all")
    world.wait(60)
    assert [peer.visible for peer in world.peers.values()] == [["all"]] * 2


def test_l_69_what_is_replaced_goes_at_once_when_its_only_heir_does():
    world, _, log = replaced()
    log.publish(SegmentRemoved(4, "ortho", sha256(content("both")), Reason.ERROR))
    assert world.submit("ada", log) == ""
    world.wait(5)
    assert [peer.visible for peer in world.peers.values()] == [[], []]
