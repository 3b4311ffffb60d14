"""Rotation and closings between real nodes: what a root closes is void everywhere, and nothing
that was published before is lost by it.
"""

from dataclasses import replace

import pytest

from meshnode.core.authoring import LogState
from meshnode.core.entries import ItemsRemoved, Reason, SegmentRemoved
from meshnode.core.events import AnnouncementReceived
from meshnode.core.heads import decode_signed_head
from meshnode.core.identifiers import PeerId, key_id, sha256
from meshnode.core.merkle import Frontier
from meshnode.core.notices import notice_of
from meshnode.core.roots import LastHead, Writer
from meshnode.core.signing import public_key
from meshnode.core.verdicts import Check, Verdict
from tests.core.ceremonies import Ceremony, Signers, Version
from tests.core.federation import Federation, named
from tests.core.institutions import LogCopy, content, key_of, segment

BOARD = Signers(("alice", "bob"), threshold=2)
BY = ["alice", "bob"]


def log_of(ceremony: Ceremony, writer: str) -> LogCopy:
    key = key_of(writer)
    state = LogState(ceremony.catalogue, key_id(public_key(key)), 1, None, Frontier(), 0)
    return LogCopy(key, state)


def publish(log: LogCopy, name: str, clock: int) -> None:
    log.publish(segment(clock, named(name)))


def last_head(log: LogCopy) -> LastHead:
    head = decode_signed_head(log.heads[-1])
    return LastHead(head.head.seq, head.signed.digest)


@pytest.fixture
def ceremony() -> Ceremony:
    return Ceremony(BOARD, ("laptop", "pipeline"))


@pytest.fixture
def laptop(ceremony: Ceremony) -> LogCopy:
    """A log of three heads, a segment each."""
    log = log_of(ceremony, "laptop")
    for clock, name in enumerate(("one", "two", "three"), 1):
        publish(log, name, clock)
    return log


@pytest.fixture
def world(ceremony: Ceremony, laptop: LogCopy) -> Federation:
    """Three peers that follow the catalogue and have all of the laptop's log."""
    world = Federation("ada", "ben", "cyd")
    world.follow(ceremony.catalogue, ceremony.first.raw)
    world.join("ada", "ben", "cyd")
    world.store("ada", "one", "two", "three")
    assert world.submit("ada", laptop) == ""
    world.wait(5)
    assert [peer.visible for peer in world.peers.values()] == [["one", "three", "two"]] * 3
    return world


def rob(log: LogCopy, names: list[str]) -> LogCopy:
    """Return the log as a thief goes on with it: everything withdrawn, one thing of his added."""
    stolen = log.fork()
    clock = stolen.state.clock
    stolen.publish(ItemsRemoved(clock + 1, "ortho", tuple(names), Reason.ERROR, None))
    gone = [
        SegmentRemoved(clock + 2 + number, "ortho", sha256(content(name)), Reason.ERROR)
        for number, name in enumerate(names)
    ]
    stolen.publish(*gone)
    publish(stolen, "the thief's", clock + 2 + len(names))
    return stolen


def test_a_thief_withdraws_everything_and_a_closing_restores_it(world, ceremony, laptop):
    stolen = rob(laptop, ["one", "two", "three"])
    world.store("ben", "the thief's")
    assert world.submit("ben", stolen) == ""
    world.wait(5)
    assert [peer.visible for peer in world.peers.values()] == [["the thief's"]] * 3

    closing = ceremony.first.closing("laptop", last_head(laptop), by=BY)
    world.publish_root("ada", ceremony.catalogue, closing.raw)
    world.wait(5)

    for peer in world.peers.values():
        assert peer.visible == ["one", "three", "two"]
        assert sha256(content("one")) in peer.objects
        assert peer.blames == []


def test_what_a_closing_voids_stays_in_the_log_across_a_restart(world, ceremony, laptop):
    stolen = rob(laptop, ["one", "two", "three"])
    assert world.submit("ben", stolen) == ""
    closing = ceremony.first.closing("laptop", last_head(laptop), by=BY)
    world.publish_root("ada", ceremony.catalogue, closing.raw)

    world.restart("cyd")
    world.wait(5)

    cyd = world["cyd"]
    assert cyd.visible == ["one", "three", "two"]
    assert cyd.node.catalogues[ceremony.catalogue].log(laptop.writer).newest_seq == len(
        stolen.heads
    )


def test_a_closing_that_was_durable_before_a_crash_shows_again_what_was_hidden(
    world, ceremony, laptop
):
    assert world.submit("ben", rob(laptop, ["one"])) == ""
    closing = ceremony.first.closing("laptop", last_head(laptop), by=BY)
    cyd = world["cyd"]
    cyd.roots[ceremony.catalogue, 2, closing.raw] = None  # on disk, and nothing else of its batch
    assert "one" not in cyd.visible

    world.restart("cyd")
    world.wait(5)

    assert cyd.visible == ["one", "three", "two"]


