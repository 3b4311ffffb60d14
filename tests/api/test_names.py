"""What collections are called where several catalogues have one of a name."""

from __future__ import annotations

from meshnode.core.identifiers import CatalogueId, catalogue_text
from meshnode.runtime.api.naming import Names

CITY, PROVINCE = CatalogueId(bytes([1]) * 32), CatalogueId(bytes([2]) * 32)


def named(name: str, catalogue: CatalogueId) -> str:
    return f"{name}~{catalogue_text(catalogue)[-12:]}"


def test_a_collection_keeps_its_name_while_it_is_the_only_one() -> None:
    names = Names([(CITY, "ortho"), (PROVINCE, "dem")])

    assert names.of(CITY, "ortho") == "ortho"
    assert names.find("ortho") == ((CITY, "ortho"),)
    assert names.find("nothing") == ()


def test_two_of_a_name_are_told_apart_and_the_name_alone_leads_to_both() -> None:
    names = Names([(CITY, "ortho"), (PROVINCE, "ortho")])

    assert names.of(CITY, "ortho") == named("ortho", CITY)
    assert names.find(named("ortho", PROVINCE)) == ((PROVINCE, "ortho"),)
    assert names.find("ortho") == ((CITY, "ortho"), (PROVINCE, "ortho"))


def test_the_longer_name_leads_to_a_collection_always() -> None:
    names = Names([(CITY, "ortho")])
    assert names.find(named("ortho", CITY)) == ((CITY, "ortho"),)


def test_nobody_takes_anothers_name_by_calling_his_own_so() -> None:
    taken = named("ortho", CITY)
    names = Names([(CITY, "ortho"), (PROVINCE, "ortho"), (PROVINCE, taken)])

    assert names.of(CITY, "ortho") == taken
    assert names.of(PROVINCE, taken) == named(taken, PROVINCE)
    assert names.find(taken) == ((CITY, "ortho"),)
    assert names.find(named(taken, PROVINCE)) == ((PROVINCE, taken),)


def test_a_collection_that_is_not_known_yet_has_the_longer_name() -> None:
    names = Names([(CITY, "ortho")])
    assert names.of(CITY, "dem") == named("dem", CITY)
    assert names.find(named("dem", CITY)) == ((CITY, "dem"),)
