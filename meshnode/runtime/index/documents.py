"""SQL functions that read the items themselves: what has no column, and exact geometries.

They cost a hundred times what a column costs: a statement asks them last. Each belongs to one
reading connection, and one thread calls them at a time.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, Final

import apsw
import shapely
import shapely.affinity
from pydantic_core import from_json

from meshnode.runtime.index.bodies import Expander
from meshnode.runtime.index.cql2 import arrays
from meshnode.runtime.index.cql2.operands import without_accents, without_case
from meshnode.runtime.index.queryables import (
    moment_value,
    number_value,
    parse_item,
    properties_of,
    text_value,
    truth_value,
)
from meshnode.runtime.index.rows import select

SEGMENTS_HELD: Final = 64  # whose samples are kept, up to 64 KiB each
ROUND_THE_WORLD: Final = 360.0

_SAMPLE: Final = "SELECT sample FROM segment WHERE key = ?"

Plain = int | float | str | bytes | None


class Documents:
    """The items behind one connection. Invariant: what is kept is of the read that runs."""

    def __init__(self, database: apsw.Connection) -> None:
        self._database = database
        self._samples: dict[int, bytes] = {}
        self._expander = Expander()
        self._last: tuple[int, dict[str, Any]] = (-1, {})
        for name, read in (
            ("number_of", number_value),
            ("text_of", text_value),
            ("truth_of", truth_value),
            ("time_of", moment_value),
            ("has", lambda value: int(value is not None)),
        ):
            self._define(name, self._reader(read))
        self._define("array_relates", self._array_relates)
        self._define("relates", self._relates)
        self._define("casei", lambda text: None if text is None else without_case(text))
        self._define("accenti", lambda text: None if text is None else without_accents(text))

    def forget(self) -> None:
        """Begin a read: what the last one saw may have changed."""
        self._samples.clear()
        self._last = (-1, {})

    def item(self, key: int, segment: int, body: bytes) -> Mapping[str, Any]:
        """Return an item parsed; an empty object if it cannot be read."""
        if self._last[0] != key:
            item = self._expander.item(self._sample(segment), body)
            self._last = key, parse_item(item)
        return self._last[1]

    def _sample(self, segment: int) -> bytes:
        if segment not in self._samples:
            if len(self._samples) >= SEGMENTS_HELD:
                self._samples.clear()
            [(sample,)] = select(self._database, _SAMPLE, segment)
            self._samples[segment] = sample
        return self._samples[segment]

    def _define(self, name: str, function: Callable[..., Plain]) -> None:
        self._database.create_scalar_function(name, function, deterministic=True)

    def _reader(self, read: Callable[[Any], Plain]) -> Callable[..., Plain]:
        return lambda key, segment, body, name: read(
            properties_of(self.item(key, segment, body)).get(name)
        )

    def _array_relates(
        self, key: int, segment: int, body: bytes, relation: str, name: str, wanted: str
    ) -> int | None:
        have = properties_of(self.item(key, segment, body)).get(name)
        if not isinstance(have, list):
            return None
        return int(arrays.holds(relation, have, from_json(wanted)))

    def _relates(
        self, key: int, segment: int, body: bytes, relation: str, wkb: bytes
    ) -> int | None:
        return relates(relation, self.item(key, segment, body).get("geometry"), wkb)


def relates(relation: str, geometry: object, wkb: bytes) -> int | None:
    """Compare an item's GeoJSON geometry with one of the query; None if GEOS cannot."""
    try:
        shape = shapely.from_geojson(json.dumps(geometry))
        wanted = _prepared(wkb)
        if relation == "intersects":
            return int(any(wanted.intersects(each) for each in _turns(shape)))
        return int(getattr(shape, relation)(wanted))
    except (shapely.errors.ShapelyError, ValueError):
        return None


@lru_cache(maxsize=8)
def _prepared(wkb: bytes) -> Any:  # noqa: ANN401 - shapely has no types
    shape = shapely.from_wkb(wkb)
    shapely.prepare(shape)
    return shape


def _turns(shape: Any) -> list[Any]:  # noqa: ANN401 - shapely has no types
    """Return a geometry, and once more a turn round the world where it goes beyond 180 degrees."""
    west, _, east, _ = shape.bounds
    turns = [shape]
    if east > ROUND_THE_WORLD / 2:
        turns.append(shapely.affinity.translate(shape, -ROUND_THE_WORLD))
    if west < -ROUND_THE_WORLD / 2:
        turns.append(shapely.affinity.translate(shape, ROUND_THE_WORLD))
    return turns
