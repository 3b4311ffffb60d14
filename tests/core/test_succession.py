"""Which root may follow which: L-2, L-4, L-12."""

from dataclasses import replace

import pytest

from meshnode.core.identifiers import Digest
from meshnode.core.limits import ROOT_VERSION_MAX
from meshnode.core.roots import Closing, LastHead, Role
from meshnode.core.succession import succession_fault, takes_committed
from tests.core.ceremonies import Ceremony, Signers, Version

OLD, NEW = Signers(("old",)), Signers(("new a", "new b"), threshold=2)
FIFTH = LastHead(5, Digest(b"5" * 32))
OPEN_OR_CLOSED: list[Closing | None] = [None, FIFTH, LastHead(3, Digest(b"3" * 32)), False]


def closed(state: Closing | None) -> Version:
    return Ceremony(OLD).first.closing("writer", state, by=["old"])


@pytest.mark.parametrize(
    ("before", "after", "is_lawful"),
    [
        (b, a, OPEN_OR_CLOSED.index(a) >= OPEN_OR_CLOSED.index(b))
        for b in OPEN_OR_CLOSED
        for a in OPEN_OR_CLOSED
    ],
)
def test_a_closing_never_reopens_and_moves_only_to_an_earlier_head(before, after, is_lawful):
    closing = closed(before)
    fault = succession_fault(closing.root, closing.closing("writer", after, by=["old"]).root)
    assert (fault is None) is is_lawful


def test_a_closing_does_not_move_to_another_head_of_the_same_seq():
    closing = closed(FIFTH)
    other = closing.closing("writer", LastHead(5, Digest(b"x" * 32)), by=["old"])
    assert "moves from head 5 to head 5" in str(succession_fault(closing.root, other.root))


def test_a_writer_is_never_dropped():
    first = Ceremony(OLD, ("laptop", "pipeline")).first
    without = first.then(by=["old"], writers=first.root.writers[1:])
    assert "'laptop' is not listed any more" in str(succession_fault(first.root, without.root))


def test_a_writer_may_be_added_renamed_and_given_other_prefixes():
    first = Ceremony(OLD).first
    renamed = replace(first.root.writers[0], label="desk", prefixes=("ortho",))
    added = Ceremony(OLD, ("colleague",)).first.root.writers
    after = first.then(by=["old"], writers=(renamed, *added))
    assert succession_fault(first.root, after.root) is None


@pytest.mark.parametrize("version", [1, 3])
def test_versions_rise_by_one(version):
    first = Ceremony(OLD).first
    assert succession_fault(first.root, first.then(by=["old"], version=version).root) is not None


def test_there_is_a_last_version():
    last = replace(Ceremony(OLD).first.root, version=ROOT_VERSION_MAX)
    after = replace(last, version=ROOT_VERSION_MAX + 1)
    assert "beyond the last one" in str(succession_fault(last, after))


def test_without_a_commitment_any_root_role_may_follow():
    first = Ceremony(OLD).first
    assert succession_fault(first.root, first.then(by=["old"], to=NEW).root) is None


@pytest.mark.parametrize(
    ("to", "commit", "is_lawful"),
    [
        (None, None, True),  # keeps role and commitment
        (NEW, None, True),  # takes the committed keys, and keeps a commitment to them
        (NEW, Signers(("next",)), True),  # takes them, and commits to others
        (None, Signers(("next",)), False),  # keeps the role, and another commitment
        (Signers(("thief",)), None, False),
        (Signers(("new a", "new b"), threshold=1), None, False),
        (Signers(("new a", "new b", "thief"), threshold=2), None, False),
        (Signers(("new a",)), None, False),
    ],
)
def test_l_12_after_a_commitment_the_root_role_stays_or_is_the_committed_one(to, commit, is_lawful):
    first = Ceremony(OLD, commit=NEW).first
    after = first.then(by=["old"], to=to, commit=commit)
    assert (succession_fault(first.root, after.root) is None) is is_lawful
    assert takes_committed(first.root, after.root) is (to == NEW)


def test_l_12_the_order_of_keys_is_no_difference():
    first = Ceremony(Signers(("a", "b"), threshold=2), commit=NEW).first
    turned = first.then(by=["a", "b"], keys=first.root.keys[::-1], root_role=Role(2, (1, 0)))
    assert succession_fault(first.root, turned.root) is None


def test_l_12_a_commitment_may_not_be_withdrawn():
    first = Ceremony(OLD, commit=NEW).first
    assert succession_fault(first.root, first.then(by=["old"], next=None).root) is not None
