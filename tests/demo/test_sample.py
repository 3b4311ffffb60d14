"""The packaged sample: valid, deterministic, and in both forms that `publish` takes."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import geopandas
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import shapely
from stac_pydantic import Collection, Item

from meshnode.demo.places import MUNICIPALITIES, PROVINCES
from meshnode.demo.sample import (
    CENSUS,
    ORTHOIMAGERY,
    PAYLOAD_ASSET,
    PAYLOAD_ITEM,
    PayloadFile,
    sample_collections,
    sample_items,
)
from meshnode.demo.sample_files import write_geoparquet, write_ndjson

PAYLOAD = PayloadFile("http://127.0.0.1:8080/orthoimagery.tif", 31_457_280, "ab" * 32)


def everything(seed: int = 1) -> list[dict[str, Any]]:
    return [item for name in (ORTHOIMAGERY, CENSUS) for item in sample_items(name, seed)]


def test_the_collections_are_valid_and_named_in_both_languages():
    for collection in sample_collections():
        Collection.model_validate(collection)
        assert " / " in collection["title"]


@pytest.mark.parametrize("seed", [1, 2])
def test_every_item_is_valid_stac_with_an_id_of_its_own(seed):
    items = everything(seed)

    for item in items:
        Item.model_validate(item)
    assert len({item["id"] for item in items}) == len(items)
    assert 300 <= len(items) <= 600


def test_every_item_lies_in_canada_and_its_bbox_is_that_of_its_geometry():
    for item in everything():
        shape = shapely.from_geojson(json.dumps(item["geometry"]))
        assert shape.is_valid
        assert shape.exterior.is_ccw
        assert item["bbox"] == list(shape.bounds)
        assert -141.1 <= item["bbox"][0] < item["bbox"][2] <= -52.5


def test_one_seed_gives_one_sample_and_another_seed_another():
    assert json.dumps(everything(1)) == json.dumps(everything(1))
    assert json.dumps(everything(1)) != json.dumps(everything(2))


def test_ids_follow_the_file_name_convention():
    name = r"ca-[a-z]{2}_[a-z_]+-\d{4}A000[235]\d{2,7}_[a-z-]+_\d{4}_[a-z0-9]+_v1\.0\.0"

    assert all(re.fullmatch(name, item["id"]) for item in everything())


def test_every_place_lies_in_the_province_its_code_names():
    boxes = {province.code: province.box for province in PROVINCES}
    for place in MUNICIPALITIES:
        west, south, east, north = boxes[place.code[:2]]
        assert west < place.longitude < east, place.name
        assert south < place.latitude < north, place.name


@pytest.mark.parametrize("seed", range(20))
def test_the_payload_is_bound_to_its_one_asset_under_any_seed(seed):
    items = list(sample_items(ORTHOIMAGERY, seed, PAYLOAD))

    bound = [item for item in items if "file:checksum" in item["assets"][PAYLOAD_ASSET]]
    assert [item["id"] for item in bound] == [PAYLOAD_ITEM]
    asset = bound[0]["assets"][PAYLOAD_ASSET]
    assert asset["href"] == PAYLOAD.href
    assert asset["file:size"] == PAYLOAD.size_bytes
    assert asset["file:checksum"] == "1220" + "ab" * 32
    assert any("/file/v2.1.0/" in name for name in bound[0]["stac_extensions"])


def test_the_ndjson_form_is_one_item_a_line(tmp_path: Path):
    items = list(sample_items(ORTHOIMAGERY))
    write_ndjson(tmp_path / "items.ndjson", items)

    lines = (tmp_path / "items.ndjson").read_bytes().splitlines()

    assert [json.loads(line) for line in lines] == items


@pytest.mark.slow
@pytest.mark.parametrize("name", [CENSUS, ORTHOIMAGERY])
def test_the_geoparquet_form_is_as_another_tool_writes_it(tmp_path: Path, name):
    [collection] = [each for each in sample_collections() if each["id"] == name]
    items = list(sample_items(name, payload=PAYLOAD))
    path = tmp_path / "items.parquet"

    write_geoparquet(path, collection, items)

    schema = pq.read_schema(path)
    assert "item" not in schema.names
    assert schema.field("datetime").type == pa.timestamp("us", "UTC")
    described = json.loads(schema.metadata[b"stac-geoparquet"])
    assert described == {"version": "1.1.0", "collections": {name: collection}}
    frame = geopandas.read_parquet(path)
    assert list(frame["id"]) == [item["id"] for item in items]
    assert frame.crs is not None
    assert frame.total_bounds[0] >= -141.1
