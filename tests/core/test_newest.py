"""What a peer tells of what it holds: the newest records, no others, within bounds."""

from __future__ import annotations

import pytest

from meshnode.core.disclosure import RECORD_BYTES_MAX
from meshnode.core.encoding import MalformedRecordError
from meshnode.core.entries import Reason
from meshnode.core.events import AnnouncementReceived, Followed, Unfollowed
from meshnode.core.forks import Fork, encode_fork, evidence_of
from meshnode.core.heads import decode_signed_head
from meshnode.core.hello import Greeting
from meshnode.core.identifiers import CatalogueId, Digest
from meshnode.core.names import Ticket
from meshnode.core.newest import SETS_MAX, SETTLED_MAX, NewestRecords, fork_name, record_name
from meshnode.core.notices import notice_of
from meshnode.core.purges import Purge, encode_purge
from meshnode.core.reconciliation import ItemSet, Reconciler
from meshnode.core.signed import decode_signed, encode_signed
from meshnode.core.signing import sign
from tests.core.ceremonies import Version
from tests.core.institutions import ISSUED, Institution, altered, key_of, segment
from tests.core.solo import A, Solo, following, holding, institution, submitted
from tests.core.test_comparisons import forked, root_after


def names(solo: Solo, *made: Institution) -> set[Digest]:
    scope = sorted(each.catalogue for each in made)
    return {name for _, name in solo.node.disclosure.newest.items(scope).items}


def told(solo: Solo, *asked: Digest) -> tuple[bytes, ...]:
    return solo.node.disclosure.records(asked)


# --- The set --------------------------------------------------------------------------------------
def test_of_a_log_the_newest_head_alone_stands_in_the_set() -> None:
    ville = institution()
    solo = holding(ville)
    newest_head = decode_signed_head(ville.log.heads[-1])
    assert solo.node.disclosure.newest.items((ville.catalogue,)).items == [
        (newest_head.head.issued, newest_head.signed.digest)
    ]
    assert told(solo, newest_head.signed.digest) == (newest_head.raw,)
    assert told(solo, decode_signed_head(ville.log.heads[0]).signed.digest) == ()


def test_the_newest_root_stands_in_the_set_and_travels_as_a_notice() -> None:
    ville = Institution("Ville")
    solo = following(ville)
    assert names(solo, ville) == set()
    versions = root_after(ville, 2)
    solo.tell(Followed(Ticket(1), ville.catalogue, tuple(v.raw for v in versions)))
    assert names(solo, ville) == {versions[-1].digest}
    [message] = told(solo, versions[-1].digest)
    assert message == notice_of(ville.catalogue, versions[-1].raw)
    assert record_name(message) == versions[-1].digest


def test_roots_that_void_each_other_stand_in_the_set() -> None:
    ville = Institution("Ville")
    solo = following(ville)
    one, other = rivals(ville)
    solo.tell(Followed(Ticket(1), ville.catalogue, (one.raw, other.raw)))
    assert names(solo, ville) == {one.digest, other.digest}


def rivals(made: Institution) -> tuple[Version, Version]:
    """Return two roots of version 2."""
    [one] = root_after(made)
    by = [f"{made.name} root"]
    return one, one.then(by=by, version=2, prev=one.root.prev, issued=ISSUED + 5)


def test_each_branch_of_a_log_and_the_evidence_of_its_fork_stand_in_the_set() -> None:
    ville = institution(heads=2)
    solo = holding(ville)
    raw, _ = forked(ville)
    solo.tell(submitted(ville.log))
    solo.tell(AnnouncementReceived(A, raw))
    evidence = fork_name(ville.catalogue, ville.log.writer, 3)
    assert names(solo, ville) == {
        decode_signed_head(ville.log.heads[-1]).signed.digest,
        evidence,
    }
    assert told(solo, evidence) == (raw,)
    assert record_name(raw) == evidence


def test_any_two_heads_of_one_seq_make_evidence_of_one_name() -> None:
    first = Institution("Ville").log.publish(segment(1))
    heads = [altered(first, key_of("Ville writer"), issued=ISSUED + n) for n in range(3)]
    one, other = evidence_of(heads[0], heads[1]).raw, evidence_of(heads[1], heads[2]).raw
    assert one != other
    assert record_name(one) == record_name(other)


