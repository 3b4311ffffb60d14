"""Spatial operations: the geometry of an item and one that the filter says.

Geometries are compared as they are written, in degrees on a plane; heights do not count.
"""

from __future__ import annotations

from typing import Any, Final

from meshnode.errors import UsageError
from meshnode.runtime.index.clause import Clause
from meshnode.runtime.index.queryables import ITEM_SQL
from meshnode.runtime.index.shapes import Box, Shape, box_shape, parse_geometry, touches

# Each with what it is when its arguments change places, and with the name of shapely's predicate.
_TURNED: Final = {"s_contains": "s_within", "s_within": "s_contains"}
RELATIONS: Final = {
    "s_intersects": "intersects",
    "s_disjoint": "disjoint",
    "s_contains": "contains",
    "s_within": "within",
    "s_equals": "equals",
    "s_touches": "touches",
    "s_crosses": "crosses",
    "s_overlaps": "overlaps",
}
NEAR: Final = frozenset(RELATIONS) - {"s_disjoint"}  # those whose geometries have a common point
_HINT: Final = "S_INTERSECTS(geometry, POLYGON((…))) or S_INTERSECTS(geometry, BBOX(…))"


def relation(name: str, one: Any, other: Any) -> Clause:  # noqa: ANN401 - JSON
    """Return the condition.

    Raises:
        UsageError: the arguments are not the item's geometry and a valid one, in either order.
    """
    if not _is_geometry(one):
        name, one, other = _TURNED.get(name, name), other, one
    if not _is_geometry(one):
        raise UsageError(f"{name} compares the property geometry with a geometry", hint=_HINT)
    shape = _shape(other)
    exact = Clause(f"relates({ITEM_SQL}, ?, ?)", (RELATIONS[name], shape.wkb))
    if name not in NEAR:
        return exact
    return intersecting(shape, exact)


def intersects(shape: Shape) -> Clause:
    """Return the condition that an item shares a point with a geometry."""
    return intersecting(shape, Clause(f"relates({ITEM_SQL}, ?, ?)", ("intersects", shape.wkb)))


def intersecting(shape: Shape, exact: Clause) -> Clause:
    """Compare the boxes before the geometries: SQLite ends an AND at what is false."""
    near = touches(shape.box)
    return Clause(f"({near.sql}) AND {exact.sql}", (*near.values, *exact.values))


def literal_box(one: Any, other: Any) -> Box | None:  # noqa: ANN401 - JSON
    """Return the box round the geometry that a filter compares with."""
    said = other if _is_geometry(one) else one
    return _shape(said).box


def _is_geometry(said: Any) -> bool:  # noqa: ANN401 - JSON
    return isinstance(said, dict) and said.get("property") in ("geometry", "properties.geometry")


def _shape(said: Any) -> Shape:  # noqa: ANN401 - JSON
    match said:
        case {"bbox": list(numbers)} if all(type(each) in (int, float) for each in numbers):
            return box_shape(tuple(map(float, numbers)))
        case {"type": str()}:
            return parse_geometry(said)
        case _:
            raise UsageError(f"{str(said)[:60]} is no geometry", hint=_HINT)
