"""Delegates: admitted one step deep, for their prefixes alone, and while a root names them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from meshnode.core.delegation import DELEGATED_MAX
from meshnode.core.denials import OWN
from meshnode.core.denylist import parse_deny_list, rule_of
from meshnode.core.durable import Restored, SetFollowed
from meshnode.core.effects import FetchObject, ForgetCatalogue
from meshnode.core.events import DenyListChanged, Followed, RootsReceived, Unfollowed
from meshnode.core.identifiers import CatalogueId, PeerId, catalogue_text, sha256
from meshnode.core.limits import DELEGATES_MAX
from meshnode.core.names import Ticket
from meshnode.core.roots import Delegate, encode_root
from meshnode.core.signed import encode_signed
from meshnode.core.signing import sign
from tests.core.institutions import Institution, content, segment
from tests.core.solo import Solo, following, submitted

A = PeerId("a")


def delegating(name: str, *delegates: Delegate) -> Institution:
    made = Institution(name)
    made.change_root(lambda root: replace(root, delegates=delegates))
    return made


def next_root(made: Institution, delegates: tuple[Delegate, ...]) -> bytes:
    """Return a second root of the institution that names these delegates."""
    root = replace(made.root, version=2, prev=sha256(encode_root(made.root)), delegates=delegates)
    return encode_signed(sign("root", encode_root(root), [made.root_key]))


def follow(solo: Solo, catalogue: CatalogueId, *roots: bytes) -> None:
    solo.tell(Followed(Ticket(0), catalogue, roots))


def followed(solo: Solo) -> set[CatalogueId]:
    return set(solo.node.followed())


@pytest.fixture
def parks() -> Institution:
    """The delegate: collections of its prefix, and others."""
    made = Institution("parks")
    made.log.publish(segment(1, collection="parks-trails"), segment(2, collection="ortho"))
    return made


@pytest.fixture
def yukon(parks: Institution) -> Institution:
    return delegating("yukon", Delegate("parks-", parks.catalogue))


def test_l_22_who_follows_a_catalogue_follows_its_delegates(parks: Institution, yukon: Institution):
    solo = following(yukon, A)
    assert followed(solo) == {yukon.catalogue, parks.catalogue}
    assert solo.node.catalogues[parks.catalogue].delegated == ("parks-",)
    assert SetFollowed(parks.catalogue, followed=True) not in solo.effects


def test_l_22_of_a_delegate_only_its_prefixes_count(parks: Institution, yukon: Institution):
    solo = following(yukon, A)
    follow(solo, yukon.catalogue, yukon.raw_root)
    solo.tell(RootsReceived(A, parks.catalogue, (parks.raw_root,)))
    solo.tell(submitted(parks.log))
    assert [fetch.digest for fetch in solo.of(FetchObject)] == [sha256(content("1"))]


def test_who_is_followed_too_counts_whole(parks: Institution, yukon: Institution):
    solo = following(yukon, A)
    follow(solo, parks.catalogue, parks.raw_root)
    assert SetFollowed(parks.catalogue, followed=True) in solo.effects
    assert solo.node.catalogues[parks.catalogue].delegated == ()
    solo.tell(submitted(parks.log))
    assert len(solo.of(FetchObject)) == 2
    solo.tell(Unfollowed(Ticket(0), parks.catalogue))
    assert solo.node.catalogues[parks.catalogue].delegated == ("parks-",)


def test_l_22_a_delegates_own_delegates_do_not_count():
    third = CatalogueId(sha256(b"third"))
    second = delegating("second", Delegate("x-", third))
    first = delegating("first", Delegate("s-", second.catalogue))
    solo = following(first, A)
    solo.tell(RootsReceived(A, second.catalogue, (second.raw_root,)))
    assert solo.node.catalogues[second.catalogue].chain is not None
    assert followed(solo) == {first.catalogue, second.catalogue}


def test_a_delegate_is_left_with_the_catalogue_that_named_it(
    parks: Institution, yukon: Institution
):
    solo = following(yukon, A)
    solo.tell(Unfollowed(Ticket(0), yukon.catalogue))
    assert followed(solo) == set()
    assert ForgetCatalogue(parks.catalogue) in solo.effects


def test_a_delegate_is_left_when_a_later_root_names_it_no_more(
    parks: Institution, yukon: Institution
):
    solo = following(yukon, A)
    follow(solo, yukon.catalogue, next_root(yukon, ()))
    assert followed(solo) == {yukon.catalogue}


def test_a_delegate_that_a_later_root_names_is_followed(parks: Institution):
    made = Institution("yukon")
    solo = following(made, A)
    follow(solo, made.catalogue, next_root(made, (Delegate("parks-", parks.catalogue),)))
    assert followed(solo) == {made.catalogue, parks.catalogue}


def test_a_delegate_is_not_unfollowed_by_name_but_denied(parks: Institution, yukon: Institution):
    solo = following(yukon, A)
    solo.tell(Unfollowed(Ticket(0), parks.catalogue))
    assert "block it instead" in solo.refusal()
    rule = rule_of(catalogue_text(parks.catalogue))
    raw = f"version: 1\n---\n{rule}\n".encode()
    solo.tell(DenyListChanged(Ticket(1), OWN, raw, parse_deny_list(raw)))
    assert followed(solo) == {yukon.catalogue}
    solo.tell(DenyListChanged(Ticket(2), OWN, b"", parse_deny_list(b"")))
    assert followed(solo) == {yukon.catalogue, parks.catalogue}
    assert solo.node.catalogues[parks.catalogue].delegated == ("parks-",)


def test_delegates_are_followed_again_after_a_restart(parks: Institution, yukon: Institution):
    solo = Solo()
    solo.restore(
        Restored(
            followed=(yukon.catalogue,),
            roots=((yukon.catalogue, (yukon.raw_root,)), (parks.catalogue, (parks.raw_root,))),
        )
    )
    assert followed(solo) == {yukon.catalogue, parks.catalogue}
    assert solo.node.catalogues[parks.catalogue].delegated == ("parks-",)


def test_i11_a_bomb_of_delegates_is_bounded():
    solo = Solo()
    for number in range(10):
        delegates = [
            Delegate(f"{n}-", CatalogueId(sha256(b"%d of %d" % (n, number))))
            for n in range(DELEGATES_MAX)
        ]
        made = delegating(f"bomb {number}", *delegates)
        follow(solo, made.catalogue, made.raw_root)
    assert len(followed(solo)) == 10 + DELEGATED_MAX
    assert len(solo.node.catalogues) == 10 + DELEGATED_MAX
