"""Small STAC items of our own for the tests of items, validation and segments."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from meshnode.core.identifiers import CatalogueId, Kid, sha256
from meshnode.core.names import LogId, SegmentRef
from meshnode.runtime.segments.segment import SegmentFile, write_segment

COLLECTION = "towns"
COLLECTION_JSON = b'{"type": "Collection", "id": "towns", "title": "Towns \xe2\x80\x94 villes"}'


def square(west: float, south: float, size: float = 0.5) -> dict[str, Any]:
    east, north = west + size, south + size
    ring = [[west, south], [east, south], [east, north], [west, north], [west, south]]
    return {"type": "Polygon", "coordinates": [ring]}


def item(item_id: str = "one", west: float = -75.5, south: float = 45.0) -> dict[str, Any]:
    return {
        "type": "Feature",
        "stac_version": "1.1.0",
        "stac_extensions": [],
        "id": item_id,
        "collection": COLLECTION,
        "geometry": square(west, south),
        "bbox": [west, south, west + 0.5, south + 0.5],
        "properties": {"datetime": "2021-06-01T12:00:00.25Z", "title": f"Town {item_id}"},
        "links": [{"rel": "collection", "href": "./collection.json"}],
        "assets": {"image": {"href": "https://example.org/a.tif", "roles": ["data"]}},
    }


def pair(value: dict[str, Any]) -> tuple[bytes, dict[str, Any]]:
    return json.dumps(value).encode(), value


def segment(path: Path, values: list[dict[str, Any]], collection: str = COLLECTION) -> SegmentFile:
    collection_json = json.dumps({"type": "Collection", "id": collection}).encode()
    return write_segment(path, collection, collection_json, map(pair, values))


TOWNS = [item(f"t{n}", west=-150 + 7.25 * n, south=-60 + 3.5 * n) for n in range(30)]
METADATA = {
    "geo": '{"version":"1.1.0","primary_column":"geometry"}',
    "stac-geoparquet": '{"version":"1.1.0","collections":{"towns":{"id":"towns"}}}',
}


def ref_of(file: SegmentFile, *, collection: str = COLLECTION, clock: int = 9) -> SegmentRef:
    return SegmentRef(
        log=LogId(CatalogueId(bytes(32)), Kid(bytes(16))),
        collection=collection,
        digest=file.digest,
        size_bytes=file.size_bytes,
        rows=file.rows,
        format=file.format,
        clock=clock,
        bbox=file.bbox_e7,
        span=file.span_s,
    )


def rewritten(path: Path, change, metadata=METADATA, **options) -> SegmentFile:
    """Write the sample segment, change its table, and describe the result as its author would."""
    made = segment(path, TOWNS)
    table = change(pq.read_table(path)).replace_schema_metadata(None)
    options = {"compression": "zstd", "store_schema": False} | options
    with pq.ParquetWriter(path, table.schema, **options) as writer:
        writer.write_table(table)
        writer.add_key_value_metadata(metadata)
    data = path.read_bytes()
    return replace(made, digest=sha256(data), size_bytes=len(data), rows=table.num_rows)


def with_column(name: str, edit):
    """Return a change of one column: `edit` gets the list of its values."""

    def change(table: pa.Table) -> pa.Table:
        position, field = table.schema.get_field_index(name), table.schema.field(name)
        values = pa.array(edit(table[name].to_pylist()), type=field.type)
        return table.set_column(position, field, values)

    return change
