"""Data directories with three towns of the Yukon, for who reads them; fixtures for conftests."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.cli.command_line import CommandLine
from tests.cli.test_bad_input import town, write_items
from tests.cli.test_tour import COLLECTION

TOWNS: dict[str, tuple[float, float, dict[str, Any]]] = {
    "dawson": (
        -139.4, 64.1,
        {"datetime": "2020-06-01T12:00:00Z", "title": "Dawson", "eo:cloud_cover": 2},
    ),
    "mayo": (
        -135.9, 63.6,
        {"datetime": "2019-06-01T12:00:00Z", "title": "Forêt de Mayo", "eo:cloud_cover": 40},
    ),
    "whitehorse": (
        -135.1, 60.7,
        {"datetime": "2021-06-01T12:00:00Z", "title": "Whitehorse", "eo:cloud_cover": 5},
    ),
}  # fmt: skip


def town_of(name: str) -> dict[str, Any]:
    east, north, properties = TOWNS[name]
    image = {
        "href": f"https://data.example.org/{name}.tif",
        "type": "image/tiff",
        "roles": ["data"],
    }
    place = {"type": "Point", "coordinates": [east, north]}
    box = [east, north, east, north]
    return town(name, geometry=place, bbox=box, properties=properties, assets={"image": image})


@pytest.fixture(scope="session")
def yukon(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the data directory `me`, in which three towns are published; to be copied."""
    publisher = CommandLine(tmp_path_factory.mktemp("yukon"))
    publisher.home = publisher.folder / "me"
    publisher.environment["MESHNODE_HOME"] = str(publisher.home)
    (publisher.folder / "collection.json").write_text(
        json.dumps(COLLECTION | {"title": "Towns", "title:fr": "Villes"})
    )
    write_items(publisher.folder / "towns.ndjson", *map(town_of, TOWNS))
    for line in (
        "init --listen /ip4/127.0.0.1/tcp/0",
        "config set payload.listen 127.0.0.1:0",
        "config set http.listen 127.0.0.1:0",
        "catalogue create towns --title Yukon --no-passphrase",
        "collection add collection.json",
        "publish towns.ndjson",
    ):
        said = publisher.call(*line.split())
        assert said.status == 0, said.err
    return publisher.folder


@pytest.fixture
def reader(tmp_path: Path, yukon: Path) -> CommandLine:
    """Somebody in a folder of his own with that data directory."""
    person = CommandLine(tmp_path)
    person.home = tmp_path / "me"
    person.environment["MESHNODE_HOME"] = str(person.home)
    shutil.copytree(yukon / "me", person.home)
    return person
