"""What one node does with each event: whom it asks and blames, what it refuses and restores."""

from __future__ import annotations

from dataclasses import replace

import pytest

from meshnode.core.durable import AdoptRoot, ExtendLog, Restored, SetFollowed, StoredLog
from meshnode.core.effects import (
    Announce,
    AskHeads,
    AskLog,
    AskRoots,
    DropSegment,
    FetchObject,
    ForgetCatalogue,
    IndexSegment,
)
from meshnode.core.entries import Reason, SegmentRemoved
from meshnode.core.events import (
    AnnouncementReceived,
    Followed,
    HeadsReceived,
    LogReceived,
    ObjectLost,
    ObjectStored,
    PeerConnected,
    PeerDisconnected,
    RequestFailed,
    RootsReceived,
    SegmentIndexed,
    SegmentRefused,
    StorageFailed,
    Unfollowed,
)
from meshnode.core.exchange import AskHello, HelloReceived
from meshnode.core.gossip import CLOCK_SKEW_SECONDS_MAX
from meshnode.core.heads import (
    AnnouncedHead,
    Announcement,
    decode_signed_head,
    encode_announcement,
)
from meshnode.core.identifiers import CatalogueId, Digest, PeerId, sha256
from meshnode.core.names import RootName, SegmentKey, Ticket
from meshnode.core.roots import LastHead
from meshnode.core.verdicts import Check
from meshnode.errors import StorageError
from tests.core.ceremonies import Version
from tests.core.institutions import ISSUED, Institution, altered, content, key_of, segment
from tests.core.solo import (
    A,
    B,
    Solo,
    answer,
    following,
    holding,
    institution,
    log_of,
    submitted,
)


def told_of(made: Institution, *peers: PeerId) -> tuple[Solo, AskLog]:
    """Return a node that was told of the newest head, and what it asks of whom."""
    solo = following(made, *peers)
    solo.tell(HeadsReceived(peers[0], (made.log.heads[-1],)))
    return solo, solo.the(AskLog)


# --- Heads ----------------------------------------------------------------------------------------
def test_a_head_that_is_news_is_asked_for_from_who_told_of_it() -> None:
    ville = institution()
    _, asked = told_of(ville, A, B)
    newest = decode_signed_head(ville.log.heads[-1]).name
    assert asked == AskLog(A, log_of(ville), newest, known=(), attempt=asked.attempt)


@pytest.mark.parametrize(
    ("spoil", "check"),
    [
        (lambda raw: b"no head", Check.ENCODING),
        (lambda raw: altered(raw, key_of("thief")), Check.SIGNATURE),
    ],
    ids=["malformed", "forged"],
)
def test_a_bad_head_is_blamed_on_who_told_it_and_nothing_after_it_is_read(spoil, check) -> None:
    ville = institution()
    solo = following(ville, A)
    solo.tell(HeadsReceived(A, (spoil(ville.log.heads[0]), ville.log.heads[1])))
    assert solo.blames() == [(A, check)]
    assert solo.of(AskLog) == []


def test_a_head_that_names_a_root_not_held_leads_to_a_question_about_roots() -> None:
    ville = institution(1)
    solo = following(ville, A, B)
    later = altered(ville.log.heads[0], ville.log.key, root_version=2)
    solo.tell(HeadsReceived(B, (later,)))
    assert solo.blames() == []
    asked = solo.the(AskRoots)
    assert (asked.peer, asked.catalogue, asked.after) == (B, ville.catalogue, 1)


def test_heads_of_a_catalogue_that_is_followed_no_more_lead_to_no_question() -> None:
    ville = institution()
    solo = following(ville, A)
    solo.tell(Unfollowed(Ticket(1), ville.catalogue))
    later = altered(ville.log.heads[0], ville.log.key, root_version=2)
    solo.tell(HeadsReceived(A, (ville.log.heads[0], later)))
    assert solo.effects == []


