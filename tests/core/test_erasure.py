"""Withdrawal by reason: what is served to nobody, and when it is erased."""

from dataclasses import replace

import pytest

from meshnode.core.effects import PurgeItems, PurgeObject, PurgePayload, StopPayload
from meshnode.core.entries import (
    InfoHash,
    ItemName,
    ItemsRemoved,
    ObjectRef,
    PayloadAdded,
    PayloadRemoved,
    Reason,
    SegmentRemoved,
)
from meshnode.core.events import Event, ObjectStored
from meshnode.core.identifiers import CatalogueId, Digest, sha256
from meshnode.core.notices import notice_of
from meshnode.core.purges import Purge, encode_purge
from meshnode.core.roots import LastHead
from meshnode.core.signed import encode_signed
from meshnode.core.signing import sign
from meshnode.core.verdicts import Check, Verdict
from tests.core.ceremonies import Ceremony, Signers
from tests.core.federation import Federation, named
from tests.core.institutions import ISSUED, LogCopy, content, key_of, segment
from tests.core.test_closings import last_head, log_of

BOARD = Signers(("alice", "bob"), threshold=2)
BY = ["alice", "bob"]
ERASED_AFTER_SECONDS = 7 * 86_400
ORDINARY = [Reason.RETIRED, Reason.SUPERSEDED, Reason.ERROR, Reason.DUPLICATE]
ERASING = [Reason.PRIVACY, Reason.LEGAL, Reason.LICENCE]
ONE = sha256(content("one"))
FILES, TORRENT, KEY = (sha256(text) for text in (b"files", b"torrent", b"key"))


@pytest.fixture
def ceremony() -> Ceremony:
    return Ceremony(BOARD, ("laptop",))


@pytest.fixture
def laptop(ceremony: Ceremony) -> LogCopy:
    log = log_of(ceremony, "laptop")
    for clock, name in enumerate(("one", "two"), 1):
        log.publish(segment(clock, named(name)))
    return log


@pytest.fixture
def world(ceremony: Ceremony, laptop: LogCopy) -> Federation:
    world = Federation("ada", "ben")
    world.follow(ceremony.catalogue, ceremony.first.raw)
    world.join("ada", "ben")
    world.store("ada", "one", "two")
    assert world.submit("ada", laptop) == ""
    world.wait(5)
    assert world["ben"].visible == ["one", "two"]
    return world


def removed(clock: int, reason: Reason) -> SegmentRemoved:
    return SegmentRemoved(clock, "ortho", ONE, reason)


def payload(clock: int) -> PayloadAdded:
    return PayloadAdded(
        clock=clock,
        collection="ortho",
        key=KEY,
        files=ObjectRef(FILES, 5),
        size_bytes=1,
        piece_size_bytes=16_384,
        infohash=InfoHash(KEY, None),
        torrent=ObjectRef(TORRENT, 7),
        mirrors=(),
        risk=0,
    )


def withdraw(world: Federation, log: LogCopy, *entries: Event | object) -> None:
    log.publish(*entries)  # type: ignore[arg-type]
    assert world.submit("ada", log) == ""
    world.wait(5)


def purge_of(
    catalogue: CatalogueId,
    *,
    objects: tuple[Digest, ...] = (),
    items: tuple[ItemName, ...] = (),
    by: tuple[str, ...] = ("alice", "bob"),
    version: int = 1,
) -> bytes:
    purge = Purge(catalogue, version, Reason.PRIVACY, ISSUED, objects, items)
    return encode_signed(sign("purge", encode_purge(purge), [key_of(name) for name in by]))


@pytest.mark.parametrize("reason", ORDINARY)
def test_l_62_for_an_ordinary_reason_the_bytes_are_served_and_stay(world, laptop, reason):
    withdraw(world, laptop, removed(3, reason))
    world.skip(2 * ERASED_AFTER_SECONDS)
    for peer in world.peers.values():
        assert peer.visible == ["two"]
        assert ONE in peer.objects
        assert not peer.node.withholds(ONE)


