"""Bytes that no connected peer gives are asked of those who state to hold them."""

from __future__ import annotations

from itertools import pairwise

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from meshnode.core.denylist import parse_deny_list
from meshnode.core.effects import CallHolder, FetchObject
from meshnode.core.events import (
    AnnouncementReceived,
    DenyListChanged,
    HolderCalled,
    ObjectStored,
    PeerConnected,
    RequestFailed,
    Stated,
)
from meshnode.core.holders import (
    CALLS_AT_ONCE_MAX,
    KIND,
    LASTING_SECONDS_MAX,
    PAUSE_SECONDS,
    PAUSE_SECONDS_MAX,
)
from meshnode.core.identifiers import Digest, PeerId, object_text, peer_id, sha256
from meshnode.core.names import Ticket
from meshnode.core.peers import FAULTS_MAX
from meshnode.core.signing import public_key
from meshnode.core.statement_bodies import Endpoint, Provider, encode_body
from tests.core.federation import Federation, named
from tests.core.institutions import Institution, content, key_of, segment
from tests.core.solo import A, B, Solo, following, institution, submitted
from tests.core.test_claims import stated

ADA, BEN, CLEO = key_of("ada"), key_of("ben"), key_of("cleo")
HERE = (Endpoint(bytes([192, 0, 2, 7]), 4001),)
PROVIDED = encode_body(Provider(HERE))


def name_of(key: Ed25519PrivateKey) -> PeerId:
    return peer_id(public_key(key))


def provides(
    key: Ed25519PrivateKey,
    subject: bytes,
    *,
    seconds: int = LASTING_SECONDS_MAX,
    body: bytes = PROVIDED,
    seq: int = 1,
) -> bytes:
    return stated(key, subject, kind=KIND, seconds=seconds, body=body, seq=seq)


def lacking(*statements: bytes, made: Institution | None = None) -> Solo:
    """Return a node that has these statements and the log, and whose peers have no bytes of it."""
    made = made or institution(1)
    solo = following(made, A, B)
    solo.tell(*(AnnouncementReceived(A, raw) for raw in statements))
    solo.tell(submitted(made.log))
    refuse(solo)
    return solo


def refuse(solo: Solo) -> None:
    """Let every fetch end with nothing, as long as it goes on at this moment."""
    while fetches := solo.of(FetchObject):
        solo.tell(*(RequestFailed(each, "not held") for each in fetches))


def next_call(solo: Solo, deadlines: int = 40) -> CallHolder | None:
    """Let time pass, with fetches in vain, until somebody is called."""
    for _ in range(deadlines):
        if calls := solo.of(CallHolder):
            return calls[0]
        solo.wait()
        calls = solo.of(CallHolder)
        refuse(solo)
        if calls := calls or solo.of(CallHolder):
            return calls[0]
    return None


def call_in_vain(solo: Solo, call: CallHolder) -> None:
    solo.tell(HolderCalled(call.peer, kept_word=False))


def test_the_only_holder_is_no_neighbour_and_is_found_by_what_it_states() -> None:
    ville = Institution("Ville")
    world = Federation(name_of(ADA), "ben", "cleo")
    world.join(name_of(ADA), "ben")
    world.join("ben", "cleo")
    world.follow(ville.catalogue, ville.raw_root)
    denied = f"/ipfs/{object_text(sha256(content(named('1'))))}\n".encode()
    denying = DenyListChanged(Ticket(5), "own", denied, parse_deny_list(denied))
    world.tell("ben", denying)  # who is between them passes news on, and has none of the bytes
    ville.log.publish(segment(1))
    world.store(name_of(ADA), "1")
    assert world.submit(name_of(ADA), ville.log) == ""
    world.wait(120)
    assert world["cleo"].visible == []

    said = provides(ADA, ville.catalogue)
    world.tell(name_of(ADA), Stated(Ticket(6), said))
    world.wait(120)

    assert world["cleo"].visible == ["1"]
    assert world["ben"].visible == []


def test_nobody_is_called_before_every_neighbour_was_asked_in_two_rounds() -> None:
    made = institution(1)
    solo = lacking(provides(ADA, made.catalogue), made=made)
    call = next_call(solo)

    assert call == CallHolder(name_of(ADA), HERE)
    assert solo.seconds > 0  # the first round was in vain, and so was what came after a pause


