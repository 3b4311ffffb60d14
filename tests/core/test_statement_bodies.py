"""What a statement says is read as the kind asks, or says nothing."""

from __future__ import annotations

import json
from typing import Any

import pytest

from meshnode.core.encoding import encode
from meshnode.core.entries import ItemName
from meshnode.core.statement_bodies import (
    KINDS,
    Issue,
    Problem,
    Provider,
    decode_body,
    encode_body,
)
from tests.protocol.generate_vectors import VECTORS

BODIES: list[dict[str, Any]] = json.loads((VECTORS / "records.json").read_text("utf-8"))[
    "statement_bodies"
]


@pytest.mark.parametrize("vector", BODIES, ids=lambda one: str(one["kind"]))
def test_r_49_the_body_of_a_known_kind_is_read_and_written_as_the_vector(
    vector: dict[str, Any],
) -> None:
    raw = bytes.fromhex(vector["hex"])
    body = decode_body(vector["kind"], raw)
    assert body is not None
    assert encode_body(body) == raw


def test_every_kind_has_a_vector() -> None:
    assert sorted(one["kind"] for one in BODIES) == sorted(KINDS)


@pytest.mark.parametrize(
    ("kind", "raw"),
    [
        ("of-tomorrow", encode([])),
        ("issue", b""),
        ("issue", b"\x80\x80"),
        ("issue", encode([7, None, ""])),
        ("issue", encode([1, None])),
        ("issue", encode([1, ["towns"], ""])),
        ("issue", encode([1, None, "x" * 1025])),
        ("provider", encode([[]])),
        ("provider", encode([[[bytes(5), 1]]])),
        ("provider", encode([[[bytes(4), 0]]])),
        ("at-risk", encode([1, 6, None])),
        ("load", encode([0, 0, 0, 0, 0])),
    ],
)
def test_r_49_a_body_of_another_shape_or_an_unknown_kind_says_nothing(
    kind: str, raw: bytes
) -> None:
    assert decode_body(kind, raw) is None


def test_what_is_read_has_names() -> None:
    raw = encode([2, ["towns", "t-1"], "It lies in the sea."])
    about = ItemName("towns", "t-1")
    assert decode_body("issue", raw) == Issue(Problem.PLACE, about, "It lies in the sea.")
    assert isinstance(decode_body("provider", encode([[[bytes(16), 6881]]])), Provider)
