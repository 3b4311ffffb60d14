"""Inventories as sources: folders and tables of files, made items by a mapping."""

from __future__ import annotations

import csv
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import shapely

from meshnode.errors import UsageError
from meshnode.runtime.maintainer.inventories import ranges
from meshnode.runtime.maintainer.inventories.mapping import Mapping, read_mapping
from meshnode.runtime.maintainer.sources.client import Client
from meshnode.runtime.maintainer.sources.opening import opened
from meshnode.runtime.segments.items import ItemText, RefusedItem
from meshnode.runtime.segments.validation import check_item
from tests.runtime.data_files import (
    BOX,
    YUKON_ALBERS,
    frame,
    write_flatgeobuf,
    write_geoparquet,
    write_geotiff,
    write_pmtiles,
)
from tests.runtime.web import Answer, Folder, Web, serving

BASE = "https://data.example.org/d4c/"
ORTHO = "ca-yt_whitehorse-2019A00056001009_d4c-datapkg-orthoimagery_2019_200mm_v1.0.0"


def mapping(**members: Any) -> Mapping:
    return Mapping.model_validate({"collection": "d4c", "base": BASE, **members})


def read(source: object, how: Mapping, folder: Path) -> list[Any]:
    with opened(str(source), (), folder / "sources.db", how) as reading:
        return list(reading.items)


def items(source: object, how: Mapping, folder: Path) -> list[dict[str, Any]]:
    """Return the items, which `publish` would take without a word."""
    found = read(source, how, folder)
    assert [each for each in found if not isinstance(each, ItemText)] == []
    assert [problem for each in found for problem in check_item(each.value, "d4c")] == []
    return [each.value for each in found]


def refusals(source: object, how: Mapping, folder: Path) -> list[tuple[str, str]]:
    found = read(source, how, folder)
    return [(each.where, each.reason) for each in found if isinstance(each, RefusedItem)]


def write_csv(path: Path, *rows: dict[str, object]) -> Path:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


@pytest.fixture
def files(tmp_path: Path) -> Path:
    folder = tmp_path / "files"
    folder.mkdir()
    write_flatgeobuf(folder / "roads.fgb")
    write_geoparquet(folder / "towns.parquet")
    return folder


# --- Folders --------------------------------------------------------------------------------------
def test_a_folder_of_files_named_by_the_convention_needs_no_more(tmp_path: Path) -> None:
    folder = tmp_path / "files/2019"
    folder.mkdir(parents=True)
    write_geotiff(folder / f"{ORTHO}.tif")
    write_pmtiles(folder / f"{ORTHO}.pmtiles")
    (folder / ".hidden").touch()
    (item,) = items(tmp_path / "files", mapping(names="d4c"), tmp_path)
    assert item["id"] == ORTHO
    assert item["bbox"] == list(BOX)
    assert item["properties"] == {
        "datetime": None,
        "start_datetime": "2019-01-01T00:00:00Z",
        "end_datetime": "2019-12-31T23:59:59Z",
        "d4c:region": "ca-yt",
        "d4c:source": "whitehorse",
        "d4c:package": "d4c-datapkg-orthoimagery",
        "d4c:variant": "200mm",
        "dguid": "2019A00056001009",
        "version": "v1.0.0",
    }
    assert list(item["assets"]) == ["pmtiles", "tif"]
    size_bytes = (folder / f"{ORTHO}.tif").stat().st_size
    assert item["assets"]["tif"] | {"updated": ""} == {
        "href": f"{BASE}2019/{ORTHO}.tif",
        "type": "image/tiff; application=geotiff",
        "roles": ["data"],
        "file:size": size_bytes,
        "updated": "",
    }


def test_the_same_files_give_the_same_bytes(files: Path, tmp_path: Path) -> None:
    how = mapping(item={"datetime": "2021"})
    first, second = (read(files, how, tmp_path) for _ in range(2))
    assert [each.raw for each in first] == [each.raw for each in second]


def test_a_name_outside_the_convention_and_a_file_without_a_place_are_refused(
    files: Path, tmp_path: Path
) -> None:
    (files / "ca_nrcan_land_2020.txt").write_text("no data")
    assert refusals(files, mapping(names="d4c"), tmp_path) == [
        ("ca_nrcan_land_2020.txt", "it is no GeoTIFF, PMTiles, FlatGeobuf or GeoParquet"),
        ("roads.fgb", "'roads' at its start is no region, such as ca or ca-yt"),
        ("towns.parquet", "'towns' at its start is no region, such as ca or ca-yt"),
    ]


def test_a_file_beside_one_with_a_place_is_an_asset_of_the_same_item(
    files: Path, tmp_path: Path
) -> None:
    (files / "roads.csv").write_text("a,b\n")
    roads, towns = items(files, mapping(item={"datetime": "2021"}), tmp_path)
    assert (list(roads["assets"]), list(towns["assets"])) == (["csv", "fgb"], ["parquet"])
    assert roads["bbox"] == list(BOX)


