"""From files of items to staged segments: what is taken or refused, and which entries follow."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from meshnode.core.entries import CollectionAdded, SegmentAdded
from meshnode.core.identifiers import sha256
from meshnode.runtime.datasets.collection import minimal_collection
from meshnode.runtime.maintainer import batches
from meshnode.runtime.maintainer.batches import Batch
from meshnode.runtime.segments.segment import read_segment_items
from tests.runtime.homes import items_file
from tests.runtime.stac_samples import item


def batch_of(tmp_path: Path, values: list[dict[str, Any]], **options: Any) -> Batch:
    staging = tmp_path / "staging"
    staging.mkdir(exist_ok=True)
    batch = Batch(staging, options.get("collection"), options.get("documents", {}))
    batch.read([items_file(tmp_path / "items.ndjson", values)], lambda count: None)
    return batch


def entries_of(batch: Batch, known=None):
    return [draft(9) for draft in batch.drafts(known or {})]


def test_items_are_grouped_by_collection_into_staged_segments(tmp_path: Path):
    values = [item("a"), item("b") | {"collection": "roads"}, item("c")]
    batch = batch_of(tmp_path, values)
    assert [(each.collection, each.file.rows) for each in batch.segments] == [
        ("towns", 2), ("roads", 1)
    ]  # fmt: skip
    assert batch.taken == 3
    held = [raw for path in batch.directory.iterdir() for raw in read_segment_items(path)]
    assert sorted(map(json.loads, held), key=str) == sorted(values, key=str)


def test_a_new_collection_is_signed_before_its_segments(tmp_path: Path):
    batch = batch_of(tmp_path, [item("a")])
    document, segment = entries_of(batch)
    assert isinstance(document, CollectionAdded)
    assert isinstance(segment, SegmentAdded)
    assert document.object.digest == sha256(minimal_collection("towns"))
    assert batch.made_documents == ["towns"]
    assert {document.object.digest, segment.segment} == set(batch.staged)


def test_the_document_in_force_is_used_and_not_signed_again(tmp_path: Path):
    document = minimal_collection("towns").replace(b"Items of towns.", b"Towns.")
    batch = batch_of(tmp_path, [item("a")], documents={"towns": document})
    (segment,) = entries_of(batch, known={"towns": sha256(document).hex()})
    assert isinstance(segment, SegmentAdded)
    assert batch.staged == [segment.segment]
    assert batch.made_documents == []


def test_a_minimal_document_never_replaces_one_in_force(tmp_path: Path):
    batch = batch_of(tmp_path, [item("a")])
    assert [type(entry) for entry in entries_of(batch, known={"towns": "ab" * 32})] == [
        SegmentAdded
    ]


def test_a_changed_document_is_signed_anew(tmp_path: Path):
    batch = batch_of(tmp_path, [item("a")], documents={"towns": minimal_collection("towns")})
    assert len(entries_of(batch, known={"towns": "ab" * 32})) == 2


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ({key: value for key, value in item("a").items() if key != "id"}, "no id"),
        ({key: value for key, value in item("a").items() if key != "collection"}, "--collection"),
        (item("a") | {"geometry": {"type": "Point", "coordinates": [200, 100]}}, ""),
        (item("a") | {"properties": {"datetime": "yesterday"}}, ""),
    ],
)
def test_an_item_that_cannot_be_published_is_refused_with_its_place(tmp_path, value, reason):
    batch = batch_of(tmp_path, [item("good"), value])
    assert batch.refused_count == 1
    assert batch.taken == 1
    assert "items.ndjson" in batch.refused[0].where
    assert reason in batch.refused[0].reason


def test_the_same_item_twice_is_taken_once_and_another_of_its_id_is_refused(tmp_path: Path):
    batch = batch_of(tmp_path, [item("a"), item("a"), item("a", west=10.0)])
    assert batch.segments[0].file.rows == 1
    assert batch.refused_count == 1


def test_refusals_beyond_the_bound_are_counted_only(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(batches, "PROBLEMS_MAX", 2)
    batch = batch_of(tmp_path, [{"type": "Feature", "id": f"x{n}"} for n in range(5)])
    assert (batch.refused_count, len(batch.refused)) == (5, 2)


def test_many_items_become_several_segments(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(batches, "PLAN_ROWS_MAX", 3)
    batch = batch_of(tmp_path, [item(f"i{n}") for n in range(8)])
    assert [each.file.rows for each in batch.segments] == [3, 3, 2]


def test_when_too_much_is_held_the_largest_group_is_written(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(batches, "GATHERED_BYTES_MAX", 2000)
    values = [item(f"i{n}") | {"collection": f"c{n % 3}"} for n in range(12)]
    batch = batch_of(tmp_path, values)
    assert len(batch.segments) > 3
    assert sum(each.file.rows for each in batch.segments) == 12
