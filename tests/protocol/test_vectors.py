"""The vectors say what the pages and the schema say, and can be made again by anyone."""

from __future__ import annotations

import json
import re
from collections import Counter
from typing import Any

import cbor2
import pycddl
import pytest

from tests.protocol.broken import ENTRY_RULES
from tests.protocol.cddl import parse
from tests.protocol.generate_vectors import FILES, VECTORS, text_of
from tests.protocol.plain import extents

PROTOCOL = VECTORS.parent
SCHEMA_TEXT = (PROTOCOL / "records.cddl").read_text(encoding="utf-8")
SCHEMA = parse(SCHEMA_TEXT)
RECORDS: dict[str, list[dict[str, Any]]] = json.loads((VECTORS / "records.json").read_text("utf-8"))

# pycddl 0.6 loses its place in nested arrays with choices inside, and before `* any`.
PYCDDL_CANNOT = {"root", "root-with-every-field", "unknown-kind", "known-kind-of-a-later-version"}
PYCDDL_CAN = [one for one in RECORDS["valid"] if one["name"] not in PYCDDL_CANNOT]


def _named(vector: dict[str, Any]) -> str:
    return str(vector.get("name") or vector["kind"])


def _rule_of(vector: dict[str, Any]) -> str:
    """Name the exact rule of an entry: pycddl mishandles the choice between all of them."""
    if vector["type"] != "entry":
        return str(vector["type"])
    name = str(vector["name"])
    return ENTRY_RULES.get(name, name)


@pytest.mark.parametrize("name", FILES)
def test_the_generator_makes_the_committed_vectors_again(name: str) -> None:
    assert (VECTORS / name).read_text(encoding="utf-8") == text_of(name)


def test_no_vector_file_is_without_its_generator() -> None:
    assert sorted(path.name for path in VECTORS.iterdir()) == sorted(FILES)


def test_an_independent_parser_reads_the_schema() -> None:
    pycddl.Schema(SCHEMA_TEXT)


@pytest.mark.parametrize("vector", RECORDS["valid"], ids=_named)
def test_a_valid_record_has_the_shape_of_the_schema(vector: dict[str, Any]) -> None:
    assert SCHEMA.matches(vector["type"], cbor2.loads(bytes.fromhex(vector["hex"])))


@pytest.mark.parametrize("vector", PYCDDL_CAN, ids=_named)
def test_an_independent_validator_accepts_a_valid_record(vector: dict[str, Any]) -> None:
    schema = pycddl.Schema(f"start = {_rule_of(vector)}\n{SCHEMA_TEXT}")
    schema.validate_cbor(bytes.fromhex(vector["hex"]))


@pytest.mark.parametrize("vector", RECORDS["statement_bodies"], ids=_named)
def test_a_statement_body_has_the_shape_of_its_kind(vector: dict[str, Any]) -> None:
    body = cbor2.loads(bytes.fromhex(vector["hex"]))
    assert SCHEMA.matches(vector["kind"], body)
    assert SCHEMA.matches("$statement-body", body)


@pytest.mark.parametrize("vector", RECORDS["invalid"], ids=_named)
def test_the_schema_refuses_what_the_vector_says_it_refuses(vector: dict[str, Any]) -> None:
    value = cbor2.loads(bytes.fromhex(vector["hex"]))
    assert SCHEMA.matches(vector["type"], value) is not vector["refused_by_cddl"]


def test_r_44_the_example_holding_has_the_extents_that_the_page_says() -> None:
    holding = next(one for one in RECORDS["statement_bodies"] if one["kind"] == "holding")
    ((_, number, rice, gaps),) = holding["value"][5]
    assert extents(number, rice, bytes.fromhex(gaps["hex"])) == [0, 11, 14]


def test_names_of_vectors_are_unique() -> None:
    names = [one["name"] for one in [*RECORDS["valid"], *RECORDS["invalid"]]]
    assert len(set(names)) == len(names)


def _rules_of_the_pages() -> Counter[str]:
    pages = "".join(page.read_text(encoding="utf-8") for page in sorted(PROTOCOL.glob("0*.md")))
    return Counter(re.findall(r"\*\*([A-Z]-\d+)\*\*", pages))


def test_every_rule_has_a_number_of_its_own() -> None:
    assert [rule for rule, times in _rules_of_the_pages().items() if times > 1] == []


def test_every_rule_that_is_referred_to_exists() -> None:
    pages = [
        *PROTOCOL.rglob("*.md"),
        *VECTORS.glob("*.json"),
        *VECTORS.parents[1].glob("tests/protocol/*.py"),
    ]
    named = {
        rule for page in pages for rule in re.findall(r"\b[ERSLNPH]-\d+\b", page.read_text("utf-8"))
    }
    assert sorted(named - set(_rules_of_the_pages())) == []


def test_every_member_name_that_is_a_rule_too_has_that_rule_as_its_type() -> None:
    """An independent validator takes `name: type` for the rule `name`; a reader may."""
    members = re.findall(r"[\[,(]\s*([a-z0-9-]+): ([a-z0-9$-]+)", SCHEMA_TEXT)
    assert [pair for pair in members if pair[0] in SCHEMA.rules and pair[0] != pair[1]] == []