def test_what_the_owner_withdrew_stays_hidden_when_the_thiefs_withdrawals_are_undone(
    world, ceremony, laptop
):
    laptop.publish(ItemsRemoved(4, "ortho", ("two",), Reason.ERROR, None))
    assert world.submit("ben", rob(laptop, ["one", "two"])) == ""
    closing = ceremony.first.closing("laptop", last_head(laptop), by=BY)
    world.publish_root("ada", ceremony.catalogue, closing.raw)
    world.wait(5)
    world.restart("cyd")
    assert [peer.visible for peer in world.peers.values()] == [["one", "three"]] * 3


def test_a_thiefs_later_heads_are_not_taken_up_after_the_closing(world, ceremony, laptop):
    closing = ceremony.first.closing("laptop", last_head(laptop), by=BY)
    world.publish_root("ada", ceremony.catalogue, closing.raw)
    stolen = rob(laptop, ["one"])

    assert "closes this writer's log before head" in world.submit("ben", stolen)
    world.wait(40)

    assert [peer.visible for peer in world.peers.values()] == [["one", "three", "two"]] * 3


def test_a_head_beyond_the_closing_is_ignored_in_gossip_and_nobody_is_blamed(
    world, ceremony, laptop
):
    """A peer that has not heard of the closing forwards it in good faith."""
    world.cut("ada", "ben")
    world.cut("ben", "cyd")
    closing = ceremony.first.closing("laptop", last_head(laptop), by=BY)
    world.publish_root("ada", ceremony.catalogue, closing.raw)
    assert world.submit("ben", rob(laptop, ["one", "two", "three"])) == ""
    assert world["ben"].visible == []

    world.join("ada", "ben")
    world.wait(5)

    assert [peer.visible for peer in world.peers.values()] == [["one", "three", "two"]] * 3
    assert [peer.blames for peer in world.peers.values()] == [[], [], []]


def test_a_newcomer_takes_the_log_up_to_the_closing_from_peers_that_hold_more(
    world, ceremony, laptop
):
    assert world.submit("ben", rob(laptop, ["one", "two", "three"])) == ""
    closing = ceremony.first.closing("laptop", last_head(laptop), by=BY)
    world.publish_root("ada", ceremony.catalogue, closing.raw)
    new = Federation("dan")["dan"]
    world.peers[new.name] = new
    world.follow(ceremony.catalogue)

    world.join("ada", "dan")
    world.wait(5)

    assert new.visible == ["one", "three", "two"]
    assert new.root_version(ceremony.catalogue) == 2
    [held] = new.branches.values()
    assert len(held.heads) == len(laptop.heads)
    assert new.blames == []


def test_a_closing_with_nothing_voids_the_whole_log(world, ceremony):
    closing = ceremony.first.closing("laptop", False, by=BY)
    world.publish_root("ada", ceremony.catalogue, closing.raw)
    assert [peer.visible for peer in world.peers.values()] == [[], [], []]
    assert sha256(content("one")) in world["cyd"].objects


def test_a_closing_may_move_further_back(world, ceremony, laptop):
    first = ceremony.first.closing("laptop", last_head(laptop), by=BY)
    head = decode_signed_head(laptop.heads[1])
    second = first.closing("laptop", LastHead(2, head.signed.digest), by=BY)
    for root in (first, second):
        world.publish_root("ada", ceremony.catalogue, root.raw)
    assert [peer.visible for peer in world.peers.values()] == [["one", "two"]] * 3


def test_the_owner_goes_on_with_a_new_key(world, ceremony, laptop):
    closing = ceremony.first.closing("laptop", last_head(laptop), by=BY)
    new_key = Writer(public_key(key_of("new laptop")), "new laptop")
    both = closing.then(by=BY, writers=(*closing.root.writers, new_key))
    for root in (closing, both):
        world.publish_root("ada", ceremony.catalogue, root.raw)
    log = log_of(ceremony, "new laptop")
    log.publish(segment(4, named("four")), root_version=3)
    world.store("ada", "four")

    assert world.submit("ada", log) == ""
    world.wait(5)

    assert [p.visible for p in world.peers.values()] == [["four", "one", "three", "two"]] * 3


def test_l_21_a_later_root_s_prefixes_void_old_entries_and_a_still_later_one_revives_them(
    world, ceremony
):
    def limited(root: Version, prefixes: tuple[str, ...] | None) -> Version:
        laptop, *others = root.root.writers
        return root.then(by=BY, writers=(replace(laptop, prefixes=prefixes), *others))

    census = limited(ceremony.first, ("census",))
    world.publish_root("ada", ceremony.catalogue, census.raw)
    assert [peer.visible for peer in world.peers.values()] == [[], [], []]

    world.publish_root("cyd", ceremony.catalogue, limited(census, ("ortho", "census")).raw)
    world.wait(5)
    assert [peer.visible for peer in world.peers.values()] == [["one", "three", "two"]] * 3