@pytest.mark.parametrize("reason", ERASING)
def test_l_63_for_another_reason_the_bytes_are_served_to_nobody_and_erased_in_seven_days(
    world, laptop, reason
):
    withdraw(world, laptop, removed(3, reason))
    for peer in world.peers.values():
        assert peer.visible == ["two"]
        assert peer.node.withholds(ONE)
    world.skip(ERASED_AFTER_SECONDS - 60)
    assert ONE in world["ada"].objects
    assert ONE in world["ben"].objects
    world.skip(120)
    for peer in world.peers.values():
        assert ONE not in peer.objects
        assert sha256(content("two")) in peer.objects


def test_the_wait_counts_from_when_this_peer_stored_the_entry_across_restarts(world, laptop):
    withdraw(world, laptop, removed(3, Reason.PRIVACY))
    world.skip(ERASED_AFTER_SECONDS - 60)
    world.restart("ben")
    assert ONE in world["ben"].objects
    world.skip(120)
    assert ONE not in world["ben"].objects


def test_what_fell_due_while_a_peer_was_off_is_erased_when_it_starts(world, laptop):
    withdraw(world, laptop, removed(3, Reason.PRIVACY))
    world.seconds += 2 * ERASED_AFTER_SECONDS
    world.restart("ben")
    assert ONE not in world["ben"].objects


def test_a_closing_before_the_seven_days_are_over_saves_the_bytes(world, ceremony, laptop):
    good = last_head(laptop)
    withdraw(world, laptop, removed(3, Reason.PRIVACY))
    world.skip(ERASED_AFTER_SECONDS - 60)
    closing = ceremony.first.closing("laptop", good, by=BY)
    world.publish_root("ada", ceremony.catalogue, closing.raw)
    world.skip(2 * ERASED_AFTER_SECONDS)
    for peer in world.peers.values():
        assert peer.visible == ["one", "two"]
        assert ONE in peer.objects
        assert not peer.node.withholds(ONE)


def test_the_same_bytes_published_again_are_served_again(world, laptop):
    withdraw(world, laptop, removed(3, Reason.PRIVACY))
    withdraw(world, laptop, segment(4, "one"))
    world.skip(2 * ERASED_AFTER_SECONDS)
    for peer in world.peers.values():
        assert peer.visible == ["one", "two"]
        assert not peer.node.withholds(ONE)


def test_bytes_that_another_catalogue_counts_are_served_and_stay(world, laptop):
    other = Ceremony(Signers(("other board",)), ("other",))
    log = log_of(other, "other")
    log.publish(segment(1, "one"))
    world.follow(other.catalogue, other.first.raw)
    assert world.submit("ada", log) == ""
    withdraw(world, laptop, removed(3, Reason.LICENCE))
    world.skip(2 * ERASED_AFTER_SECONDS)
    for peer in world.peers.values():
        assert ONE in peer.objects
        assert not peer.node.withholds(ONE)


def test_items_are_sealed_at_once_and_their_rows_and_segments_erased_when_due(
    world, ceremony, laptop
):
    withdraw(world, laptop, ItemsRemoved(3, "ortho", ("one",), Reason.PRIVACY, None))
    assert world["ben"].visible == ["two"]
    assert world["ben"].erased == []
    world.skip(ERASED_AFTER_SECONDS)
    due = PurgeItems(ceremony.catalogue, "ortho", ("one",), 3)
    assert world["ben"].erased == [due]
    assert ONE not in world["ben"].node.replica.objects
    world.restart("ben")
    assert world["ben"].erased == [due, due]


def test_rows_that_come_after_they_were_erased_are_erased_again(world, ceremony, laptop):
    withdraw(world, laptop, ItemsRemoved(3, "ortho", ("three",), Reason.PRIVACY, None))
    world.skip(ERASED_AFTER_SECONDS)
    before = len(world["ben"].erased)
    world.store("ada", "three")
    withdraw(world, laptop, segment(4, "three"))
    assert len(world["ben"].erased) == before + 1