def test_a_head_from_the_future_waits() -> None:
    ville = institution(0)
    ville.log.publish(segment(1), issued=ISSUED + CLOCK_SKEW_SECONDS_MAX + 10)
    solo = following(ville, A)
    told = HeadsReceived(A, tuple(ville.log.heads))
    solo.tell(told)
    assert solo.of(AskLog) == []
    solo.seconds = 10.0
    solo.tell(told)
    assert solo.the(AskLog).peer == A


def test_a_failed_question_about_heads_costs_nothing_and_is_asked_again() -> None:
    ville = institution()
    solo = following(ville, A)
    solo.tell(HelloReceived(A, solo.the(AskHello).attempt, None))
    asked = AskHeads(A, (ville.catalogue,))
    assert solo.of(AskHeads) == [asked]
    assert solo.tell(RequestFailed(asked, "no answer in time")) == []
    assert solo.next(AskHeads) == asked


def test_a_malformed_announcement_is_blamed_on_its_forwarder() -> None:
    ville = institution()
    solo = following(ville, A)
    solo.tell(AnnouncementReceived(A, b"no announcement"))
    assert solo.blames() == [(A, Check.ENCODING)]


def announcement(raw_head: bytes) -> bytes:
    head = AnnouncedHead(decode_signed_head(raw_head).signed, 0, ())
    return encode_announcement(Announcement((head,)))


def test_a_forged_head_in_an_announcement_is_blamed_on_its_forwarder() -> None:
    ville = institution()
    solo = following(ville, A)
    forged = altered(ville.log.heads[0], key_of("thief"))
    solo.tell(AnnouncementReceived(A, announcement(forged)))
    assert solo.blames() == [(A, Check.SIGNATURE)]
    assert solo.of(AskLog) == []


def test_another_head_of_a_seq_that_is_held_is_a_dispute_and_nobodys_fault() -> None:
    ville = institution()
    solo = holding(ville, A)
    other = altered(ville.log.heads[1], ville.log.key, issued=ISSUED + 1)
    solo.tell(AnnouncementReceived(A, announcement(other)))
    assert solo.blames() == []
    overview = solo.node.describe(ville.catalogue)
    assert overview is not None
    assert [log.disputed_since for log in overview.logs] == [2]


# --- Logs -----------------------------------------------------------------------------------------
def test_a_log_that_was_asked_for_is_adopted_and_its_objects_are_asked_of_the_same_peer() -> None:
    ville = institution()
    solo, _ = told_of(ville, A, B)
    solo.tell(answer(A, log_of(ville), ville.log))
    assert [seq for seq, _ in solo.the(ExtendLog).heads] == [1, 2, 3]
    assert [(fetch.peer, fetch.digest) for fetch in solo.of(FetchObject)] == [
        (A, sha256(content(str(number))))
        for number in (3, 2, 1)  # the newest first
    ]


def test_a_log_that_was_not_asked_of_this_peer_is_not_even_read() -> None:
    ville = institution()
    solo, _ = told_of(ville, A, B)
    assert solo.tell(answer(B, log_of(ville), ville.log)) == []
    assert solo.tell(LogReceived(B, log_of(ville), (b"no head",), 0, ())) == []


@pytest.mark.parametrize(
    ("spoil", "check"),
    [
        (lambda told: replace(told, heads=(b"no head",)), Check.ENCODING),
        (lambda told: replace(told, entries=told.entries[::-1]), Check.TREE),
    ],
    ids=["a malformed head", "entries in another order"],
)
def test_a_wrong_log_is_blamed_and_another_peer_is_asked(spoil, check) -> None:
    ville = institution()
    solo, _ = told_of(ville, A, B)
    solo.tell(spoil(answer(A, log_of(ville), ville.log)))
    assert solo.blames() == [(A, check)]
    assert solo.of(ExtendLog) == []
    assert solo.next(AskLog).peer == B


def test_a_head_of_another_log_in_the_answer_is_blamed() -> None:
    ville = Institution("Ville", ("ours", "theirs"))
    ours, theirs = ville.logs
    ours.publish(segment(1))
    theirs.publish(segment(2))
    solo = following(ville, A)
    solo.tell(HeadsReceived(A, (ours.heads[0],)))
    solo.tell(answer(A, log_of(ville, ours), theirs))
    assert solo.blames() == [(A, Check.CHAIN)]


