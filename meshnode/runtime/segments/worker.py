"""The limited process that checks segments: `python -m meshnode.runtime.segments.worker`.

A segment is a stranger's Parquet file: a small one can unfold to many gigabytes, a broken one can
crash a C++ reader. So it is read here, under limits of memory and processor time, without writing
to any file, and only rows whose columns agree with their own JSON leave this process
(protocol/03-segments.md, "Check"). The parent is `checker`.

Frames on stdin and stdout: 4 bytes of length (big-endian), then msgpack. In: one request, a map of
`path` and the fields of `Expected`. Out: `["rows", [row, …]]` any number of times, then `["done"]`
or `["refused", reason]`; a row is the fields of `CheckedRow` in their order.
"""

from __future__ import annotations

import resource
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from meshnode.errors import PeerError
from meshnode.runtime.frames import read_frame, write_frame
from meshnode.runtime.segments.format import (
    BOX_NAMES,
    CHECKED_COLUMNS,
    DECODED_BYTES_MAX,
    FOOTER_BYTES_MAX,
    FORMAT,
    ITEM_BYTES_MAX,
    LEAF_COLUMNS_MAX,
    ROW_GROUP_ITEM_BYTES_MAX,
    ROW_GROUP_ROWS_MAX,
    ROW_GROUPS_MAX,
    ROWS_MAX,
    SEGMENT_BYTES_MAX,
    schema_problem,
)
from meshnode.runtime.segments.json_text import parse_object
from meshnode.runtime.segments.projection import (
    BrokenItemError,
    Extent,
    Projection,
    project,
    wrapped,
)

MEMORY_BYTES_MAX: Final = 1 << 30  # a full row group needs 200 MiB, the libraries alone 350
CPU_SECONDS_MAX: Final = 120  # of one check: the largest honest segment needs about 60
FRAME_ROWS_BYTES: Final = 1 << 20  # a frame of rows ends when its items reach this

_BATCH_ROWS: Final = 256
_THRIFT_CONTAINER_MAX: Final = 100_000  # members of one list in the footer
_MAGIC: Final = b"PAR1"

Row = tuple[object, ...]  # the fields of CheckedRow in their order


class SegmentContentError(PeerError):
    """The segment breaks a rule of protocol/03-segments.md; the message names it."""


@dataclass(frozen=True, slots=True)
class Expected:
    """What the log says of the segment (units: `core.names.SegmentRef`)."""

    collection: str
    size_bytes: int
    rows: int
    format: int
    clock: int
    bbox: tuple[int, int, int, int]
    span: tuple[int | None, int | None]


def checked_rows(path: Path, expected: Expected) -> Iterator[list[Row]]:
    """Yield the rows of a segment, in batches; they count only once the iterator has ended.

    Raises:
        SegmentContentError: a rule is broken.
        PeerError: an item's JSON or projection is broken.
        OSError, ValueError, pyarrow.ArrowException: the Parquet is broken.
        MemoryError: reading it needs more memory than a check may use.
    """
    _check_file(path, expected)
    with pq.ParquetFile(
        path,
        pre_buffer=False,
        thrift_string_size_limit=FOOTER_BYTES_MAX,
        thrift_container_size_limit=_THRIFT_CONTAINER_MAX,
        arrow_extensions_enabled=False,
    ) as file:
        _check_footer(file, expected)
        reading = _Reading(expected)
        for group in range(file.num_row_groups):
            reading.begin_row_group()
            for batch in file.iter_batches(
                _BATCH_ROWS, row_groups=[group], columns=CHECKED_COLUMNS.names, use_threads=False
            ):
                yield reading.rows(batch)
        reading.finish()


