"""Rows of STAC-GeoParquet as item JSON: our stated serialisation (protocol/03-segments.md).

A row of another tool's STAC-GeoParquet has no JSON of its own. Two programs that follow these rules
make the same bytes of it:

- members: type, stac_version, stac_extensions, id, collection, geometry, bbox, links, assets of the
  columns of these names; every other column is a member of `properties`;
- a null column or struct member is left out at every depth, except `properties.datetime`; a null in
  a list stays; a null `links`, `assets` or `stac_extensions` is empty;
- `geometry` and columns that end in ":geometry" are GeoJSON of their WKB, `bbox` the list of the
  struct's numbers (4, or 6 with heights);
- timestamps and dates are RFC 3339 text: UTC, "Z", cut to microseconds, a fraction only if it is
  not zero and without zeros at its end; a time without zone is UTC;
- JSON without white space, keys sorted by code point, UTF-8 unescaped, a double as the shortest
  text that reads back as the same (with a fraction or an exponent).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc
import shapely

from meshnode.runtime.segments.json_columns import geojson, objects, texts

_REQUIRED: Final = ("id", "geometry", "links", "assets")
_TOP_LEVEL: Final = (
    "stac_version",
    "stac_extensions",
    "id",
    "collection",
    "geometry",
    "bbox",
    "links",
    "assets",
)
_DEFAULTS: Final = {
    "stac_version": b'"1.1.0"',
    "stac_extensions": b"[]",
    "links": b"[]",
    "assets": b"{}",
}
_BOX_2D: Final = ("xmin", "ymin", "xmax", "ymax")
_BOX_3D: Final = ("xmin", "ymin", "zmin", "xmax", "ymax", "zmax")


class UnfitRowError(Exception):
    """A row that JSON cannot hold; `item_id` is its id if it has one."""

    def __init__(self, message: str, item_id: str | None) -> None:
        super().__init__(message)
        self.item_id = item_id


def missing_columns(schema: pa.Schema) -> list[str]:
    """Return which columns a file lacks to be STAC-GeoParquet."""
    names = set(schema.names)
    missing = [name for name in _REQUIRED if name not in names]
    if not names & {"datetime", "start_datetime"}:
        missing.append("datetime")
    return missing


def row_items(batch: pa.RecordBatch) -> Iterator[bytes | UnfitRowError]:
    """Yield each row of a batch as item JSON, or why it cannot be one."""
    if not len(batch):
        return
    try:
        items = _items(batch)
    except (ValueError, pa.ArrowException, shapely.errors.GEOSException) as error:
        if len(batch) == 1:
            yield UnfitRowError(f"it cannot be written as JSON: {error}", _id(batch))
            return
        half = len(batch) // 2  # find the rows that it is
        yield from row_items(batch.slice(0, half))
        yield from row_items(batch.slice(half))
    else:
        yield from items.to_pylist()


def _items(batch: pa.RecordBatch) -> Any:  # noqa: ANN401 - pyarrow
    """Write all rows; one that cannot be written is an error of the batch."""
    names = [name for name in batch.schema.names if name != "type"]
    columns = dict(zip(names, (batch.column(name) for name in names), strict=True))
    members = {name: _member(name, column) for name, column in columns.items()}
    none = pa.nulls(len(batch), pa.binary())
    item = {name: members.pop(name, none) for name in _TOP_LEVEL}
    for name, default in _DEFAULTS.items():
        item[name] = pc.fill_null(item[name], default)
    members["datetime"] = pc.fill_null(members.get("datetime", none), b"null")
    item["properties"] = objects(members)
    item["type"] = pa.repeat(pa.scalar(b'"Feature"'), len(batch))
    return objects(item)


def _member(name: str, column: Any) -> Any:  # noqa: ANN401 - pyarrow
    kind = column.type
    is_place = name == "geometry" or name.endswith(":geometry")
    if is_place and (pa.types.is_binary(kind) or pa.types.is_large_binary(kind)):
        return geojson(column)
    if name == "bbox" and pa.types.is_struct(kind):
        return _boxes(column)
    return texts(column)


def _boxes(column: Any) -> Any:  # noqa: ANN401 - pyarrow
    """Write boxes: six numbers where there are heights, else four.

    Raises:
        ValueError: one lacks a number.
    """
    names = [field.name for field in column.type]
    bounds = dict(zip(names, column.flatten(), strict=True))
    flat = _box(bounds, _BOX_2D)
    if "zmin" in bounds:
        flat = pc.if_else(bounds["zmin"].is_valid(), _box(bounds, _BOX_3D), flat)
    if pc.any(pc.and_(column.is_valid(), flat.is_null())).as_py():
        raise ValueError("its bbox lacks a number")
    return flat


def _box(bounds: dict[str, Any], names: tuple[str, ...]) -> Any:  # noqa: ANN401 - pyarrow
    if missing := [name for name in names if name not in bounds]:
        raise ValueError(f"its bbox has no {', '.join(missing)}")
    joined = pc.binary_join_element_wise(*(texts(bounds[name]) for name in names), b",")
    return pc.binary_join_element_wise(b"[", joined, b"]", b"")


def _id(row: pa.RecordBatch) -> str | None:
    """Return the id of the one row, if it has one."""
    try:
        (found,) = row.column("id").to_pylist()
    except ValueError:  # not UTF-8
        return None
    return found if isinstance(found, str) else None