def test_an_answer_that_brings_nothing_is_nobodys_fault_and_another_peer_is_asked() -> None:
    ville = institution()
    solo, _ = told_of(ville, A, B)
    solo.tell(answer(A, log_of(ville), ville.log, heads=0))
    assert solo.blames() == []
    assert solo.next(AskLog).peer == B


def test_heads_are_taken_up_to_the_first_that_cannot_count_yet() -> None:
    ville = institution(1)
    ville.log.publish(segment(2), root_version=2)
    ville.log.publish(segment(3), root_version=2)
    solo = following(ville, A)
    solo.tell(HeadsReceived(A, (ville.log.heads[0],)))
    solo.tell(answer(A, log_of(ville), ville.log))
    assert solo.blames() == []
    assert [seq for seq, _ in solo.the(ExtendLog).heads] == [1]


def test_heads_are_taken_up_to_the_first_from_the_future() -> None:
    ville = institution(1)
    ville.log.publish(segment(2), issued=ISSUED + CLOCK_SKEW_SECONDS_MAX + 1)
    solo = following(ville, A)
    solo.tell(HeadsReceived(A, (ville.log.heads[0],)))
    solo.tell(answer(A, log_of(ville), ville.log))
    assert [seq for seq, _ in solo.the(ExtendLog).heads] == [1]


def test_another_branch_is_taken_in_and_disputed_and_nobody_is_blamed() -> None:
    ville = institution(2)
    solo = holding(ville, A)
    fork = institution(1).log
    for number in (7, 8, 9):
        fork.publish(segment(number), issued=ISSUED + 1)
    solo.tell(HeadsReceived(A, (fork.heads[-1],)))
    solo.tell(answer(A, log_of(ville), fork))
    assert solo.blames() == []
    branch = solo.the(ExtendLog)
    assert (branch.branch, branch.first, [seq for seq, _ in branch.heads]) == (1, 1, [2, 3, 4])
    overview = solo.node.describe(ville.catalogue)
    assert overview is not None
    assert [log.disputed_since for log in overview.logs] == [2]


def test_what_gossip_did_not_bring_is_announced_again_unless_the_log_is_new_here() -> None:
    ville = institution(1)
    solo, _ = told_of(ville, A)
    solo.tell(answer(A, log_of(ville), ville.log))
    assert solo.of(Announce) == []
    ville.log.publish(segment(2))
    solo.tell(HeadsReceived(A, (ville.log.heads[1],)))
    solo.tell(LogReceived(A, log_of(ville), (ville.log.heads[1],), 0, tuple(ville.log.entries)))
    assert len(solo.of(Announce)) == 1


def test_a_failed_log_is_asked_of_another_peer_and_a_fault_is_blamed() -> None:
    ville = institution()
    solo, asked = told_of(ville, A, B)
    solo.tell(RequestFailed(asked, "a frame too long", Check.FRAME))
    assert solo.blames() == [(A, Check.FRAME)]
    assert solo.next(AskLog).peer == B


def test_a_late_failure_of_a_former_connection_frees_no_newer_request() -> None:
    ville = institution(1)
    solo, first = told_of(ville, A)
    solo.tell(PeerDisconnected(A))
    solo.tell(PeerConnected(A))
    assert solo.next(AskLog).peer == A
    solo.tell(RequestFailed(first, "the stream broke"))
    solo.wait(20.0)
    assert solo.of(AskLog) == []
    solo.tell(answer(A, log_of(ville), ville.log))
    assert len(solo.of(ExtendLog)) == 1


# --- Roots ----------------------------------------------------------------------------------------
def without_root(*peers: PeerId) -> tuple[Institution, Solo]:
    ville = institution()
    solo = following(ville, with_root=False)
    for peer in peers:
        solo.tell(PeerConnected(peer))
    return ville, solo


