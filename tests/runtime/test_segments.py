"""Writing segments: exact items back, stable bytes, and files that other tools read."""

import json
from itertools import pairwise
from typing import Any

import duckdb
import geopandas
import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshnode.core.identifiers import sha256
from meshnode.errors import StorageError, UsageError
from meshnode.runtime.segments.format import ITEM_BYTES_MAX
from meshnode.runtime.segments.hilbert import _indices, hilbert_indices
from meshnode.runtime.segments.projection import Box, Extent, Projection
from meshnode.runtime.segments.segment import read_segment_items, write_segment
from meshnode.runtime.segments.validation import check_item, is_refused
from tests.runtime.stac_samples import COLLECTION, COLLECTION_JSON, item, pair, segment, square


def towns() -> list[dict[str, Any]]:
    return [item(f"t{n}", west=-150 + 7.25 * n, south=-60 + 3.5 * n) for n in range(30)]


def bounds(*boxes: Box) -> tuple[int, int, int, int]:
    extent = Extent()
    for box in boxes:
        extent.add(Projection("x", 1_500_000, None, None, box))
    return extent.bbox_e7


def test_the_exact_bytes_of_every_item_come_back(tmp_path):
    odd = b'{ "type":"Feature", "id":"o\xc3\xa9", "n": 1.00, "bbox":[1,2,3,4], "geometry": %s,'
    odd += b'"properties":{"datetime":"2020-01-01T00:00:00Z"},\n\t"assets":{},"links":[]}'
    odd %= json.dumps(square(1, 2)).encode()
    pairs = [*map(pair, towns()), (odd, json.loads(odd))]
    write_segment(tmp_path / "s", COLLECTION, COLLECTION_JSON, pairs)
    assert sorted(read_segment_items(tmp_path / "s")) == sorted(raw for raw, _ in pairs)


def test_the_same_items_in_any_order_make_the_same_file(tmp_path):
    first = segment(tmp_path / "a", towns())
    second = segment(tmp_path / "b", towns()[::-1])
    assert first == second
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


@pytest.mark.parametrize("count", [5, 8, 64, 65])
def test_a_small_segment_is_smaller_than_twice_its_items(tmp_path, count):
    values = [item(f"t{n}", west=n) for n in range(count)]
    made = segment(tmp_path / "s", values)
    assert made.size_bytes < 2 * sum(len(raw) for raw, _ in map(pair, values))


def test_a_large_segment_says_in_its_footer_where_its_rows_lie(tmp_path):
    segment(tmp_path / "s", [item(f"t{n}", west=n) for n in range(65)])
    group = pq.read_metadata(tmp_path / "s").row_group(0)
    columns = [group.column(number) for number in range(group.num_columns)]
    bounds = {
        column.path_in_schema: (column.statistics.min, column.statistics.max)
        for column in columns
        if column.is_stats_set
    }
    assert bounds["bbox.xmin"] == (0, 64)
    assert bounds["id"] == ("t0", "t9")


def test_the_summary_is_that_of_the_file(tmp_path):
    made = segment(tmp_path / "s", [item("a", -75.5, 45.0), item("b", 10.1, -3.3)])
    data = (tmp_path / "s").read_bytes()
    assert (made.digest, made.size_bytes, made.rows) == (sha256(data), len(data), 2)
    assert made.bbox_e7 == (-755_000_000, -33_000_000, 106_000_000, 455_000_000)
    assert made.span_s == (1_622_548_800, 1_622_548_800)
    assert [path.name for path in tmp_path.iterdir()] == ["s"]


def test_geopandas_reads_places_times_and_boxes(tmp_path):
    segment(tmp_path / "s.parquet", towns())
    frame = geopandas.read_parquet(tmp_path / "s.parquet")
    assert frame.crs == "OGC:CRS84"
    assert sorted(frame["id"]) == sorted(f"t{n}" for n in range(30))
    assert str(frame["datetime"].iloc[0]) == "2021-06-01 12:00:00.250000+00:00"
    near = geopandas.read_parquet(tmp_path / "s.parquet", bbox=(-150.1, -60.1, -149, -59))
    assert list(near["id"]) == ["t0"]


def test_duckdb_reads_geometry_assets_and_the_item(tmp_path):
    segment(tmp_path / "s.parquet", towns())
    row = (
        duckdb.connect()
        .execute(
            "select geometry::varchar, assets.image.href, item->>'$.properties.title', bbox.xmin,"
            " clock"
            f" from '{tmp_path}/s.parquet' where id = 't2'"
        )
        .fetchall()[0]
    )
    assert row[0].startswith("POLYGON ((-135.5 -53")
    assert row[1:] == ("https://example.org/a.tif", "Town t2", -135.5, None)


def test_the_metadata_are_geoparquet_and_stac_geoparquet_1_1(tmp_path):
    write_segment(tmp_path / "s", COLLECTION, COLLECTION_JSON, map(pair, towns()))
    metadata = pq.read_metadata(tmp_path / "s").metadata
    assert sorted(metadata) == [b"geo", b"stac-geoparquet"]
    geo = json.loads(metadata[b"geo"])
    assert geo["version"] == "1.1.0"
    assert geo["columns"]["geometry"]["geometry_types"] == ["Polygon"]
    assert geo["columns"]["geometry"]["covering"]["bbox"]["ymax"] == ["bbox", "ymax"]
    assert COLLECTION_JSON in metadata[b"stac-geoparquet"]
    stac = json.loads(metadata[b"stac-geoparquet"])
    assert stac == {"version": "1.1.0", "collections": {COLLECTION: json.loads(COLLECTION_JSON)}}


def test_heights_and_types_of_geometries_are_declared(tmp_path):
    high = item("high") | {"geometry": {"type": "Point", "coordinates": [-75.5, 45.0, 9.0]}}
    segment(tmp_path / "s", [high, item("flat")])
    geo = json.loads(pq.read_metadata(tmp_path / "s").metadata[b"geo"])
    assert geo["columns"]["geometry"]["geometry_types"] == ["Point Z", "Polygon"]


def test_assets_keep_the_most_frequent_keys_once_whatever_their_case(tmp_path):
    values = [item(f"t{n}") for n in range(66)]
    for n, value in enumerate(values):
        value["assets"] = {f"own{n}_{k}": {"href": "x"} for k in range(40)} | {
            "shared": {"href": "y"},
            "SHARED": {"href": "z"},
        }
    segment(tmp_path / "s.parquet", values)
    keys = [child.name for child in pq.read_schema(tmp_path / "s.parquet").field("assets").type]
    assert len(keys) == 64
    assert "SHARED" in keys
    assert "shared" not in keys
    assert duckdb.connect().execute(
        f"select count(assets) from '{tmp_path}/s.parquet'"
    ).fetchall() == [(66,)]


def test_few_rows_name_few_asset_keys_and_are_not_much_longer_than_their_items(tmp_path):
    assets = {f"B{n:02}": {"href": f"https://example.org/{n}.tif"} for n in range(24)}
    values = [item(f"t{n}") | {"assets": assets} for n in range(2)]
    made = segment(tmp_path / "s", values)
    keys = [child.name for child in pq.read_schema(tmp_path / "s").field("assets").type]
    assert keys == ["B00", "B01"]
    assert made.size_bytes < 2 * sum(len(raw) for raw, _ in map(pair, values))


def test_items_without_assets_still_have_an_assets_column(tmp_path):
    segment(tmp_path / "s", [item() | {"assets": {}}])
    assert pq.read_table(tmp_path / "s")["assets"].to_pylist() == [{"data": None}]


def test_clocks_follow_their_items_through_the_sorting(tmp_path):
    values = towns()
    write_segment(
        tmp_path / "s", COLLECTION, COLLECTION_JSON, map(pair, values), clocks=range(1, 31)
    )
    rows = pq.read_table(tmp_path / "s", columns=["id", "clock"]).to_pylist()
    assert sorted((row["clock"], row["id"]) for row in rows) == [
        (n + 1, f"t{n}") for n in range(30)
    ]


def test_large_items_get_row_groups_of_their_own(tmp_path):
    values = [item(f"t{n}") | {"text": "x" * 3_900_000} for n in range(10)]
    segment(tmp_path / "s", values)
    assert pq.read_metadata(tmp_path / "s").num_row_groups == 2


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([], "at least one item"),
        ([item("a"), item("a")], "'a' is given twice"),
        ([item("a") | {"geometry": None}], "no geometry"),
        ([item("a") | {"collection": "other"}], "its collection is 'other'"),
        ([item("a") | {"text": "x" * ITEM_BYTES_MAX}], "larger than"),
        (
            [item("a") | {"geometry": {"type": "Polygon", "coordinates": [[[1]]]}}],
            "broken geometry",
        ),
    ],
)
def test_what_makes_no_segment_is_refused_and_leaves_nothing(tmp_path, values, message):
    with pytest.raises(UsageError, match=message):
        segment(tmp_path / "s", values)
    assert list(tmp_path.iterdir()) == []


