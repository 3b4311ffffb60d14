"""What a filter may name and results be sorted by, as JSON Schema (OGC API Features, part 3)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from meshnode.runtime.index.queryables import COLUMNS, Column, Kind

_SCHEMA: Final = "https://json-schema.org/draft/2020-12/schema"
_GEOMETRY: Final = {
    "title": "The item's geometry",
    "$ref": "https://geojson.org/schema/Geometry.json",
}
_TYPES: Final[dict[Kind, dict[str, str]]] = {
    Kind.NUMBER: {"type": "number"},
    Kind.TEXT: {"type": "string"},
    Kind.TRUTH: {"type": "boolean"},
    Kind.TIME: {"type": "string", "format": "date-time"},
}


def queryables(address: str, title: str, names: Iterable[str]) -> dict[str, Any]:
    """Return the schema of a filter's names; `names` are those that items have beside columns.

    Others are refused, so that the schema allows no more. A name without a type has one in each
    item.
    """
    others = {name: {"title": name} for name in names if name not in COLUMNS}
    return {
        "$schema": _SCHEMA,
        "$id": address,
        "type": "object",
        "title": title,
        "properties": {**_columns(COLUMNS.values()), "geometry": _GEOMETRY, **others},
        "additionalProperties": False,
    }


def sortables(address: str, title: str) -> dict[str, Any]:
    """Return the schema of what results can be sorted by."""
    return {
        "$schema": _SCHEMA,
        "$id": address,
        "type": "object",
        "title": title,
        "properties": _columns(column for column in COLUMNS.values() if column.is_sortable),
        "additionalProperties": False,
    }


def _columns(columns: Iterable[Column]) -> dict[str, Any]:
    return {column.name: {"title": column.title, **_TYPES[column.kind]} for column in columns}