def test_the_first_root_is_asked_for_until_it_is_found() -> None:
    ville, solo = without_root(A)
    asked = solo.the(AskRoots)
    assert (asked.peer, asked.catalogue, asked.after) == (A, ville.catalogue, 0)
    solo.tell(RootsReceived(A, ville.catalogue, ()))
    assert solo.blames() == []
    solo.tell(RequestFailed(solo.next(AskRoots), "no answer in time"))
    assert solo.next(AskRoots).peer == A
    solo.tell(RootsReceived(A, ville.catalogue, (ville.raw_root,)))
    assert solo.the(AdoptRoot).raw == ville.raw_root
    assert solo.the(AskHeads).peer == A


@pytest.mark.parametrize(
    ("raw", "check"),
    [(b"no root", Check.ENCODING), (institution(0, "Other").raw_root, Check.ROOT)],
    ids=["malformed", "of another catalogue"],
)
def test_a_wrong_root_is_blamed_and_not_adopted(raw: bytes, check: Check) -> None:
    ville, solo = without_root(A)
    solo.tell(RootsReceived(A, ville.catalogue, (raw,)))
    assert solo.blames() == [(A, check)]
    assert solo.of(AdoptRoot) == []


def test_roots_that_were_not_asked_for_are_not_read() -> None:
    ville, solo = without_root(A)
    assert solo.tell(RootsReceived(B, ville.catalogue, (ville.raw_root,))) == []
    other = CatalogueId(sha256(b"unknown"))
    assert solo.tell(RootsReceived(A, other, (b"no root",))) == []


def test_a_late_failure_of_a_former_question_for_roots_changes_nothing() -> None:
    ville, solo = without_root(A)
    first = solo.the(AskRoots)
    solo.tell(PeerDisconnected(A))
    solo.tell(PeerConnected(A))
    assert solo.next(AskRoots).peer == A
    solo.tell(RequestFailed(first, "the stream broke"))
    solo.tell(RootsReceived(A, ville.catalogue, (ville.raw_root,)))
    assert len(solo.of(AdoptRoot)) == 1


def test_a_later_root_that_cannot_be_had_is_asked_for_no_more_until_it_is_told_again() -> None:
    ville = institution(0)
    newer = Version(ville.root, ville.raw_root).then(by=["Ville root"], meta={"title": "Cité"})
    solo = following(ville, A)
    told = HeadsReceived(A, (), (RootName(ville.catalogue, 2, newer.digest),))
    solo.tell(told)
    asked = solo.the(AskRoots)
    assert asked.after == 1
    solo.tell(RequestFailed(asked, "no answer in time"))
    assert not any(isinstance(e, AskRoots) for _ in range(5) for e in solo.wait(10.0))
    solo.tell(told)
    assert solo.the(AskRoots).after == 1


# --- Objects --------------------------------------------------------------------------------------
def test_a_lost_segment_is_fetched_again_and_not_indexed_twice() -> None:
    ville = institution(1)
    digest = sha256(content("1"))
    solo = holding(ville, A)
    solo.tell(ObjectStored(digest))
    solo.tell(SegmentIndexed(solo.the(IndexSegment).ref))
    solo.tell(ObjectLost(digest))
    assert (solo.the(FetchObject).peer, solo.the(FetchObject).digest) == (A, digest)
    assert solo.of(DropSegment) == []
    assert solo.tell(ObjectStored(digest)) == []


def test_a_segment_that_was_refused_since_its_bytes_were_damaged_is_tried_again() -> None:
    ville = institution(1)
    digest = sha256(content("1"))
    solo = holding(ville, A)
    solo.tell(ObjectStored(digest))
    ref = solo.the(IndexSegment).ref
    solo.tell(SegmentRefused(ref, "damaged"), ObjectLost(digest))
    assert solo.node.overview().refused == ()
    assert solo.the(FetchObject).digest == digest
    solo.tell(ObjectStored(digest))
    assert solo.the(IndexSegment).ref == ref


def test_what_was_withdrawn_so_that_nobody_gets_it_is_not_fetched_again_when_it_is_lost() -> None:
    ville = institution(1)
    digest = sha256(content("1"))
    solo = holding(ville, A)
    solo.tell(ObjectStored(digest))
    ville.log.publish(SegmentRemoved(2, "ortho", digest, Reason.PRIVACY))
    solo.tell(submitted(ville.log))
    solo.tell(ObjectLost(digest))
    assert solo.of(FetchObject) == []
    assert digest not in solo.node.replica.objects


