"""Items and what the columns of a segment say of them, written by hand from rules S-30 to S-53."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

_ITEM: dict[str, Any] = {
    "type": "Feature",
    "stac_version": "1.1.0",
    "id": "tile-17",
    "collection": "orthophotos",
    "geometry": {"type": "Point", "coordinates": [-73.5, 45.5]},
    "bbox": [-73.5, 45.5, -73.5, 45.5],
    "properties": {"datetime": "2026-01-01T00:00:00Z"},
    "links": [],
    "assets": {},
}
_NEW_YEAR_US = 1_767_225_600_000_000
_NONE = {"datetime": None, "start": None, "end": None}


def _text(**changes: object) -> str:
    return json.dumps({**_ITEM, **changes})


def _timed(**times: str | None) -> str:
    return _text(properties=times)


def _valid(
    name: str, text: str, times: Mapping[str, int | None], box: list[float]
) -> dict[str, Any]:
    return {"name": name, "item": text, "microseconds": {**_NONE, **times}, "box": box}


_HERE = [-73.5, 45.5, -73.5, 45.5]
_PLAIN = {"datetime": _NEW_YEAR_US}

VALID: list[dict[str, Any]] = [
    _valid("plain", _text(), _PLAIN, _HERE),
    _valid("no-collection", _text(collection=None), _PLAIN, _HERE),
    _valid(
        "heights",
        _text(bbox=[-73.5, 45.5, 10, -73.4, 45.6, 90]),
        _PLAIN,
        [-73.5, 45.5, -73.4, 45.6],
    ),
    _valid(
        "antimeridian", _text(bbox=[179, -17, -179, -16]), _PLAIN, [179.0, -17.0, -179.0, -16.0]
    ),
    _valid("beyond-180", _text(bbox=[179, -17, 181, -16]), _PLAIN, [179.0, -17.0, 181.0, -16.0]),
    _valid(
        "times-are-cut",
        _timed(datetime="2026-01-01T00:00:00.1234569Z"),
        {"datetime": _NEW_YEAR_US + 123_456},
        _HERE,
    ),
    _valid(
        "before-1970",
        _timed(datetime="1969-12-31T23:59:59.5+00:00"),
        {"datetime": -500_000},
        _HERE,
    ),
    _valid(
        "start-and-end",
        _timed(
            datetime=None,
            start_datetime="2026-01-01T00:00:00Z",
            end_datetime="2026-01-01t00:00:01Z",
        ),
        {"start": _NEW_YEAR_US, "end": _NEW_YEAR_US + 1_000_000},
        _HERE,
    ),
]

# Each with its name, its JSON text and the rule that it breaks.
_REFUSED: list[tuple[str, str, str]] = [
    ("key-twice", _text()[:-1] + ', "id": "other"}', "S-30"),
    ("no-object", "[]", "S-30"),
    ("not-a-number", _text(bbox=[0, 0, 0, 0]).replace("[0, 0, 0, 0]", "[NaN, 0, 0, 0]"), "S-30"),
    ("no-feature", _text(type="FeatureCollection"), "S-40"),
    ("other-collection", _text(collection="parcels"), "S-40"),
    ("no-properties", _text(properties=None), "S-40"),
    ("empty-id", _text(id=""), "S-41"),
    ("long-id", _text(id="é" * 128), "S-41"),
    ("control-character-in-id", _text(id="a\u0085b"), "S-41"),
    ("id-that-climbs", _text(id="a/../b"), "S-41"),
    ("no-geometry", _text(geometry=None), "S-42"),
    ("unknown-geometry", _text(geometry={"type": "Circle"}), "S-42"),
    ("no-bbox", _text(bbox=None), "S-43"),
    ("upside-down", _text(bbox=[0, 2, 0, 1]), "S-43"),
    ("beyond-the-pole", _text(bbox=[0, 0, 0, 91]), "S-43"),
    ("twice-round-the-world", _text(bbox=[0, 0, 361, 0]), "S-43"),
    ("no-time", _timed(datetime=None), "S-44"),
    ("start-alone", _timed(start_datetime="2026-01-01T00:00:00Z"), "S-44"),
    ("local-time", _timed(datetime="2026-01-01T00:00:00-05:00"), "S-44"),
    ("no-such-day", _timed(datetime="2026-02-30T00:00:00Z"), "S-44"),
    ("leap-second", _timed(datetime="2016-12-31T23:59:60Z"), "S-44"),
    (
        "end-before-start",
        _timed(start_datetime="2026-01-02T00:00:00Z", end_datetime="2026-01-01T00:00:00Z"),
        "S-44",
    ),
]
REFUSED = [{"name": name, "item": item, "rule": rule} for name, item, rule in _REFUSED]

# Boxes of the items of one segment, and the bbox of its entry.
_CIRCLE = [-1_800_000_000, -170_000_000, 1_800_000_000, -160_000_000]
BOXES: list[dict[str, Any]] = [
    {
        "name": "rounded-outward",
        "boxes": [[-73.123456789, 45.123456789, -73.0, 45.987654321]],
        "bbox": [-731_234_568, 451_234_567, -730_000_000, 459_876_544],
    },
    {
        "name": "union",
        "boxes": [[-10, -5, -9, -4], [20, 30, 21, 31]],
        "bbox": [-100_000_000, -50_000_000, 210_000_000, 310_000_000],
    },
    {
        "name": "all-cross-the-antimeridian",
        "boxes": [[179, -17, -179, -16], [178, -17, -178, -16]],
        "bbox": [1_780_000_000, -170_000_000, -1_780_000_000, -160_000_000],
    },
    {
        "name": "wrapped-they-cross",
        "boxes": [[179, -17, 181, -16]],
        "bbox": [1_790_000_000, -170_000_000, -1_790_000_000, -160_000_000],
    },
    {
        "name": "some-cross",
        "boxes": [[179, -17, -179, -16], [0, -17, 1, -16]],
        "bbox": _CIRCLE,
    },
    {"name": "round-the-world", "boxes": [[-180, -17, 180, -16]], "bbox": _CIRCLE},
    {
        "name": "crossing-no-longer",
        "boxes": [[10, -17, -20, -16], [170, -17, 15, -16]],
        "bbox": _CIRCLE,
    },
]
