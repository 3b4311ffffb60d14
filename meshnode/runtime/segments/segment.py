"""Segments on disk: written from items, and their items read back byte for byte.

Owns the writer of the file format (protocol/03-segments.md). Checking what others wrote is
`checker`; where segments lie and what the log says of them is the store's and the node's.
"""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from meshnode.core.identifiers import Digest
from meshnode.errors import StorageError, UsageError
from meshnode.runtime.files import publish_file, refused_by_disk
from meshnode.runtime.segments.columns import Rows
from meshnode.runtime.segments.format import (
    BOX_NAMES,
    DECODED_BYTES_MAX,
    FORMAT,
    ROW_GROUP_ROWS_MAX,
    SEGMENT_BYTES_MAX,
    segment_schema,
)
from meshnode.runtime.segments.json_text import JsonTextError, parse_object
from meshnode.runtime.segments.projection import (
    GEOMETRY_TYPES,
    BrokenItemError,
    Projection,
    project,
)
from meshnode.runtime.segments.shapes import BrokenShapeError, iso_wkb, shapes_of

# One publish becomes several segments above these: 4 to 16 MiB of file each, as item JSON
# compresses 8 to 11 times.
PLAN_ROWS_MAX: Final = 50_000
PLAN_ITEM_BYTES_MAX: Final = 128 << 20

_ROW_GROUP_ITEM_BYTES: Final = 32 << 20  # half of what a check accepts
_ZSTD_LEVEL: Final = 9  # level 19 saves 16 % more at many times the work
_CHUNK_ITEMS: Final = 1_024  # whose parsed JSON is held at a time
_MEASURED: Final = ("id", "datetime", "start_datetime", "end_datetime")  # have statistics
# Statistics and dictionaries of fewer rows are longer than what they save, and pages of version 2
# are the shorter ones: what does not compress stays as it is.
_SMALL_ROWS: Final = 64
_WRITE_BATCH_ROWS: Final = 64  # pages end between batches: large items still give small pages

_COLLECTION_BYTES_MAX: Final = 1 << 20  # it stands in the footer, which has at most 4 MiB

ItemPair = tuple[bytes, dict[str, Any]]  # an item's exact UTF-8 JSON, and the same parsed


@dataclass(frozen=True, slots=True)
class SegmentFile:
    """A written segment and what its entry says of it (units: `core.names.SegmentRef`)."""

    digest: Digest
    size_bytes: int
    rows: int
    bbox_e7: tuple[int, int, int, int]
    span_s: tuple[int | None, int | None]
    format: int = FORMAT


def write_segment(
    path: Path,
    collection_id: str,
    collection_json: bytes,
    items: Iterable[ItemPair],
    *,
    clocks: Sequence[int | None] | None = None,
) -> SegmentFile:
    """Write one segment: temporary file beside `path`, fsync, rename.

    The same items in any order give the same bytes (with one release of the Parquet library).
    `clocks`, in the order of `items`, are the rows' own Lamport clocks; None, as a whole or for
    one row, stands for the clock of the entry that will name the segment.

    Raises:
        UsageError: no items, an id twice, an item that breaks a rule of `projection`, an item or a
            segment that is too large, a collection whose JSON is not its own.
        StorageError: the disk refused it.
    """
    rows = Rows()
    given = iter(items)
    while chunk := list(itertools.islice(given, _CHUNK_ITEMS)):
        own = clocks[len(rows) : len(rows) + len(chunk)] if clocks else [None] * len(chunk)
        _add(rows, collection_id, chunk, own)
    return write_rows(path, collection_id, collection_json, rows)


def write_rows(path: Path, collection_id: str, collection_json: bytes, rows: Rows) -> SegmentFile:
    """Write gathered rows as `write_segment` does.

    Raises:
        UsageError: no rows, too many bytes of them, a collection whose JSON is not its own.
        StorageError: the disk refused it.
    """
    if not rows:
        raise UsageError("a segment needs at least one item", hint="give a file with items")
    if rows.size_bytes > DECODED_BYTES_MAX:
        raise UsageError("these items are too large for one segment", hint="split them")
    metadata = _metadata(collection_id, collection_json, rows.geometries)
    temporary = path.with_name(f".{path.name}.part")
    try:
        _write_parquet(temporary, collection_id, rows, metadata)
        size_bytes = temporary.stat().st_size
        if size_bytes > SEGMENT_BYTES_MAX:
            raise UsageError(
                f"{len(rows)} items make a segment of {size_bytes} bytes, more than a segment may",
                hint="publish them in smaller parts",
            )
        with temporary.open("rb") as file:
            digest = Digest(hashlib.file_digest(file, "sha256").digest())
        publish_file(temporary, path)
    except OSError as error:
        raise refused_by_disk(f"cannot write the segment {path}", error) from error
    finally:
        temporary.unlink(missing_ok=True)
    return SegmentFile(digest, size_bytes, len(rows), rows.extent.bbox_e7, rows.extent.span_s)


def read_segment_items(path: Path) -> Iterator[bytes]:
    """Yield the exact bytes of each item, as `read_segment_rows` does."""
    return (item for item, _ in read_segment_rows(path))