def test_files_without_a_time_are_refused(files: Path, tmp_path: Path) -> None:
    said = "it has no time: name datetime under [item] in the mapping"
    assert refusals(files, mapping(), tmp_path) == [("roads.fgb", said), ("towns.parquet", said)]


# --- Tables ---------------------------------------------------------------------------------------
def test_a_table_on_the_web_asks_files_for_their_headers_once(files: Path, tmp_path: Path) -> None:
    rows: list[dict[str, object]] = [
        {"url": name, "etag": f"e-{name}", "size": (files / name).stat().st_size}
        for name in ("roads.fgb", "towns.parquet")
    ]
    write_csv(files / "files.csv", *rows)
    web, how = Folder(root=files), mapping(base=None, item={"datetime": "2021-06"})
    with serving(web) as url:
        first = items(f"{url}/files.csv", how, tmp_path)
        asked = [path for path, status in web.answered if status == 206]
        web.answered.clear()
        second = items(f"{url}/files.csv", how, tmp_path)
    assert asked == ["/roads.fgb", "/towns.parquet"]
    assert web.answered == [("/files.csv", 200)]
    assert first == second
    assert [each["bbox"] for each in first] == [list(BOX)] * 2
    assert first[0]["assets"]["fgb"]["href"] == f"{url}/roads.fgb"
    assert first[0]["assets"]["fgb"]["etag"] == "e-roads.fgb"


def test_a_file_whose_etag_changed_is_asked_again(files: Path, tmp_path: Path) -> None:
    web, how = Folder(root=files), mapping(base=None, item={"datetime": "2021"})
    with serving(web) as url:
        write_csv(files / "files.csv", {"url": "roads.fgb", "etag": "one"})
        (before,) = items(f"{url}/files.csv", how, tmp_path)
        write_flatgeobuf(files / "roads.fgb", YUKON_ALBERS)
        write_csv(files / "files.csv", {"url": "roads.fgb", "etag": "two"})
        (after,) = items(f"{url}/files.csv", how, tmp_path)
    assert before["bbox"] != after["bbox"]
    assert after["assets"]["fgb"]["etag"] == "two"


def test_only_the_header_of_a_large_file_is_sent(tmp_path: Path) -> None:
    folder = tmp_path / "files"
    folder.mkdir()
    path = write_geoparquet(folder / "big.parquet")
    raw = path.read_bytes()  # its footer is at the end: rows before it do not matter to a reader
    path.write_bytes(raw[:4] + bytes(1 << 20) + raw[4:])
    write_csv(folder / "files.csv", {"url": "big.parquet"})
    web = Folder(root=folder)
    with serving(web) as url:
        (item,) = items(f"{url}/files.csv", mapping(base=None, item={"datetime": "2021"}), tmp_path)
    assert item["bbox"] == list(BOX)
    assert [path for path, _ in web.answered].count("/big.parquet") == 2


def test_a_file_that_cannot_be_had_in_parts_is_refused_and_others_are_not(
    files: Path, tmp_path: Path
) -> None:
    write_csv(files / "files.csv", {"url": "gone.tif"}, {"url": "roads.fgb"})
    how = mapping(base=None, item={"datetime": "2021"})
    with serving(Folder(root=files)) as url:
        missing, roads = read(f"{url}/files.csv", how, tmp_path)
        assert missing.reason == f"{url}/gone.tif answers HTTP 404"
        assert roads.value["id"] == "roads"
    with serving(Folder(root=files, knows_ranges=False)) as url:
        said = refusals(f"{url}/files.csv", how, tmp_path)
    assert [reason.partition(" is given ")[2] for _, reason in said][1:] == [
        "as a whole only: its server knows no range requests"
    ]


def test_a_header_without_end_is_not_read_to_its_end(
    files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ranges, "SENT_BYTES_MAX", 100_000)
    raw = (files / "towns.parquet").read_bytes()
    (files / "towns.parquet").write_bytes(raw[:4] + bytes(1 << 20) + raw[4:])
    write_csv(files / "files.csv", {"url": "towns.parquet"})
    with serving(Folder(root=files)) as url:
        ((_, reason),) = refusals(f"{url}/files.csv", mapping(base=None), tmp_path)
    assert reason.endswith("towns.parquet is larger than 100000 bytes")


def test_a_file_that_changes_while_it_is_read_is_refused(files: Path, tmp_path: Path) -> None:
    raw = (files / "towns.parquet").read_bytes()
    large = raw[:4] + bytes(1 << 20) + raw[4:]
    (files / "towns.parquet").write_bytes(large)
    table = write_csv(files / "files.csv", {"url": "towns.parquet"}).read_bytes()
    place = {"ETag": '"old"', "Content-Range": f"bytes 0-65535/{len(large)}"}
    before = [Answer(200, table), Answer(206, large[:65536], place)]
    with serving(Folder(root=files, first=before)) as url:
        ((_, reason),) = refusals(f"{url}/files.csv", mapping(base=None), tmp_path)
    assert reason == f"{url}/towns.parquet changed while it was read"


