"""Peers that begin a log with a snapshot, beside peers that hold all of it: both show the same."""

from __future__ import annotations

from dataclasses import replace

import pytest

from meshnode.core.durable import ExtendLog
from meshnode.core.effects import AskLog, AskSnapshot, Blame, CheckSnapshot
from meshnode.core.entries import Entry
from meshnode.core.events import (
    HeadsReceived,
    LogReceived,
    RequestFailed,
    SnapshotReceived,
    Submitted,
)
from meshnode.core.heads import SnapshotRef, decode_signed_head
from meshnode.core.identifiers import sha256
from meshnode.core.merkle import Frontier, leaf_hash
from meshnode.core.names import HeadName, LogId, Stretch, Ticket
from meshnode.core.snapshot_checks import lying_since
from meshnode.core.snapshots import begin, decode_snapshot, encode_snapshot, snapshot_of
from meshnode.core.verdicts import Check
from tests.core.ceremonies import Ceremony, Signers
from tests.core.federation import Federation, Peer, known_snapshot, named
from tests.core.institutions import LogCopy, segment
from tests.core.solo import A, Solo, following, institution
from tests.core.solo import log_of as log_id
from tests.core.test_closings import BY, last_head, log_of

NAMES = ["merged", "late"]


@pytest.fixture
def ceremony() -> Ceremony:
    return Ceremony(Signers(("alice", "bob"), threshold=2), ("laptop", "pipeline"))


@pytest.fixture
def laptop(ceremony: Ceremony) -> LogCopy:
    """Forty segments, rewritten as one; then a snapshot, and a segment more."""
    log = log_of(ceremony, "laptop")
    olds = [named(f"old {number}") for number in range(40)]
    for clock, name in enumerate(olds, 1):
        log.publish(segment(clock, name))
    log.publish(segment(41, named("merged"), replaces=olds))
    known_snapshot(log.snapshot())
    log.begin_snapshot()
    log.publish(segment(42, named("late")))
    return log


def world_of(ceremony: Ceremony, laptop: LogCopy, *names: str) -> Federation:
    """Peers that hear nobody; `ada` holds the log."""
    world = Federation("ada", *names)
    world.follow(ceremony.catalogue, ceremony.first.raw)
    world.store("ada", *NAMES, *(f"old {number}" for number in range(40)))
    assert world.submit("ada", laptop) == ""
    return world


def held(peer: Peer, laptop: LogCopy) -> list[Entry]:
    """The entries of the log that a node has in memory."""
    catalogue = peer.node.catalogues[laptop.state.catalogue]
    branches = catalogue.log(laptop.writer).branches
    return [e for branch in branches for e, _ in (*branch.listed.values(), *branch.entries)]


def states(world: Federation, laptop: LogCopy) -> list[object]:
    """What every peer shows, and the newest heads that it holds."""
    return [
        (peer.visible, sorted(stored.heads[-1] for stored in peer.branches.values()))
        for peer in world.peers.values()
    ]


def begins(peer: Peer, laptop: LogCopy) -> int:
    """The seq before the first head that a peer holds."""
    return peer.node.catalogues[laptop.state.catalogue].log(laptop.writer).main.begin_seq


def test_l_104_a_newcomer_begins_with_a_snapshot_and_shows_the_same(ceremony, laptop):
    world = world_of(ceremony, laptop, "new")
    world.join("ada", "new")
    world.wait(20)
    assert states(world, laptop)[0] == states(world, laptop)[1]
    assert world["new"].visible == sorted(NAMES)
    assert begins(world["new"], laptop) == 41
    assert len(held(world["ada"], laptop)) == 2
    assert len(held(world["new"], laptop)) == 2  # what rewrites, and what came after
    [stored] = world["new"].branches.values()
    assert (stored.first, len(stored.heads), len(stored.entries)) == (41, 2, 1)
    assert world["new"].blames == []


def test_a_newcomer_goes_on_after_a_restart_and_serves_the_next(ceremony, laptop):
    world = world_of(ceremony, laptop, "new", "next")
    world.join("ada", "new")
    world.wait(20)
    world.cut("ada", "new")
    world.restart("new")
    world.join("new", "next")
    world.wait(40)
    assert world["next"].visible == world["new"].visible == sorted(NAMES)
    assert begins(world["next"], laptop) == 41

    laptop.publish(segment(43, named("later")))
    world.store("new", "later")
    tail = Submitted(Ticket(3), tuple(laptop.heads[-1:]), 42, tuple(laptop.entries[-1:]))
    world.tell("new", tail)
    world.wait(5)
    assert world["next"].visible == sorted([*NAMES, "later"])


