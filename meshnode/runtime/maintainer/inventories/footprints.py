"""Where the data of a file lies, read from its header: GeoTIFF, PMTiles, FlatGeobuf, GeoParquet.

A footprint is a box in degrees, west, south, east, north (OGC:CRS84), rounded to 1e-7 degrees so
that it is the same whatever release of a library made it. The libraries are those of the extra
`inventory`.
"""

from __future__ import annotations

import json
import logging
import math
import struct
from collections.abc import Callable
from functools import lru_cache
from importlib import import_module
from types import ModuleType
from typing import Any, BinaryIO, Final

from meshnode.errors import UsageError

Box = tuple[float, float, float, float]

DECIMALS: Final = 7
_HEAD_BYTES: Final = 127  # of PMTiles 3; enough to tell the other kinds
_FLATGEOBUF_HEADER_BYTES_MAX: Final = 16 << 20  # column names and descriptions
_EDGE_POINTS: Final = 21  # of each edge of a box that is projected: its middle may bulge
_USER_DEFINED: Final = 32767  # GeoTIFF: a system that has no EPSG code
_PIXEL_IS_POINT: Final = 2  # GeoTIFF: the tie point is the middle of a pixel
_LONGITUDE_LATITUDE: Final = ("OGC:CRS84", "EPSG:4326")

# Of a broken file it tells each fault; the one that matters is in our error.
logging.getLogger("tifffile").addHandler(logging.NullHandler())


class FootprintError(Exception):
    """The file does not say where its data lies, or not in a way that is known here."""


class MissingLibraryError(UsageError):
    """A library of the extra `inventory` is not installed."""


def footprint(file: BinaryIO) -> Box:
    """Read where the data of a file lies.

    Raises:
        FootprintError: it does not say it, or cannot be read.
        MissingLibraryError: no file of its kind can be read.
    """
    head = file.read(_HEAD_BYTES)
    for signature, read in _READERS.items():
        if head.startswith(signature):
            file.seek(0)
            return _checked(_read(read, file))
    raise FootprintError("it is no GeoTIFF, PMTiles, FlatGeobuf or GeoParquet")


def projected(box: Box, system: Any) -> Box:  # noqa: ANN401 - what pyproj takes as a CRS
    """Return a box of any coordinate reference system in degrees.

    Raises:
        FootprintError: the system is not known.
    """
    transformer = to_degrees(system)
    if transformer is None:
        return box
    west, south, east, north = transformer.transform_bounds(*box, densify_pts=_EDGE_POINTS)
    return west, south, east, north


def to_degrees(system: Any) -> Any:  # noqa: ANN401 - pyproj's Transformer
    """Return what transforms a coordinate reference system to degrees; None if it is in degrees.

    Args:
        system: PROJJSON, or text that PROJ knows, such as EPSG:3578.

    Raises:
        FootprintError: it is not known.
    """
    if system in _LONGITUDE_LATITUDE:
        return None
    return _transformer(json.dumps(system, sort_keys=True))


@lru_cache(maxsize=64)
def _transformer(text: str) -> Any:  # noqa: ANN401 - pyproj's Transformer
    """Return the transformer of a system as JSON text: one is made for all rows of a table."""
    pyproj, system = library("pyproj"), json.loads(text)
    make = pyproj.CRS.from_json_dict if isinstance(system, dict) else pyproj.CRS.from_user_input
    try:
        return pyproj.Transformer.from_crs(make(system), "OGC:CRS84", always_xy=True)
    except pyproj.exceptions.ProjError as error:
        reason = f"its coordinate reference system is not known: {error}"
        raise FootprintError(reason[:200]) from error


def library(name: str) -> ModuleType:
    """Return a library of the extra `inventory`.

    Raises:
        MissingLibraryError: it is not installed.
    """
    try:
        return import_module(name)
    except ImportError as error:
        raise MissingLibraryError(
            f"the headers of data files need the library {name.partition('.')[0]}",
            hint="install the extra's libraries: pip install flatbuffers pmtiles pyproj tifffile",
        ) from error


def _read(read: Callable[[BinaryIO], Box], file: BinaryIO) -> Box:
    """Read a header; whatever breaks a library's reader is the file's fault."""
    try:
        return read(file)
    except (FootprintError, MissingLibraryError):
        raise
    except UsageError as error:  # of a file on the web
        raise FootprintError(str(error)) from error
    except Exception as error:  # libraries document no errors for broken files
        raise FootprintError(f"its header is broken: {error}"[:200]) from error


def _checked(box: Box) -> Box:
    west, south, east, north = (round(float(number), DECIMALS) for number in box)
    inside = all(map(math.isfinite, (west, south, east, north)))
    if not inside or south > north or west < -180 or east > 180 or south < -90 or north > 90:
        raise FootprintError(f"its header says the place {[west, south, east, north]}")
    return west, south, east, north


# --- The kinds of files ---------------------------------------------------------------------------
def _pmtiles(file: BinaryIO) -> Box:
    header = library("pmtiles.tile").deserialize_header(file.read(_HEAD_BYTES))
    west, south, east, north = (
        header[f"{name}_e7"] / 1e7 for name in ("min_lon", "min_lat", "max_lon", "max_lat")
    )
    return west, south, east, north