def test_evidence_of_rival_roots_is_no_record_of_the_set() -> None:
    ville = Institution("Ville")
    sides = sorted((decode_signed(v.raw, 1 << 16) for v in rivals(ville)), key=lambda s: s.payload)
    with pytest.raises(MalformedRecordError):
        record_name(encode_fork(Fork(*sides)))


def test_what_changed_is_told_and_what_was_held_before_is_remembered() -> None:
    ville = institution(heads=1)
    solo = holding(ville)
    before = names(solo, ville)
    ville.log.publish(segment(2))
    solo.tell(submitted(ville.log))
    after = names(solo, ville)
    assert before.isdisjoint(after)
    kept = solo.node.disclosure.newest
    assert [kept.is_settled(name) for name in (*before, *after)] == [True, False]
    [newer] = root_after(ville)
    solo.tell(Followed(Ticket(1), ville.catalogue, (newer.raw,)))
    assert not any(kept.is_settled(name) for name in before)


def test_of_an_unknown_catalogue_and_one_without_a_root_there_is_nothing() -> None:
    ville = institution()
    solo = following(ville, with_root=False)
    unknown = CatalogueId(bytes(32))
    assert solo.node.disclosure.newest.items((unknown, ville.catalogue)).items == []


# --- Bounds ---------------------------------------------------------------------------------------
def test_few_sets_are_kept_and_those_in_use_stay() -> None:
    kept = NewestRecords({})
    first = kept.items(())
    for number in range(SETS_MAX - 1):
        kept.items((CatalogueId(bytes([number]) * 32),))
    assert kept.items(()) is first
    kept.items((CatalogueId(b"o" * 32),))
    assert kept.items(()) is first
    assert len(kept._sets) == SETS_MAX


def test_a_number_of_names_is_remembered_as_of_no_use() -> None:
    kept = NewestRecords({})
    for number in range(SETTLED_MAX + 1):
        kept.settle(Digest(number.to_bytes(32, "big")))
    assert not kept.is_settled(Digest(bytes(32)))
    assert kept.is_settled(Digest((1).to_bytes(32, "big")))


def test_an_answer_ends_at_about_a_mebibyte() -> None:
    ville = Institution("Ville")
    solo = following(ville)
    objects = tuple(Digest(bytes([n]) * 32) for n in range(256))
    raws = [purge(ville, seconds, objects) for seconds in range(150)]
    solo.tell(Followed(Ticket(1), ville.catalogue, tuple(raws)))
    asked = sorted(names(solo, ville))
    assert len(asked) == 150
    given = told(solo, *asked)
    assert RECORD_BYTES_MAX - 10_000 < sum(map(len, given)) <= RECORD_BYTES_MAX
    assert [record_name(raw) for raw in given] == asked[: len(given)]


def purge(made: Institution, seconds: int, objects: tuple[Digest, ...]) -> bytes:
    record = Purge(made.catalogue, 1, Reason.LEGAL, ISSUED + seconds, objects, ())
    return encode_signed(sign("purge", encode_purge(record), [key_of(f"{made.name} root")]))


# --- What is told ---------------------------------------------------------------------------------
def test_a_catalogue_that_is_followed_no_more_is_not_told_of() -> None:
    ville = institution()
    solo = holding(ville)
    [name] = names(solo, ville)
    before = solo.node.disclosure.greet(None)
    solo.tell(Unfollowed(Ticket(2), ville.catalogue))
    assert told(solo, name) == ()
    assert solo.node.disclosure.greet(before.admitted).removed == (ville.catalogue,)
    answered = solo.node.disclosure.reconcile(before.admitted, None, b"\x61")
    assert isinstance(answered, Greeting)


def test_a_message_about_another_choice_than_the_list_has_is_refused() -> None:
    solo = holding(institution())
    greeting = solo.node.disclosure.greet(None)
    message = Reconciler(ItemSet(()), 9999).first()
    for chosen, said in [(b"\x02", message), (b"", message), (None, b"no message")]:
        with pytest.raises(MalformedRecordError):
            solo.node.disclosure.reconcile(greeting.admitted, chosen, said)


def test_an_empty_choice_has_nothing_to_tell() -> None:
    solo = holding(institution())
    greeting = solo.node.disclosure.greet(None)
    message = Reconciler(ItemSet(()), 9999).first()
    answered = solo.node.disclosure.reconcile(greeting.admitted, b"\x00", message)
    assert isinstance(answered, bytes)
    assert Reconciler(ItemSet(()), 9999).take(answered).lacked == ()
