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
from hypothesis import given
from hypothesis import strategies as st
from shapely.geometry import mapping

from meshnode.runtime.segments.geoparquet_items import row_items
from meshnode.runtime.segments.items import ItemText, RefusedItem, read_items
from meshnode.runtime.segments.json_text import written
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


TEXTS = st.text(max_size=6) | st.sampled_from(['"', "\\", "\x00\x1f\x7f", "é\u2028"])
NUMBERS = st.floats(allow_nan=False, allow_infinity=False) | st.floats(-180, 180)
MOMENTS = st.datetimes(timezones=st.just(UTC))
POINTS = st.tuples(NUMBERS, NUMBERS)
SHAPES = st.one_of(
    st.builds(shapely.Point, POINTS),
    st.builds(shapely.Point, NUMBERS, NUMBERS, NUMBERS),
    st.builds(shapely.LineString, st.lists(POINTS, min_size=2, max_size=3)),
    st.builds(shapely.MultiPoint, st.lists(POINTS, max_size=3)),
    st.builds(shapely.box, *[st.integers(-9, 9)] * 4),
    st.builds(
        shapely.MultiPolygon,
        st.lists(st.builds(shapely.box, *[st.integers(-9, 9)] * 4), max_size=2),
    ),
    st.builds(lambda one: shapely.GeometryCollection([one]), st.builds(shapely.Point, POINTS)),
)
ROWS = st.fixed_dictionaries(
    {
        "id": TEXTS,
        "geometry": SHAPES.map(shapely.to_wkb) | st.none(),
        "datetime": MOMENTS | st.none(),
        "links": st.lists(st.fixed_dictionaries({"href": TEXTS | st.none()}), max_size=2)
        | st.none(),
        "assets": st.fixed_dictionaries(
            {"a": st.fixed_dictionaries({"z": TEXTS | st.none(), "é": NUMBERS | st.none()})}
        )
        | st.none(),
        "lists": st.lists(st.lists(st.integers(-9, 2**40) | st.none(), max_size=2), max_size=2),
        "gsd": NUMBERS | st.none(),
        "flag": st.booleans() | st.none(),
        "day": st.dates() | st.none(),
    }
)
COLUMNS = pa.schema(
    [
        ("id", pa.string()),
        ("geometry", pa.binary()),
        ("datetime", pa.timestamp("us", "UTC")),
        ("links", pa.list_(pa.struct([("href", pa.string())]))),
        ("assets", pa.struct([("a", pa.struct([("z", pa.string()), ("é", pa.float64())]))])),
        ("lists", pa.list_(pa.list_(pa.int64()))),
        ("gsd", pa.float64()),
        ("flag", pa.bool_()),
        ("day", pa.date32()),
    ]
)


def plainly(value: object) -> object:
    """Say a value in JSON, as the rules of protocol/03-segments.md read."""
    match value:
        case dict():
            return {k: plainly(v) for k, v in value.items() if v is not None}
        case list():
            return [plainly(each) for each in value]
        case datetime():
            text = value.replace(tzinfo=None).isoformat(timespec="microseconds")
            return text.rstrip("0").rstrip(".") + "Z"
        case date():
            return value.isoformat()
        case _:
            return value


def item_of(row: dict[str, Any]) -> bytes:
    properties = {name: row[name] for name in ("lists", "gsd", "flag", "day")}
    value: dict[str, Any] = {"type": "Feature", "stac_version": "1.1.0", "stac_extensions": []}
    value |= {"id": row["id"], "links": plainly(row["links"] or [])}
    value |= {"assets": plainly(row["assets"] or {})}
    value["properties"] = {"datetime": plainly(row["datetime"]), **plainly(properties)}  # type: ignore[dict-item]
    if row["geometry"] is not None:
        value["geometry"] = mapping(shapely.from_wkb(row["geometry"]))
    return written(value)


@given(st.lists(ROWS, min_size=1, max_size=4))
def test_rows_of_any_content_become_the_bytes_that_the_rules_say(rows):
    batch = pa.RecordBatch.from_pylist(rows, schema=COLUMNS)
    assert list(row_items(batch)) == [item_of(row) for row in rows]
    assert list(row_items(batch.slice(1))) == [item_of(row) for row in rows[1:]]


def test_one_row_that_cannot_be_written_does_not_hold_up_the_others(tmp_path):
    rows = [ROW | {"id": str(n), "gsd": float("nan") if n == 3 else 1.0} for n in range(9)]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "in.parquet")
    found = list(read_items(tmp_path / "in.parquet"))
    assert [one.id for one in found] == [str(n) for n in range(9)]
    assert [n for n, one in enumerate(found) if isinstance(one, RefusedItem)] == [3]
    assert found[4].where == "in.parquet row 5"


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
