"""Proposals travel, are checked before they are signed, and end with enough signatures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshnode.core.amendments import (
    Change,
    add_writer,
    amended,
    close_writer,
    commit_next,
    differences,
    set_delegate,
    set_meta,
    set_root_role,
)
from meshnode.core.encoding import MalformedRecordError
from meshnode.core.entries import ItemName, Reason
from meshnode.core.identifiers import CatalogueId, catalogue_text, key_id, sha256
from meshnode.core.proposals import (
    PURGE,
    ROOT,
    Proposal,
    catalogue_of,
    chain_of,
    combined,
    completed,
    decode_proposal,
    encode_proposal,
    signed_by,
    summary,
    tallies,
)
from meshnode.core.purges import Purge, encode_purge
from meshnode.core.roots import LastHead, Root, encode_root
from meshnode.core.signed import Signature, decode_signed
from meshnode.core.signing import public_key
from meshnode.core.trust import RootChain
from meshnode.errors import UsageError
from tests.core.institutions import ISSUED, Institution, key_of

ALICE, BOB, CAROL, DANA = (key_of(name) for name in ("alice", "bob", "carol", "dana"))
HOLDERS = [public_key(key) for key in (ALICE, BOB, CAROL)]
NEW_WRITER = public_key(key_of("new writer"))


def first() -> Proposal:
    """Return the first root of a catalogue of which two of three must sign."""
    institution = Institution("joint")
    root = set_root_role(HOLDERS, 2)(institution.root)
    return Proposal(ROOT, encode_root(root), (), ())


def chain() -> RootChain:
    return RootChain.begin(completed(signed_by(signed_by(first(), ALICE), BOB)))


def next_root(chain: RootChain, *changes: Change) -> Proposal:
    root = amended(chain.current, changes, issued=ISSUED + 1, review_by=ISSUED + 2)
    return Proposal(ROOT, encode_root(root), (), chain.raws)


def signed(proposal: Proposal, keys: Sequence[object]) -> Proposal:
    for key in keys:
        proposal = signed_by(proposal, key)  # type: ignore[arg-type]
    return proposal


def test_copies_signed_on_several_machines_become_one_root_in_force():
    proposal = first()
    travelled = decode_proposal(encode_proposal(proposal))
    at_alice, at_carol = signed_by(travelled, ALICE), signed_by(travelled, CAROL)
    both = combined([at_alice, at_carol])
    begun = RootChain.begin(completed(both))
    assert begun.catalogue == catalogue_of(proposal)
    assert bytes(begun.catalogue) == sha256(proposal.payload)


def test_the_order_and_the_grouping_of_signatures_change_no_byte():
    one = combined([signed_by(first(), ALICE), signed_by(first(), BOB)])
    other = combined([signed_by(first(), BOB), signed_by(signed_by(first(), ALICE), BOB)])
    assert encode_proposal(one) == encode_proposal(other)


def test_below_the_threshold_nothing_is_completed_and_the_missing_keys_are_named():
    with pytest.raises(UsageError, match="1 of the 2 signatures that root 1 asks for") as caught:
        completed(signed_by(first(), ALICE))
    assert key_id(public_key(BOB)).hex() in caught.value.hint
    assert key_id(public_key(ALICE)).hex() not in caught.value.hint


def test_the_same_key_twice_is_one_signature():
    (tally,) = tallies(signed(first(), [ALICE, ALICE]))
    assert (len(tally.signed), tally.is_met) == (1, False)


def test_a_rotation_needs_the_thresholds_of_both_roots():
    keys = [public_key(key) for key in (CAROL, DANA)]
    proposal = next_root(chain(), set_root_role(keys, 2))
    assert [tally.is_met for tally in tallies(signed(proposal, [ALICE, BOB]))] == [True, False]
    assert [tally.is_met for tally in tallies(signed(proposal, [CAROL, DANA]))] == [False, True]
    raw = completed(signed(proposal, [ALICE, CAROL, DANA]))
    extended = chain().extend([raw])
    assert extended.current.version == 2
    assert [extended.current.keys[i].public_key for i in (0, 1)] == keys


def test_a_key_that_nobody_asked_is_refused():
    with pytest.raises(UsageError, match="is not asked to sign this"):
        signed_by(first(), DANA)


def test_a_damaged_signature_counts_for_none_and_does_not_push_a_good_one_out():
    good = signed_by(first(), ALICE)
    forged = replace(good, signatures=(Signature(good.signatures[0].kid, bytes(64)),))
    assert tallies(forged)[0].signed == ()
    assert combined([good, forged]) == combined([forged, good]) == good


def test_files_that_propose_different_things_are_not_combined():
    other = next_root(chain(), set_meta({"title": "Other"}))
    with pytest.raises(UsageError, match="different things"):
        combined([first(), other])


def test_what_does_not_follow_the_root_in_force_is_not_shown_as_if_it_did():
    begun = chain()
    later = begun.extend([completed(signed(next_root(begun), [ALICE, BOB]))])
    stale = next_root(begun, set_meta({"title": "Late"}))
    with pytest.raises(UsageError, match="does not name root 2"):
        chain_of(replace(stale, roots=later.raws))
    with pytest.raises(UsageError, match="does not hold the roots"):
        chain_of(replace(stale, roots=()))
    with pytest.raises(UsageError, match="do not hold"):
        chain_of(replace(stale, roots=(b"\x80",)))
    with pytest.raises(UsageError, match="one after the other"):
        chain_of(replace(stale, roots=(*begun.raws, *begun.raws)))


def test_a_dropped_writer_is_refused_before_anybody_signs():
    begun = chain()
    proposal = next_root(begun, lambda root: replace(root, writers=()))
    with pytest.raises(UsageError, match="never dropped"):
        tallies(proposal)


def purge(begun: RootChain, version: int = 1) -> Proposal:
    record = Purge(
        begun.catalogue, version, Reason.PRIVACY, ISSUED, (sha256(b"o"),), (ItemName("c", "i"),)
    )
    return Proposal(PURGE, encode_purge(record), (), begun.raws)


def test_a_purge_is_signed_by_the_root_in_force():
    begun = chain()
    raw = completed(signed(purge(begun), [BOB, CAROL]))
    assert decode_signed(raw, 1 << 16).payload == purge(begun).payload
    assert summary(purge(begun))[1:] == [
        "to be erased from every disk, privacy:",
        f"object {sha256(b'o').hex()}",
        "item c/i",
    ]


def test_a_purge_of_another_catalogue_or_root_is_refused():
    begun = chain()
    with pytest.raises(UsageError, match="it names root 2, not 1"):
        tallies(purge(begun, version=2))
    record = Purge(CatalogueId(sha256(b"x")), 1, Reason.LEGAL, ISSUED, (sha256(b"o"),), ())
    with pytest.raises(UsageError, match="another catalogue"):
        tallies(Proposal(PURGE, encode_purge(record), (), begun.raws))
    with pytest.raises(UsageError, match="does not hold the roots"):
        tallies(replace(purge(begun), roots=()))


@given(st.data())
def test_no_other_bytes_than_its_encoding_are_a_proposal(data: st.DataObject):
    raw = encode_proposal(signed_by(first(), ALICE))
    at = data.draw(st.integers(0, len(raw) - 1))
    changed = raw[:at] + bytes([raw[at] ^ data.draw(st.integers(1, 255))]) + raw[at + 1 :]
    try:
        decoded = decode_proposal(changed)
    except MalformedRecordError:
        return
    assert encode_proposal(decoded) == changed


@pytest.mark.parametrize("kind", ["head", ""])
def test_nothing_but_roots_and_purges_is_proposed(kind: str):
    with pytest.raises(MalformedRecordError):
        decode_proposal(encode_proposal(replace(first(), kind=kind)))


def test_the_differences_say_everything_that_a_root_changes():
    before = replace(chain().current, delegates=())
    writer, other = before.writers[0], CatalogueId(sha256(b"other"))
    root: Root = amended(
        before,
        [
            set_meta({"title": "New", "domain": "example.org"}),
            set_root_role([*HOLDERS[1:], public_key(DANA)], 1),
            commit_next([public_key(DANA)], 1),
            add_writer(NEW_WRITER, "CI", ["ortho-"]),
            close_writer(writer.kid, LastHead(4, sha256(b"head"))),
            set_delegate("parks-", other),
        ],
        issued=ISSUED,
        review_by=ISSUED,
    )
    lines = differences(before, root)
    assert lines[:4] == [
        "domain: example.org",
        "title: New (was joint)",
        "root keys: 1 of 3 must sign",
        f"root key {key_id(public_key(DANA)).hex()} added",
    ]
    assert lines[4:6] == [
        f"root key {key_id(public_key(ALICE)).hex()} removed",
        "next root keys committed: 1 of 1",
    ]
    assert lines[6].endswith(
        f"closed: its head 4 ({sha256(b'head').hex()[:16]}…) is the last that counts"
    )
    assert lines[7].endswith("(CI) added, for collections ortho-*")
    assert lines[8].startswith("collections parks-* are those of bafyrei")
    again = amended(root, [set_delegate("parks-", None)], issued=0, review_by=0)
    assert differences(root, again) == ["collections parks-* are no longer another catalogue's"]
    assert (again.issued, again.review_by) == (root.issued, root.review_by)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (add_writer(public_key(key_of("joint writer")), "again", None), "is a writer of this"),
        (close_writer(key_id(NEW_WRITER), False), "is not a writer of this"),
        (set_delegate("none-", None), "no collections with the prefix"),
        (set_root_role(HOLDERS, 4), "breaks the rules"),
        (set_root_role([HOLDERS[0]] * 2, 1), "breaks the rules"),
        (add_writer(NEW_WRITER, "", None), "breaks the rules"),
    ],
)
def test_a_change_that_does_not_fit_is_refused_with_its_reason(change: Change, reason: str):
    with pytest.raises(UsageError, match=reason):
        amended(chain().current, [change], issued=ISSUED, review_by=ISSUED)


def test_the_first_root_is_shown_as_what_it_brings():
    proposal = first()
    title, *lines = summary(proposal)
    assert title == f"the first root of {catalogue_text(catalogue_of(proposal))}"
    assert "title: joint" in lines
    assert any(line.endswith("(writer) added, for all collections") for line in lines)


def test_a_later_root_is_shown_by_what_it_changes():
    begun = chain()
    title, against, *changes = summary(next_root(begun, set_meta({"title": "New"})))
    assert title == f"root 2 of {catalogue_text(begun.catalogue)}"
    assert against == "it differs from root 1 by:"
    assert changes == ["title: New (was joint)"]
    assert summary(next_root(begun))[2:] == ["nothing but its date"]


def test_a_change_of_what_a_writer_or_another_catalogue_may_do_is_shown():
    before = chain().current
    writer, other = before.writers[0], CatalogueId(sha256(b"other"))
    delegated = amended(before, [set_delegate("parks-", other)], issued=ISSUED, review_by=ISSUED)
    narrow = replace(delegated, writers=(replace(writer, prefixes=("ortho-", "census")),))
    name = f"writer {writer.kid.hex()} (writer)"
    scope = "collections ortho-*, census*"
    assert differences(delegated, narrow) == [f"{name} now for {scope} (was all collections)"]
    void = amended(narrow, [close_writer(writer.kid, False)], issued=ISSUED, review_by=ISSUED)
    assert differences(narrow, void) == [f"{name} closed: nothing of its log counts"]
    moved = amended(
        delegated,
        [set_delegate("parks-", CatalogueId(sha256(b"third")))],
        issued=ISSUED,
        review_by=ISSUED,
    )
    third = catalogue_text(CatalogueId(sha256(b"third")))
    assert differences(delegated, moved) == [f"collections parks-* are those of {third}"]