def test_urls_of_a_table_lead_into_ones_own_network_only_if_base_does(
    files: Path, tmp_path: Path
) -> None:
    with serving(Folder(root=files)) as url:
        table = write_csv(tmp_path / "files.csv", {"url": f"{url}/roads.fgb"})
        how = {"item": {"datetime": "2021"}}
        ((_, reason),) = refusals(table, mapping(**how, base=None), tmp_path)
        assert "inside this machine's own network" in reason
        assert items(table, mapping(**how, base=f"{url}/"), tmp_path)[0]["id"] == "roads"


# --- Geometry of columns --------------------------------------------------------------------------
@pytest.mark.parametrize("write", [shapely.to_wkt, shapely.to_geojson])
def test_a_csv_may_say_geometries_itself(tmp_path: Path, write: Any) -> None:
    point = write(shapely.Point(-135.1, 60.7))
    table = write_csv(tmp_path / "t.csv", {"n": "a b", "shape": point, "year": 2021, "note": ""})
    how = mapping(
        item={"id": "town-{n}", "geometry": "shape", "datetime": "{year}"},
        properties={"title": "Town {n}", "gsd": 0.5, "description": "{note}"},
        assets={"map": {"href": "https://example.org/{year}.tif", "roles": ["data"]}},
    )
    (item,) = items(table, how, tmp_path)
    assert item["id"] == "town-a b"
    assert item["geometry"] == {"type": "Point", "coordinates": [-135.1, 60.7]}
    assert item["properties"] == {
        "datetime": None,
        "start_datetime": "2021-01-01T00:00:00Z",
        "end_datetime": "2021-12-31T23:59:59Z",
        "title": "Town a b",
        "gsd": 0.5,
    }
    assert item["assets"] == {"map": {"href": "https://example.org/2021.tif", "roles": ["data"]}}


def test_geometries_of_geoparquet_are_projected_to_degrees(tmp_path: Path) -> None:
    frame(YUKON_ALBERS).to_parquet(tmp_path / "t.parquet")
    how = mapping(
        item={"id": "{name}", "geometry": "geometry", "datetime": "2021-06-01T12:00:00Z"},
        assets={"data": {"href": "https://example.org/{name}"}},
    )
    south, north = items(tmp_path / "t.parquet", how, tmp_path)
    assert south["geometry"] == {"type": "Point", "coordinates": [-135.1, 60.7]}
    assert north["geometry"] == {"type": "Point", "coordinates": [-139.4, 64.1]}
    assert south["properties"] == {"datetime": "2021-06-01T12:00:00Z"}


def test_real_geoparquet_without_stac_is_converted_by_a_mapping(
    shared: Path, tmp_path: Path
) -> None:
    (path,) = (shared / "data/d4c").glob("*.parquet")
    how = mapping(
        item={"id": "vancouver-2022-{name}", "geometry": "geom", "datetime": "2022"},
        properties={"license": "OGL-Canada-2.0", "dguid": "2022A00055915022"},
        assets={
            "mrsid": {"href": "{mrsid_url}", "type": "application/zip", "roles": ["data"]},
            "ecw": {"href": "{ecw_url}", "type": "application/zip", "roles": ["data"]},
        },
    )
    found = items(path, how, tmp_path)
    assert len(found) == len({each["id"] for each in found}) == 470
    assert {each["geometry"]["type"] for each in found} == {"Polygon"}
    assert found[0]["id"] == "vancouver-2022-B12"
    assert list(found[0]["assets"]) == ["mrsid", "ecw"]


def test_an_id_that_does_not_tell_items_apart_is_refused(tmp_path: Path) -> None:
    rows = [{"n": number, "g": "POINT (1 2)", "url": f"{number}.tif"} for number in range(3)]
    item = {"id": "same", "geometry": "g", "datetime": "2021"}
    table = write_csv(tmp_path / "t.csv", *rows)
    ((_, files),) = refusals(table, mapping(item=item), tmp_path)
    assert files == "two of its files would be the asset 'tif'"
    assets = {"a": {"href": "https://example.org/{n}"}}
    ((_, things),) = refusals(table, mapping(item=item, assets=assets), tmp_path)
    assert things == "3 rows have its id"
    many = write_csv(tmp_path / "many.csv", *rows * 500, rows[0] | {"g": "POINT (3 4)"})
    ((_, reason),) = refusals(many, mapping(item=item), tmp_path)
    assert reason == "more than 1000 rows have its id"


