"""Queryables: properties of items that have columns of their own, and what the others are called.

A column is compared and sorted by without reading the item. It holds what the item says if that is
of the column's kind, else nothing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final

from pydantic_core import from_json

from meshnode.runtime.index.times import MOMENT_NONE, parse_moment

NAME_CHARS_MAX: Final = 200  # of a property's name; a longer one cannot be asked for
NAMES_MAX: Final = 500  # properties of one segment; more are a table, not properties
TEXT_CHARS_MAX: Final = 200  # of a text in a column; a longer one is no platform

_EPSG: Final = "proj:epsg"  # what proj:code was before version 2 of the projection extension


class Kind(Enum):
    """What a value is compared as."""

    NUMBER = "a number"
    TEXT = "a text"
    TRUTH = "true or false"
    TIME = "a time"


@dataclass(frozen=True, slots=True)
class Column:
    """A queryable with its SQL over `item`; `title` says for people what it is.

    `index` names the index over the visible rows that have it, if there is one to sort by.
    """

    name: str
    sql: str
    kind: Kind
    title: str
    is_sortable: bool = True
    is_never_null: bool = False
    index: str | None = None


# What the SQL functions of `documents` take first: SQLite hands the bytes of a row over sooner than
# they are asked for one by one.
ITEM_SQL: Final = "item.key, item.segment, (SELECT zstd FROM body WHERE body.key = item.key)"

_NAME_SQL: Final = "(SELECT name FROM collection WHERE collection.key = item.collection)"
_DGUID_SQL: Final = "(SELECT vintage || place FROM dguid WHERE dguid.key = item.key)"

COLUMNS: Final[Mapping[str, Column]] = {
    column.name: column
    for column in (
        Column("id", "item.id", Kind.TEXT, "The item's id", is_never_null=True),
        Column("collection", _NAME_SQL, Kind.TEXT, "The collection's id", is_never_null=True),
        Column(
            "datetime",
            f"nullif(item.moment_us, {MOMENT_NONE})",
            Kind.TIME,
            "When it was acquired: datetime, else end_datetime",
        ),
        Column("start_datetime", "item.first_us", Kind.TIME, "Its start, else its datetime"),
        Column("end_datetime", "item.last_us", Kind.TIME, "Its end, else its datetime"),
        Column(
            "created",
            "item.created_us",
            Kind.TIME,
            "When the metadata was made",
            index="item_created",
        ),
        Column(
            "updated",
            "item.updated_us",
            Kind.TIME,
            "When the metadata was last changed",
            index="item_updated",
        ),
        Column(
            "eo:cloud_cover",
            "item.cloud_cover",
            Kind.NUMBER,
            "Cloud cover in percent",
            index="item_cloud_cover",
        ),
        Column("gsd", "item.gsd", Kind.NUMBER, "Ground sample distance in metres"),
        Column("platform", "item.platform", Kind.TEXT, "The satellite or aircraft"),
        Column("constellation", "item.constellation", Kind.TEXT, "The group of platforms"),
        Column("proj:code", "item.proj_code", Kind.TEXT, "The projection, as EPSG:3857"),
        Column("dguid", _DGUID_SQL, Kind.TEXT, "The place of Statistics Canada", is_sortable=False),
    )
}


# From an item into the last columns of the table `item`, in their order.
PROMOTED_COLUMNS: Final = (
    "low_m", "high_m", "created_us", "updated_us", "cloud_cover", "gsd", "platform",
    "constellation", "proj_code",
)  # fmt: skip


def promoted(item: Mapping[str, Any]) -> tuple[float | int | str | None, ...]:
    """Return the values of PROMOTED_COLUMNS that an item's JSON says."""
    said = properties_of(item)
    return (
        *_heights(item.get("bbox")),
        moment_value(said.get("created")),
        moment_value(said.get("updated")),
        number_value(said.get("eo:cloud_cover")),
        number_value(said.get("gsd")),
        _short(said.get("platform")),
        _short(said.get("constellation")),
        _short(_projection(said)),
    )


def parse_item(raw: bytes) -> dict[str, Any]:
    """Return an item's JSON; an empty object for what cannot be read."""
    try:
        value = from_json(raw)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def properties_of(item: Mapping[str, Any]) -> Mapping[str, Any]:
    said = item.get("properties")
    return said if isinstance(said, dict) else {}


def property_names(item: Mapping[str, Any]) -> list[str]:
    """Return the names of an item's properties, those that can be asked for."""
    return [name for name in properties_of(item) if len(name) <= NAME_CHARS_MAX]


def number_value(value: object) -> float | None:
    """Return a JSON number; None for anything else, also for one beyond a double."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def text_value(value: object) -> str | None:
    return value if isinstance(value, str) else None


def truth_value(value: object) -> int | None:
    return int(value) if isinstance(value, bool) else None


def moment_value(value: object) -> int | None:
    return parse_moment(value) if isinstance(value, str) else None


def _projection(said: Mapping[str, Any]) -> object:
    if "proj:code" in said:
        return said["proj:code"]
    number = said.get(_EPSG)
    is_code = isinstance(number, int) and not isinstance(number, bool) and 0 < number < 10**6
    return f"EPSG:{number}" if is_code else None


def _short(value: object) -> str | None:
    return value if isinstance(value, str) and len(value) <= TEXT_CHARS_MAX else None


def _heights(bbox: object) -> tuple[float | None, float | None]:
    if not isinstance(bbox, list) or len(bbox) != 6:
        return None, None
    low, high = number_value(bbox[2]), number_value(bbox[5])
    return (None, None) if low is None or high is None else (low, high)
