"""`core`'s reconciliation against the vectors, which another implementation made."""

from __future__ import annotations

import json
from typing import Any

import pytest

from meshnode.core.encoding import MalformedRecordError
from meshnode.core.hello import choose, chosen_of, list_name
from meshnode.core.identifiers import CatalogueId, Digest, Kid
from meshnode.core.limits import RECONCILIATION_BYTES_MAX
from meshnode.core.newest import fork_name
from meshnode.core.ranges import INFINITY, Mode, Range, RangeWriter, decode_ranges, encode_varint
from meshnode.core.reconciliation import ItemSet, Reconciler, answer
from tests.protocol.generate_vectors import VECTORS

FILE: dict[str, Any] = json.loads((VECTORS / "reconciliation.json").read_text("utf-8"))
MODES = {"skip": Mode.SKIP, "fingerprint": Mode.FINGERPRINT, "ids": Mode.IDS}


def digest(text: str) -> Digest:
    return Digest(bytes.fromhex(text))


def named(vector: dict[str, Any]) -> str:
    return str(vector["name"])


def items(pairs: list[tuple[int, str]]) -> ItemSet:
    return ItemSet((second, digest(name)) for second, name in pairs)


@pytest.mark.parametrize("vector", FILE["varints"], ids=lambda one: str(one["value"]))
def test_n_77_a_number_is_written_with_the_fewest_digits(vector: dict[str, Any]) -> None:
    assert encode_varint(vector["value"]).hex() == vector["hex"]


@pytest.mark.parametrize("vector", FILE["fingerprints"], ids=lambda one: str(len(one["ids"])))
def test_n_77_a_fingerprint_is_that_of_the_vector(vector: dict[str, Any]) -> None:
    held = ItemSet((1, digest(name)) for name in vector["ids"])
    assert held.fingerprint(0, len(held)).hex() == vector["hex"]


@pytest.mark.parametrize("vector", FILE["messages"], ids=named)
def test_n_77_a_message_is_read_and_written_as_the_vector(vector: dict[str, Any]) -> None:
    ranges = tuple(map(range_of, vector["ranges"]))
    writer = RangeWriter(RECONCILIATION_BYTES_MAX)
    for one in ranges:
        write(writer, one)
    assert writer.raw.hex() == vector["hex"]
    assert decode_ranges(writer.raw) == ranges


def range_of(shown: dict[str, Any]) -> Range:
    below = shown["below"]
    upper = INFINITY if below is None else (below[0], bytes.fromhex(below[1]))
    fingerprint = bytes.fromhex(shown.get("fingerprint", ""))
    return Range(upper, MODES[shown["mode"]], fingerprint, tuple(map(digest, shown.get("ids", ()))))


def write(writer: RangeWriter, one: Range) -> None:
    match one.mode:
        case Mode.SKIP:
            writer.skip(one.upper)
        case Mode.FINGERPRINT:
            writer.add_fingerprint(one.upper, one.fingerprint)
        case Mode.IDS:
            writer.add_ids(one.upper, one.ids)


@pytest.mark.parametrize("vector", FILE["invalid"], ids=named)
def test_n_77_what_the_vector_calls_invalid_is_refused(vector: dict[str, Any]) -> None:
    with pytest.raises(MalformedRecordError):
        decode_ranges(bytes.fromhex(vector["hex"]))


@pytest.mark.parametrize("vector", FILE["exchanges"], ids=named)
def test_n_78_an_exchange_is_that_of_the_vector_word_for_word(vector: dict[str, Any]) -> None:
    here, there = items(vector["here"]), items(vector["there"])
    reconciler = Reconciler(here, RECONCILIATION_BYTES_MAX)
    said, lacked = [reconciler.first()], list[Digest]()
    while True:
        said.append(answer(there, said[-1], RECONCILIATION_BYTES_MAX))
        step = reconciler.take(said[-1])
        lacked += step.lacked
        if step.question is None:
            break
        said.append(step.question)
    assert [raw.hex() for raw in said] == vector["messages"]
    assert sorted(lacked) == list(map(digest, vector["lacking_here"]))


def test_n_76_evidence_is_named_by_what_it_is_about() -> None:
    told = FILE["evidence"]
    catalogue, writer = CatalogueId(digest(told["catalogue"])), Kid(bytes.fromhex(told["writer"]))
    assert fork_name(catalogue, writer, told["seq"]) == digest(told["id"])


@pytest.mark.parametrize("vector", FILE["lists"], ids=lambda one: str(len(one["catalogues"])))
def test_n_75_a_list_is_named_by_the_digest_of_its_ids(vector: dict[str, Any]) -> None:
    catalogues = [CatalogueId(digest(name)) for name in vector["catalogues"]]
    assert list_name(catalogues) == digest(vector["sha256"])


@pytest.mark.parametrize("vector", FILE["choices"], ids=lambda one: str(one["hex"]))
def test_n_76_a_choice_has_a_bit_for_each_of_the_list(vector: dict[str, Any]) -> None:
    listed = [CatalogueId(digest(name)) for name in vector["of"]]
    chosen = tuple(CatalogueId(digest(name)) for name in vector["chosen"])
    raw = bytes.fromhex(vector["hex"])
    assert chosen_of(listed, raw) == chosen
    assert choose(listed, chosen) == (chosen, raw)