# --- Before anything is decoded -------------------------------------------------------------------
def _check_file(path: Path, expected: Expected) -> None:
    size_bytes = path.stat().st_size
    if expected.format != FORMAT:
        raise SegmentContentError(f"its format is {expected.format}, {FORMAT} is known")
    if size_bytes != expected.size_bytes or size_bytes > SEGMENT_BYTES_MAX:
        raise SegmentContentError(f"it has {size_bytes} bytes, not {expected.size_bytes}")
    with path.open("rb") as file:
        head = file.read(len(_MAGIC))
        file.seek(max(0, size_bytes - 8))
        tail = file.read(8)
    footer_bytes = int.from_bytes(tail[:4], "little")
    if head != _MAGIC or tail[4:] != _MAGIC or footer_bytes + 12 > size_bytes:
        raise SegmentContentError("it is no Parquet file")
    if footer_bytes > FOOTER_BYTES_MAX:
        raise SegmentContentError(f"its footer has {footer_bytes} bytes: more than is allowed")


def _check_footer(file: Any, expected: Expected) -> None:  # noqa: ANN401 - pyarrow is untyped
    footer = file.metadata
    if footer.num_rows != expected.rows or not 1 <= footer.num_rows <= ROWS_MAX:
        raise SegmentContentError(f"it has {footer.num_rows} rows, not {expected.rows}")
    if footer.num_row_groups > ROW_GROUPS_MAX or footer.num_columns > LEAF_COLUMNS_MAX:
        raise SegmentContentError("it has too many row groups or columns")
    for group in range(footer.num_row_groups):
        if footer.row_group(group).num_rows > ROW_GROUP_ROWS_MAX:
            raise SegmentContentError(f"a row group has more than {ROW_GROUP_ROWS_MAX} rows")
    _check_metadata(footer.metadata or {}, expected.collection)
    problem = schema_problem(file.schema_arrow)
    if problem:
        raise SegmentContentError(problem)


def _check_metadata(metadata: dict[bytes, bytes], collection: str) -> None:
    if set(metadata) != {b"geo", b"stac-geoparquet"}:
        raise SegmentContentError("its metadata has other keys than geo and stac-geoparquet")
    geo, stac = parse_object(metadata[b"geo"]), parse_object(metadata[b"stac-geoparquet"])
    if geo.get("version") != "1.1.0" or geo.get("primary_column") != "geometry":
        raise SegmentContentError("its geo metadata is not GeoParquet 1.1.0 of geometry")
    collections = stac.get("collections")
    if stac.get("version") != "1.1.0" or not isinstance(collections, dict):
        raise SegmentContentError("its stac-geoparquet metadata is not of version 1.1.0")
    own = collections.get(collection)
    if len(collections) != 1 or not isinstance(own, dict) or own.get("id") != collection:
        raise SegmentContentError(f"its metadata does not hold just the collection {collection!r}")


# --- Rows -----------------------------------------------------------------------------------------
class _Reading:
    """One pass over the rows: counts what was decoded, compares, and gathers the extent."""

    def __init__(self, expected: Expected) -> None:
        self._expected = expected
        self._extent = Extent()
        self._ids: set[str] = set()
        self._decoded_bytes = 0
        self._group_bytes = 0

    def begin_row_group(self) -> None:
        self._group_bytes = 0

    def rows(self, batch: pa.RecordBatch) -> list[Row]:
        items = batch.column("item").cast(pa.binary()).to_pylist()
        self._count(items)
        projections = [project(parse_object(raw), self._expected.collection) for raw in items]
        _compare(batch, projections, self._expected.collection)
        clocks = batch.column("clock").to_pylist()
        for projection, clock in zip(projections, clocks, strict=True):
            self._admit(projection, clock)
        return [
            (one.id, one.datetime_us, one.start_us, one.end_us, wrapped(one.box), clock, raw)
            for one, clock, raw in zip(projections, clocks, items, strict=True)
        ]

    def finish(self) -> None:
        expected = self._expected
        if len(self._ids) != expected.rows:
            raise SegmentContentError(f"it holds {len(self._ids)} rows, not {expected.rows}")
        if self._extent.bbox_e7 != tuple(expected.bbox):
            raise SegmentContentError(
                f"its items span the box {self._extent.bbox_e7}, its entry says {expected.bbox}"
            )
        if self._extent.span_s != tuple(expected.span):
            raise SegmentContentError(
                f"its items span the time {self._extent.span_s}, its entry says {expected.span}"
            )

    def _count(self, items: list[bytes | None]) -> None:
        for raw in items:
            if raw is None or len(raw) > ITEM_BYTES_MAX:
                raise SegmentContentError(f"an item is null or larger than {ITEM_BYTES_MAX} bytes")
            self._group_bytes += len(raw)
            self._decoded_bytes += len(raw)
        if self._group_bytes > ROW_GROUP_ITEM_BYTES_MAX:
            raise SegmentContentError("a row group unfolds to more bytes than is allowed")
        if self._decoded_bytes > DECODED_BYTES_MAX:
            raise SegmentContentError("it unfolds to more bytes than is allowed")

    def _admit(self, projection: Projection, clock: int | None) -> None:
        if projection.id in self._ids:
            raise SegmentContentError(f"it holds the item {projection.id!r} twice")
        if clock is not None and not 1 <= clock <= self._expected.clock:
            raise SegmentContentError(
                f"the item {projection.id!r} has clock {clock}, its entry {self._expected.clock}"
            )
        self._ids.add(projection.id)
        self._extent.add(projection)


