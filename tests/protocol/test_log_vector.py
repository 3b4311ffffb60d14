"""The small catalogue of `log.json`, taken in by `core` and compared with the state it must have.

The expected state was written by hand from the rules L-50 to L-58.
"""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest

from meshnode.core.catalogue import Catalogue
from meshnode.core.identifiers import Digest, Kid
from meshnode.core.log import Extension, LogFault
from meshnode.core.records import decode_signed_head
from meshnode.core.trust import RootChain
from meshnode.core.verdicts import Check
from tests.protocol.examples import COLLECTION
from tests.protocol.generate_vectors import VECTORS

LOG: dict[str, Any] = json.loads((VECTORS / "log.json").read_text("utf-8"))
STATE = LOG["state"]
ORDERS = list(itertools.permutations(range(len(LOG["logs"]))))


def _empty_catalogue() -> Catalogue:
    chain = RootChain.begin(bytes.fromhex(LOG["root"]))
    return Catalogue(chain.catalogue, followed=True, chain=chain)


def _consider(catalogue: Catalogue, log: dict[str, Any]) -> Extension | LogFault:
    heads = [decode_signed_head(bytes.fromhex(raw)) for raw in log["heads"]]
    entries = [bytes.fromhex(raw) for raw in log["entries"]]
    return catalogue.consider(Kid(bytes.fromhex(log["writer"])), heads, 0, entries)


def _whole_catalogue(order: tuple[int, ...]) -> Catalogue:
    catalogue = _empty_catalogue()
    for position in order:
        log = LOG["logs"][position]
        extension = _consider(catalogue, log)
        assert isinstance(extension, Extension), extension
        catalogue.adopt(Kid(bytes.fromhex(log["writer"])), extension)
    return catalogue


@pytest.fixture(params=ORDERS, ids=str)
def catalogue(request: pytest.FixtureRequest) -> Catalogue:
    return _whole_catalogue(request.param)


def test_l_33_every_head_and_entry_of_the_logs_is_adopted(catalogue: Catalogue) -> None:
    held = {log.hex(): (kept.seq, kept.size) for log, kept in catalogue.logs.items()}
    logs = {log["writer"]: (len(log["heads"]), len(log["entries"])) for log in LOG["logs"]}
    assert held == logs


def test_l_41_the_clock_is_that_of_the_greatest_valid_entry(catalogue: Catalogue) -> None:
    assert catalogue.contents.clock == STATE["clock"]


def test_l_55_the_newest_collection_document_counts_and_a_void_one_does_not(
    catalogue: Catalogue,
) -> None:
    found = {name: ref.digest.hex() for name, (_, ref) in catalogue.contents.collections.items()}
    assert found == STATE["collections"]


def test_l_52_only_segments_that_were_not_replaced_count(catalogue: Catalogue) -> None:
    names = [name for name in catalogue.contents.segments if catalogue.segment(name) is not None]
    refs = [ref for name in names if (ref := catalogue.segment(name)) is not None]
    found = [
        {
            "collection": ref.collection,
            "segment": ref.digest.hex(),
            "clock": ref.clock,
            "writer": ref.log.writer.hex(),
        }
        for ref in refs
    ]
    assert found == STATE["segments"]


def test_l_53_withdrawn_items_are_remembered_with_their_clock(catalogue: Catalogue) -> None:
    found = [
        {"collection": entry.collection, "ids": list(entry.ids), "clock": entry.clock}
        for entry in catalogue.contents.removals()
    ]
    assert found == STATE["items_removed"]


def test_l_54_payloads_count_by_key(catalogue: Catalogue) -> None:
    keys = [entry.key.hex() for entry in catalogue.contents.live_payloads().values()]
    assert keys == STATE["payloads"]


def test_l_56_a_dropped_url_is_no_mirror(catalogue: Catalogue) -> None:
    (key,) = STATE["payloads"]
    name = COLLECTION, Digest(bytes.fromhex(key))
    assert list(catalogue.contents.mirrors_of(name)) == STATE["mirrors"][key]


def test_l_57_releases_are_kept(catalogue: Catalogue) -> None:
    found = [
        {"collection": entry.collection, "version": entry.version, "doi": entry.doi}
        for entry in catalogue.contents.releases.values()
    ]
    assert found == STATE["releases"]


def test_l_34_entries_that_do_not_give_the_tree_hash_are_refused() -> None:
    log = LOG["logs"][0]
    swapped = {**log, "entries": [log["entries"][1], log["entries"][0], *log["entries"][2:]]}
    fault = _consider(_empty_catalogue(), swapped)
    assert isinstance(fault, LogFault)
    assert fault.check is Check.TREE


def test_l_75_heads_with_one_missing_between_are_followed_up_to_the_gap() -> None:
    log = LOG["logs"][0]
    gap = {**log, "heads": [log["heads"][0], log["heads"][2]]}
    extension = _consider(_empty_catalogue(), gap)
    assert isinstance(extension, Extension)
    assert [offered.head.seq for offered in extension.heads] == [1]