def test_a_whole_log_is_not_given_by_who_does_not_hold_it(ceremony, laptop):
    world = world_of(ceremony, laptop, "new")
    world.join("ada", "new")
    world.wait(20)
    newest = decode_signed_head(laptop.heads[-1]).name
    log = LogId(ceremony.catalogue, laptop.writer)
    assert world["new"].node.stretches(log, newest, ()) == ()
    assert world["new"].node.stretches(log, newest, (HeadName(0, sha256(b"another")),)) == ()
    assert world["ada"].node.stretches(log, newest, ())[0].after_seq == 0


def test_l_103_who_holds_the_entries_makes_the_snapshot_and_keeps_it(ceremony, laptop):
    world = world_of(ceremony, laptop)
    log = world["ada"].node.catalogues[ceremony.catalogue].log(laptop.writer)
    ref = decode_signed_head(laptop.heads[-1]).head.snapshot
    assert ref is not None
    assert log.snapshots == {ref: True}
    assert ref.object in world["ada"].objects
    assert lying_since(log) is None


def lie(laptop: LogCopy) -> bytes:
    """A snapshot as if the merged segment had never been published."""
    true = decode_snapshot(laptop.snapshot())
    entries = ((0, laptop.entries[0]), *((i, raw) for i, raw in true.entries if i != 40))
    last = (len(laptop.entries) - 1, laptop.entries[-1])
    return encode_snapshot(replace(true, entries=(*entries[:1], last)))


def dropped(peer: Peer, laptop: LogCopy) -> list[int]:
    catalogue = peer.node.catalogues[laptop.state.catalogue]
    return [branch.dropped for branch in catalogue.log(laptop.writer).branches]


def test_after_a_snapshot_memory_follows_what_it_lists_also_after_a_restart(ceremony, laptop):
    world = world_of(ceremony, laptop)
    ada = world["ada"]
    assert (dropped(ada, laptop), len(held(ada, laptop))) == ([41], 2)
    assert len(ada.branches[LogId(ceremony.catalogue, laptop.writer), 0].entries) == 42
    segments = ada.node.catalogues[ceremony.catalogue].contents.segments
    assert sum(additions.best is not None for additions in segments.values()) == 2
    world.restart("ada")
    world.wait(1)
    assert (dropped(ada, laptop), len(held(ada, laptop))) == ([41], 2)
    assert ada.visible == sorted(NAMES)


@pytest.mark.parametrize("at_once", [True, False])
def test_each_snapshot_drops_what_came_since_the_one_before(ceremony, laptop, at_once):
    before = None if at_once else world_of(ceremony, laptop)
    for clock in range(43, 53):
        laptop.publish(segment(clock, named(f"new {clock}")))
    late = [named(f"new {clock}") for clock in range(43, 53)]
    laptop.publish(segment(53, named("merged too"), replaces=late))
    ref = laptop.begin_snapshot(known_snapshot(laptop.snapshot()))
    laptop.publish(segment(54, named("last")))
    world = before or world_of(ceremony, laptop)
    world.store("ada", "merged too", "last")
    assert world.submit("ada", laptop) == ""
    ada = world["ada"]
    assert dropped(ada, laptop) == [ref.index]
    assert len(held(ada, laptop)) == 4  # merged, late, merged too, last
    assert ada.visible == sorted([*NAMES, "merged too", "last"])


def test_a_closing_before_the_snapshot_reads_the_dropped_entries_again(ceremony, laptop):
    first = laptop.fork()
    first.heads = first.heads[:3]
    world = world_of(ceremony, laptop)
    ada = world["ada"]
    closing = ceremony.first.closing("laptop", last_head(first), by=BY)
    world.publish_root("ada", ceremony.catalogue, closing.raw)
    assert (dropped(ada, laptop), len(held(ada, laptop))) == ([0], 42)
    assert ada.visible == ["old 0", "old 1", "old 2"]
    world.restart("ada")
    assert ada.visible == ["old 0", "old 1", "old 2"]
    assert dropped(ada, laptop) == [0]