def _compare(batch: pa.RecordBatch, projections: list[Projection], collection: str) -> None:
    derived = {
        "id": [one.id for one in projections],
        "collection": [collection] * len(projections),
        "datetime": [one.datetime_us for one in projections],
        "start_datetime": [one.start_us for one in projections],
        "end_datetime": [one.end_us for one in projections],
    }
    for name, values in derived.items():
        wanted = pa.array(values, type=CHECKED_COLUMNS.field(name).type)
        if not wanted.equals(batch.column(name)):
            raise SegmentContentError(f"its column {name} differs from the items' JSON")
    box = batch.column("bbox")
    for position, name in enumerate(BOX_NAMES):
        wanted = pa.array([one.box[position] for one in projections], type=pa.float64())
        if box.null_count or not wanted.equals(box.field(name)):
            raise SegmentContentError("its column bbox differs from the items' JSON")


# --- The process ----------------------------------------------------------------------------------
def main() -> None:
    """Answer requests until stdin ends."""
    _limit_process()
    while request := read_frame(sys.stdin.buffer):
        _limit_cpu()
        for answer in _answers(request):
            write_frame(sys.stdout.buffer, answer)


def _answers(request: dict[str, Any]) -> Iterator[tuple[object, ...]]:
    path = Path(request.pop("path"))
    try:
        for batch in checked_rows(path, Expected(**request)):
            for rows in _frames_of(batch):
                yield ("rows", rows)
        yield ("done",)
    except MemoryError:
        yield ("refused", "reading it needs more memory than a check may use")
    except (BrokenItemError, PeerError) as error:
        yield ("refused", str(error))
    except (OSError, ValueError, pa.ArrowException) as error:
        yield ("refused", f"it is not readable Parquet: {str(error)[:200]}")


def _frames_of(rows: list[Row]) -> Iterator[list[Row]]:
    start, size_bytes = 0, 0
    for position, row in enumerate(rows):
        item = row[-1]
        assert isinstance(item, bytes)
        size_bytes += len(item)
        if size_bytes > FRAME_ROWS_BYTES:
            yield rows[start : position + 1]
            start, size_bytes = position + 1, 0
    if start < len(rows):
        yield rows[start:]


def _limit_process() -> None:
    pa.set_cpu_count(1)
    pa.set_io_thread_count(1)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES_MAX, MEMORY_BYTES_MAX))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _limit_cpu() -> None:
    """Allow this check its seconds beyond what the process has used already."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    used = int(usage.ru_utime + usage.ru_stime) + 1
    hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
    resource.setrlimit(resource.RLIMIT_CPU, (used + CPU_SECONDS_MAX, hard))


if __name__ == "__main__":
    main()