def test_two_writers_in_a_split_publish_twelve_heads_each_and_all_show_after_it(ceremony):
    world = Federation("ada", "ben")
    world.follow(ceremony.catalogue, ceremony.first.raw)
    names = {side: [f"{side} {n}" for n in range(12)] for side in ("laptop", "pipeline")}
    for home, side in (("ada", "laptop"), ("ben", "pipeline")):
        log = log_of(ceremony, side)
        for clock, name in enumerate(names[side], 1):
            publish(log, name, clock)
        world.store(home, *names[side])
        assert world.submit(home, log) == ""
    assert [len(peer.visible) for peer in world.peers.values()] == [12, 12]

    world.join("ada", "ben")
    world.wait(60)

    assert (
        world["ada"].visible
        == world["ben"].visible
        == sorted([*names["laptop"], *names["pipeline"]])
    )


def test_a_rotation_during_a_split_reaches_the_other_side_with_the_heads_that_need_it(
    world, ceremony, laptop
):
    world.cut("ada", "cyd")
    world.cut("ben", "cyd")
    later = Signers(("dora",))
    rotated = ceremony.first.then(by=[*BY, "dora"], to=later)
    again = rotated.then(by=["dora"], meta={"title": "Ville nouvelle"})
    for root in (rotated, again):
        world.publish_root("ada", ceremony.catalogue, root.raw)
    laptop.publish(segment(4, named("four")), root_version=3)
    world.store("ada", "four")
    assert world.submit("ada", laptop) == ""
    assert world["cyd"].root_version(ceremony.catalogue) == 1

    world.join("ben", "cyd")
    world.wait(5)

    assert [p.root_version(ceremony.catalogue) for p in world.peers.values()] == [3, 3, 3]
    assert world["cyd"].visible == ["four", "one", "three", "two"]
    assert [peer.blames for peer in world.peers.values()] == [[], [], []]


def test_a_rotation_that_no_head_names_is_found_too(world, ceremony):
    world.cut("ada", "cyd")
    world.cut("ben", "cyd")
    root = ceremony.first.then(by=BY, meta={"title": "Ville nouvelle"})
    world.publish_root("ada", ceremony.catalogue, root.raw)
    world.join("ben", "cyd")
    assert world["cyd"].root_version(ceremony.catalogue) == 2


def test_rival_roots_of_two_sides_void_each_other_on_both_and_heads_go_on(world, ceremony, laptop):
    """The board signed twice; what the writers publish is not held up by it."""
    world.cut("ada", "cyd")
    world.cut("ben", "cyd")
    mine, yours = (ceremony.first.closing(label, False, by=BY) for label in ("laptop", "pipeline"))
    world.publish_root("ada", ceremony.catalogue, mine.raw)
    world.publish_root("cyd", ceremony.catalogue, yours.raw)
    after = mine.then(by=BY, meta={"title": "after mine"})
    world.publish_root("ada", ceremony.catalogue, after.raw)
    assert world["ada"].visible == []

    world.join("ben", "cyd")
    world.wait(60)

    for peer in world.peers.values():
        chain = peer.node.catalogues[ceremony.catalogue].chain
        assert chain is not None
        assert {root.raw for root in chain.rivals} == {mine.raw, yours.raw}
        assert peer.root_version(ceremony.catalogue) == 1
        assert peer.visible == ["one", "three", "two"]
        assert peer.blames == []
    laptop.publish(segment(4, named("four")))
    world.store("ada", "four")
    assert world.submit("ada", laptop) == ""
    world.wait(5)
    assert [p.visible for p in world.peers.values()] == [["four", "one", "three", "two"]] * 3


def test_a_restart_in_the_middle_of_a_root_fork_restores_logs_of_voided_writers(world, ceremony):
    added = ceremony.first.then(
        by=BY,
        writers=(*ceremony.first.root.writers, Writer(public_key(key_of("new")), "new")),
    )
    world.publish_root("ada", ceremony.catalogue, added.raw)
    log = log_of(ceremony, "new")
    log.publish(segment(4, named("four")), root_version=2)
    world.store("ada", "four")
    assert world.submit("ada", log) == ""
    world.wait(5)
    assert "four" in world["cyd"].visible
    rival = ceremony.first.then(by=BY, meta={"title": "rival"})
    world.publish_root("ben", ceremony.catalogue, rival.raw)

    world.restart("cyd")
    world.wait(60)

    assert [peer.visible for peer in world.peers.values()] == [["one", "three", "two"]] * 3
    assert [peer.blames for peer in world.peers.values()] == [[], [], []]


def test_a_forged_root_is_blamed_on_who_brought_it(world, ceremony):
    forged = ceremony.first.then(by=["alice", "thief"], meta={"title": "forged"})
    raw = notice_of(ceremony.catalogue, forged.raw)
    refusal = world["ada"].node.judge(raw, world.now())
    assert refusal is not None
    assert refusal.verdict is Verdict.REJECT
    world.tell("ada", AnnouncementReceived(PeerId("ben"), raw))
    [blame] = world["ada"].blames
    assert (blame.peer, blame.check) == ("ben", Check.ROOT)
    assert world["ada"].root_version(ceremony.catalogue) == 1
