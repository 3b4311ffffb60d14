"""Rows of STAC-GeoParquet become items by the stated serialisation, and no other way."""

import json
from datetime import UTC, date, datetime
from decimal import Decimal
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import shapely

from meshnode.runtime.segments.items import ItemText, RefusedItem, read_items
from meshnode.runtime.segments.validation import check_item, is_refused

WKB = shapely.to_wkb(shapely.Point(1.5, 2.0, 30.0))
MOMENT = datetime(2020, 2, 3, 4, 5, 6, 780_000, tzinfo=UTC)
ROW = {
    "id": "ä",
    "collection": "c",
    "geometry": WKB,
    "bbox": {"xmin": 1.5, "ymin": 2.0, "xmax": 1.5, "ymax": 2.0},
    "datetime": MOMENT,
    "links": [{"href": "x", "rel": "self", "title": None}],
    "assets": {"a": {"href": "y", "roles": ["data", None]}, "b": None},
    "gsd": 10.0,
    "n": 3,
    "day": date(2020, 1, 2),
    "absent": None,
    "proj:geometry": WKB,
    "nested": {"at": MOMENT, "none": None},
}


def read_row(folder: Path, row: dict[str, Any], **types: pa.DataType) -> Any:
    fields = [(name, types.get(name, pa.infer_type([row[name]]))) for name in row]
    path = folder / "in.parquet"
    pq.write_table(pa.table({k: [v] for k, v in row.items()}, schema=pa.schema(fields)), path)
    (found,) = read_items(path)
    return found


def test_a_row_becomes_exactly_these_bytes(tmp_path):
    found = read_row(tmp_path, ROW)
    assert isinstance(found, ItemText)
    assert found.where == "in.parquet row 1"
    assert found.raw.decode() == (
        '{"assets":{"a":{"href":"y","roles":["data",null]}},"bbox":[1.5,2.0,1.5,2.0],'
        '"collection":"c","geometry":{"coordinates":[1.5,2.0,30.0],"type":"Point"},"id":"ä",'
        '"links":[{"href":"x","rel":"self"}],"properties":{"datetime":"2020-02-03T04:05:06.78Z",'
        '"day":"2020-01-02","gsd":10.0,"n":3,"nested":{"at":"2020-02-03T04:05:06.78Z"},'
        '"proj:geometry":{"coordinates":[1.5,2.0,30.0],"type":"Point"}},"stac_extensions":[],'
        '"stac_version":"1.1.0","type":"Feature"}'
    )


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_a_whole_second_has_no_fraction_in_any_unit(tmp_path, unit):
    row = {**ROW, "datetime": datetime(999, 1, 2, tzinfo=UTC) if unit != "ns" else MOMENT}
    row["datetime"] = row["datetime"].replace(microsecond=0)
    found = read_row(tmp_path, row, datetime=pa.timestamp(unit, "UTC"))
    assert found.value["properties"]["datetime"] == row["datetime"].isoformat()[:19] + "Z"


def test_another_zone_is_written_in_utc_and_none_is_taken_as_utc(tmp_path):
    zoned = read_row(tmp_path, ROW, datetime=pa.timestamp("us", "America/Toronto"))
    naive = {**ROW, "datetime": MOMENT.replace(tzinfo=None)}
    bare = read_row(tmp_path, naive, datetime=pa.timestamp("us"))
    assert zoned.raw == bare.raw == read_row(tmp_path, ROW).raw


def test_a_null_datetime_stays_and_null_lists_are_empty(tmp_path):
    row = {**ROW, "datetime": None, "start_datetime": MOMENT, "links": None}
    found = read_row(
        tmp_path,
        row,
        datetime=pa.timestamp("us", "UTC"),
        links=pa.list_(pa.struct([("href", pa.string())])),
    )
    assert found.value["properties"]["datetime"] is None
    assert found.value["links"] == []


def test_six_bounds_stay_six(tmp_path):
    box = dict.fromkeys(("xmin", "ymin", "xmax", "ymax", "zmin", "zmax"), 1.0) | {"zmax": 9.0}
    found = read_row(tmp_path, {**ROW, "bbox": box})
    assert found.value["bbox"] == [1.0, 1.0, 1.0, 1.0, 1.0, 9.0]


@pytest.mark.parametrize(
    ("name", "value"),
    [("x", float("nan")), ("x", Decimal("1.5")), ("x", b"\x00"), ("geometry", b"\x00\x01")],
)
def test_a_row_that_json_cannot_hold_is_refused_by_its_id(tmp_path, name, value):
    found = read_row(tmp_path, {**ROW, name: value})
    assert isinstance(found, RefusedItem)
    assert found.id == "ä"
    assert "cannot be written as JSON" in found.reason


@pytest.mark.slow
def test_real_naip_rows_are_items_fit_to_publish(shared):
    found = list(islice(read_items(shared / "data/parquet/naip.parquet"), 2_000))
    items = [one for one in found if isinstance(one, ItemText)]
    assert len(items) == len(found) == 2_000
    problems = [check_item(one.value, "naip") for one in items]
    assert [one for one in problems if is_refused(one)] == []
    assert json.loads(items[0].raw) == items[0].value


@pytest.mark.slow
@pytest.mark.parametrize("name", ["100-landsat-items", "1000-sentinel-2-items"])
def test_other_real_stac_geoparquet_is_fit_to_publish(shared, name):
    found = list(read_items(shared / f"data/parquet/{name}.parquet"))
    assert len(found) == int(name.split("-")[0])
    items = [one for one in found if isinstance(one, ItemText)]
    assert len(items) == len(found)
    problems = [check_item(one.value, one.value["collection"]) for one in items]
    assert [one for one in problems if is_refused(one)] == []