def read_segment_rows(path: Path) -> Iterator[tuple[bytes, int | None]]:
    """Yield the exact bytes and the clock of each item, in row order.

    The segment has passed its check. A clock of None stands for that of the segment's entry.

    Raises:
        StorageError: the file cannot be read, or is no segment.
    """
    try:
        with pq.ParquetFile(path, pre_buffer=False) as file:
            for batch in file.iter_batches(256, columns=["item", "clock"], use_threads=False):
                items = batch.column("item").cast(pa.binary()).to_pylist()
                yield from zip(items, batch.column("clock").to_pylist(), strict=True)
    except (OSError, pa.ArrowException, KeyError) as error:
        raise StorageError(
            f"cannot read the segment {path}: {error}", hint="check the disk; it is made again"
        ) from error


# --- Rows -----------------------------------------------------------------------------------------
def _add(
    rows: Rows, collection_id: str, pairs: Sequence[ItemPair], clocks: Sequence[int | None]
) -> None:
    projections = [_projected(value, collection_id) for _, value in pairs]
    shapes = shapes_of([value["geometry"] for _, value in pairs])
    for projection, shape in zip(projections, shapes, strict=True):
        if isinstance(shape, BrokenShapeError):
            raise UsageError(f"item {projection.id!r} has a broken geometry: {shape}")
    for pair, projection, wkb, clock in zip(
        pairs, projections, iso_wkb(shapes), clocks, strict=True
    ):
        rows.add(*pair, projection, wkb, clock)


def _projected(value: dict[str, Any], collection_id: str) -> Projection:
    try:
        return project(value, collection_id)
    except BrokenItemError as error:
        raise UsageError(f"item {value.get('id')!r:.80} cannot be published: {error}") from None


def _row_groups(rows: Rows) -> Iterator[list[int]]:
    """Yield the positions of the rows of each row group, in the order of the file."""
    group: list[int] = []
    size_bytes = 0
    for position in rows.order():
        more_bytes = len(rows.raws[position])
        is_full = len(group) == ROW_GROUP_ROWS_MAX
        if group and (is_full or size_bytes + more_bytes > _ROW_GROUP_ITEM_BYTES):
            yield group
            group, size_bytes = [], 0
        group.append(position)
        size_bytes += more_bytes
    yield group


# --- Parquet --------------------------------------------------------------------------------------
def _write_parquet(path: Path, collection_id: str, rows: Rows, metadata: dict[str, str]) -> None:
    schema = segment_schema(rows.asset_keys())
    boxes = [f"bbox.{name}" for name in BOX_NAMES]
    is_small = len(rows) <= _SMALL_ROWS
    with pq.ParquetWriter(
        path,
        schema,
        version="2.6",
        compression="zstd",
        compression_level=_ZSTD_LEVEL,
        use_dictionary=False if is_small else ["collection", "stac_version"],
        write_statistics=False if is_small else [*_MEASURED, *boxes],
        data_page_version="2.0" if is_small else "1.0",
        write_batch_size=_WRITE_BATCH_ROWS,
        store_schema=False,  # a checker refuses ARROW:schema: it could change the types read
    ) as writer:
        for group in _row_groups(rows):
            table = pa.table(rows.columns(schema, collection_id, group), schema=schema)
            writer.write_table(table, row_group_size=ROW_GROUP_ROWS_MAX)
        writer.add_key_value_metadata(metadata)


# --- Metadata -------------------------------------------------------------------------------------
def _metadata(
    collection_id: str, collection_json: bytes, geometries: list[bytes]
) -> dict[str, str]:
    try:
        collection = parse_object(collection_json)
    except JsonTextError as error:
        raise UsageError(f"the collection {collection_id!r} is broken: {error}") from error
    if collection.get("id") != collection_id:
        raise UsageError(
            f"the collection's JSON has the id {collection.get('id')!r}, not {collection_id!r}",
            hint="give the Collection that the items belong to",
        )
    if len(collection_json) > _COLLECTION_BYTES_MAX:
        raise UsageError(
            f"the collection {collection_id!r} has more than {_COLLECTION_BYTES_MAX} bytes of JSON",
            hint="move long texts and summaries into links",
        )
    name, text = json.dumps(collection_id), collection_json.decode()
    return {
        "geo": json.dumps(_geo(geometries), separators=(",", ":")),
        # The Collection goes in as it is written, not parsed and printed again.
        "stac-geoparquet": f'{{"version":"1.1.0","collections":{{{name}:{text}}}}}',
    }


def _geo(geometries: list[bytes]) -> dict[str, object]:
    """Return the file metadata of GeoParquet 1.1; without `crs` it is OGC:CRS84."""
    types = sorted({_geometry_type(wkb) for wkb in geometries})
    covering = {name: ["bbox", name] for name in BOX_NAMES}
    column = {"encoding": "WKB", "geometry_types": types, "covering": {"bbox": covering}}
    return {"version": "1.1.0", "primary_column": "geometry", "columns": {"geometry": column}}


def _geometry_type(wkb: bytes) -> str:
    """Return GeoParquet's name of an ISO WKB geometry's type: heights add 1,000 to its code."""
    heights, code = divmod(int.from_bytes(wkb[1:5], "little"), 1_000)
    return GEOMETRY_TYPES[code - 1] + (" Z" if heights == 1 else "")
