"""Segments: writing and checking them, beside pyarrow's plain writer and reader."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks import samples
from benchmarks.measuring import Case, Work
from meshnode.runtime.segments.worker import Expected, checked_rows

ITEMS: Final = 20_000


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


CASES: Final = (
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