def test_an_empty_geometry_refuses_its_row_only(tmp_path: Path) -> None:
    table = write_csv(
        tmp_path / "t.csv", {"n": "a", "g": ""}, {"n": "b", "g": "POINT (1 2)"},
        {"n": "c", "g": "POINT (1"}, {"n": "", "g": "POINT (1 2)"}
    )  # fmt: skip
    how = mapping(
        item={"id": "{n}", "geometry": "g", "datetime": "2021"},
        assets={"a": {"href": "https://example.org/"}},
    )
    first, second, third, fourth = read(table, how, tmp_path)
    assert (first.where, first.id, first.reason) == ("t.csv line 2", "a", "its geometry is empty")
    assert second.value["id"] == "b"
    assert third.reason.startswith("its geometry cannot be read: ParseException")
    assert fourth.reason == "what its id is made of is missing"


# --- What does not fit ----------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("members", "said"),
    [
        ({"columns": {"url": "href"}}, "the inventory has no column 'href'"),
        ({"item": {"id": "{nothing}"}}, "the mapping names {nothing}, which is not there"),
        ({"base": None}, "'roads.fgb' is no http or https address"),
    ],
)
def test_a_mapping_that_does_not_fit_the_table_is_told(
    tmp_path: Path, members: dict[str, Any], said: str
) -> None:
    table = write_csv(tmp_path / "t.csv", {"url": "roads.fgb"})
    with pytest.raises(UsageError) as caught:
        read(table, mapping(**members), tmp_path)
    assert str(caught.value) == said


def test_a_table_that_is_none_is_told(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes(b"url\n\xff\xfe\n")
    (tmp_path / "t.parquet").write_bytes(b"PAR1 and no more")
    (tmp_path / "more.csv").write_text("url\na,b\n")
    (tmp_path / "none").mkdir()
    for name, said in (
        ("t.csv", "is neither Parquet nor CSV in UTF-8"),
        ("t.parquet", "is broken Parquet"),
        ("more.csv", "more.csv line 2 has more fields than columns"),
        ("none", "holds no files"),
        ("gone.csv", "No such file"),
    ):
        with pytest.raises(UsageError, match=said):
            read(tmp_path / name, mapping(), tmp_path)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "collection: Field required"),
        ("collection = 1", "collection: Input should be a valid string"),
        ('collection = "a"\nbases = "x"', "bases: Extra inputs are not permitted"),
        ('collection = "a"\nbase = "data/"', "m.toml: Value error, base is not an http or"),
        ("collection = ", "is no TOML"),
    ],
)
def test_a_mapping_file_that_says_something_else_is_told(
    tmp_path: Path, text: str, said: str
) -> None:
    (tmp_path / "m.toml").write_text(text)
    with pytest.raises(UsageError, match=said):
        read_mapping(tmp_path / "m.toml")


def test_values_of_parquet_keep_their_types(tmp_path: Path) -> None:
    when = pa.array([1_600_000_000], pa.timestamp("s", "UTC"))
    shape = pa.array([shapely.to_wkb(shapely.Point(1, 2))])
    nanoseconds = pa.array([1_600_000_000_123_456_789], pa.timestamp("ns"))
    table = pa.table(
        {"n": [7], "when": when, "shape": shape, "exact": nanoseconds, "none": [float("nan")]}
    )
    pq.write_table(table, tmp_path / "t.parquet")
    how = mapping(
        item={"id": "{n}", "geometry": "shape", "datetime": "{when}"},
        properties={
            "number": "{n}",
            "text": "n{n}",
            "updated": "{exact}",
            "gsd": "{none}",
            "title": "on {when}",
        },
        assets={"a": {"href": "https://example.org/"}},
    )
    (item,) = items(tmp_path / "t.parquet", how, tmp_path)
    assert item["properties"] == {
        "number": 7,
        "text": "n7",
        "updated": "2020-09-13T12:26:40.123456Z",
        "title": "on 2020-09-13T12:26:40Z",
        "datetime": "2020-09-13T12:26:40Z",
    }


def test_a_library_that_is_missing_is_named_and_nothing_is_refused_for_it(
    files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "flatbuffers", None)
    with pytest.raises(UsageError, match="need the library flatbuffers") as caught:
        read(files, mapping(), tmp_path)
    assert caught.value.hint.endswith(": pip install flatbuffers pmtiles pyproj tifffile")


@pytest.mark.parametrize("place", ["bytes 5-9/99", "bytes 0-4/*", "items 0-4/5", ""])
def test_another_part_than_asked_for_is_refused(place: str) -> None:
    answer = Answer(206, b"12345", {"Content-Range": place})
    with (
        serving(Web(first=[answer])) as url,
        Client(url) as client,
        pytest.raises(UsageError, match="answers with another part"),
    ):
        client.part(f"{url}/x", 0, 5)
