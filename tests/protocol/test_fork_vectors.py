"""`core`'s branches against the vectors, in whatever order the histories come."""

from __future__ import annotations

import json
from itertools import permutations
from typing import Any

import pytest

from meshnode.core.catalogue import Catalogue
from meshnode.core.forks import decode_fork, evidence_of
from meshnode.core.identifiers import Kid
from meshnode.core.log import Extension
from meshnode.core.records import decode_signed_head
from meshnode.core.signed import encode_signed
from meshnode.core.trust import RootChain
from tests.protocol.generate_vectors import VECTORS

FORKS: dict[str, Any] = json.loads((VECTORS / "forks.json").read_text("utf-8"))
WRITER = Kid(bytes.fromhex(FORKS["writer"]))
ORDERS = list(permutations(FORKS["histories"]))


def _taken_in(order: tuple[str, ...], closing: str | None, *, closed_first: bool) -> Catalogue:
    chain = RootChain.begin(bytes.fromhex(FORKS["root"]))
    catalogue = Catalogue(chain.catalogue, followed=True, chain=chain)
    if closing and closed_first:
        catalogue.obey(chain.extend([bytes.fromhex(closing)]))
    for name in order:
        history = FORKS["histories"][name]
        heads = [decode_signed_head(bytes.fromhex(raw)) for raw in history["heads"]]
        entries = [bytes.fromhex(raw) for raw in history["entries"]]
        extension = catalogue.consider(WRITER, heads, 0, entries)
        assert isinstance(extension, Extension)
        if extension.heads:
            catalogue.adopt(WRITER, extension)
    if closing and not closed_first:
        catalogue.obey(chain.extend([bytes.fromhex(closing)]))
    return catalogue


@pytest.mark.parametrize("state", FORKS["states"], ids=lambda state: str(state["name"]))
@pytest.mark.parametrize("order", ORDERS, ids="-".join)
@pytest.mark.parametrize("closed_first", [True, False])
def test_l_38_what_counts_follows_from_the_heads_and_the_closing(
    state: dict[str, Any], order: tuple[str, ...], closed_first: bool
) -> None:
    catalogue = _taken_in(order, state["closing"], closed_first=closed_first)
    names = [name for name in catalogue.contents.segments if catalogue.segment(name) is not None]
    assert {digest.hex() for _, digest in names} == set(state["segments"])


@pytest.mark.parametrize("evidence", FORKS["evidence"], ids=lambda one: str(one["seq"]))
def test_r_35_evidence_is_the_two_heads_the_smaller_payload_first(evidence: dict[str, Any]) -> None:
    raw = bytes.fromhex(evidence["hex"])
    fork = decode_fork(raw)
    found = evidence_of(encode_signed(fork.b), encode_signed(fork.a))
    assert (found.seq, found.raw) == (evidence["seq"], raw)