@pytest.mark.parametrize("heads", [2, 40, 41])
def test_a_branch_that_parts_before_the_snapshot_is_taken_after_a_look_at_the_disk(
    ceremony, laptop, heads
):
    """The backup is one of the log after so many heads."""
    backup = log_of(ceremony, "laptop")
    for clock in range(1, heads + 1):
        old = [f"old {number}" for number in range(40)]
        entry = segment(clock, f"old {clock - 1}")
        backup.publish(segment(41, "merged", replaces=old) if clock == 41 else entry)
    assert backup.heads == laptop.heads[:heads]
    backup.publish(segment(60, named("from the backup")))
    world = world_of(ceremony, laptop, "ben")
    world.store("ben", *(f"old {number}" for number in range(40)), "merged", "from the backup")
    assert world.submit("ben", backup) == ""
    world.join("ada", "ben")
    world.wait(60)
    both = sorted([*NAMES, "from the backup"])
    assert [peer.visible for peer in world.peers.values()] == [both] * 2
    world.restart("ada")
    assert world["ada"].visible == both

    closing = ceremony.first.closing("laptop", last_head(backup), by=BY)
    world.publish_root("ada", ceremony.catalogue, closing.raw)
    world.wait(20)
    counted = ["merged"] if heads == 41 else [f"old {number}" for number in range(heads)]
    assert [peer.visible for peer in world.peers.values()] == [
        sorted([*counted, "from the backup"])
    ] * 2


def test_l_103_a_snapshot_that_lies_is_shown_and_hides_nothing(ceremony, laptop):
    laptop.begin_snapshot(known_snapshot(lie(laptop)))
    world = world_of(ceremony, laptop, "ben")
    log = world["ada"].node.catalogues[ceremony.catalogue].log(laptop.writer)
    assert lying_since(log) == 44
    assert list(log.snapshots.values()) == [False]
    assert world["ada"].visible == sorted(NAMES)
    world.join("ada", "ben")  # nobody gives what lies, so that all is read
    world.wait(20)
    assert world["ben"].visible == sorted(NAMES)
    assert begins(world["ben"], laptop) == 0
    assert [peer.blames for peer in world.peers.values()] == [[], []]


def test_a_true_snapshot_after_one_that_lies_is_taken(ceremony, laptop):
    laptop.begin_snapshot(known_snapshot(lie(laptop)))
    laptop.publish(segment(43, named("later")))
    laptop.begin_snapshot(known_snapshot(laptop.snapshot()))
    world = world_of(ceremony, laptop, "ben")
    world.store("ada", "later")
    world.join("ada", "ben")
    world.wait(20)
    assert begins(world["ben"], laptop) == 45
    assert world["ben"].visible == sorted([*NAMES, "later"])


def test_a_snapshot_with_another_tree_is_not_used_and_nobody_is_at_fault(ceremony, laptop):
    true = decode_snapshot(laptop.snapshot())
    other = Frontier().extend([sha256(b"another")] * true.index)
    raw = known_snapshot(encode_snapshot(replace(true, frontier=other.hashes)))
    laptop.begin_snapshot(raw)
    laptop.publish(segment(43, named("later")))
    world = world_of(ceremony, laptop, "ben")
    world.store("ada", "later")
    world["ada"].objects[sha256(raw)] = None
    world.join("ada", "ben")
    world.wait(20)
    assert begins(world["ben"], laptop) == 0
    assert world["ben"].visible == sorted([*NAMES, "later"])
    assert world["ben"].blames == []


def test_l_105_a_closing_before_the_snapshot_brings_the_history(ceremony, laptop):
    """The last good head is that of the first three segments."""
    first = laptop.fork()
    first.heads = first.heads[:3]
    world = world_of(ceremony, laptop, "new")
    world.join("ada", "new")
    world.wait(20)
    closing = ceremony.first.closing("laptop", last_head(first), by=BY)
    world.publish_root("ada", ceremony.catalogue, closing.raw)
    world.wait(40)
    assert world["ada"].visible == ["old 0", "old 1", "old 2"]
    assert world["new"].visible == world["ada"].visible
    world.restart("new")
    world.wait(40)
    assert world["new"].visible == world["ada"].visible
    assert world["new"].blames == []


def test_l_105_a_closing_after_the_snapshot_keeps_what_it_lists(ceremony, laptop):
    begun = laptop.fork()
    begun.heads = begun.heads[:42]
    world = world_of(ceremony, laptop, "new")
    world.join("ada", "new")
    world.wait(20)
    closing = ceremony.first.closing("laptop", last_head(begun), by=BY)
    world.publish_root("ada", ceremony.catalogue, closing.raw)
    world.wait(20)
    assert world["new"].visible == world["ada"].visible == ["merged"]


