"""What the columns of a segment say of an item, derived from the item's JSON alone.

The writer fills the columns from it and the segment check compares them with it, so every peer
must derive the same (protocol/03-segments.md, "Projection"). It holds only rules that may never
differ between peers; whether an item is good STAC is `validation`'s question.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from meshnode.errors import PeerError

ID_BYTES_MAX: Final = 255  # `name` of protocol/records.cddl
LONGITUDE_MAX: Final = 360.0  # real tiles reach beyond 180, none goes round twice
GEOMETRY_TYPES: Final = (  # in the order of their WKB codes, from 1
    "Point",
    "LineString",
    "Polygon",
    "MultiPoint",
    "MultiLineString",
    "MultiPolygon",
    "GeometryCollection",
)

Box = tuple[float, float, float, float]

# RFC 3339, UTC only as STAC says.
TIME_TEXT: Final = re.compile(
    r"\d{4}-\d\d-\d\d[Tt]([01]\d|2[0-3]):\d\d:\d\d(\.\d+)?(Z|\+00:00)", re.ASCII
)

_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_DOT_SEGMENT: Final = re.compile(r"(^|[/\\])\.{1,2}([/\\]|$)")
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_NUMBERS: Final = {int, float}  # bool is another type
_E7: Final = 10_000_000
_WORLD_E7: Final = 180 * _E7


class BrokenItemError(PeerError):
    """An item from which the columns cannot be derived; the message is the reason."""


@dataclass(frozen=True, slots=True)
class Projection:
    """The columns of one item; times in microseconds since 1970 UTC, cut not rounded.

    `box` is the item's own bbox without heights, degrees, as written: west > east across the
    antimeridian, longitudes up to 360 either way.
    """

    id: str
    datetime_us: int | None
    start_us: int | None
    end_us: int | None
    box: Box

    @property
    def first_us(self) -> int:
        return _given(min, self.datetime_us, self.start_us)

    @property
    def last_us(self) -> int:
        return _given(max, self.datetime_us, self.end_us)


def project(value: dict[str, Any], collection: str) -> Projection:
    """Derive the columns of an item that stands in a segment of `collection`.

    Raises:
        BrokenItemError: no Feature, an unusable id, another collection, no geometry, no usable
            bbox, no usable time.
    """
    if value.get("type") != "Feature":
        raise BrokenItemError('its "type" is not "Feature"')
    if value.get("collection") not in (None, collection):
        raise BrokenItemError(f"its collection is {value['collection']!r}, not {collection!r}")
    geometry = value.get("geometry")
    if not isinstance(geometry, dict) or geometry.get("type") not in GEOMETRY_TYPES:
        raise BrokenItemError("it has no geometry; a catalogue of places cannot show it")
    properties = value.get("properties")
    if not isinstance(properties, dict):
        raise BrokenItemError("it has no properties object")
    at = _time_us(properties, "datetime")
    start = _time_us(properties, "start_datetime")
    end = _time_us(properties, "end_datetime")
    if (start is None) != (end is None) or (at is None and start is None):
        raise BrokenItemError("it needs a datetime, or both start_datetime and end_datetime")
    if start is not None and end is not None and end < start:
        raise BrokenItemError("its end_datetime is before its start_datetime")
    return Projection(check_id(value.get("id")), at, start, end, _box(value.get("bbox")))


def check_id(value: object) -> str:
    """Return an item's or collection's id if it can be shown, stored and put into an address.

    Raises:
        BrokenItemError: not 1 to 255 bytes of text, control characters, "." or ".." as a step.
    """
    if not isinstance(value, str) or not value:
        raise BrokenItemError("its id is not a text of at least one character")
    if len(value.encode()) > ID_BYTES_MAX:
        raise BrokenItemError(f"its id is longer than {ID_BYTES_MAX} bytes")
    if _CONTROL.search(value):
        raise BrokenItemError("its id has control characters")
    if _DOT_SEGMENT.search(value):
        raise BrokenItemError("its id has a '.' or '..' step, like a path")
    return value


def wrapped(box: Box) -> Box:
    """Bring the longitudes of a box into -180..180; a box round the world becomes -180..180."""
    west, south, east, north = box
    if east - west >= 360.0:
        return (-180.0, south, 180.0, north)
    return (_wrapped_longitude(west), south, _wrapped_longitude(east), north)


class Extent:
    """The bounds of the items added so far, as a segment's entry states them."""

    def __init__(self) -> None:
        self._south = self._west = self._west_crossing = math.inf
        self._north = self._east = self._east_crossing = -math.inf
        self._first: int | None = None
        self._last: int | None = None

    def add(self, projection: Projection) -> None:
        west, south, east, north = wrapped(projection.box)
        if south < self._south:
            self._south = south
        if north > self._north:
            self._north = north
        if west > east:
            self._west_crossing = min(self._west_crossing, west)
            self._east_crossing = max(self._east_crossing, east)
        else:
            if west < self._west:
                self._west = west
            if east > self._east:
                self._east = east
        first, last = projection.first_us, projection.last_us
        if self._first is None or first < self._first:
            self._first = first
        if self._last is None or last > self._last:
            self._last = last

    @property
    def bbox_e7(self) -> tuple[int, int, int, int]:
        """(west, south, east, north) in 1e-7 degrees, each rounded outward.

        If every box crosses the antimeridian, so does the union (west > east), unless rounded it
        goes all round; if only some do, it is the whole circle of longitudes.
        """
        south, north = math.floor(self._south * _E7), math.ceil(self._north * _E7)
        if self._west_crossing == math.inf:
            return (math.floor(self._west * _E7), south, math.ceil(self._east * _E7), north)
        west = math.floor(self._west_crossing * _E7)
        east = math.ceil(self._east_crossing * _E7)
        if self._west < math.inf or west <= east:
            west, east = -_WORLD_E7, _WORLD_E7
        return (west, south, east, north)

    @property
    def span_s(self) -> tuple[int | None, int | None]:
        """The first and last moment of the items in unix seconds, both rounded down."""
        if self._first is None or self._last is None:
            return (None, None)
        return (self._first // 1_000_000, self._last // 1_000_000)


def _given(choose: Callable[[int, int], int], at: int | None, other: int | None) -> int:
    """Choose of two times, of which one may be absent."""
    if at is not None and other is not None:
        return choose(at, other)
    time = other if at is None else at
    assert time is not None
    return time


def _time_us(properties: dict[str, Any], name: str) -> int | None:
    text = properties.get(name)
    if text is None:
        return None
    if not isinstance(text, str) or not TIME_TEXT.fullmatch(text):
        raise BrokenItemError(f"its {name} {text!r:.60} is not an RFC 3339 time in UTC")
    try:
        moment = datetime.fromisoformat(text.upper())
    except ValueError as error:
        raise BrokenItemError(f"its {name} {text!r:.60} is no time: {error}") from error
    return (moment - _EPOCH) // _MICROSECOND


def _box(value: object) -> Box:
    if not isinstance(value, list) or len(value) not in (4, 6):
        raise BrokenItemError("its bbox is not a list of 4 or 6 numbers")
    if not set(map(type, value)) <= _NUMBERS:
        raise BrokenItemError("its bbox has other things than numbers")
    if max(map(abs, value)) > 1e9:
        raise BrokenItemError("its bbox is far outside the world")
    half = len(value) // 2
    west, south, east, north = (
        float(value[0]),
        float(value[1]),
        float(value[half]),
        float(value[half + 1]),
    )
    if south > north:
        raise BrokenItemError(f"its bbox has its south {south} above its north {north}")
    if south < -90 or north > 90:
        raise BrokenItemError(f"its bbox has latitudes outside -90..90: {south}, {north}")
    if max(abs(west), abs(east)) > LONGITUDE_MAX:
        raise BrokenItemError(f"its bbox has longitudes outside -360..360: {west}, {east}")
    return (west, south, east, north)


def _wrapped_longitude(degrees: float) -> float:
    if degrees > 180.0:
        return degrees - 360.0
    if degrees < -180.0:
        return degrees + 360.0
    return degrees
