"""Items as the rows and columns of a segment: what the writer puts beside each item's exact JSON.

`id`, `collection`, the times and `bbox` come from `projection` and are checked by every peer. The
others (`geometry`, `links`, `assets`, …) are there for the readers of the file: what does not fit
their types is left out, for `item` has it all (protocol/03-segments.md).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import shapely
from pydantic_core import to_json

from meshnode.errors import UsageError
from meshnode.runtime.segments.format import ASSET_KEYS_MAX, BOX_NAMES, ITEM_BYTES_MAX
from meshnode.runtime.segments.hilbert import hilbert_index
from meshnode.runtime.segments.projection import BrokenItemError, Projection, project


@dataclass(frozen=True, slots=True)
class SegmentRow:
    """An item with what the writer derives from it once: its projection and its ISO WKB."""

    projection: Projection
    value: dict[str, Any]
    raw: bytes
    geometry: bytes
    clock: int | None

    @property
    def order(self) -> tuple[int, int, str]:
        projection = self.projection
        return hilbert_index(projection.box), projection.first_us, projection.id


def segment_row(
    raw: bytes, value: dict[str, Any], collection_id: str, clock: int | None
) -> SegmentRow:
    """Derive a row from an item.

    Raises:
        UsageError: the item breaks a rule of `projection`, is too large, or its geometry is broken.
    """
    try:
        projection = project(value, collection_id)
    except BrokenItemError as error:
        raise UsageError(f"item {value.get('id')!r:.80} cannot be published: {error}") from None
    if len(raw) > ITEM_BYTES_MAX:
        raise UsageError(f"item {projection.id!r} is larger than {ITEM_BYTES_MAX} bytes")
    return SegmentRow(projection, value, raw, _wkb(value["geometry"], projection.id), clock)


def asset_keys(rows: Sequence[SegmentRow]) -> list[str]:
    """Choose the columns of `assets`: the most frequent keys, sorted by name.

    Keys that differ only in case are one column name to SQL engines, so the first one stays alone.
    """
    counts = Counter(key for row in rows for key in row.value.get("assets") or {} if key)
    chosen: dict[str, str] = {}
    for key, _ in sorted(counts.items(), key=lambda pair: (-pair[1], pair[0])):
        if len(chosen) < ASSET_KEYS_MAX:
            chosen.setdefault(key.casefold(), key)
    return sorted(chosen.values()) or ["data"]


def columns_of(schema: pa.Schema, collection_id: str, rows: Sequence[SegmentRow]) -> list[pa.Array]:
    """Return the columns of a row group, in the order of the schema."""
    projections = [row.projection for row in rows]
    columns = {
        "id": [projection.id for projection in projections],
        "stac_version": [_text(row.value.get("stac_version")) or "" for row in rows],
        "stac_extensions": [_texts(row.value.get("stac_extensions")) for row in rows],
        "collection": [collection_id] * len(rows),
        "datetime": [projection.datetime_us for projection in projections],
        "start_datetime": [projection.start_us for projection in projections],
        "end_datetime": [projection.end_us for projection in projections],
        "geometry": [row.geometry for row in rows],
        "bbox": [dict(zip(BOX_NAMES, one.box, strict=True)) for one in projections],
        "links": [_links(row.value.get("links")) for row in rows],
        "assets": [_assets(row.value.get("assets"), schema.field("assets").type) for row in rows],
        "clock": [row.clock for row in rows],
        "item": [row.raw.decode() for row in rows],
    }
    return [pa.array(columns[field.name], type=field.type) for field in schema]


def _wkb(geometry: dict[str, Any], item_id: str) -> bytes:
    try:
        shape = shapely.from_geojson(to_json(geometry))
    except shapely.errors.GEOSException as error:
        raise UsageError(f"item {item_id!r} has a broken geometry: {error}") from error
    wkb: bytes = shapely.to_wkb(shape, flavor="iso", byte_order=1)
    return wkb


def _links(value: object) -> list[dict[str, str | None]]:
    links = value if isinstance(value, list) else []
    names = ("href", "rel", "type", "title")
    return [{name: _text(link.get(name)) for name in names} for link in links]


def _assets(value: object, columns: pa.StructType) -> dict[str, dict[str, object]]:
    assets = value if isinstance(value, dict) else {}
    return {
        column.name: {
            "href": _text(asset.get("href")),
            "title": _text(asset.get("title")),
            "type": _text(asset.get("type")),
            "roles": _texts(asset["roles"]) if "roles" in asset else None,
        }
        for column in columns
        if isinstance(asset := assets.get(column.name), dict)
    }


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _texts(value: object) -> list[str]:
    return (
        [member for member in value if isinstance(member, str)] if isinstance(value, list) else []
    )