def test_a_withdrawn_payload_is_stopped_at_once_and_erased_when_due(world, laptop):
    for digest in (FILES, TORRENT):
        world.tell("ada", ObjectStored(digest))
    withdraw(world, laptop, payload(3))
    withdraw(world, laptop, PayloadRemoved(4, "ortho", KEY, Reason.LEGAL))
    ben = world["ben"]
    assert ben.erased == [StopPayload(KEY)]
    assert all(ben.node.withholds(name) for name in (KEY, FILES, TORRENT))
    world.skip(ERASED_AFTER_SECONDS)
    assert PurgePayload(KEY) in ben.erased
    assert FILES not in ben.objects
    assert TORRENT not in ben.objects


def test_a_withdrawn_payload_that_another_catalogue_counts_is_not_stopped(world, laptop):
    other = Ceremony(Signers(("other board",)), ("other",))
    log = log_of(other, "other")
    log.publish(payload(1))
    world.follow(other.catalogue, other.first.raw)
    assert world.submit("ada", log) == ""
    withdraw(world, laptop, payload(3))
    withdraw(world, laptop, PayloadRemoved(4, "ortho", KEY, Reason.LEGAL))
    world.skip(2 * ERASED_AFTER_SECONDS)
    assert world["ada"].erased == []
    assert not world["ada"].node.withholds(KEY)


# --- Purges ---------------------------------------------------------------------------------------
def test_a_purge_erases_at_once_hides_and_is_not_fetched_again(world, ceremony):
    world.publish_root("ada", ceremony.catalogue, purge_of(ceremony.catalogue, objects=(ONE,)))
    for peer in world.peers.values():
        assert peer.visible == ["two"]
        assert ONE not in peer.objects
        assert peer.node.withholds(ONE)
    world.restart("ben")
    world.wait(60)
    assert ONE not in world["ben"].objects


def test_a_purge_reaches_a_peer_that_was_away(world, ceremony):
    world.cut("ada", "ben")
    world.publish_root("ada", ceremony.catalogue, purge_of(ceremony.catalogue, objects=(ONE,)))
    assert ONE in world["ben"].objects
    world.join("ada", "ben")
    assert ONE not in world["ben"].objects


def test_a_purge_of_items_does_not_wait_for_the_seven_days(world, ceremony, laptop):
    withdraw(world, laptop, ItemsRemoved(3, "ortho", ("one", "two"), Reason.PRIVACY, None))
    purge = purge_of(ceremony.catalogue, items=(ItemName("ortho", "one"),))
    world.publish_root("ada", ceremony.catalogue, purge)
    only = PurgeItems(ceremony.catalogue, "ortho", ("one",), 3)
    assert world["ben"].erased == [only]
    world.skip(ERASED_AFTER_SECONDS)
    assert world["ben"].erased == [only, replace(only, ids=("one", "two"))]


def test_a_purge_counts_while_its_root_is_the_newest(world, ceremony):
    world.publish_root("ada", ceremony.catalogue, purge_of(ceremony.catalogue, objects=(ONE,)))
    later = ceremony.first.then(by=BY, meta={"title": "later"})
    world.publish_root("ada", ceremony.catalogue, later.raw)
    assert not world["ben"].node.withholds(ONE)
    again = purge_of(ceremony.catalogue, objects=(ONE,), version=2)
    world.publish_root("ada", ceremony.catalogue, again)
    assert world["ben"].node.withholds(ONE)


def test_a_purge_that_too_few_signed_is_refused_and_blamed(world, ceremony):
    forged = purge_of(ceremony.catalogue, objects=(ONE,), by=("alice", "thief"))
    notice = notice_of(ceremony.catalogue, forged)
    refusal = world["ada"].node.judge(notice, world.now())
    assert refusal is not None
    assert (refusal.verdict, refusal.check) == (Verdict.REJECT, Check.ROOT)
    world.publish_root("ada", ceremony.catalogue, forged)
    assert "too few keys" in world["ada"].answers[-1].refusal
    assert ONE in world["ada"].objects


