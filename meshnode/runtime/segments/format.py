"""Segment format 1: the exact columns, metadata and limits (protocol/03-segments.md).

Shared by the writer and the check, so that neither knows a rule the other does not.
"""

from __future__ import annotations

from typing import Final

import pyarrow as pa

FORMAT: Final = 1
SEGMENT_BYTES_MAX: Final = 64 << 20  # protocol/04: one file
ROWS_MAX: Final = 1_000_000
ROW_GROUPS_MAX: Final = 1_024
ROW_GROUP_ROWS_MAX: Final = 20_000  # what a reader of one box must decode at least
ROW_GROUP_ITEM_BYTES_MAX: Final = 64 << 20  # what a checker must hold at most
LEAF_COLUMNS_MAX: Final = 2_000
FOOTER_BYTES_MAX: Final = 4 << 20
ITEM_BYTES_MAX: Final = 4 << 20  # the largest real item measured has 1.6 MB
DECODED_BYTES_MAX: Final = 1 << 30  # templated items reach 170 times their file: limit bytes
ASSET_KEYS_MAX: Final = 64  # columns of `assets`; the rest stands in `item` alone

BOX_NAMES: Final = ("xmin", "ymin", "xmax", "ymax")
BOX: Final = pa.struct([pa.field(name, pa.float64()) for name in BOX_NAMES])
TIME: Final = pa.timestamp("us", tz="UTC")
ASSET: Final = pa.struct(
    [
        pa.field("href", pa.string()),
        pa.field("title", pa.string()),
        pa.field("type", pa.string()),
        pa.field("roles", pa.list_(pa.field("element", pa.string()))),
    ]
)
_LINK: Final = pa.struct([pa.field(name, pa.string()) for name in ("href", "rel", "type", "title")])

# What the check reads; the other columns are for readers of the file and decide nothing.
CHECKED_COLUMNS: Final = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("collection", pa.string(), nullable=False),
        pa.field("datetime", TIME),
        pa.field("start_datetime", TIME),
        pa.field("end_datetime", TIME),
        pa.field("bbox", BOX, nullable=False),
        pa.field("clock", pa.int64()),
        pa.field("item", pa.string(), nullable=False),
    ]
)


def segment_schema(asset_keys: list[str]) -> pa.Schema:
    """Return the Arrow schema of a segment whose `assets` have these keys (at least one)."""
    checked = {field.name: field for field in CHECKED_COLUMNS}
    assets = pa.struct([pa.field(key, ASSET) for key in asset_keys])
    return pa.schema(
        [
            checked["id"],
            pa.field("stac_version", pa.string(), nullable=False),
            pa.field("stac_extensions", pa.list_(pa.field("element", pa.string())), nullable=False),
            checked["collection"],
            checked["datetime"],
            checked["start_datetime"],
            checked["end_datetime"],
            pa.field("geometry", pa.binary(), nullable=False),
            checked["bbox"],
            pa.field("links", pa.list_(pa.field("element", _LINK)), nullable=False),
            pa.field("assets", assets, nullable=False),
            checked["clock"],
            checked["item"],
        ]
    )


def schema_problem(schema: pa.Schema) -> str:
    """Say how an Arrow schema read from a file differs from format 1; empty if it does not."""
    position = schema.get_field_index("assets")
    if position < 0 or not pa.types.is_struct(schema.field(position).type):
        return "it has no struct column assets"
    keys = [child.name for child in schema.field(position).type]
    if not 1 <= len(keys) <= ASSET_KEYS_MAX:
        return f"its assets have {len(keys)} keys, 1 to {ASSET_KEYS_MAX} are allowed"
    expected = segment_schema(keys)
    if schema.names != expected.names:
        return f"its columns are {', '.join(schema.names)[:200]}"
    for found, wanted in zip(schema, expected, strict=True):
        if not found.equals(wanted):
            return f"its column {found.name} is {str(found.type)[:100]}, not format {FORMAT}"
    return ""