BROKEN_COLLECTIONS = [
    b'{"id": "other"}',
    b"[]",
    b"{",
    b'{"id": "towns", "id": "x"}',
    b'{"id": "towns", "title": "' + b"x" * (1 << 20) + b'"}',
]


@pytest.mark.parametrize("text", BROKEN_COLLECTIONS, ids=range(5))
def test_a_collection_that_is_not_the_segments_is_refused(tmp_path, text):
    with pytest.raises(UsageError, match="collection"):
        write_segment(tmp_path / "s", COLLECTION, text, [pair(item())])
    assert list(tmp_path.iterdir()) == []


def test_a_directory_that_is_not_there_is_the_machines_fault(tmp_path):
    with pytest.raises(StorageError, match="cannot write the segment"):
        segment(tmp_path / "absent" / "s", [item()])


def test_reading_items_of_another_file_is_a_storage_error(tmp_path):
    (tmp_path / "s").write_bytes(b"PAR1")
    with pytest.raises(StorageError, match="cannot read the segment"):
        list(read_segment_items(tmp_path / "s"))


def test_bounds_are_rounded_outward():
    assert bounds((-0.00000001, -0.00000001, 0.00000001, 0.00000001)) == (-1, -1, 1, 1)


def test_bounds_of_boxes_across_the_antimeridian_cross_it_too():
    both = bounds((179.0, 0.0, -179.0, 1.0), (170.0, 2.0, -178.0, 3.0))
    assert both == (1_700_000_000, 0, -1_780_000_000, 30_000_000)
    assert bounds((179.0, 0.0, -179.0, 1.0), (0.0, 0.0, 1.0, 1.0))[::2] == (
        -1_800_000_000,
        1_800_000_000,
    )


def test_longitudes_beyond_180_are_wrapped_in_the_bounds():
    assert bounds((-184.0, 0.0, -90.0, 1.0)) == (1_760_000_000, 0, -900_000_000, 10_000_000)
    assert bounds((-180.0, 0.0, 185.0, 1.0))[::2] == (-1_800_000_000, 1_800_000_000)


LONGITUDES = st.floats(-360, 360, allow_nan=False)
BOXES = st.tuples(LONGITUDES, st.floats(-90, 0), LONGITUDES, st.floats(0, 90))


@given(st.lists(BOXES, min_size=1, max_size=6))
def test_bounds_always_cover_every_box(boxes):
    west, south, east, north = bounds(*boxes)
    assert -1_800_000_000 <= west <= 1_800_000_000
    assert -1_800_000_000 <= east <= 1_800_000_000
    for box in boxes:
        one_west, one_south, one_east, one_north = bounds(box)
        assert south <= one_south
        assert north >= one_north
        crossing, one_crossing = west > east, one_west > one_east
        world = (west, east) == (-1_800_000_000, 1_800_000_000)
        assert world or crossing == one_crossing
        assert world or (west <= one_west and one_east <= east)


def test_the_hilbert_curve_visits_every_cell_once_and_steps_to_neighbours():
    x, y = map(np.ravel, np.meshgrid(np.arange(32), np.arange(32)))
    cells = sorted(zip(_indices(x, y).tolist(), x.tolist(), y.tolist(), strict=True))
    assert [index for index, _, _ in cells] == list(range(1024))
    steps = pairwise(cells)
    assert all(abs(a[1] - b[1]) + abs(a[2] - b[2]) == 1 for a, b in steps)


def test_a_box_across_the_antimeridian_is_ordered_by_its_centre():
    across, beside = hilbert_indices(
        np.array([(179.0, 0.0, -177.0, 2.0), (-179.5, 0.5, -178.5, 1.5)])
    )
    assert across == beside


@pytest.mark.slow
def test_every_valid_real_item_comes_back_byte_for_byte(tmp_path, shared):
    groups: dict[str, dict[str, dict[str, Any]]] = {}
    for line in (shared / "data/stac/items.ndjson").read_bytes().splitlines():
        value = json.loads(line)["item"]
        collection = value.get("collection") or "none"
        if not is_refused(check_item(value, collection)):
            groups.setdefault(collection, {})[value["id"]] = value
    for name, values in groups.items():
        segment(tmp_path / name, list(values.values()), collection=name)
        wanted = sorted(pair(value)[0] for value in values.values())
        assert sorted(read_segment_items(tmp_path / name)) == wanted
    assert sum(map(len, groups.values())) == 1_540  # of 1,669; the others repeat an id
