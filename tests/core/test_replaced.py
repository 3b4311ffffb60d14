"""Segments that were replaced when items were withdrawn: their bytes go, the other rows stay."""

import pytest

from meshnode.core.entries import ItemName, ItemsRemoved, Reason
from meshnode.core.identifiers import sha256
from tests.core.ceremonies import Ceremony, Signers
from tests.core.federation import Federation, named
from tests.core.institutions import LogCopy, content, segment
from tests.core.test_closings import log_of
from tests.core.test_erasure import ERASED_AFTER_SECONDS, purge_of

OLD, NEW = sha256(content("old")), sha256(content("new"))


@pytest.fixture
def ceremony() -> Ceremony:
    return Ceremony(Signers(("alice",), threshold=1), ("laptop",))


@pytest.fixture
def laptop(ceremony: Ceremony) -> LogCopy:
    return log_of(ceremony, "laptop")


@pytest.fixture
def world(ceremony: Ceremony, laptop: LogCopy) -> Federation:
    """Two peers; `old` was replaced by `new` in the head that withdrew an item of it."""
    world = Federation("ada", "ben")
    world.follow(ceremony.catalogue, ceremony.first.raw)
    world.join("ada", "ben")
    world.store("ada", "old", "new")
    laptop.publish(segment(1, named("old")))
    assert world.submit("ada", laptop) == ""
    world.wait(5)
    return world


def withdraw(world: Federation, laptop: LogCopy, reason: Reason) -> None:
    withdrawal = ItemsRemoved(2, "ortho", ("person",), reason, None)
    laptop.publish(withdrawal, segment(3, named("new"), replaces=["old"]))
    assert world.submit("ada", laptop) == ""
    world.wait(5)
    assert world["ben"].visible == ["new"]


def test_l_63_a_segment_that_was_replaced_when_an_item_was_withdrawn_is_served_to_nobody(
    world: Federation, laptop: LogCopy
) -> None:
    withdraw(world, laptop, Reason.PRIVACY)
    for peer in world.peers.values():
        assert peer.node.withholds(OLD)
        assert not peer.node.withholds(NEW)


def test_l_64_it_is_erased_with_what_is_withdrawn(world: Federation, laptop: LogCopy) -> None:
    withdraw(world, laptop, Reason.PRIVACY)
    world.skip(ERASED_AFTER_SECONDS - 60)
    assert OLD in world["ben"].objects
    world.skip(120)
    assert OLD not in world["ben"].objects
    assert NEW in world["ben"].objects


def test_l_65_a_purge_erases_it_at_once(
    world: Federation, ceremony: Ceremony, laptop: LogCopy
) -> None:
    withdraw(world, laptop, Reason.PRIVACY)
    purge = purge_of(ceremony.catalogue, items=(ItemName("ortho", "person"),), by=("alice",))
    world.publish_root("ada", ceremony.catalogue, purge)
    world.wait(5)
    for peer in world.peers.values():
        assert OLD not in peer.objects
        assert NEW in peer.objects


def test_for_an_ordinary_reason_it_stays(world: Federation, laptop: LogCopy) -> None:
    withdraw(world, laptop, Reason.ERROR)
    world.skip(2 * ERASED_AFTER_SECONDS)
    assert OLD in world["ben"].objects
    assert not world["ben"].node.withholds(OLD)
