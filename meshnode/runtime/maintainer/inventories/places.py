"""The geometry of an item: of a column of its row, or the box that its file's header says.

What a header on the web says is kept with the file's ETag: while that stays, it is not asked again.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final, cast

import shapely

from meshnode.errors import UsageError
from meshnode.runtime.maintainer.inventories.footprints import (
    DECIMALS,
    Box,
    FootprintError,
    footprint,
    to_degrees,
)
from meshnode.runtime.maintainer.inventories.ranges import RangedFile
from meshnode.runtime.maintainer.sources.client import Client
from meshnode.runtime.maintainer.sources.responses import Kept, Responses

_KEPT: Final = "footprint of "  # before a URL, among the answers of web servers


@dataclass(frozen=True, slots=True)
class Place:
    """A geometry as GeoJSON, and its bbox in degrees."""

    geometry: dict[str, Any]
    bbox: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Headers:
    """Asks files where their data lies; `client` and `kept` for those on the web."""

    client: Client
    kept: Responses

    def place(self, url: str, path: Path | None, etag: str | None) -> Place:
        """Return the place of a file that is here at `path`, else at `url`.

        Raises:
            FootprintError: it does not say it, or cannot be had.
            MissingLibraryError: no file of its kind can be read.
        """
        if path is not None:
            try:
                with path.open("rb") as file:
                    return _box_place(footprint(file))
            except OSError as error:
                raise FootprintError(f"it cannot be read: {error.strerror}") from error
        kept = self.kept.get(_KEPT + url)
        if kept is not None and etag is not None and _same_etag(kept.etag, etag):
            return _box_place(json.loads(kept.body))
        try:
            remote = RangedFile(self.client, url)
        except UsageError as error:
            raise FootprintError(str(error)) from error
        if kept is not None and remote.etag and _same_etag(kept.etag, remote.etag):
            return _box_place(json.loads(kept.body))
        box = footprint(cast(BinaryIO, remote))
        self.kept.put(_KEPT + url, Kept(etag or remote.etag, None, json.dumps(box).encode()))
        return _box_place(box)


def column_place(value: object, system: Any) -> Place:  # noqa: ANN401 - what pyproj takes
    """Return the place that a column says: WKB, WKT, hexadecimal WKB, or GeoJSON.

    `system` is its coordinate reference system; None for longitude and latitude.

    Raises:
        FootprintError: it is none of them, or empty.
    """
    try:
        geometry = _parsed(value)
    except (ValueError, TypeError, shapely.errors.GEOSException) as error:
        raise FootprintError(f"its geometry cannot be read: {error}"[:200]) from error
    if geometry is None or geometry.is_empty:
        raise FootprintError("its geometry is empty")
    if system is not None and (transformer := to_degrees(system)) is not None:
        geometry = shapely.transform(geometry, transformer.transform, interleaved=False)
        geometry = shapely.transform(geometry, lambda points: points.round(DECIMALS))
    return Place(json.loads(shapely.to_geojson(geometry)), tuple(geometry.bounds))


def _parsed(value: object) -> Any:  # noqa: ANN401 - a shapely geometry
    match value:
        case None | "":
            return None
        case bytes():
            return shapely.from_wkb(value)
        case str() if value.lstrip().startswith("{"):
            return shapely.from_geojson(value)
        case str() if value[:2] in ("00", "01"):
            return shapely.from_wkb(bytes.fromhex(value))
        case str():
            return shapely.from_wkt(value)
        case _:
            raise TypeError(f"it is {value!r:.40}")


def _box_place(box: Box) -> Place:
    west, south, east, north = box
    ring = [[west, south], [east, south], [east, north], [west, north], [west, south]]
    return Place({"type": "Polygon", "coordinates": [ring]}, (west, south, east, north))


def _same_etag(one: str | None, other: str) -> bool:
    """Compare weakly (RFC 9110 section 8.8.3.2); tables often leave the quotes out."""
    return one is not None and _opaque(one) == _opaque(other)


def _opaque(etag: str) -> str:
    return etag.removeprefix("W/").strip('"')
