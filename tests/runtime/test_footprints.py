"""Where the data of a file lies, as its header says it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pyproj
import pytest

from meshnode.runtime.maintainer.inventories.footprints import Box, FootprintError, footprint
from tests.runtime.data_files import (
    BOX,
    UTM_8,
    YUKON_ALBERS,
    frame,
    write_flatgeobuf,
    write_geoparquet,
    write_geotiff,
    write_pmtiles,
)


def read(path: Path) -> Box:
    with path.open("rb") as file:
        return footprint(file)


def expected(bounds: Box, system: str) -> tuple[float, ...]:
    """Return what PROJ makes of a box."""
    to_degrees = pyproj.Transformer.from_crs(system, "OGC:CRS84", always_xy=True)
    return tuple(round(n, 7) for n in to_degrees.transform_bounds(*bounds, densify_pts=21))


@pytest.mark.parametrize("write", [write_flatgeobuf, write_geoparquet, write_pmtiles])
def test_a_file_in_degrees_says_its_box(tmp_path: Path, write: Callable[[Path], Path]) -> None:
    assert read(write(tmp_path / "file.fgb")) == BOX


@pytest.mark.parametrize("write", [write_flatgeobuf, write_geoparquet])
def test_a_box_of_another_system_is_projected(
    tmp_path: Path, write: Callable[[Path, str], Path]
) -> None:
    found = read(write(tmp_path / "file.fgb", YUKON_ALBERS))
    west, south, east, north = frame(YUKON_ALBERS).total_bounds
    assert found == expected((west, south, east, north), YUKON_ALBERS)
    assert found[0] <= BOX[0] < BOX[2] <= found[2]


@pytest.mark.parametrize("options", [{}, {"bigtiff": True}, {"byteorder": ">"}])
@pytest.mark.parametrize("is_point", [False, True])
def test_the_corners_of_a_geotiff_are_those_of_its_outer_pixels(
    tmp_path: Path, options: dict[str, Any], is_point: bool
) -> None:
    path = write_geotiff(tmp_path / "map.tif", is_point=is_point, **options)
    corners = (500_000.0, 6_699_000.0, 502_000.0, 6_700_000.0)
    assert read(path) == expected(corners, f"EPSG:{UTM_8}")


def rewrite(path: Path, **changes: object) -> Path:
    """Write GeoParquet with other metadata of its geometry column; None takes a member out."""
    table = pq.read_table(path)
    geo = json.loads(table.schema.metadata[b"geo"])
    column = geo["columns"]["geometry"] | changes
    geo["columns"]["geometry"] = {name: each for name, each in column.items() if each is not None}
    pq.write_table(table.replace_schema_metadata({"geo": json.dumps(geo)}), path)
    return path


def test_a_file_that_does_not_say_its_place_is_told(tmp_path: Path) -> None:
    far, placeless = (write_geoparquet(tmp_path / f"{name}.parquet") for name in "ab")
    pq.write_table(pa.table({"a": [1]}), tmp_path / "plain.parquet")
    (tmp_path / "a.zip").write_bytes(b"PK\x03\x04")
    (tmp_path / "empty").touch()
    for path, reason in (
        (write_geotiff(tmp_path / "own.tif", 32767), "its coordinate reference system has no EPSG"),
        (write_geotiff(tmp_path / "far.tif", 999), "its coordinate reference system is not known"),
        (tmp_path / "plain.parquet", "it is Parquet without a geometry"),
        (rewrite(far, bbox=[-300, 0, 0, 0]), "its header says the place"),
        (rewrite(placeless, bbox=None), "its metadata say no bbox"),
        (tmp_path / "a.zip", "it is no GeoTIFF, PMTiles, FlatGeobuf or GeoParquet"),
        (tmp_path / "empty", "it is no GeoTIFF, PMTiles, FlatGeobuf or GeoParquet"),
    ):
        with pytest.raises(FootprintError, match=reason):
            read(path)
