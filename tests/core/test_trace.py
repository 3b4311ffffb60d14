"""The line of each event and effect: stable, short, on one line, and without object ids."""

from __future__ import annotations

from meshnode.core import trace
from meshnode.core.durable import SetFollowed
from meshnode.core.effects import Announce, AskLog, FetchObject, SetHidden
from meshnode.core.events import HeadsReceived, RequestFailed, SegmentIndexed, StorageFailed
from meshnode.core.identifiers import CatalogueId, Digest, Kid, PeerId
from meshnode.core.names import HeadName, LogId, SegmentRef, Withdrawal
from meshnode.core.verdicts import Check

LOG = LogId(CatalogueId(bytes(range(32))), Kid(bytes(range(16))))
DIGEST = Digest(bytes([0xAB]) * 32)
REF = SegmentRef(LOG, "ortho", DIGEST, 5, 2, 1, 7, (0, 0, 1, 1), (None, None))


def test_a_question_is_shown_by_its_ids() -> None:
    head = HeadName(4, DIGEST)
    line = trace.line(AskLog(PeerId("12D3Koo"), LOG, head, known=(HeadName(3, DIGEST),)))

    log = "(LogId,0001020304050607,0001020304050607)"
    heads = "wanted=(HeadName,4,abababababababab) known=[(HeadName,3,abababababababab)]"
    assert line == f"AskLog peer=12D3Koo log={log} {heads} attempt=0"


def test_long_bytes_are_shown_by_length_and_digest() -> None:
    line = trace.line(Announce(b"x" * 1000))

    assert line == "Announce raw=1000:44f8354494a5ba03 topic='/meshnode/heads/1'"


def test_a_segment_is_shown_by_what_names_it() -> None:
    line = trace.line(SegmentIndexed(REF))

    log = "(LogId,0001020304050607,0001020304050607)"
    assert line == f"SegmentIndexed ref=(SegmentRef,{log},ortho,abababababababab,7)"


def test_text_from_others_cannot_end_the_line_or_forge_a_field() -> None:
    line = trace.line(StorageFailed("full\nAskLog peer=evil \u2028é"))

    assert line == r"StorageFailed reason='full\nAskLog peer=evil \u2028\xe9'"


def test_long_text_is_cut() -> None:
    line = trace.line(StorageFailed("x" * 10_000))

    assert len(line) < 300


def test_nested_requests_and_missing_values_are_shown() -> None:
    request = FetchObject(PeerId("p"), DIGEST, 9)
    line = trace.line(RequestFailed(request, "late", Check.CONTENT_HASH))
    other = trace.line(RequestFailed(request, "late"))

    assert line.endswith("reason=late check='content hash'")
    assert other == "RequestFailed request=(FetchObject,p,abababababababab,9,0) reason=late check=-"


def test_lists_and_flags_are_shown_in_full() -> None:
    line = trace.line(SetFollowed(LOG.catalogue, followed=True))
    heads = trace.ids(HeadsReceived(PeerId("p"), (b"", b"ab")))

    assert line == "SetFollowed catalogue=0001020304050607 followed=yes"
    assert heads == "peer=p raws=[-,6162] roots=[]"


def test_the_kind_and_the_withdrawals_of_a_catalogue_are_counted_not_listed() -> None:
    withdrawal = Withdrawal("ortho", ("a", "b"), 7)
    effect = SetHidden(LOG.catalogue, (withdrawal,) * 3)

    assert trace.kind(effect) == "SetHidden"
    assert trace.line(effect) == "SetHidden catalogue=0001020304050607 count=3"
