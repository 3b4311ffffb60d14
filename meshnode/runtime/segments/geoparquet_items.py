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
from datetime import UTC, date, datetime
from typing import Any, Final

import pyarrow as pa
import shapely
from shapely.geometry import mapping

from meshnode.runtime.segments.json_text import written

_REQUIRED: Final = ("id", "geometry", "links", "assets")
_EMPTY: Final[dict[str, Any]] = {"stac_extensions": [], "links": [], "assets": {}}
_TOP_LEVEL: Final = (
    "type",
    "stac_version",
    "stac_extensions",
    "id",
    "collection",
    "geometry",
    "bbox",
    "links",
    "assets",
)
_STAC_VERSION: Final = "1.1.0"  # of rows that do not say theirs
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
    for row in in_microseconds(batch).to_pylist():
        try:
            yield _item_json(row)
        except (ValueError, TypeError, shapely.errors.GEOSException) as error:
            item_id = row.get("id")
            yield UnfitRowError(
                f"it cannot be written as JSON: {error}",
                item_id if isinstance(item_id, str) else None,
            )


def in_microseconds(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Cut nanosecond timestamps, which Python's datetime cannot hold."""
    for position, field in enumerate(batch.schema):
        if pa.types.is_timestamp(field.type) and field.type.unit == "ns":
            column = batch.column(position).cast(pa.timestamp("us", field.type.tz), safe=False)
            batch = batch.set_column(position, field.name, column)
    return batch


def _item_json(row: dict[str, Any]) -> bytes:
    geometries = {name: _geojson(row[name]) for name in row if _is_geometry(name, row[name])}
    members = {name: plain(value) for name, value in row.items() if name not in geometries}
    item: dict[str, Any] = {"type": "Feature", "stac_version": _STAC_VERSION}
    for name in _TOP_LEVEL[1:]:
        value = members.pop(name, None)
        if name in geometries:
            item[name] = geometries.pop(name)
        elif value is not None or name in _EMPTY:
            item[name] = _EMPTY[name] if value is None else value
    members.pop("type", None)
    if isinstance(item.get("bbox"), dict):
        item["bbox"] = _bbox(item["bbox"])
    at = members.pop("datetime", None)
    properties = {name: value for name, value in members.items() if value is not None}
    item["properties"] = {**properties, **geometries, "datetime": at}
    return written(item)


def _is_geometry(name: str, value: object) -> bool:
    return isinstance(value, bytes) and (name == "geometry" or name.endswith(":geometry"))


def _geojson(wkb: bytes) -> dict[str, Any]:
    shape: dict[str, Any] = mapping(shapely.from_wkb(wkb))
    return shape


def _bbox(struct: dict[str, float]) -> list[float]:
    return [struct[name] for name in (_BOX_3D if "zmin" in struct else _BOX_2D)]


def plain(value: object) -> object:
    """Turn what Arrow gives into what JSON can hold.

    Raises:
        TypeError: JSON has nothing like it.
    """
    match value:
        case dict():
            return {key: plain(member) for key, member in value.items() if member is not None}
        case list():
            return [plain(member) for member in value]
        case datetime():
            return _time(value)
        case date():
            return value.isoformat()
        case None | str() | int() | float():
            return value
        case _:
            raise TypeError(f"it has a value of type {type(value).__name__}")


def _time(value: datetime) -> str:
    moment = value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
    text = moment.strftime("%Y-%m-%dT%H:%M:%S")
    fraction = f".{moment.microsecond:06}".rstrip("0") if moment.microsecond else ""
    return f"{text:0>19}{fraction}Z"
