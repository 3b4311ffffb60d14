"""What leaves the index for files: exact bytes, valid files, nothing half-written."""

from __future__ import annotations

import io
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import duckdb
import geopandas
import pyarrow.parquet as pq
import pytest

from meshnode.demo.sample import sample_collections, sample_items
from meshnode.errors import StorageError, UsageError
from meshnode.runtime.segments import export
from meshnode.runtime.segments.export import export_geoparquet, export_ndjson

ODD_ITEMS = [
    b'{"id":"a"}',
    b' { "id" : "b",\t"n": 1.0, "e": 1e2, "u": "\\u00e9 \xc3\xa9 \xf0\x9f\x97\xba \\n" } ',
    b'{"id":"c","n":12345678901234567890}',
]


async def test_single_line_items_are_written_byte_for_byte(tmp_path):
    count = await export_ndjson(_each(ODD_ITEMS), tmp_path / "out.ndjson")

    assert count == 3
    assert (tmp_path / "out.ndjson").read_bytes() == b"".join(item + b"\n" for item in ODD_ITEMS)


async def test_an_item_over_several_lines_becomes_one_line_of_the_same_json():
    item = b'{\r\n  "id": "a",\n  "title": "two\\nlines"\n}'
    out = io.BytesIO()

    await export_ndjson(_each([item]), out)

    line = out.getvalue()
    assert line.count(b"\n") == 1
    assert json.loads(line) == json.loads(item)
    assert line.split() == item.split()


async def test_the_stream_is_left_open():
    out = io.BytesIO()

    await export_ndjson(_each([b"{}"]), out)
    await export_ndjson(_each([b"{}"]), out)

    assert out.getvalue() == b"{}\n{}\n"


async def test_a_failed_export_leaves_the_old_file_and_no_other(tmp_path):
    out = tmp_path / "out.ndjson"
    out.write_bytes(b"old\n")

    with pytest.raises(RuntimeError, match="index gone"):
        await export_ndjson(_failing(), out)

    assert out.read_bytes() == b"old\n"
    assert [path.name for path in tmp_path.iterdir()] == ["out.ndjson"]


async def test_a_directory_that_is_not_there_is_a_storage_error(tmp_path):
    with pytest.raises(StorageError, match="No such file"):
        await export_ndjson(_each(ODD_ITEMS), tmp_path / "nowhere" / "out.ndjson")


@pytest.mark.slow
async def test_a_geoparquet_export_is_read_by_geopandas_and_duckdb_and_keeps_the_bytes(tmp_path):
    collection, items = _sample()
    out = tmp_path / "ortho.parquet"

    count = await export_geoparquet(_each(items), out, collection["id"], _json(collection))

    assert count == len(items)
    assert sorted(pq.read_table(out).column("item").to_pylist()) == sorted(
        item.decode() for item in items
    )
    frame = geopandas.read_parquet(out)
    assert len(frame) == len(items)
    assert frame.geometry.is_valid.all()
    query = f"SELECT count(DISTINCT id) FROM read_parquet('{out}') WHERE bbox.xmin > -142"
    assert duckdb.execute(query).fetchall() == [(len(items),)]


@pytest.mark.slow
async def test_a_collection_too_large_for_one_file_goes_on_beside_it(tmp_path, monkeypatch):
    collection, items = _sample()
    monkeypatch.setattr(export, "PART_ROWS_MAX", len(items) // 3 + 1)

    await export_geoparquet(
        _each(items), tmp_path / "ortho.parquet", collection["id"], _json(collection)
    )

    paths = sorted(tmp_path.iterdir())
    names = ["ortho.2.parquet", "ortho.3.parquet", "ortho.parquet"]
    assert [path.name for path in paths] == names
    kept = [item for path in paths for item in pq.read_table(path).column("item").to_pylist()]
    assert sorted(kept) == sorted(item.decode() for item in items)


async def test_geoparquet_needs_a_file_and_items(tmp_path):
    with pytest.raises(UsageError, match="stream"):
        await export_geoparquet(_each([]), Path("-"), "ortho", b"{}")
    with pytest.raises(UsageError, match="no items"):
        await export_geoparquet(_each([]), tmp_path / "out.parquet", "ortho", b"{}")
    assert list(tmp_path.iterdir()) == []


async def test_a_dash_is_standard_output(capfdbinary):
    await export_ndjson(_each([b"{}"]), Path("-"))

    assert capfdbinary.readouterr().out == b"{}\n"


def _sample() -> tuple[dict[str, Any], list[bytes]]:
    collection = sample_collections()[0]
    return collection, [_json(item) for item in sample_items(collection["id"], seed=1)]


def _json(value: dict[str, Any]) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode()


async def _failing() -> AsyncIterator[bytes]:
    yield b"{}"
    raise RuntimeError("index gone")


async def _each(items: list[bytes]) -> AsyncIterator[bytes]:
    for item in items:
        yield item
