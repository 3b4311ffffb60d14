"""Segments: writing and checking them, beside pyarrow's plain writer and reader."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq
from stac_pydantic import Item

from benchmarks import samples
from benchmarks.measuring import Case, Work
from meshnode.runtime.segments.items import ItemText, read_items
from meshnode.runtime.segments.validation import check_items
from meshnode.runtime.segments.worker import Expected, checked_rows

ITEMS: Final = 20_000
_PART: Final = 2_000  # items that are checked at once


def _write(folder: Path) -> Work:
    pairs = list(samples.items(ITEMS))

    def work() -> int:
        return samples.segment(folder / "segment", pairs).rows

    return work


def _write_plainly(folder: Path) -> Work:
    """The same columns with the same compression, from a table that is ready."""
    samples.segment(folder / "segment", list(samples.items(ITEMS)))
    table = pq.read_table(folder / "segment")

    def work() -> int:
        pq.write_table(table, folder / "plain", compression="zstd", compression_level=9)
        return int(table.num_rows)

    return work


def _check(folder: Path) -> Work:
    path = folder / "segment"
    made = samples.segment(path, list(samples.items(ITEMS)))
    ref = samples.ref_of(made)
    expected = Expected(
        ref.collection, ref.size_bytes, ref.rows, ref.format, ref.clock, ref.bbox, ref.span
    )

    def work() -> int:
        return sum(map(len, checked_rows(path, expected)))

    return work


def _read_plainly(folder: Path) -> Work:
    path = folder / "segment"
    samples.segment(path, list(samples.items(ITEMS)))

    def work() -> int:
        table = pq.read_table(path, use_threads=False)
        return len(table.column("item").cast(pa.binary()).to_pylist())

    return work


def _read_rows(folder: Path) -> Work:
    path = folder / "items.parquet"
    samples.stac_geoparquet(path, ITEMS)

    def work() -> int:
        return sum(isinstance(one, ItemText) for one in read_items(path))

    return work


def _read_rows_plainly(folder: Path) -> Work:
    """Rows as Python's objects, and these as JSON: no GeoJSON, and times as they come."""
    path = folder / "items.parquet"
    samples.stac_geoparquet(path, ITEMS)

    def work() -> int:
        rows = pq.read_table(path, use_threads=False).to_pylist()
        return sum(bool(json.dumps(row, sort_keys=True, default=str)) for row in rows)

    return work


def _check_items(folder: Path) -> Work:
    values = [value for _, value in samples.items(ITEMS)]

    def work() -> int:
        parts = (values[start : start + _PART] for start in range(0, ITEMS, _PART))
        checked = (one for part in parts for one in check_items(part, samples.COLLECTION))
        return sum(not one.problems for one in checked)

    return work


def _check_structure(folder: Path) -> Work:
    values = [value for _, value in samples.items(ITEMS)]

    def work() -> int:
        return sum(bool(Item.model_validate(value)) for value in values)

    return work


CASES: Final = (
    Case(
        "rows-read",
        f"{ITEMS:,} rows of STAC-GeoParquet as exact items",
        "item",
        _read_rows,
        {"pyarrow and json": _read_rows_plainly},
    ),
    Case(
        "items-check",
        f"{ITEMS:,} items checked before they are published",
        "item",
        _check_items,
        {"stac-pydantic": _check_structure},
    ),
    Case(
        "segment-write",
        f"a segment of {ITEMS:,} items written",
        "item",
        _write,
        {"pyarrow": _write_plainly},
    ),
    Case(
        "segment-check",
        f"a segment of {ITEMS:,} items checked",
        "item",
        _check,
        {"pyarrow": _read_plainly},
    ),
)
