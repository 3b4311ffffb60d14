"""The places that a query names: boxes, and GeoJSON geometries (RFC 7946) checked before use."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import Any, Final

import shapely

from meshnode.errors import UsageError
from meshnode.runtime.index.clause import Clause

Box = tuple[float, float, float, float]  # west, south, east, north in degrees

VALUES_MAX: Final = 20_000  # values in one geometry: some 10,000 points; comparing costs by each
DEPTH_MAX: Final = 8  # a MultiPolygon within a collection has seven levels
_TYPES: Final = (
    "Point", "MultiPoint", "LineString", "MultiLineString", "Polygon", "MultiPolygon",
    "GeometryCollection",
)  # fmt: skip
_HINT: Final = "a GeoJSON geometry in degrees, longitude first, within -180..180 and -90..90"


@dataclass(frozen=True, slots=True)
class Shape:
    """A valid geometry on the globe: its WKB, and the box around it."""

    wkb: bytes
    box: Box


def parse_geometry(value: object) -> Shape:
    """Read a GeoJSON geometry, or the one of a Feature.

    Raises:
        UsageError: it is none, larger than VALUES_MAX, not valid, or off the globe.
    """
    if isinstance(value, dict) and value.get("type") == "Feature":
        value = value.get("geometry")
    _check_size(value)
    if not isinstance(value, dict) or value.get("type") not in _TYPES:
        raise UsageError("that is no GeoJSON geometry", hint=_HINT)
    try:
        shape = shapely.from_geojson(json.dumps(value))
    except (shapely.errors.ShapelyError, ValueError) as error:
        raise UsageError(f"that is no GeoJSON geometry: {error}"[:200], hint=_HINT) from error
    return shape_of(shape)


def box_shape(box: tuple[float, ...]) -> Shape:
    """Return a box, two if it crosses the antimeridian, as a geometry; heights do not count.

    Raises:
        UsageError: it has not 4 or 6 numbers, or is off the globe.
    """
    if len(box) not in (4, 6):
        raise UsageError(f"a bbox has 4 or 6 numbers, not {len(box)}")
    half = len(box) // 2
    west, south, east, north = box[0], box[1], box[half], box[half + 1]
    if not all(map(math.isfinite, box)) or south > north:
        raise UsageError(f"bbox {box} is not a box")
    pieces = [_rectangle(*piece) for piece in pieces_of((west, south, east, north))]
    return shape_of(shapely.union_all(pieces))


def shape_of(shape: Any) -> Shape:  # noqa: ANN401 - shapely has no types
    """Check a geometry.

    Raises:
        UsageError: it is empty, not valid, or off the globe.
    """
    if shape is None or shape.is_empty:
        raise UsageError("the geometry is empty", hint=_HINT)
    west, south, east, north = (float(value) for value in shape.bounds)
    # Written so that what is no number is refused too.
    if not (-180 <= west <= east <= 180 and -90 <= south <= north <= 90):
        raise UsageError("the geometry is not on the globe", hint=_HINT)
    if not shape.is_valid:
        reason = shapely.is_valid_reason(shape)
        raise UsageError(f"the geometry is not valid: {reason}"[:200], hint=_HINT)
    return Shape(shapely.to_wkb(shape), (west, south, east, north))


def pieces_of(box: Box) -> list[Box]:
    """Return the box, or its two sides if it crosses the antimeridian."""
    west, south, east, north = box
    if west <= east:
        return [box]
    return [(west, south, 180.0, north), (-180.0, south, east, north)]


def touches(box: Box) -> Clause:
    """Compare the exact boxes; a crossing item lies on both sides of the antimeridian."""
    pieces = pieces_of(box)
    side = "iif(west <= east, west <= ? AND east >= ?, west <= ? OR east >= ?)"
    values = [v for west, _, east, _ in pieces for v in (east, west, east, west)]
    sql = f"south <= ? AND north >= ? AND ({' OR '.join([side] * len(pieces))})"
    return Clause(sql, (box[3], box[1], *values))


def _rectangle(west: float, south: float, east: float, north: float) -> Any:  # noqa: ANN401
    """Return a rectangle; one without width or height as the line or the point that it is."""
    if west == east and south == north:
        return shapely.points(west, south)
    if west == east or south == north:
        return shapely.linestrings([(west, south), (east, north)])
    return shapely.box(west, south, east, north)


def _check_size(value: object) -> None:
    """Count the values and the levels before anything walks them by itself."""
    level, count, depth = [value], 0, 0
    while level:
        count, depth = count + len(level), depth + 1
        if count > VALUES_MAX or depth > DEPTH_MAX * 2:
            raise UsageError(f"a geometry may have {VALUES_MAX} values at most", hint=_HINT)
        level = [inner for outer in level for inner in _members(outer)]


def _members(value: object) -> list[object]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []
