"""Small data files of every kind whose header an inventory reads, made by the tools of the field.

All of them lie in the Yukon: two points, or a raster of 2 by 1 kilometres.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import geopandas
import numpy
import shapely
import tifffile
from pmtiles.tile import Compression, TileType, zxy_to_tileid
from pmtiles.writer import Writer

POINTS = [shapely.Point(-135.1, 60.7), shapely.Point(-139.4, 64.1)]
BOX = (-139.4, 60.7, -135.1, 64.1)
YUKON_ALBERS = "EPSG:3578"
UTM_8 = 26908


def frame(system: str = "OGC:CRS84") -> Any:
    made = geopandas.GeoDataFrame({"name": ["south", "north"]}, geometry=POINTS, crs="OGC:CRS84")
    return made.to_crs(system)


def write_flatgeobuf(path: Path, system: str = "OGC:CRS84") -> Path:
    frame(system).to_file(path, driver="FlatGeobuf")
    return path


def write_geoparquet(path: Path, system: str = "OGC:CRS84") -> Path:
    frame(system).to_parquet(path)
    return path


def write_pmtiles(path: Path) -> Path:
    west, south, east, north = (round(number * 1e7) for number in BOX)
    with path.open("wb") as file:
        writer = Writer(file)
        writer.write_tile(zxy_to_tileid(0, 0, 0), b"a tile")
        header = {
            "tile_type": TileType.PNG,
            "tile_compression": Compression.NONE,
            "min_lon_e7": west,
            "min_lat_e7": south,
            "max_lon_e7": east,
            "max_lat_e7": north,
        }
        writer.finalize(header, {})
    return path


def write_geotiff(path: Path, code: int = UTM_8, *, is_point: bool = False, **options: Any) -> Path:
    """Write 200 by 100 pixels of 10 m, whose upper left corner is on the middle of zone 8."""
    keys = (1, 1, 0, 3, 1024, 0, 1, 1, 1025, 0, 1, 2 if is_point else 1, 3072, 0, 1, code)
    shift = 5.0 if is_point else 0.0
    tags = [
        (33550, "d", 3, (10.0, 10.0, 0.0), True),
        (33922, "d", 6, (0, 0, 0, 500_000.0 + shift, 6_700_000.0 - shift, 0), True),
        (34735, "H", len(keys), keys, True),
    ]
    pixels = numpy.zeros((100, 200), "uint8")
    tifffile.imwrite(path, pixels, extratags=tags, tile=(16, 16), **options)
    return path
