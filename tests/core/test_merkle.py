"""The tree against the public vectors of RFC 6962 and against its own definition."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshnode.core.identifiers import DIGEST_BYTES, Digest, sha256
from meshnode.core.merkle import (
    Frontier,
    consistency_proof,
    inclusion_proof,
    leaf_hash,
    node_hash,
    root_of,
    verify_consistency,
    verify_inclusion,
)

LEAVES = [leaf_hash(bytes([number])) for number in range(70)]
SIZES = st.integers(1, len(LEAVES))


def defined_root(leaves: Sequence[Digest]) -> Digest:
    """MTH of RFC 9162 §2.1.1, word by word."""
    if not leaves:
        return sha256(b"")
    if len(leaves) == 1:
        return leaves[0]
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    return node_hash(defined_root(leaves[:split]), defined_root(leaves[split:]))


@pytest.mark.parametrize("size", range(len(LEAVES) + 1))
def test_the_frontier_gives_the_root_that_the_rfc_defines(size: int) -> None:
    assert Frontier().extend(LEAVES[:size]).root() == defined_root(LEAVES[:size])


@given(st.integers(0, 70), st.integers(0, 70))
def test_a_frontier_goes_on_as_if_it_had_never_stopped(first: int, second: int) -> None:
    low, high = sorted((first, second))
    resumed = Frontier().extend(LEAVES[:low])
    again = Frontier(resumed.size, resumed.hashes).extend(LEAVES[low:high])
    assert again == Frontier().extend(LEAVES[:high])


def test_one_leaf_is_appended_at_a_time_or_many() -> None:
    frontier = Frontier()
    for leaf in LEAVES[:11]:
        frontier = frontier.append(leaf)
    assert frontier == Frontier().extend(LEAVES[:11])


def test_a_frontier_with_the_wrong_number_of_hashes_is_a_programmers_error() -> None:
    with pytest.raises(AssertionError):
        Frontier(3, (LEAVES[0],))


@given(SIZES, st.data())
def test_every_leaf_is_proved_to_be_included(size: int, data: st.DataObject) -> None:
    index = data.draw(st.integers(0, size - 1))
    leaves = LEAVES[:size]
    proof = inclusion_proof(leaves, index)
    assert verify_inclusion(leaves[index], index, size, proof, root_of(leaves))
    other = data.draw(st.integers(0, size - 1).filter(lambda other: other != index) | st.just(size))
    assert not verify_inclusion(leaves[index], other, size, proof, root_of(leaves))


@given(SIZES, st.data())
def test_every_prefix_is_proved_to_be_one(size: int, data: st.DataObject) -> None:
    old = data.draw(st.integers(1, size))
    roots = root_of(LEAVES[:old]), root_of(LEAVES[:size])
    proof = consistency_proof(LEAVES[:size], old)
    assert verify_consistency(old, size, proof, *roots)
    assert not verify_consistency(old, size, (*proof, LEAVES[0]), *roots)
    assert not verify_consistency(old, size, proof, roots[0], sha256(b"another"))


def test_the_public_vectors_of_rfc_6962_are_answered_as_they_say(shared: Path) -> None:
    folder = shared / "vectors/rfc6962-transparency-dev-merkle/testdata"
    inclusion = _cases(folder / "inclusion")
    consistency = _cases(folder / "consistency")
    assert len(inclusion) + len(consistency) == 196
    assert [case for case in inclusion if _includes(case) == case["wantErr"]] == []
    told = [case for case in consistency if _has_digests(case)]
    assert [case for case in told if _is_consistent(case) == case["wantErr"]] == []


def test_what_is_no_digest_is_the_root_of_no_tree(shared: Path) -> None:
    """RFC 9162 compares hashes; the public vectors also compare 12 bytes of text as roots."""
    folder = shared / "vectors/rfc6962-transparency-dev-merkle/testdata"
    others = [case for case in _cases(folder / "consistency") if not _has_digests(case)]
    assert [case["desc"] for case in others if not case["wantErr"]] == [
        "sizes are equal (one) and proof is empty"
    ]
    assert not any(map(_is_consistent, others))


def _has_digests(case: dict[str, Any]) -> bool:
    return all(len(_digest(case[name])) == DIGEST_BYTES for name in ("root1", "root2"))


def _cases(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(path.read_text()) for path in sorted(folder.rglob("*.json"))]


def _includes(case: dict[str, Any]) -> bool:
    leaf, root = _digest(case["leafHash"]), _digest(case["root"])
    return verify_inclusion(leaf, case["leafIdx"], case["treeSize"], _proof(case), root)


def _is_consistent(case: dict[str, Any]) -> bool:
    roots = _digest(case["root1"]), _digest(case["root2"])
    return verify_consistency(case["size1"], case["size2"], _proof(case), *roots)


def _proof(case: dict[str, Any]) -> list[Digest]:
    return [_digest(text) for text in case["proof"] or ()]


def _digest(text: str) -> Digest:
    return Digest(base64.b64decode(text or ""))