def test_a_holder_that_is_not_there_is_called_less_and_less_often() -> None:
    made = institution(1)
    solo = lacking(provides(ADA, made.catalogue), made=made)
    solo.node.claims._soonest = 1 << 62  # the statement outlives this test of the pauses
    called_at = []
    for _ in range(4):
        call = next_call(solo, 4000)
        assert call is not None
        called_at.append(solo.seconds)
        call_in_vain(solo, call)
    pauses = [after - before for before, after in pairwise(called_at)]

    assert [pause >= PAUSE_SECONDS * 2**n for n, pause in enumerate(pauses, 1)] == [True] * 3
    assert all(pause < PAUSE_SECONDS * 2**n + 120 for n, pause in enumerate(pauses, 1))
    assert pauses[-1] < PAUSE_SECONDS_MAX
    assert solo.node.holders.account() == [(name_of(ADA), 4)]


def test_a_holder_that_answers_and_gives_nothing_has_not_kept_its_word() -> None:
    made = institution(1)
    solo = lacking(provides(ADA, made.catalogue), made=made)
    call = next_call(solo)
    assert call is not None
    solo.tell(PeerConnected(call.peer), HolderCalled(call.peer, kept_word=True))
    fetch = solo.the(FetchObject)
    assert fetch.peer == call.peer
    assert solo.node.holders.broken(call.peer) == 0

    solo.tell(RequestFailed(fetch, "not held"))

    assert solo.node.holders.broken(call.peer) == 1


def test_a_holder_that_gave_something_has_kept_its_word_whatever_it_lacks_later() -> None:
    made = institution(2)
    solo = lacking(provides(ADA, made.catalogue), made=made)
    call = next_call(solo)
    assert call is not None
    solo.tell(PeerConnected(call.peer), HolderCalled(call.peer, kept_word=True))
    solo.tell(ObjectStored(solo.the(FetchObject).digest))
    later = solo.of(FetchObject) or [solo.next(FetchObject)]
    solo.tell(*(RequestFailed(each, "not held") for each in later))

    assert solo.node.holders.account() == []


def test_those_that_kept_their_word_are_called_before_those_that_did_not() -> None:
    made = institution(1)
    keys = (ADA, BEN, CLEO)
    solo = lacking(*(provides(key, made.catalogue) for key in keys), made=made)
    holders = solo.node.holders
    for key in (ADA, CLEO):
        holders.called(HolderCalled(name_of(key), kept_word=False), -1e6)
    holders.called(HolderCalled(name_of(CLEO), kept_word=False), -1e6)
    ranked = [each.peer for each in holders.to_call(Digest(made.catalogue), solo.seconds)]

    assert ranked == [name_of(BEN), name_of(ADA), name_of(CLEO)]


def test_a_crowd_of_false_statements_is_called_two_at_a_time() -> None:
    made = institution(1)
    keys = [key_of(f"liar {number}") for number in range(50)]
    solo = lacking(*(provides(key, made.catalogue) for key in keys), made=made)
    calls = []
    for _ in range(60):
        if (call := next_call(solo, 3)) is None:
            break
        calls.append(call)
        solo.effects = []

    assert len(calls) == CALLS_AT_ONCE_MAX  # nobody of them ended yet


def test_what_is_said_for_too_long_or_was_taken_back_calls_nobody() -> None:
    made = institution(1)
    long = provides(ADA, made.catalogue, seconds=LASTING_SECONDS_MAX + 1)
    gone = provides(BEN, made.catalogue, body=b"", seq=2)
    shapeless = provides(CLEO, made.catalogue, body=b"\x80")
    solo = lacking(long, provides(BEN, made.catalogue), gone, shapeless, made=made)

    assert list(solo.node.holders.stated(Digest(made.catalogue))) == []
    assert next_call(solo) is None


def test_whoever_is_connected_or_was_often_at_fault_is_not_called() -> None:
    made = institution(1)
    said = [provides(key, made.catalogue) for key in (ADA, BEN)]
    solo = lacking(*said, made=made)
    solo.node.peers.faults[name_of(ADA)] = FAULTS_MAX
    solo.node.peers.joined(name_of(BEN))

    assert solo.node.holders.to_call(Digest(made.catalogue), solo.seconds) == []