def test_a_purge_by_a_root_that_is_not_held_says_nothing(world, ceremony):
    unknown = notice_of(ceremony.catalogue, purge_of(ceremony.catalogue, objects=(ONE,), version=9))
    refusal = world["ada"].node.judge(unknown, world.now())
    assert refusal is not None
    assert refusal.verdict is Verdict.IGNORE


def test_a_purge_of_another_catalogue_is_refused(world, ceremony):
    other = Ceremony(BOARD, ("else",))
    world.publish_root("ada", ceremony.catalogue, purge_of(other.catalogue, objects=(ONE,)))
    assert "another catalogue" in world["ada"].answers[-1].refusal


def test_a_closing_after_the_erasure_fetches_the_bytes_from_who_still_has_them(
    world, ceremony, laptop
):
    good = last_head(laptop)
    assert isinstance(good, LastHead)
    withdraw(world, laptop, removed(3, Reason.PRIVACY))
    world.skip(ERASED_AFTER_SECONDS)
    assert ONE not in world["ben"].objects
    world["ada"].objects[ONE] = None  # from a disk that was not connected
    world.tell("ada", ObjectStored(ONE))
    closing = ceremony.first.closing("laptop", good, by=BY)
    world.publish_root("ada", ceremony.catalogue, closing.raw)
    world.wait(60)
    assert world["ben"].visible == ["one", "two"]


def test_rows_of_another_collection_or_kind_ask_for_no_second_erasure(world, ceremony, laptop):
    withdraw(
        world,
        laptop,
        removed(3, Reason.PRIVACY),
        ItemsRemoved(4, "census", ("three",), Reason.PRIVACY, None),
    )
    world.skip(ERASED_AFTER_SECONDS)
    before = list(world["ben"].erased)
    world.store("ada", "three")
    withdraw(world, laptop, segment(5, "three"))
    assert "three" in world["ben"].visible
    assert world["ben"].erased == before


def test_what_is_purged_here_stays_while_another_catalogue_counts_it(world, ceremony):
    other = Ceremony(Signers(("other board",)), ("other",))
    log = log_of(other, "other")
    log.publish(segment(1, "one"))
    world.follow(other.catalogue, other.first.raw)
    assert world.submit("ada", log) == ""
    world.wait(5)
    world.publish_root("ada", ceremony.catalogue, purge_of(ceremony.catalogue, objects=(ONE,)))
    world.wait(5)
    for peer in world.peers.values():
        assert ONE in peer.objects
        assert [key.catalogue for key in peer.segments if key.digest == ONE] == [other.catalogue]
        assert peer.erased == []


def test_a_segment_that_counts_no_more_goes_with_the_items_that_it_may_hold(world, laptop):
    items = ItemsRemoved(4, "ortho", ("one",), Reason.PRIVACY, None)
    withdraw(world, laptop, removed(3, Reason.RETIRED), items)
    assert ONE in world["ben"].objects
    world.skip(ERASED_AFTER_SECONDS)
    for peer in world.peers.values():
        assert ONE not in peer.objects
        assert sha256(content("two")) in peer.objects


def test_a_segment_that_is_newer_than_the_withdrawal_or_counted_elsewhere_stays(world, laptop):
    other = Ceremony(Signers(("other board",)), ("other",))
    log = log_of(other, "other")
    log.publish(segment(1, "one"))
    world.follow(other.catalogue, other.first.raw)
    assert world.submit("ada", log) == ""
    withdraw(
        world,
        laptop,
        ItemsRemoved(3, "ortho", ("one",), Reason.PRIVACY, None),
        segment(4, named("newer")),
        removed(5, Reason.RETIRED),
    )
    world.store("ada", "newer")
    world.wait(5)
    gone = SegmentRemoved(6, "ortho", sha256(content("newer")), Reason.RETIRED)
    withdraw(world, laptop, gone)
    world.skip(ERASED_AFTER_SECONDS)
    for peer in world.peers.values():
        assert sha256(content("newer")) in peer.objects
        assert PurgeObject(ONE) not in peer.erased
