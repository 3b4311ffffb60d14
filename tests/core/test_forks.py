"""Two histories of one log between real nodes: both count, everywhere, until a root closes one."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meshnode.core.entries import ItemsRemoved, Reason
from meshnode.core.events import AnnouncementReceived, HeadsReceived
from meshnode.core.forks import decode_fork, evidence_of
from meshnode.core.heads import decode_signed_head
from meshnode.core.identifiers import PeerId, sha256
from meshnode.core.limits import BRANCHES_MAX
from meshnode.core.names import LogId
from meshnode.core.verdicts import Check, Verdict
from tests.core.ceremonies import Ceremony, Signers
from tests.core.federation import Federation, named
from tests.core.institutions import ISSUED, LogCopy, altered, content, segment
from tests.core.test_closings import BY, last_head, log_of, publish, rob

BOARD = Signers(("alice", "bob"), threshold=2)
HONEST_HEADS = 900


@pytest.fixture
def ceremony() -> Ceremony:
    return Ceremony(BOARD, ("laptop", "pipeline"))


def split(ceremony: Ceremony, *names: str) -> Federation:
    """Return peers that follow the catalogue and hear nobody."""
    world = Federation(*names)
    world.follow(ceremony.catalogue, ceremony.first.raw)
    return world


def filled(ceremony: Ceremony, heads: int, prefix: str = "item") -> LogCopy:
    log = log_of(ceremony, "laptop")
    for number in range(1, heads + 1):
        publish(log, f"{prefix} {number}", number)
    return log


def histories(world: Federation, log: LogId) -> list[set[bytes]]:
    """Return the heads that each peer holds of the log, whatever the branches."""
    return [
        {raw for stored in peer.branches.values() if stored.log == log for raw in stored.heads}
        for peer in world.peers.values()
    ]


def visible(world: Federation) -> list[list[str]]:
    return [peer.visible for peer in world.peers.values()]


def disputes(world: Federation, ceremony: Ceremony) -> list[dict[str, int]]:
    return [
        {kid.hex(): seq for kid, seq in peer.node.catalogues[ceremony.catalogue].disputed.items()}
        for peer in world.peers.values()
    ]


def test_one_head_of_a_thief_at_seq_1_hides_none_of_900(ceremony):
    honest, stolen = filled(ceremony, HONEST_HEADS), log_of(ceremony, "laptop")
    publish(stolen, "the thief's", 1)
    world = split(ceremony, "ada", "ben", "cyd", "thief")
    names = [f"item {number}" for number in range(1, HONEST_HEADS + 1)]
    world.store("ada", *names)
    world.store("thief", "the thief's")
    assert world.submit("ada", honest) == ""
    assert world.submit("thief", stolen) == ""

    world.join("thief", "ben")  # the thief's head comes first here
    world.join("cyd", "ben")
    world.join("ada", "ben", "cyd")
    world.wait(120)

    assert visible(world) == [sorted([*names, "the thief's"])] * 4
    assert disputes(world, ceremony) == [{honest.writer.hex(): 1}] * 4
    assert [peer.blames for peer in world.peers.values()] == [[]] * 4


def test_a_restored_backup_publishes_and_a_closing_settles_it(ceremony):
    ours = filled(ceremony, 3)
    backup = ours.fork()
    publish(ours, "ours 4", 4)
    publish(ours, "ours 5", 5)
    publish(backup, "backup 4", 4)
    world = split(ceremony, "ada", "ben", "cyd")
    common = ["item 1", "item 2", "item 3"]
    world.store("ada", *common, "ours 4", "ours 5")
    world.store("cyd", *common, "backup 4")
    assert world.submit("ada", ours) == ""
    assert world.submit("cyd", backup) == ""
    world.join("ada", "ben", "cyd")
    world.wait(60)

    both = ["backup 4", *common, "ours 4", "ours 5"]
    assert visible(world) == [both] * 3
    assert disputes(world, ceremony) == [{ours.writer.hex(): 4}] * 3
    log = LogId(ceremony.catalogue, ours.writer)
    for peer in world.peers.values():
        fork = decode_fork(peer.forks[log])
        sides = {fork.a.payload, fork.b.payload}
        heads = (decode_signed_head(copy.heads[3]) for copy in (ours, backup))
        assert sides == {head.signed.payload for head in heads}

    closing = ceremony.first.closing("laptop", last_head(ours), by=BY)
    world.publish_root("ben", ceremony.catalogue, closing.raw)
    world.wait(5)
    assert visible(world) == [[*common, "ours 4", "ours 5"]] * 3
    assert disputes(world, ceremony) == [{}] * 3
    assert all(sha256(content("backup 4")) in peer.objects for peer in world.peers.values())


def test_one_writer_in_two_halves_of_a_split_loses_none_of_24_heads(ceremony):
    world = split(ceremony, "ada", "ben")
    for home in ("ada", "ben"):
        log = filled(ceremony, 12, home)
        world.store(home, *(f"{home} {number}" for number in range(1, 13)))
        assert world.submit(home, log) == ""
    world.join("ada", "ben")
    world.wait(60)
    names = sorted(f"{home} {number}" for home in ("ada", "ben") for number in range(1, 13))
    assert visible(world) == [names] * 2


def test_a_thief_withdraws_everything_on_a_branch_and_a_closing_restores_it(ceremony):
    ours = filled(ceremony, 3)
    stolen = rob(ours, ["item 1", "item 2", "item 3"])
    publish(ours, "item 4", 4)
    world = split(ceremony, "ada", "ben", "thief")
    world.store("ada", "item 1", "item 2", "item 3", "item 4")
    world.store("thief", "item 1", "item 2", "item 3", "the thief's")
    assert world.submit("ada", ours) == ""
    assert world.submit("thief", stolen) == ""
    world.join("ada", "ben", "thief")
    world.wait(60)
    assert visible(world) == [["item 4", "the thief's"]] * 3

    closing = ceremony.first.closing("laptop", last_head(ours), by=BY)
    world.publish_root("ada", ceremony.catalogue, closing.raw)
    world.wait(5)
    assert visible(world) == [["item 1", "item 2", "item 3", "item 4"]] * 3
    assert all(sha256(content("item 1")) in peer.objects for peer in world.peers.values())


def test_branches_and_evidence_survive_a_restart_and_grow_after_it(ceremony):
    ours = filled(ceremony, 2)
    other = ours.fork()
    publish(ours, "ours", 3)
    publish(other, "other", 3)
    world = split(ceremony, "ada", "ben")
    world.store("ada", "item 1", "item 2", "ours")
    world.store("ben", "item 1", "item 2", "other")
    world.submit("ada", ours)
    world.submit("ben", other)
    world.join("ada", "ben")
    world.wait(60)

    for name in ("ada", "ben"):
        world.restart(name)
    publish(ours, "later", 4)
    publish(other, "later too", 5)
    world.store("ada", "later")
    world.store("ben", "later too")
    assert world.submit("ada", ours) == ""
    assert world.submit("ben", other) == ""
    world.wait(60)

    names = ["item 1", "item 2", "later", "later too", "other", "ours"]
    assert visible(world) == [names] * 2
    assert disputes(world, ceremony) == [{ours.writer.hex(): 3}] * 2
    assert [len(peer.branches) for peer in world.peers.values()] == [2, 2]


def test_a_fifth_branch_is_refused_with_evidence_and_a_closing_lets_it_in(ceremony):
    base = filled(ceremony, 1)
    copies = [base.fork() for _ in range(BRANCHES_MAX + 1)]
    names = [f"branch {number}" for number in range(BRANCHES_MAX + 1)]
    world = split(ceremony, "ada", "fifth")
    world.store("ada", "item 1", *names)
    world.store("fifth", "item 1", *names)
    peers = [f"home {number}" for number in range(BRANCHES_MAX)]
    homes = split(ceremony, *peers)
    world.peers |= homes.peers
    for copy, name, home in zip(copies, names, [*peers, "fifth"], strict=True):
        publish(copy, name, 2)
        world.store(home, "item 1", name)
        assert world.submit(home, copy) == ""
    for home in peers:
        world.join("ada", home)
    world.wait(120)
    assert world["ada"].visible == [*names[:BRANCHES_MAX], "item 1"]

    world.join("ada", "fifth")
    world.wait(120)
    assert world["ada"].visible == [*names[:BRANCHES_MAX], "item 1"]
    assert disputes(world, ceremony)[0] == {base.writer.hex(): 2}
    assert world["ada"].blames == []

    closing = ceremony.first.closing("laptop", last_head(copies[-1]), by=BY)
    world.publish_root("ada", ceremony.catalogue, closing.raw)
    world.wait(120)
    assert world["ada"].visible == [names[-1], "item 1"]
    world.restart("ada")
    assert world["ada"].visible == [names[-1], "item 1"]


def test_a_peer_that_has_the_thiefs_history_alone_asks_for_the_last_good_head(ceremony):
    """What is common to both is not known before: nothing of the log counts until it is here."""
    ours = filled(ceremony, 2)
    stolen = rob(ours, ["item 1"])
    publish(ours, "item 3", 3)
    world = split(ceremony, "ada", "ben")
    world.store("ada", "item 1", "item 2", "item 3")
    world.store("ben", "item 1", "item 2", "the thief's")
    world.submit("ada", ours)
    world.submit("ben", stolen)
    closing = ceremony.first.closing("laptop", last_head(ours), by=BY)
    world.publish_root("ben", ceremony.catalogue, closing.raw)
    assert world["ben"].visible == []

    world.join("ada", "ben")
    world.wait(5)
    assert visible(world) == [["item 1", "item 2", "item 3"]] * 2


def test_evidence_alone_is_kept_passed_on_and_leads_to_both_histories(ceremony):
    ours = filled(ceremony, 1)
    other = log_of(ceremony, "laptop")
    publish(other, "other", 1)
    world = split(ceremony, "ada", "ben")
    world.store("ada", "item 1", "other")
    raw = evidence_of(ours.heads[0], other.heads[0]).raw
    assert raw == evidence_of(other.heads[0], ours.heads[0]).raw
    assert world["ben"].node.judge(raw, world.now()) is None
    world.tell("ben", AnnouncementReceived(PeerId("ada"), raw))
    assert disputes(world, ceremony)[1] == {ours.writer.hex(): 1}
    refusal = world["ben"].node.judge(raw, world.now())
    assert refusal is not None
    assert refusal.verdict is Verdict.IGNORE


def test_forged_evidence_is_rejected_and_blamed(ceremony):
    ours = filled(ceremony, 1)
    forged = altered(ours.heads[0], log_of(ceremony, "pipeline").key, issued=ISSUED + 1)
    raw = evidence_of(ours.heads[0], forged).raw
    world = split(ceremony, "ada")
    refusal = world["ada"].node.judge(raw, world.now())
    assert refusal is not None
    assert (refusal.verdict, refusal.check) == (Verdict.REJECT, Check.SIGNATURE)
    world.tell("ada", AnnouncementReceived(PeerId("x"), raw))
    assert [blame.check for blame in world["ada"].blames] == [Check.SIGNATURE]
    assert disputes(world, ceremony) == [{}]


def test_a_head_without_its_history_is_evidence_and_holds_up_nothing(ceremony):
    """A thief gossips a head of which nobody can give the entries; the owner goes on."""
    ours = filled(ceremony, 2)
    lonely = altered(ours.heads[1], ours.key, issued=ISSUED + 1, prev=sha256(b"nowhere"))
    world = split(ceremony, "ada", "ben")
    world.store("ada", "item 1", "item 2", "item 3")
    world.submit("ada", ours)
    world.join("ada", "ben")
    world.wait(5)
    world.tell("ben", HeadsReceived(PeerId("ada"), (lonely,)))
    world.cut("ada", "ben")
    publish(ours, "item 3", 3)
    world.submit("ada", ours)
    world.join("ada", "ben")
    world.wait(120)
    assert visible(world) == [["item 1", "item 2", "item 3"]] * 2
    assert disputes(world, ceremony) == [{ours.writer.hex(): 2}] * 2


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_l_50_up_to_four_branches_every_peer_comes_to_the_same_state(data):
    """Random trees of heads, first told to different peers; then all meet, and some restart."""
    ceremony = Ceremony(BOARD, ("laptop", "pipeline"))
    copies = [log_of(ceremony, "laptop")]
    clock = 0
    for number in range(data.draw(st.integers(2, 14))):
        if len(copies) < BRANCHES_MAX and data.draw(st.booleans()):
            copies.append(data.draw(st.sampled_from(copies)).fork())
        copy = data.draw(st.sampled_from(copies))
        clock += 1
        if clock > 2 and data.draw(st.booleans()):
            gone = f"s {data.draw(st.integers(1, clock - 1))}"
            copy.publish(
                ItemsRemoved(clock, "ortho", (gone,), Reason.ERROR, None), issued=ISSUED + number
            )
        else:
            copy.publish(segment(clock, named(f"s {clock}")), issued=ISSUED + number)
    homes = [f"p{number}" for number in range(len(copies))]
    world = split(ceremony, *homes)
    everything = [f"s {number}" for number in range(1, clock + 1)]
    for home, copy in zip(homes, copies, strict=True):
        world.store(home, *everything)
        if copy.heads:
            assert world.submit(home, copy) == ""
    if data.draw(st.booleans()):
        world.restart(homes[-1])
    world.join(*homes)
    world.wait(120)

    assert len({tuple(shown) for shown in visible(world)}) == 1
    log = LogId(ceremony.catalogue, copies[0].writer)
    every = {raw for copy in copies for raw in copy.heads}
    assert histories(world, log) == [every] * len(homes)
    assert len({str(each) for each in disputes(world, ceremony)}) == 1
    closed = data.draw(st.sampled_from([copy for copy in copies if copy.heads]))
    root = ceremony.first.closing("laptop", last_head(closed), by=BY)
    world.publish_root(homes[0], ceremony.catalogue, root.raw)
    world.wait(60)
    alone = split(ceremony, "alone")
    alone.store("alone", *everything)
    assert alone.submit("alone", closed) == ""
    assert visible(world) == [alone["alone"].visible] * len(homes)