def test_a_failed_fetch_at_fault_is_blamed_and_goes_to_another_peer() -> None:
    ville = institution(1)
    solo, _ = told_of(ville, A, B)
    solo.tell(answer(A, log_of(ville), ville.log))
    solo.tell(RequestFailed(solo.the(FetchObject), "other bytes", Check.CONTENT_HASH))
    assert solo.blames() == [(A, Check.CONTENT_HASH)]
    assert solo.next(FetchObject).peer == B


def test_an_object_is_expected_while_it_is_fetched() -> None:
    ville = institution(1)
    digest = sha256(content("1"))
    solo = holding(ville)
    assert not solo.node.expects(digest)
    solo.tell(PeerConnected(A))
    assert solo.node.expects(digest)
    solo.tell(ObjectStored(digest))
    assert not solo.node.expects(digest)


def test_an_object_is_never_asked_for_twice_at_once_by_a_late_failure() -> None:
    ville = institution(1)
    solo = holding(ville, A)
    first = solo.the(FetchObject)
    solo.tell(PeerDisconnected(A))
    solo.tell(PeerConnected(A))
    assert solo.next(FetchObject).peer == A
    solo.tell(RequestFailed(first, "the stream broke"))
    solo.wait(20.0)
    assert solo.of(FetchObject) == []


# --- The operator ---------------------------------------------------------------------------------
def test_a_catalogue_is_followed_with_nothing_but_its_id() -> None:
    solo = Solo()
    catalogue = CatalogueId(sha256(b"some"))
    solo.tell(Followed(Ticket(1), catalogue))
    assert solo.the(SetFollowed) == SetFollowed(catalogue, followed=True)
    assert solo.refusal() == ""


def test_the_root_of_another_catalogue_is_refused_and_nothing_is_followed() -> None:
    ville, other = institution(), institution(1, "Other")
    solo = Solo()
    solo.tell(Followed(Ticket(1), ville.catalogue, (other.raw_root,)))
    assert "the root is that of" in solo.refusal()
    assert solo.node.followed() == ()


def test_what_is_not_followed_cannot_be_unfollowed() -> None:
    ville = institution()
    solo = Solo()
    solo.tell(Unfollowed(Ticket(1), ville.catalogue))
    assert solo.refusal() == "this catalogue is not followed"
    followed = following(ville)
    followed.tell(Unfollowed(Ticket(1), ville.catalogue))
    assert followed.refusal() == ""
    followed.tell(Unfollowed(Ticket(2), ville.catalogue))
    assert followed.refusal() == "this catalogue is not followed"


def test_unfollowing_ends_all_that_was_asked_for_and_takes_the_rows_away() -> None:
    ville = institution(1)
    solo = holding(ville, A)
    ville.log.publish(segment(2))
    solo.tell(HeadsReceived(A, (ville.log.heads[-1],)))
    solo.tell(Unfollowed(Ticket(1), ville.catalogue))
    assert solo.of(ForgetCatalogue) == [ForgetCatalogue(ville.catalogue)]
    assert solo.node.overview().backlog == 0
    for _ in range(5):
        assert [e for e in solo.wait(40.0) if not isinstance(e, AskHeads)] == []


def test_an_unknown_catalogue_is_not_described() -> None:
    assert Solo().node.describe(CatalogueId(sha256(b"unknown"))) is None


# --- A disk that takes nothing --------------------------------------------------------------------
def test_a_read_only_peer_goes_on_with_its_peers_and_refuses_what_needs_the_disk() -> None:
    ville = institution()
    solo = following(ville, A)
    solo.tell(StorageFailed("no space left on device"))
    assert solo.node.next_deadline() == float("inf")
    solo.tell(PeerConnected(B), PeerDisconnected(A))
    assert solo.effects == []
    assert solo.node.peers.asked() == (B,)
    for asked in (
        Followed(Ticket(1), ville.catalogue),
        Unfollowed(Ticket(2), ville.catalogue),
        submitted(ville.log),
    ):
        solo.tell(asked)
        assert solo.refusal() == "this peer is read-only: no space left on device"
    assert solo.tell(HeadsReceived(B, tuple(ville.log.heads))) == []


