"""`core.encoding`, `core.identifiers`, `core.merkle` and `core.filelist` against the vectors."""

from __future__ import annotations

import json
from typing import Any

import pytest

from meshnode.core.encoding import MalformedRecordError, decode, encode
from meshnode.core.filelist import decode_file_list
from meshnode.core.identifiers import (
    CatalogueId,
    Digest,
    PublicKey,
    catalogue_text,
    key_id,
    object_text,
    parse_catalogue,
    parse_object,
    sha256,
)
from meshnode.core.merkle import (
    Frontier,
    consistency_proof,
    inclusion_proof,
    leaf_hash,
    root_of,
    verify_consistency,
    verify_inclusion,
)
from meshnode.errors import UsageError
from tests.protocol.generate_vectors import VECTORS

ENCODING = json.loads((VECTORS / "encoding.json").read_text("utf-8"))
IDENTIFIERS = json.loads((VECTORS / "identifiers.json").read_text("utf-8"))
TREES = json.loads((VECTORS / "trees.json").read_text("utf-8"))
RECORDS = json.loads((VECTORS / "records.json").read_text("utf-8"))
FILE_LISTS = [one for one in RECORDS["valid"] if one["type"] == "file-list"]
BROKEN_FILE_LISTS = [one for one in RECORDS["invalid"] if one["type"] == "file-list"]
LEAVES = [Digest(bytes.fromhex(leaf["hash"])) for leaf in TREES["leaves"]]
SIZE_BYTES_MAX = 1 << 20


def _named(vector: dict[str, Any]) -> str:
    return str(vector["name"])


def shown(value: object) -> object:
    """Write a decoded value as the vectors do."""
    match value:
        case bytes():
            return {"hex": value.hex()}
        case list():
            return [shown(member) for member in value]
        case dict():
            return {key: shown(member) for key, member in value.items()}
        case _:
            return value


@pytest.mark.parametrize("vector", ENCODING["valid"], ids=_named)
def test_a_valid_item_is_decoded_and_encoded_again(vector: dict[str, Any]) -> None:
    value = decode(bytes.fromhex(vector["hex"]), SIZE_BYTES_MAX)
    assert shown(value) == vector["value"]
    assert encode(value).hex() == vector["hex"]


@pytest.mark.parametrize("vector", ENCODING["invalid"], ids=_named)
def test_an_item_that_breaks_a_rule_is_refused(vector: dict[str, Any]) -> None:
    with pytest.raises(MalformedRecordError):
        decode(bytes.fromhex(vector["hex"]), SIZE_BYTES_MAX)


@pytest.mark.parametrize("vector", RECORDS["valid"], ids=_named)
def test_every_example_record_is_a_canonical_item(vector: dict[str, Any]) -> None:
    raw = bytes.fromhex(vector["hex"])
    assert shown(decode(raw, SIZE_BYTES_MAX)) == vector["value"]
    assert sha256(raw).hex() == vector["sha256"]


def test_e_11_a_longer_item_than_allowed_is_refused() -> None:
    with pytest.raises(MalformedRecordError):
        decode(bytes.fromhex("8101"), 1)


@pytest.mark.parametrize("key", IDENTIFIERS["keys"], ids=lambda key: str(key["label"]))
def test_e_24_a_kid_is_half_the_digest_of_the_key(key: dict[str, str]) -> None:
    assert key_id(PublicKey(bytes.fromhex(key["pk"]))).hex() == key["kid"]


def test_e_21_the_catalogue_id_is_the_digest_of_the_first_root() -> None:
    vector = IDENTIFIERS["catalogue"]
    catalogue = CatalogueId(sha256(bytes.fromhex(vector["root"])))
    assert catalogue.hex() == vector["id"]
    assert catalogue_text(catalogue) == vector["text"]
    assert parse_catalogue(vector["text"]) == catalogue


def test_e_22_an_object_is_named_by_the_digest_of_its_bytes() -> None:
    vector = IDENTIFIERS["objects"][0]
    digest = sha256(bytes.fromhex(vector["bytes"]))
    assert digest.hex() == vector["sha256"]
    assert object_text(digest) == vector["text"]
    assert parse_object(vector["text"]) == digest


@pytest.mark.parametrize(
    "spoil",
    [
        lambda text: text.upper(),
        lambda text: "z" + text[1:],
        lambda text: text[:-1],
        lambda text: text + "a",
        lambda text: text.replace("bafyrei", "bafkrei"),
        lambda text: text[:-1] + chr(ord(text[-1]) + 1),
    ],
    ids=["upper-case", "other-base", "too-short", "too-long", "other-content", "padding-bits"],
)
def test_e_23_other_forms_of_an_id_are_refused(spoil: Any) -> None:
    with pytest.raises(UsageError):
        parse_catalogue(spoil(IDENTIFIERS["catalogue"]["text"]))


@pytest.mark.parametrize("leaf", TREES["leaves"])
def test_l_30_a_leaf_is_hashed_with_its_prefix(leaf: dict[str, str]) -> None:
    assert leaf_hash(bytes.fromhex(leaf["hex"])).hex() == leaf["hash"]


@pytest.mark.parametrize("tree", TREES["trees"], ids=lambda tree: str(tree["size"]))
def test_l_31_the_frontier_gives_the_tree_hash(tree: dict[str, Any]) -> None:
    frontier = Frontier().extend(LEAVES[: tree["size"]])
    assert [part.hex() for part in frontier.hashes] == tree["frontier"]
    assert frontier.root().hex() == tree["tree"]


@pytest.mark.parametrize("proof", TREES["inclusion"])
def test_l_30_an_inclusion_proof_is_made_and_verified(proof: dict[str, Any]) -> None:
    index, size = proof["index"], proof["size"]
    path = tuple(Digest(bytes.fromhex(step)) for step in proof["path"])
    assert inclusion_proof(LEAVES[:size], index) == path
    assert verify_inclusion(LEAVES[index], index, size, path, root_of(LEAVES[:size]))
    assert not verify_inclusion(LEAVES[index], index, size, path, root_of(LEAVES[: size - 1]))


@pytest.mark.parametrize("proof", TREES["consistency"])
def test_l_30_a_consistency_proof_is_made_and_verified(proof: dict[str, Any]) -> None:
    first, second = proof["first"], proof["second"]
    path = tuple(Digest(bytes.fromhex(step)) for step in proof["path"])
    old, new = root_of(LEAVES[:first]), root_of(LEAVES[:second])
    assert consistency_proof(LEAVES[:second], first) == path
    assert verify_consistency(first, second, path, old, new)
    assert not verify_consistency(first, second, path, new, new)


@pytest.mark.parametrize("vector", FILE_LISTS, ids=_named)
def test_p_1_a_file_list_is_decoded(vector: dict[str, Any]) -> None:
    files = decode_file_list(bytes.fromhex(vector["hex"]))
    assert [file.path for file in files.files] == [row[0] for row in vector["value"][3]]


def test_p_2_the_key_is_the_digest_of_the_list_without_bindings() -> None:
    identity = next(one for one in RECORDS["valid"] if one["type"] == "payload-identity")
    assert decode_file_list(bytes.fromhex(FILE_LISTS[0]["hex"])).key.hex() == identity["sha256"]


@pytest.mark.parametrize("vector", BROKEN_FILE_LISTS, ids=_named)
def test_a_broken_file_list_is_refused(vector: dict[str, Any]) -> None:
    with pytest.raises(MalformedRecordError):
        decode_file_list(bytes.fromhex(vector["hex"]))
