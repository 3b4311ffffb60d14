"""`core`'s snapshots against the vectors: made from the entries, and compared with what lies."""

from __future__ import annotations

import json
from typing import Any

import pytest

from meshnode.core.heads import SnapshotRef
from meshnode.core.identifiers import CatalogueId, Digest, Kid, sha256
from meshnode.core.merkle import Frontier, leaf_hash
from meshnode.core.names import LogId
from meshnode.core.snapshots import begin, decode_snapshot, encode_snapshot, snapshot_of
from tests.protocol.generate_vectors import VECTORS

SNAPSHOTS: dict[str, Any] = json.loads((VECTORS / "snapshots.json").read_text("utf-8"))
LOG = LogId(
    CatalogueId(Digest(bytes.fromhex(SNAPSHOTS["catalogue"]))),
    Kid(bytes.fromhex(SNAPSHOTS["writer"])),
)


def made(entries: list[bytes]) -> bytes:
    frontier = Frontier().extend([leaf_hash(entry) for entry in entries])
    return encode_snapshot(snapshot_of(LOG, frontier, enumerate(entries)))


def raws(case: dict[str, Any]) -> list[bytes]:
    return [bytes.fromhex(each) for each in case["entries"]]


@pytest.mark.parametrize("case", SNAPSHOTS["snapshots"], ids=lambda case: case["name"])
def test_l_100_a_snapshot_lists_what_nothing_takes_over(case: dict[str, Any]) -> None:
    raw = made(raws(case))
    assert [index for index, _ in decode_snapshot(raw).entries] == case["listed"]
    assert raw.hex() == case["snapshot"]
    ref = SnapshotRef(len(case["entries"]), Digest(bytes.fromhex(case["sha256"])), len(raw))
    assert begin(LOG, ref, raw).frontier.size == ref.index


@pytest.mark.parametrize("case", SNAPSHOTS["lies"], ids=lambda case: case["name"])
def test_l_103_a_snapshot_that_lies_is_another(case: dict[str, Any]) -> None:
    told = bytes.fromhex(case["snapshot"])
    ref = SnapshotRef(len(case["entries"]), sha256(told), len(told))
    begin(LOG, ref, told)  # nothing is wrong with it for who does not know better
    assert made(raws(case)) != told
