"""Chains of roots: thresholds of both versions, rivals, and the same chain in any order."""

from dataclasses import replace
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshnode.core.encoding import MalformedRecordError
from meshnode.core.heads import decode_head
from meshnode.core.identifiers import CatalogueId, Digest, PublicKey
from meshnode.core.limits import SIGNED_ROOT_BYTES_MAX
from meshnode.core.roots import Delegate, LastHead, Writer, encode_root
from meshnode.core.signed import decode_signed
from meshnode.core.signing import verify
from meshnode.core.trust import RootChain, UntrustedError
from tests.core.ceremonies import Ceremony, Signers, Version, signed
from tests.core.institutions import Institution, segment

BOARD = Signers(("alice", "bob", "carol"), threshold=2)
LATER = Signers(("dora", "emil"), threshold=2)
COMMITTED = Signers(("spare",))
LOW_ORDER = PublicKey(bytes(32))


def chain_of(*versions: Version) -> RootChain:
    return RootChain.begin(versions[0].raw).extend([version.raw for version in versions[1:]])


def title(root: Version, by: list[str], text: str) -> Version:
    return root.then(by=by, meta={"title": text})


def test_a_root_signed_by_both_thresholds_is_in_force():
    first = Ceremony(BOARD).first
    second = first.then(by=["alice", "carol", "dora", "emil"], to=LATER)
    chain = chain_of(first, second)
    assert chain.current == second.root
    assert chain.raws == (first.raw, second.raw)
    assert chain.catalogue == CatalogueId(first.digest)


@pytest.mark.parametrize(
    "by",
    [
        ["alice", "bob"],  # of the old role alone
        ["dora", "emil"],  # of the new role alone
        ["alice", "dora", "emil"],
        ["alice", "bob", "dora"],
        ["alice", "bob", "thief"],
    ],
)
def test_l_2_a_root_that_lacks_a_signature_of_either_role_is_refused(by):
    first = Ceremony(BOARD).first
    with pytest.raises(UntrustedError, match="signatures"):
        chain_of(first, first.then(by=by, to=LATER))


def test_e_32_a_signature_that_does_not_hold_does_not_count():
    first = Ceremony(BOARD).first
    second = first.then(by=["alice", "bob"])
    envelope = bytearray(second.raw)
    envelope[-1] ^= 1
    with pytest.raises(UntrustedError, match="has 1 of the 2 signatures"):
        RootChain.begin(first.raw).extend([bytes(envelope)])


def test_e_35_a_later_root_with_a_key_of_low_order_is_refused():
    first = Ceremony(BOARD).first
    writers = (*first.root.writers, Writer(LOW_ORDER, "nobody"))
    with pytest.raises(UntrustedError, match="not admitted"):
        chain_of(first, first.then(by=["alice", "bob"], writers=writers))


def test_a_root_that_may_not_follow_is_refused_whoever_signed():
    first = Ceremony(BOARD).first
    with pytest.raises(UntrustedError, match="never dropped"):
        chain_of(first, first.then(by=["alice", "bob", "carol"], writers=()))


def test_a_root_does_not_delegate_to_its_own_catalogue():
    ceremony = Ceremony(BOARD)
    own = (Delegate("census", ceremony.catalogue),)
    with pytest.raises(UntrustedError, match="its own catalogue"):
        chain_of(ceremony.first, ceremony.first.then(by=["alice", "bob"], delegates=own))


def test_bytes_that_are_no_root_are_malformed():
    chain = RootChain.begin(Ceremony(BOARD).first.raw)
    with pytest.raises(MalformedRecordError):
        chain.extend([b"\x80"])


def test_the_first_root_of_another_catalogue_is_refused():
    chain = RootChain.begin(Ceremony(BOARD).first.raw)
    with pytest.raises(UntrustedError, match="another catalogue"):
        chain.extend([Ceremony(LATER).first.raw])


def test_a_root_that_follows_one_not_held_says_nothing():
    first = Ceremony(BOARD).first
    third = title(title(first, ["alice", "bob"], "2"), ["alice", "bob"], "3")
    chain = RootChain.begin(first.raw)
    assert chain.extend([third.raw]) is chain


def test_a_root_that_is_held_changes_nothing():
    first = Ceremony(BOARD).first
    chain = chain_of(first, title(first, ["alice", "bob"], "2"))
    again = title(first, ["bob", "carol"], "2")
    assert chain.extend([first.raw, again.raw]) is chain


def test_l_13_two_roots_of_one_version_void_each_other_and_what_follows_them():
    first = Ceremony(BOARD).first
    mine = title(first, ["alice", "bob"], "mine")
    yours = title(first, ["bob", "carol"], "yours")
    after = title(mine, ["alice", "bob"], "after mine")
    chain = chain_of(first, mine, after)
    assert chain.current == after.root
    forked = chain.extend([yours.raw])
    assert forked.current == first.root
    assert {root.raw for root in forked.rivals} == {mine.raw, yours.raw}
    assert forked.newest_version == after.root.version


def test_l_13_of_two_roots_the_one_that_takes_the_committed_keys_counts():
    first = Ceremony(BOARD, commit=COMMITTED).first
    stolen = title(first, ["alice", "bob"], "the thief's")
    rescue = first.then(by=["alice", "bob", "spare"], to=COMMITTED)
    assert chain_of(first, stolen).current == stolen.root
    assert chain_of(first, stolen, rescue).current == rescue.root
    assert chain_of(first, stolen, rescue).rivals == ()


