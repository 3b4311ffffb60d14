"""How a peer stands, as it is shown: by what its logs and roots really hold."""

from __future__ import annotations

from dataclasses import replace

from meshnode.core.effects import IndexSegment
from meshnode.core.entries import CollectionAdded, ObjectRef, Reason, SegmentRemoved
from meshnode.core.events import Followed, ObjectStored, SegmentRefused, StorageFailed, Unfollowed
from meshnode.core.freshness import Freshness
from meshnode.core.identifiers import CatalogueId, sha256
from meshnode.core.names import Ticket
from meshnode.core.overview import CatalogueOverview
from tests.core.institutions import ISSUED, Institution, content, segment
from tests.core.solo import Solo, following, holding, institution


def seen(solo: Solo, made: Institution) -> CatalogueOverview:
    overview = solo.node.describe(made.catalogue)
    assert overview is not None
    assert overview in solo.node.overview().catalogues
    return overview


def test_a_catalogue_is_shown_with_what_counts() -> None:
    ville = institution(2)
    document = ObjectRef(sha256(b"document"), 8)
    ville.log.publish(CollectionAdded(3, "ortho", document))
    ville.log.publish(SegmentRemoved(4, "ortho", sha256(content("1")), Reason.ERROR))
    overview = seen(holding(ville), ville)
    assert (overview.id, overview.followed, overview.clock) == (ville.catalogue, True, 4)
    assert (overview.roots, overview.rivals, overview.root) == ((ville.raw_root,), (), ville.root)
    assert overview.collections == (("ortho", document),)
    assert [ref.digest for ref in overview.segments] == [sha256(content("2"))]
    assert overview.payloads == ()


def test_every_writer_of_the_root_is_shown_with_his_log_or_an_empty_one() -> None:
    ville = Institution("Ville", ("ours", "theirs"))
    ours, theirs = ville.logs
    ours.publish(segment(5))
    shown, empty = seen(holding(ville), ville).logs
    assert (shown.writer, shown.label) == (ours.writer, "ours")
    assert (shown.seq, shown.size, shown.clock, shown.head) == (1, 1, 5, ours.heads[0])
    assert (shown.disputed_since, shown.next_by) == (None, None)
    assert (empty.writer, empty.label) == (theirs.writer, "theirs")
    assert (empty.seq, empty.size, empty.clock, empty.head) == (0, 0, 0, None)


def test_a_catalogue_whose_root_is_not_known_yet_is_empty_and_says_nothing_of_freshness() -> None:
    catalogue = CatalogueId(sha256(b"some"))
    solo = Solo()
    solo.tell(Followed(Ticket(0), catalogue))
    [overview] = solo.node.overview().catalogues
    assert (overview.roots, overview.rivals, overview.root, overview.logs) == ((), (), None, ())
    assert overview.freshness(1 << 40) == ()


def test_what_is_overdue_is_told_by_the_root_and_by_what_the_writers_meant_to_sign() -> None:
    ville = institution(1)
    overview = seen(holding(ville), ville)
    assert overview.freshness(ville.root.review_by) == (Freshness.CURRENT,)
    assert overview.freshness(ville.root.review_by + 1) == (Freshness.STALE,)
    promised = replace(overview, logs=(replace(overview.logs[0], next_by=ISSUED - 1),))
    assert promised.freshness(ISSUED) == (Freshness.FROZEN,)


def test_the_peer_says_what_it_still_has_to_do_and_what_it_refused() -> None:
    ville = institution(2)
    solo = holding(ville)
    assert solo.node.overview().backlog == 2
    solo.tell(ObjectStored(sha256(content("1"))))
    ref = solo.the(IndexSegment).ref
    solo.tell(SegmentRefused(ref, "a column is missing"))
    overview = solo.node.overview()
    assert overview.backlog == 1
    assert [(refused.ref, refused.reason) for refused in overview.refused] == [
        (ref, "a column is missing")
    ]
    assert overview.read_only == ""


def test_a_read_only_peer_says_why() -> None:
    solo = following(institution())
    solo.tell(StorageFailed("no space left on device"))
    assert solo.node.overview().read_only == "no space left on device"


def test_only_followed_catalogues_are_listed() -> None:
    ville = institution(1)
    solo = holding(ville)
    solo.tell(Unfollowed(Ticket(1), ville.catalogue))
    assert solo.node.overview().catalogues == ()
    overview = solo.node.describe(ville.catalogue)
    assert overview is not None
    assert not overview.followed