def _geoparquet(file: BinaryIO) -> Box:
    from pyarrow import parquet

    metadata = parquet.read_metadata(file)
    geo = json.loads((metadata.metadata or {}).get(b"geo", b"null"))
    if geo is None:
        raise FootprintError("it is Parquet without a geometry")
    column = geo["columns"][geo["primary_column"]]
    box = column.get("bbox")
    if box is None:
        raise FootprintError("its metadata say no bbox")
    system = column.get("crs", "OGC:CRS84")
    if system is None:
        raise FootprintError("it says that its coordinate reference system is not known")
    half = len(box) // 2
    return projected((box[0], box[1], box[half], box[half + 1]), system)


def _flatgeobuf(file: BinaryIO) -> Box:
    """Read the header table (FlatGeobuf 3, header.fbs): the fields 1, envelope, and 10, crs."""
    flatbuffers = library("flatbuffers")
    head = file.read(12)
    (size_bytes,) = struct.unpack_from("<I", head, 8)
    if size_bytes > _FLATGEOBUF_HEADER_BYTES_MAX:
        raise FootprintError(f"its header has {size_bytes} bytes")
    table = _root(flatbuffers, bytearray(file.read(size_bytes)))
    flags = flatbuffers.number_types
    place = table.Offset(_field(1))
    if not place or table.VectorLen(place) < 4:
        raise FootprintError("its header says no envelope")
    first, half = table.Vector(place), table.VectorLen(place) // 2
    west, south, east, north = (
        table.Get(flags.Float64Flags, first + 8 * each) for each in (0, 1, half, half + 1)
    )
    return projected((west, south, east, north), _flatgeobuf_system(flatbuffers, table))


def _flatgeobuf_system(flatbuffers: Any, table: Any) -> str:  # noqa: ANN401 - without types
    """Return the system as authority and code, else as WKT (fields 0, 1, 4 of the table Crs)."""
    place = table.Offset(_field(10))
    if not place:
        raise FootprintError("its header says no coordinate reference system")
    crs = flatbuffers.table.Table(table.Bytes, table.Indirect(place + table.Pos))
    organisation = _text(crs, 0) or "EPSG"
    code = crs.GetSlot(_field(1), 0, flatbuffers.number_types.Int32Flags)
    return f"{organisation}:{code}" if code else _text(crs, 4)


def _root(flatbuffers: Any, raw: bytearray) -> Any:  # noqa: ANN401 - without types
    at = flatbuffers.encode.Get(flatbuffers.packer.uoffset, raw, 0)
    return flatbuffers.table.Table(raw, at)


def _field(number: int) -> int:
    """Return the place of a field in a table's vtable."""
    return 4 + 2 * number


def _text(table: Any, number: int) -> str:  # noqa: ANN401 - without types
    place = table.Offset(_field(number))
    return table.String(place + table.Pos).decode() if place else ""


def _geotiff(file: BinaryIO) -> Box:
    with library("tifffile").TiffFile(file) as tiff:
        page = tiff.pages.first
        if not page.is_geotiff:
            raise FootprintError("it is TIFF without a place")
        keys, width, height = page.geotiff_tags, page.imagewidth, page.imagelength
    system = keys.get("ProjectedCSTypeGeoKey") or keys.get("GeographicTypeGeoKey")
    code = int(system or 0)
    if code in (0, _USER_DEFINED):
        raise FootprintError("its coordinate reference system has no EPSG code")
    shift = 0.5 if int(keys.get("GTRasterTypeGeoKey") or 1) == _PIXEL_IS_POINT else 0.0
    corners = [
        _placed(keys, column - shift, row - shift) for column in (0, width) for row in (0, height)
    ]
    across, up = zip(*corners, strict=True)
    return projected((min(across), min(up), max(across), max(up)), f"EPSG:{code}")


def _placed(keys: dict[str, Any], column: float, row: float) -> tuple[float, float]:
    """Return where a corner of the raster lies (OGC GeoTIFF 1.1, section 7.1)."""
    if (matrix := keys.get("ModelTransformation")) is not None:
        (a, b, _, d), (e, f, _, h) = matrix[0], matrix[1]
        return a * column + b * row + d, e * column + f * row + h
    tie, scale = keys.get("ModelTiepoint"), keys.get("ModelPixelScale")
    if tie is None or scale is None or len(tie) != 6:
        raise FootprintError("its header says no place of its corners")
    return tie[3] + (column - tie[0]) * scale[0], tie[4] - (row - tie[1]) * scale[1]


_READERS: Final[dict[bytes, Callable[[BinaryIO], Box]]] = {
    b"PMTiles": _pmtiles,
    b"PAR1": _geoparquet,
    b"fgb\x03fgb": _flatgeobuf,
    b"II*\x00": _geotiff,
    b"MM\x00*": _geotiff,
    b"II+\x00": _geotiff,  # BigTIFF
    b"MM\x00+": _geotiff,
}