def test_l_13_two_roots_that_take_the_committed_keys_void_each_other():
    first = Ceremony(BOARD, commit=COMMITTED).first
    both = [
        first.then(by=["alice", "bob", "spare"], to=COMMITTED, meta={"title": name})
        for name in ("one", "other")
    ]
    assert chain_of(first, *both).current == first.root


def test_a_third_rival_is_not_kept():
    first = Ceremony(BOARD).first
    rivals = [title(first, ["alice", "bob"], text) for text in "abc"]
    chain = chain_of(first, *rivals[:2])
    assert chain.extend([rivals[2].raw]) is chain


def test_an_institution_is_recovered_by_its_committed_keys_after_the_thief_went_on():
    first = Ceremony(BOARD, commit=COMMITTED).first
    stolen = title(first, ["alice", "bob"], "the thief's")
    again = title(stolen, ["alice", "bob"], "the thief's second")
    rescue = first.then(by=["alice", "bob", "spare"], to=COMMITTED)
    calm = title(rescue, ["spare"], "ours again")
    expected = chain_of(first, stolen, again, rescue, calm)
    assert expected.current == calm.root
    for order in permutations([stolen, again, rescue, calm]):
        chain = RootChain.begin(first.raw)
        for _ in order:  # what follows one not held yet comes again
            chain = chain.extend([version.raw for version in order])
        assert chain == expected


def _tree() -> tuple[Version, list[Version]]:
    """A first root and what may follow it: rivals, and roots that follow those."""
    first = Ceremony(BOARD, commit=COMMITTED).first
    a = title(first, ["alice", "bob"], "a")
    b = title(first, ["alice", "bob"], "b")
    taker = first.then(by=["alice", "bob", "spare"], to=COMMITTED)
    return first, [
        a,
        b,
        taker,
        title(a, ["alice", "bob"], "after a"),
        a.closing("writer", LastHead(2, Digest(b"2" * 32)), by=["alice", "bob"]),
        title(taker, ["spare"], "after the taker"),
        taker.closing("writer", False, by=["spare"]),
    ]


FIRST, TREE = _tree()


def _reachable(chosen: list[Version]) -> list[Version]:
    """Leave out what follows a root that was not chosen."""
    found: dict[Digest, Version] = {FIRST.digest: FIRST}
    for version in TREE:
        if version in chosen and version.root.prev in found:
            found[version.digest] = version
    return list(found.values())[1:]


@given(st.data())
def test_the_chain_depends_on_the_set_of_roots_alone(data):
    chosen = data.draw(st.lists(st.sampled_from(TREE), unique_by=lambda v: v.digest))
    connected = _reachable(chosen)
    expected = RootChain.begin(FIRST.raw).extend([v.raw for v in connected])
    order = data.draw(st.permutations(connected * 2))
    chain = RootChain.begin(FIRST.raw)
    for _ in connected:
        for version in order:
            chain = chain.extend([version.raw])
    assert chain == expected


def test_heads_of_a_writer_are_checked_with_the_key_of_any_root_held():
    institution = Institution("Ville", ("laptop", "pipeline"))
    raw = institution.logs[1].publish(segment(1))
    chain = RootChain.begin(institution.raw_root)
    head = decode_signed(raw, 4096)
    assert chain.head_fault(decode_head(head.payload), head, verify) is None
    forged = replace(head, signatures=(replace(head.signatures[0], signature=bytes(64)),))
    assert chain.head_fault(decode_head(head.payload), forged, verify) is not None
    stranger = RootChain.begin(Institution("Village").raw_root)
    assert stranger.head_fault(decode_head(head.payload), head, verify) is not None


def test_a_first_root_closes_nobody():
    first = Ceremony(BOARD).first
    writers = tuple(replace(writer, closed=False) for writer in first.root.writers)
    with pytest.raises(UntrustedError, match="cannot have begun"):
        RootChain.begin(signed(replace(first.root, writers=writers), BOARD.names).raw)


def test_a_chain_does_not_begin_with_a_later_root():
    first = Ceremony(BOARD).first
    with pytest.raises(UntrustedError, match="begins with root 1"):
        RootChain.begin(title(first, ["alice", "bob"], "2").raw)


def padded(root: Version, size_bytes: int) -> Version:
    """Return a root that follows, whose payload has exactly this size."""
    meta = {f"field {number:02}": "x" * 1000 for number in range(15)}
    bare = root.then(by=["alice", "bob"], meta=meta | {"rest": ""})
    lacks = size_bytes - len(encode_root(bare.root))
    assert 300 < lacks < 1000
    rest = "x" * (lacks - 2)  # its length takes two bytes more
    return root.then(by=["alice", "bob"], meta=meta | {"rest": rest})


def test_a_root_counts_with_its_signatures_in_its_size() -> None:
    first = Ceremony(BOARD).first
    some = padded(first, SIGNED_ROOT_BYTES_MAX - 200)
    signatures = len(some.raw) - len(encode_root(some.root))
    fits = padded(first, SIGNED_ROOT_BYTES_MAX - signatures)
    assert len(fits.raw) == SIGNED_ROOT_BYTES_MAX
    assert chain_of(first, fits).current == fits.root
    with pytest.raises(MalformedRecordError, match=f"a root of {SIGNED_ROOT_BYTES_MAX + 1} bytes"):
        chain_of(first, padded(first, SIGNED_ROOT_BYTES_MAX - signatures + 1))
