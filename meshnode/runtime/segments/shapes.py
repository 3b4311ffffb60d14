"""Geometries of items, many at a time: a call for each would cost more than its work."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import shapely
from pydantic_core import to_json

from meshnode.errors import PeerError

Shape = Any  # a shapely geometry: the library has no types


class Measure(NamedTuple):
    """Of a shape: its bounds (west, south, east, north), and why it is not valid, if it is not."""

    bounds: tuple[float, float, float, float]
    is_empty: bool
    fault: str


class BrokenShapeError(PeerError):
    """GeoJSON that makes no geometry; the message is the library's."""


def shapes_of(geometries: Sequence[dict[str, Any]]) -> list[Shape | BrokenShapeError]:
    """Make a shape of each GeoJSON geometry, or say why it makes none."""
    texts = [to_json(geometry) for geometry in geometries]
    shapes = shapely.from_geojson(texts, on_invalid="ignore").tolist()
    return [
        _broken(text) if shape is None else shape for text, shape in zip(texts, shapes, strict=True)
    ]


def measures(shapes: Sequence[Shape | BrokenShapeError]) -> list[Measure]:
    """Measure each shape; of one that is broken the measure says nothing."""
    whole = np.array(
        [None if isinstance(shape, BrokenShapeError) else shape for shape in shapes], dtype=object
    )
    bounds = map(tuple, shapely.bounds(whole).tolist())
    faults = np.full(len(whole), "", dtype=object)
    is_faulty = ~shapely.is_valid(whole)
    faults[is_faulty] = shapely.is_valid_reason(whole[is_faulty])
    return list(map(Measure, bounds, shapely.is_empty(whole).tolist(), faults.tolist()))


def iso_wkb(shapes: Sequence[Shape]) -> list[bytes]:
    """Return shapes as ISO WKB, little-endian."""
    wkbs: list[bytes] = shapely.to_wkb(
        np.array(shapes, dtype=object), flavor="iso", byte_order=1
    ).tolist()
    return wkbs


def _broken(text: bytes) -> BrokenShapeError:
    try:
        shapely.from_geojson(text)
    except shapely.errors.GEOSException as error:
        return BrokenShapeError(str(error))
    return BrokenShapeError("it is null")