def test_l_105_a_fork_before_the_snapshot_counts_for_a_newcomer_too(ceremony, laptop):
    early = log_of(ceremony, "laptop")
    early.publish(segment(1, named("early")))
    world = world_of(ceremony, laptop, "new", "thief")
    world.store("thief", "early")
    assert world.submit("thief", early) == ""
    world.join("ada", "new")
    world.wait(20)
    world.join("ada", "thief", "new")
    world.wait(60)
    assert [peer.visible for peer in world.peers.values()] == [sorted([*NAMES, "early"])] * 3
    world.restart("new")
    world.wait(20)
    assert world["new"].visible == world["ada"].visible


def test_a_newcomer_checks_the_next_snapshot_of_what_it_holds(ceremony, laptop):
    world = world_of(ceremony, laptop, "new")
    world.join("ada", "new")
    world.wait(20)
    ref = laptop.begin_snapshot(known_snapshot(laptop.snapshot()))
    assert world.submit("ada", laptop) == ""
    world.wait(5)
    log = world["new"].node.catalogues[ceremony.catalogue].log(laptop.writer)
    assert log.snapshots == {ref: True}


def beginning_solo() -> tuple[Solo, LogCopy, SnapshotRef, AskSnapshot]:
    """A node that was told of a log with a snapshot, and what it asks first."""
    made = institution(4)
    ref = made.log.begin_snapshot()
    made.log.publish(segment(5))
    solo = following(made, A)
    solo.tell(HeadsReceived(A, (made.log.heads[-1],)))
    return solo, made.log, ref, solo.the(AskSnapshot)


def received(asked: AskSnapshot, copy: LogCopy) -> SnapshotReceived:
    tree = Frontier().extend([leaf_hash(raw) for raw in copy.entries[:4]])
    raw = encode_snapshot(snapshot_of(asked.log, tree, enumerate(copy.entries[:4])))
    return SnapshotReceived(A, asked.log, begin(asked.log, asked.ref, raw))


def test_n_54_what_follows_is_asked_for_by_the_name_of_the_snapshot():
    solo, copy, ref, asked = beginning_solo()
    assert (asked.peer, asked.ref) == (A, ref)
    solo.tell(received(asked, copy))
    assert solo.the(AskLog).known == (HeadName(0, ref.object),)


def test_n_54_who_does_not_know_the_name_answers_with_the_whole_log():
    solo, copy, _, asked = beginning_solo()
    solo.tell(received(asked, copy))
    whole = LogReceived(A, asked.log, tuple(copy.heads), 0, tuple(copy.entries))
    solo.tell(whole)
    extended = solo.the(ExtendLog)
    assert (extended.first, len(extended.entries), extended.beginning) == (0, 5, b"")


def test_entries_that_do_not_fit_the_snapshot_end_in_the_whole_log_being_asked_for():
    solo, copy, _, asked = beginning_solo()
    solo.tell(received(asked, copy))
    solo.tell(LogReceived(A, asked.log, tuple(copy.heads[5:]), 4, (copy.entries[0],)))
    assert solo.of(ExtendLog) == []
    assert solo.of(Blame) == []
    assert solo.next(AskLog).known == ()


def test_a_snapshot_that_nobody_gives_is_left_for_the_whole_log():
    solo, _, _, asked = beginning_solo()
    solo.tell(RequestFailed(asked, "not held"))
    assert solo.next(AskLog).known == ()


def test_whoever_gives_other_bytes_as_the_snapshot_is_blamed():
    solo, _, _, asked = beginning_solo()
    solo.tell(RequestFailed(asked, "other bytes", Check.CONTENT_HASH))
    assert solo.blames() == [(A, Check.CONTENT_HASH)]


def test_r_25_a_head_that_names_a_snapshot_of_another_place_begins_none():
    made = institution(4)
    ref = made.log.begin_snapshot()
    made.log.publish(segment(5), snapshot=None)
    solo = following(made)
    solo.tell(Submitted(Ticket(1), tuple(made.log.heads), 0, tuple(made.log.entries)))
    [check] = solo.of(CheckSnapshot)
    assert (check.log, check.ref, check.frontier.size) == (log_id(made), ref, 4)
    assert check.stretches == (Stretch(0, 0, 4, 0, 4),)
