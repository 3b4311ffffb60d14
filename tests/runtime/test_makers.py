"""Segments made by other processes: the same as made here, and every way in which one may end."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from meshnode.errors import StorageError, UsageError
from meshnode.runtime.maintainer import batches, makers
from meshnode.runtime.maintainer.batches import Batch
from meshnode.runtime.maintainer.makers import Makers
from meshnode.runtime.segments.extension_schemas import ExtensionSchemas
from tests.runtime.homes import items_file
from tests.runtime.stac_samples import item

pytestmark = pytest.mark.slow

DOCUMENT = b'{"type": "Collection", "id": "towns"}'
TALL = item("tall") | {"bbox": [-75.5, 45.0, -75.0, 95.0]}
DOUBTFUL = item("doubtful") | {"bbox": [-75.4, 45.0, -75.0, 45.5]}


@pytest.fixture(autouse=True)
def _two_processors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0, 1})


def batch_of(folder: Path, values: list[dict[str, Any]], **options: Any) -> Batch:
    folder.mkdir()
    batch = Batch(folder / "staging", None, {"towns": DOCUMENT}, **options)
    batch.directory.mkdir()
    batch.read([items_file(folder / "items.ndjson", values)], lambda count: None)
    return batch


def raws(value: dict[str, Any]) -> list[bytes]:
    return [json.dumps(value).encode()]


def test_a_large_source_gives_the_same_segments_and_problems(tmp_path: Path, monkeypatch):
    values = [item(f"t{n}", west=-150 + n, south=-60 + n) for n in range(40)]
    values[7:7], values[33:33] = [TALL], [DOUBTFUL]
    monkeypatch.setattr(batches, "PLAN_ROWS_MAX", 10)
    here = batch_of(tmp_path / "here", values)
    monkeypatch.setattr(batches, "WAITING_ITEMS", 4)
    there = batch_of(tmp_path / "there", values)
    assert [each.file.rows for each in there.segments] == [9, 10, 10, 10, 2]
    assert there.segments == here.segments
    assert there.refused == here.refused
    assert (there.refused_count, there.warnings, there.taken) == (1, 1, 41)
    assert there.standings == here.standings
    assert there.taken_bytes == here.taken_bytes
    assert set(there.staged) == {each.file.digest for each in there.segments}


def test_extension_schemas_are_looked_up_there_too(tmp_path: Path, monkeypatch):
    schema = tmp_path / "schemas/example.org/s.json"
    schema.parent.mkdir(parents=True)
    schema.write_text('{"properties": {"properties": {"required": ["colour"]}}}')
    value = item() | {"stac_extensions": ["https://example.org/s.json"]}
    monkeypatch.setattr(batches, "WAITING_ITEMS", 1)
    schemas = ExtensionSchemas(tmp_path / "schemas")
    batch = batch_of(tmp_path / "work", [value], schemas=schemas)
    assert "colour" in batch.refused[0].reason
    schema.write_text('{"$ref": "https://example.org/absent.json"}')
    with pytest.raises(UsageError, match=r"absent\.json") as caught:
        batch_of(tmp_path / "again", [value, item("b"), item("c")], schemas=schemas)
    assert "nothing is fetched" in caught.value.hint


def test_a_document_that_is_refused_there_is_told_here(tmp_path: Path):
    with Makers(tmp_path / "staging", None) as pool:
        maker = pool.maker("towns", is_large=True)
        maker.add(raws(item()), [None])
        maker.finish(b'{"id": "other"}')
        with pytest.raises(UsageError, match="has the id 'other'"):
            maker.made(wait=True)


def test_a_process_that_dies_is_a_clear_error(tmp_path: Path):
    with Makers(tmp_path / "staging", None) as pool:
        maker = pool.maker("towns", is_large=True)
        maker.add(raws(item()), [None])
        os.kill(pool._processes[0]._child.pid, signal.SIGKILL)
        maker.finish(DOCUMENT)
        with pytest.raises(StorageError, match="ended with status -9; nothing is published"):
            maker.made(wait=True)


def test_no_process_outlives_the_block(tmp_path: Path):
    with pytest.raises(KeyboardInterrupt), Makers(tmp_path / "staging", None) as pool:
        pool.maker("towns", is_large=True).add(raws(item()), [None])
        children = [process._child for process in pool._processes]
        raise KeyboardInterrupt
    assert [child.returncode for child in children] == [-signal.SIGKILL]


def test_no_more_processes_are_started_than_can_work(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(makers, "PROCESSES_MAX", 1)
    with Makers(tmp_path / "staging", None) as pool:
        both = [pool.maker(name, is_large=True) for name in ("towns", "roads")]
        for maker, name in zip(both, ("towns", "roads"), strict=True):
            maker.add(raws(item() | {"collection": name}), [None])
        for maker, name in zip(both, ("towns", "roads"), strict=True):
            maker.finish(json.dumps({"id": name}).encode())
        made = [maker.made(wait=True) for maker in both]
        assert len(pool._processes) == 1
    assert [each and each.file and each.file.rows for each in made] == [1, 1]
