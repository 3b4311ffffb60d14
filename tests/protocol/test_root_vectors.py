"""`core`'s chain of roots against the vectors."""

from __future__ import annotations

import json
from itertools import permutations
from typing import Any

import pytest

from meshnode.core.trust import RootChain, UntrustedError
from tests.protocol.generate_vectors import VECTORS

ROOTS: dict[str, list[dict[str, Any]]] = json.loads((VECTORS / "roots.json").read_text("utf-8"))


def _named(vector: dict[str, Any]) -> str:
    return str(vector["name"])


def _chain(held: list[str]) -> RootChain:
    first, *later = map(bytes.fromhex, held)
    return RootChain.begin(first).extend(later)


@pytest.mark.parametrize("vector", ROOTS["in_force"], ids=_named)
def test_l_3_the_roots_in_force_follow_from_the_set_of_roots(vector: dict[str, Any]) -> None:
    raws = {one["name"]: bytes.fromhex(one["hex"]) for one in vector["roots"]}
    for order in permutations([raw for name, raw in raws.items() if name != "first"]):
        chain = RootChain.begin(raws["first"])
        for raw in order * len(order):
            chain = chain.extend([raw])
        assert chain.catalogue.hex() == vector["catalogue"]
        assert list(chain.raws) == [raws[name] for name in vector["in_force"]]


@pytest.mark.parametrize("vector", ROOTS["refused"], ids=_named)
def test_a_root_that_breaks_a_rule_is_refused(vector: dict[str, Any]) -> None:
    with pytest.raises(UntrustedError):
        _chain([*vector["held"], vector["hex"]])


@pytest.mark.parametrize("vector", ROOTS["refused"], ids=_named)
def test_what_a_refused_root_follows_is_sound(vector: dict[str, Any]) -> None:
    if vector["held"]:
        assert len(_chain(vector["held"]).held) == len(vector["held"])


@pytest.mark.parametrize("vector", ROOTS["purges"], ids=_named)
def test_l_65_a_purge_counts_while_the_root_that_signed_it_is_the_newest(
    vector: dict[str, Any],
) -> None:
    chain = _chain(vector["held"])
    raw = bytes.fromhex(vector["hex"])
    if vector["expected"] == "refused":
        with pytest.raises(UntrustedError):
            chain.extend([raw])
        return
    extended = chain.extend([raw])
    assert (len(extended.purges), len(extended.purging)) == {
        "counts": (1, 1),
        "kept": (1, 0),
        "passed over": (0, 0),
    }[vector["expected"]]
