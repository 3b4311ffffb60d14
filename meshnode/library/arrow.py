"""Items as Arrow record batches: one fixed schema for all collections, streamed a page at a time.

The names are those of STAC-GeoParquet 1.1. Assets are a map, since every collection has keys of its
own and a stream has one schema; whatever has no column is in `item`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

import pyarrow as pa

from meshnode.core.identifiers import catalogue_text
from meshnode.errors import UsageError
from meshnode.runtime.index.query import Found
from meshnode.runtime.index.queryables import (
    moment_value,
    number_value,
    parse_item,
    properties_of,
    text_value,
)
from meshnode.runtime.segments.format import ASSET, BOX, TIME
from meshnode.runtime.segments.shapes import BrokenShapeError, iso_wkb, shapes_of

# geoarrow.org/extension-types: what makes a binary column a geometry to who reads it.
_GEOMETRY: Final = {
    "ARROW:extension:name": "geoarrow.wkb",
    "ARROW:extension:metadata": json.dumps({"crs": "OGC:CRS84", "crs_type": "authority_code"}),
}
_TIMES: Final = ("datetime", "start_datetime", "end_datetime", "created", "updated")
_NUMBERS: Final = ("eo:cloud_cover", "gsd")
_TEXTS: Final = ("title", "platform", "constellation", "proj:code")

SCHEMA: Final = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("collection", pa.string(), nullable=False),
        pa.field("catalogue", pa.string(), nullable=False),
        *(pa.field(name, TIME) for name in _TIMES),
        pa.field("geometry", pa.binary(), metadata=_GEOMETRY),
        pa.field("bbox", BOX),
        *(pa.field(name, pa.float64()) for name in _NUMBERS),
        *(pa.field(name, pa.string()) for name in _TEXTS),
        pa.field("assets", pa.map_(pa.string(), ASSET)),
        pa.field("item", pa.string(), nullable=False),
    ]
)

_Value = Callable[[Found, Mapping[str, Any]], Any]


def reader(pages: Iterable[Sequence[Found]], columns: Sequence[str] | None) -> pa.RecordBatchReader:
    """Return a stream of the pages with all columns, or with these.

    Raises:
        UsageError: a column that is none.
    """
    schema = SCHEMA if columns is None else _chosen(columns)
    return pa.RecordBatchReader.from_batches(schema, _batches(pages, schema))


def _chosen(columns: Sequence[str]) -> pa.Schema:
    for name in columns:
        if name not in SCHEMA.names:
            raise UsageError(
                f"there is no column {name!r}",
                hint=f"take some of {', '.join(SCHEMA.names)}; all else is in item",
            )
    return pa.schema([SCHEMA.field(name) for name in columns])


def _batches(pages: Iterable[Sequence[Found]], schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    for page in pages:
        items = [parse_item(found.item) for found in page]
        arrays = [_array(field, page, items) for field in schema]
        yield pa.RecordBatch.from_arrays(arrays, schema=schema)


def _array(field: pa.Field, page: Sequence[Found], items: Sequence[Mapping[str, Any]]) -> pa.Array:
    if field.name == "geometry":
        return pa.array(_geometries(items), type=field.type)
    value = _value_of(field.name)
    return pa.array(
        [value(found, item) for found, item in zip(page, items, strict=True)], type=field.type
    )


def _value_of(name: str) -> _Value:
    own: dict[str, _Value] = {
        "id": lambda found, _: found.id,
        "collection": lambda found, _: found.collection,
        "catalogue": lambda found, _: catalogue_text(found.catalogue),
        "item": lambda found, _: found.item.decode(),
        "bbox": lambda _, item: _box(item.get("bbox")),
        "assets": lambda _, item: _assets(item.get("assets")),
    }
    if name in own:
        return own[name]
    read = moment_value if name in _TIMES else number_value if name in _NUMBERS else text_value
    return lambda _, item: read(properties_of(item).get(name))


def _geometries(items: Sequence[Mapping[str, Any]]) -> list[bytes | None]:
    """Return ISO WKB; what GEOS cannot read is null, and stands in `item` as it was published."""
    shapes = shapes_of([item.get("geometry") or {} for item in items])
    wkbs = iter(iso_wkb([shape for shape in shapes if not isinstance(shape, BrokenShapeError)]))
    return [None if isinstance(shape, BrokenShapeError) else next(wkbs) for shape in shapes]


def _box(said: object) -> dict[str, float] | None:
    if not isinstance(said, list) or len(said) not in (4, 6):
        return None
    half = len(said) // 2
    return {"xmin": said[0], "ymin": said[1], "xmax": said[half], "ymax": said[half + 1]}


def _assets(said: object) -> list[tuple[str, dict[str, Any]]]:
    if not isinstance(said, dict):
        return []
    return [(key, _asset(asset)) for key, asset in said.items() if isinstance(asset, dict)]


def _asset(asset: Mapping[str, Any]) -> dict[str, Any]:
    roles = asset.get("roles")
    texts = {name: text_value(asset.get(name)) for name in ("href", "title", "type")}
    said = [each for each in roles if isinstance(each, str)] if isinstance(roles, list) else None
    return {**texts, "roles": said}