# --- Starts ---------------------------------------------------------------------------------------
def stored(made: Institution, **changes: object) -> Restored:
    log = StoredLog(log_of(made), tuple(made.log.heads), tuple(made.log.entries))
    return Restored(
        followed=(made.catalogue,),
        roots=((made.catalogue, (made.raw_root,)),),
        logs=(replace(log, **changes),),  # type: ignore[arg-type]
    )


def test_a_start_goes_on_where_the_peer_stopped() -> None:
    ville = institution()
    solo = Solo()
    solo.restore(stored(ville))
    overview = solo.node.describe(ville.catalogue)
    assert overview is not None
    assert [(log.seq, log.size, log.clock) for log in overview.logs] == [(3, 3, 3)]
    assert overview.followed
    solo.tell(PeerConnected(A))
    assert [f.digest for f in solo.of(FetchObject)] == [
        sha256(content(str(number))) for number in (3, 2, 1)
    ]


def test_a_log_that_a_root_closed_is_restored_whole() -> None:
    ville = institution()
    last = LastHead(1, decode_signed_head(ville.log.heads[0]).signed.digest)
    closing = Version(ville.root, ville.raw_root).closing("writer", last, by=["Ville root"])
    solo = Solo()
    roots = ((ville.catalogue, (ville.raw_root, closing.raw)),)
    solo.restore(replace(stored(ville), roots=roots))
    overview = solo.node.describe(ville.catalogue)
    assert overview is not None
    assert [log.seq for log in overview.logs] == [3]
    assert [ref.digest for ref in overview.segments] == [sha256(content("1"))]


VILLE = institution()
FORGED = altered(VILLE.log.heads[0], key_of("thief"))
OTHER = institution(1, "Other")


@pytest.mark.parametrize(
    "damaged",
    [
        pytest.param(stored(VILLE, heads=(b"no head",)), id="a malformed head"),
        pytest.param(stored(VILLE, heads=()), id="no heads"),
        pytest.param(stored(VILLE, heads=(FORGED, *VILLE.log.heads[1:])), id="a forged head"),
        pytest.param(stored(VILLE, heads=tuple(OTHER.log.heads)), id="a head of another log"),
        pytest.param(stored(VILLE, heads=tuple(VILLE.log.heads[1:])), id="a gap"),
        pytest.param(stored(VILLE, entries=tuple(VILLE.log.entries[:-1])), id="too few entries"),
        pytest.param(stored(VILLE, entries=(*VILLE.log.entries, b"x")), id="too many entries"),
        pytest.param(stored(VILLE, entries=tuple(VILLE.log.entries[::-1])), id="another order"),
        pytest.param(replace(stored(VILLE), roots=()), id="a log without a root"),
    ],
)
def test_a_damaged_log_is_an_error_that_names_the_catalogue(damaged: Restored) -> None:
    with pytest.raises(StorageError, match=r"the log of \w+ on this disk is damaged") as caught:
        Solo().restore(damaged)
    assert caught.value.hint.startswith("move the data directory away")


@pytest.mark.parametrize(
    "raws",
    [(), (b"no root",), (OTHER.raw_root,), (VILLE.raw_root, VILLE.raw_root)],
    ids=["none", "malformed", "of another catalogue", "twice"],
)
def test_a_damaged_root_is_an_error_that_names_the_catalogue(raws: tuple[bytes, ...]) -> None:
    with pytest.raises(StorageError, match=r"the root of \w+ on this disk is damaged"):
        Solo().restore(Restored(roots=((VILLE.catalogue, raws),)))


def test_what_is_indexed_and_counts_no_longer_is_dropped_at_the_start() -> None:
    ville = institution(1)
    gone = SegmentKey(ville.catalogue, "ortho", Digest(sha256(b"gone")))
    solo = Solo()
    solo.restore(replace(stored(ville), indexed=((gone, 1),)))
    assert solo.of(DropSegment) == [DropSegment(gone)]
