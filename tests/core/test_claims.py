"""Which statements a peer keeps: authentic ones about what it follows, within budgets and time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from meshnode.core import claims as kept_claims
from meshnode.core.catalogue import Catalogue
from meshnode.core.claims import Claims
from meshnode.core.durable import DropStatements, KeepStatement, Restored
from meshnode.core.effects import Announce
from meshnode.core.events import (
    AnnouncementReceived,
    Followed,
    Now,
    Stated,
    StorageFailed,
    Submitted,
    Unfollowed,
)
from meshnode.core.exchange import AskRecords
from meshnode.core.gossip import CLOCK_SKEW_SECONDS_MAX, Gate, Refusal
from meshnode.core.identifiers import Digest, PublicKey, sha256
from meshnode.core.limits import ISSUER_BYTES_MAX, STATEMENT_BODY_BYTES_MAX
from meshnode.core.names import Ticket
from meshnode.core.signed import Signature, encode_signed
from meshnode.core.signing import public_key, sign
from meshnode.core.statement_bodies import Issue, Problem, encode_body
from meshnode.core.statements import (
    Statement,
    decode_signed_statement,
    encode_statement,
    is_statement,
)
from meshnode.core.verdicts import Check, Topic, Verdict
from tests.core.federation import VERIFY, Federation
from tests.core.institutions import ISSUED, Institution, key_of, segment
from tests.core.solo import A, B, Solo, following, holding, institution
from tests.core.test_comparisons import Pair, pair, records

VILLE = institution()
ADA, BEN = key_of("ada"), key_of("ben")
WEEK = 7 * 86_400
NOTE = encode_body(Issue(Problem.PLACE, None, "It lies in the sea."))


def stated(
    issuer: Ed25519PrivateKey = ADA,
    subject: bytes = VILLE.catalogue,
    *,
    kind: str = "issue",
    seq: int = 1,
    issued: int = ISSUED,
    seconds: int = WEEK,
    body: bytes = NOTE,
) -> bytes:
    """Return a signed statement."""
    said = Statement(kind, public_key(issuer), Digest(subject), seq, issued, issued + seconds, body)
    return encode_signed(sign("statement", encode_statement(said), [issuer]))


def keeping(*raws: bytes) -> Claims:
    """Return claims about the one catalogue that keep these, taken in this order."""
    catalogue = Catalogue(VILLE.catalogue, followed=True)
    claims = Claims({VILLE.catalogue: catalogue}, VERIFY, lambda _: None)
    for raw in raws:
        take(claims, raw)
    return claims


def take(claims: Claims, raw: bytes) -> list[KeepStatement | DropStatements]:
    found = claims.judge(raw, ISSUED)
    return [] if isinstance(found, Refusal) else list(claims.take(found))


def raws(claims: Claims) -> set[bytes]:
    return {each.raw for each in claims}


def verdict(claims: Claims, raw: bytes, now_unix: int = ISSUED) -> tuple[Verdict, Check] | None:
    found = claims.judge(raw, now_unix)
    return (found.verdict, found.check) if isinstance(found, Refusal) else None


# --- What is kept ---------------------------------------------------------------------------------
def test_a_statement_of_the_greatest_seq_and_digest_is_kept_whatever_the_order() -> None:
    versions = [stated(seq=1), stated(seq=2, body=b""), stated(seq=2)]
    greatest = max(map(decode_signed_statement, versions), key=lambda each: each.version)
    for order in ([0, 1, 2], [2, 1, 0], [1, 2, 0]):
        assert raws(keeping(*(versions[place] for place in order))) == {greatest.raw}


def test_statements_of_other_kinds_issuers_and_subjects_stand_beside_each_other() -> None:
    own = sha256(public_key(ADA))
    told = [stated(), stated(BEN), stated(kind="new-kind"), stated(subject=own, kind="load")]
    assert raws(keeping(*told)) == set(told)


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b"no statement", (Verdict.REJECT, Check.ENCODING)),
        (stated() + b"\x00", (Verdict.REJECT, Check.ENCODING)),
        (stated(issued=ISSUED - WEEK), (Verdict.IGNORE, Check.CLOCK)),
        (stated(issued=ISSUED + CLOCK_SKEW_SECONDS_MAX + 1), (Verdict.IGNORE, Check.CLOCK)),
        (stated(subject=b"?" * 32), (Verdict.IGNORE, Check.CLOCK)),
        (stated(issued=ISSUED + CLOCK_SKEW_SECONDS_MAX), None),
        (stated(seconds=1), None),
    ],
    ids=["garbage", "more bytes", "expired", "future", "foreign", "soon", "short"],
)
def test_the_verdict_on_a_statement(raw: bytes, expected: tuple[Verdict, Check] | None) -> None:
    assert verdict(keeping(), raw) == expected


def test_what_is_held_or_was_replaced_is_no_news() -> None:
    claims = keeping(stated(seq=2))
    assert verdict(claims, stated(seq=2)) == (Verdict.IGNORE, Check.CLOCK)
    assert verdict(claims, stated(seq=1)) == (Verdict.IGNORE, Check.CLOCK)
    assert verdict(claims, stated(seq=3)) is None


def test_a_forged_statement_is_rejected() -> None:
    true = decode_signed_statement(stated()).signed
    other = decode_signed_statement(stated(seq=2)).signed
    forged = encode_signed(replace(true, signatures=other.signatures))
    assert verdict(keeping(), forged) == (Verdict.REJECT, Check.SIGNATURE)


def test_a_statement_in_anothers_name_or_of_two_is_no_statement() -> None:
    payload = decode_signed_statement(stated()).signed.payload
    for keys in ([BEN], [ADA, BEN]):
        raw = encode_signed(sign("statement", payload, keys))
        assert verdict(keeping(), raw) == (Verdict.REJECT, Check.ENCODING)


def test_a_key_of_small_order_signs_for_nobody() -> None:
    """It would make a signature hold for some libraries, and not for others (E-35)."""
    weak = PublicKey(b"\x01" + bytes(31))
    said = replace(decode_signed_statement(stated()).statement, issuer=weak)
    signed = sign("statement", encode_statement(said), [ADA])
    kid = sha256(weak)[:16]
    forged = replace(signed, signatures=(Signature(kid, bytes(64)),))  # type: ignore[arg-type]
    assert verdict(keeping(), encode_signed(forged)) == (Verdict.REJECT, Check.SIGNATURE)


def test_a_message_is_a_statement_by_its_first_bytes() -> None:
    assert all(is_statement(stated(body=bytes(size))) for size in (0, 100, 300))
    assert not any(is_statement(raw) for raw in (VILLE.log.heads[0], VILLE.raw_root, b"\x82", b""))


# --- Budgets --------------------------------------------------------------------------------------
def large(number: int, issuer: Ed25519PrivateKey = ADA) -> bytes:
    """Return a statement of a kind of its own that takes about 8 KiB; of a larger number, newer."""
    body = b"\x59" + (8000).to_bytes(2, "big") + bytes(8000)
    assert len(body) <= STATEMENT_BODY_BYTES_MAX
    return stated(issuer, kind=f"kind-{number:03d}", issued=ISSUED + number, body=body)


def test_of_one_issuer_the_latest_are_kept_that_have_room() -> None:
    many = [large(number) for number in range(12)]
    claims = keeping(*many)
    fitting = ISSUER_BYTES_MAX // len(many[0])
    assert raws(claims) == set(many[-fitting:])
    assert verdict(claims, many[0]) == (Verdict.IGNORE, Check.FRAME)


@given(order=st.permutations(range(12)))
def test_which_of_one_issuer_are_kept_follows_from_the_set(order: Sequence[int]) -> None:
    many = [large(number) for number in range(12)]
    assert raws(keeping(*(many[number] for number in order))) == raws(keeping(*many))


def test_what_has_no_room_any_more_is_dropped_from_the_disk() -> None:
    many = [large(number) for number in range(8)]
    claims = keeping(*many[:7])
    kept, dropped = take(claims, many[7])
    assert kept == KeepStatement(decode_signed_statement(many[7]).name, many[7])
    assert dropped == DropStatements((decode_signed_statement(many[0]).name,))


def test_in_all_the_issuers_that_say_most_make_room(monkeypatch: pytest.MonkeyPatch) -> None:
    size = len(large(1))
    monkeypatch.setattr(kept_claims, "CLAIMS_BYTES_MAX", 6 * size)
    monkeypatch.setattr(kept_claims, "CLAIMS_BYTES_LEFT", 5 * size)
    loud = [large(number) for number in range(5)]
    quiet = [large(number, BEN) for number in range(2)]
    claims = keeping(*loud[:4], *quiet)
    assert take(claims, loud[4])[1:] == [
        DropStatements(tuple(decode_signed_statement(raw).name for raw in loud[:2]))
    ]
    assert raws(claims) == {*loud[2:], *quiet}


# --- Time, and what is followed -------------------------------------------------------------------
def test_a_statement_is_dropped_when_its_time_is_over() -> None:
    short, long = stated(seconds=10), stated(BEN, seconds=20)
    claims = keeping(short, long)
    assert list(claims.expire(ISSUED + 9)) == []
    name = decode_signed_statement(short).name
    assert list(claims.expire(ISSUED + 10)) == [DropStatements((name,))]
    assert raws(claims) == {long}
    assert len(list(claims.expire(ISSUED + 20))) == 1
    assert list(claims.expire(ISSUED + 1000)) == []


def test_a_node_drops_what_expires_and_tells_nobody_of_it() -> None:
    solo = holding(VILLE)
    raw = stated(seconds=60)
    solo.tell(AnnouncementReceived(A, raw))
    name = decode_signed_statement(raw).signed.digest
    assert solo.node.disclosure.records([name]) == (raw,)
    solo.wait(61.0)
    assert solo.the(DropStatements).names == (decode_signed_statement(raw).name,)
    assert solo.node.disclosure.records([name]) == ()


def test_statements_about_a_segment_or_payload_are_about_its_catalogue() -> None:
    solo = holding(VILLE)
    about = [stated(subject=segment(1).segment)]
    solo.tell(AnnouncementReceived(A, about[0]))
    assert [each.raw for each in solo.node.claims.about(VILLE.catalogue)] == about


def test_with_a_catalogue_goes_what_was_said_about_it() -> None:
    solo = holding(VILLE)
    told, own = stated(), stated(subject=sha256(public_key(ADA)), kind="load")
    for raw in (told, own):
        solo.tell(AnnouncementReceived(A, raw))
    solo.tell(Unfollowed(Ticket(5), VILLE.catalogue))
    assert solo.the(DropStatements).names == (decode_signed_statement(told).name,)
    assert raws(solo.node.claims) == {own}
    solo.tell(AnnouncementReceived(A, stated(seq=2)))
    assert solo.of(KeepStatement) == []


def test_what_is_said_about_a_payload_of_two_catalogues_stays_until_both_are_left() -> None:
    other = Institution("Cité")
    other.log.publish(segment(1))
    solo = holding(VILLE)
    solo.tell(Followed(Ticket(0), other.catalogue, (other.raw_root,)))
    solo.tell(Submitted(Ticket(1), tuple(other.log.heads), 0, tuple(other.log.entries)))
    raw = stated(subject=segment(1).segment)
    solo.tell(AnnouncementReceived(A, raw))
    scope = sorted((VILLE.catalogue, other.catalogue))
    held = solo.node.disclosure.newest.items(scope).items
    assert [name for _, name in held].count(decode_signed_statement(raw).signed.digest) == 1
    solo.tell(Unfollowed(Ticket(5), other.catalogue))
    assert solo.of(DropStatements) == []
    solo.tell(Unfollowed(Ticket(5), VILLE.catalogue))
    assert len(solo.of(DropStatements)) == 1


def test_after_a_restart_what_was_kept_is_there_but_for_what_is_of_no_use() -> None:
    told, foreign = stated(), stated(subject=b"?" * 32)
    restored = Restored(
        followed=(VILLE.catalogue,),
        roots=((VILLE.catalogue, (VILLE.raw_root,)),),
        statements=(told, foreign),
    )
    solo = Solo()
    solo.restore(restored)
    assert raws(solo.node.claims) == {told}
    assert solo.the(DropStatements).names == (decode_signed_statement(foreign).name,)


# --- Between peers --------------------------------------------------------------------------------
def test_a_statement_is_passed_on_by_gossip_and_kept_once() -> None:
    solo = following(VILLE, A)
    raw = stated()
    assert solo.node.judge(raw, solo.now()) is None
    solo.tell(AnnouncementReceived(A, raw))
    assert solo.the(KeepStatement) == KeepStatement(decode_signed_statement(raw).name, raw)
    refusal = solo.node.judge(raw, solo.now())
    assert refusal is not None
    assert refusal.verdict is Verdict.IGNORE
    solo.tell(AnnouncementReceived(B, raw))
    assert solo.effects == []


def test_who_passes_on_a_forged_statement_is_blamed() -> None:
    solo = following(VILLE, A)
    signed = decode_signed_statement(stated()).signed
    other = decode_signed_statement(stated(seq=2)).signed
    forged = encode_signed(replace(signed, signatures=other.signatures))
    solo.tell(AnnouncementReceived(A, forged))
    assert solo.blames() == [(A, Check.SIGNATURE)]


def test_what_the_operator_has_the_peer_state_is_kept_and_announced() -> None:
    solo = following(VILLE, A)
    raw = stated()
    solo.tell(Stated(Ticket(7), raw))
    assert solo.refusal() == ""
    assert solo.the(Announce) == Announce(raw, Topic.CLAIMS)
    assert len(solo.of(KeepStatement)) == 1
    solo.tell(Stated(Ticket(8), stated(subject=b"?" * 32)))
    assert "nothing that is followed" in solo.refusal()
    solo.tell(StorageFailed("full"))
    solo.tell(Stated(Ticket(9), stated(seq=2)))
    assert "read-only" in solo.refusal()


def test_a_gate_without_statements_passes_none_on() -> None:
    refusal = Gate({}, VERIFY).judge(stated(), ISSUED)
    assert refusal is not None
    assert refusal.verdict is Verdict.IGNORE


def test_statements_that_gossip_lost_come_by_comparing_and_are_announced_again() -> None:
    world = Federation("ada", "ben", "cyd")
    world.follow(VILLE.catalogue, VILLE.raw_root)
    world.join("ben", "cyd")
    raw = stated()
    world.tell("ada", Stated(Ticket(1), raw))
    world.join("ada", "ben")
    world.wait(60)
    assert [raws(world[name].node.claims) for name in ("ada", "ben", "cyd")] == [{raw}] * 3
    assert world["ben"].statements == {decode_signed_statement(raw).name: raw}
    assert [peer.blames for peer in world.peers.values()] == [[]] * 3


def comparing(made: Institution, *, here: int, statement: bytes) -> Pair:
    """Return two peers, of which the other holds this statement, and this one so many heads."""
    both = pair(made, here)
    both.there.handle([AnnouncementReceived(B, statement)], Now(0.0, ISSUED))
    return both


def names_asked(both: Pair) -> list[Digest]:
    return [name for asked in both.asked if isinstance(asked, AskRecords) for name in asked.names]


def test_a_statement_about_what_is_not_known_yet_is_asked_for_again() -> None:
    raw = stated(subject=segment(1).segment)
    both = comparing(VILLE, here=0, statement=raw)
    both.meet()
    both.poll()
    assert names_asked(both).count(decode_signed_statement(raw).signed.digest) == 2
    assert both.of(KeepStatement) == []


def test_a_statement_that_a_later_one_replaced_is_read_once() -> None:
    raw = stated(seq=1)
    both = comparing(VILLE, here=3, statement=raw)
    both.here.tell(AnnouncementReceived(B, stated(seq=2)))
    both.meet()
    both.poll()
    assert names_asked(both) == [decode_signed_statement(raw).signed.digest]
    assert both.effects == []


def test_a_forged_statement_in_an_answer_is_its_senders_fault() -> None:
    raw = stated()
    both = comparing(VILLE, here=3, statement=raw)
    other = decode_signed_statement(stated(seq=2)).signed
    signed = replace(decode_signed_statement(raw).signed, signatures=other.signatures)
    both.spoil = records(encode_signed(signed))
    both.meet()
    assert both.blames() == [(A, Check.SIGNATURE)]


def test_garbage_is_about_nothing() -> None:
    assert not keeping().is_foreign(b"no statement")


def test_peers_that_keep_other_versions_end_with_the_greatest() -> None:
    world = Federation("ada", "ben")
    world.follow(VILLE.catalogue, VILLE.raw_root)
    world.tell("ada", Stated(Ticket(1), stated(seq=1)))
    world.tell("ben", Stated(Ticket(1), stated(seq=2)))
    world.join("ada", "ben")
    world.wait(60)
    assert [raws(peer.node.claims) for peer in world.peers.values()] == [{stated(seq=2)}] * 2
