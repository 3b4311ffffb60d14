from __future__ import annotations

import pytest

from meshnode.core.identifiers import (
    CatalogueId,
    PublicKey,
    catalogue_text,
    object_text,
    parse_catalogue,
    parse_object,
    peer_id,
    sha256,
)
from meshnode.errors import UsageError


def test_a_catalogue_id_is_read_as_it_was_written() -> None:
    catalogue = CatalogueId(sha256(b"root"))
    assert parse_catalogue(catalogue_text(catalogue)) == catalogue


def test_an_object_id_is_read_as_it_was_written() -> None:
    assert parse_object(object_text(sha256(b"object"))) == sha256(b"object")


def test_the_two_kinds_of_id_begin_as_ipld_says() -> None:
    assert catalogue_text(CatalogueId(sha256(b""))).startswith("bafyrei")
    assert object_text(sha256(b"")).startswith("bafkrei")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "b",
        "bafyrei",
        "é" * 59,
        object_text(sha256(b"")),
        catalogue_text(CatalogueId(sha256(b""))).upper(),
        catalogue_text(CatalogueId(sha256(b""))) + "a",
        " " + catalogue_text(CatalogueId(sha256(b""))),
    ],
)
def test_what_is_no_catalogue_id_is_refused_with_a_hint(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_catalogue(text)
    assert caught.value.hint


def test_a_catalogue_id_is_no_object_id() -> None:
    with pytest.raises(UsageError):
        parse_object(catalogue_text(CatalogueId(sha256(b""))))


def test_the_peer_id_of_the_key_in_the_libp2p_specification_is_what_libp2p_makes_of_it() -> None:
    key = "1ed1e8fae2c4a144b8be8fd4b47bf3d3b34b871c3cacf6010f0e42d474fce27e"
    spelled = "12D3KooWBtg3aaRMjxwedh83aGiUkwSxDwUZkzuJcfaqUmo7R3pq"
    assert peer_id(PublicKey(bytes.fromhex(key))) == spelled
