"""The library: what it finds is what the peer finds, and it leaves no trace."""

from __future__ import annotations

import doctest
import importlib
import json
import pkgutil
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import apsw
import duckdb
import geopandas
import pyarrow as pa
import pytest

import meshnode.library
from meshnode import Catalogue
from meshnode.errors import StorageError, UsageError
from meshnode.runtime.index import schema
from tests.cli.command_line import ROOT, CommandLine, tree
from tests.cli.test_bad_input import write_items
from tests.cli.yukon import TOWNS, town_of
from tests.test_documents import FENCE

pytestmark = pytest.mark.slow

MODULES = [each.name for each in pkgutil.iter_modules(meshnode.library.__path__)]
NEWEST_FIRST = ["whitehorse", "dawson", "mayo"]


@pytest.fixture(scope="module")
def towns(yukon: Path) -> Catalogue:
    return Catalogue(yukon / "me")


# --- What it finds --------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("conditions", "options"),
    [
        ({}, []),
        ({"bbox": (-140, 63, -135, 65)}, ["--bbox", "-140,63,-135,65"]),
        ({"text": "foret"}, ["-q", "foret"]),
        ({"collections": ["Villes"], "sort": "id"}, ["--collection", "Villes", "--sort", "id"]),
        ({"filter": "eo:cloud_cover < 10"}, ["--filter", "eo:cloud_cover < 10"]),
        ({"datetime": "2020-06-01T12:00:00Z/.."}, ["--datetime", "2020-06-01T12:00:00Z/.."]),
        ({"current": True, "limit": 1}, ["--current", "--limit", "1"]),
        ({"fields": "id,properties.title"}, ["--fields", "id,properties.title"]),
    ],
)
def test_it_finds_what_the_command_finds(
    conditions: dict[str, Any], options: list[str], towns: Catalogue, reader: CommandLine
) -> None:
    said = reader.call("search", *options, "--json").json["features"]

    assert list(towns.search(**conditions)) == said
    assert said


def test_the_bytes_are_those_that_were_published(towns: Catalogue, yukon: Path) -> None:
    published = (yukon / "towns.ndjson").read_bytes().splitlines()

    assert sorted(towns.search().raw()) == sorted(published)
    assert towns.get("mayo").raw in published


def test_what_is_known_of_an_item_is_what_show_says(towns: Catalogue, reader: CommandLine) -> None:
    [said] = reader.call("show", "mayo", "--json").json
    item = towns.get("mayo", collection="towns", catalogue=said["catalogue"])

    names = ("catalogue", "collection", "segment", "writer", "clock", "is_visible")
    assert {name: getattr(item, name) for name in names} == {name: said[name] for name in names}
    assert (item.item, list(item.state), item.catalogue_title) == (
        said["item"], said["state"], said["title"],
    )  # fmt: skip


def test_a_closed_writer_is_told_with_each_of_his_items(reader: CommandLine) -> None:
    close = ("writer", "close", "first writer", "--at", "2", "--replace-by", "new.key.pub", "--yes")
    assert reader.call("key", "create", "new.key", "--no-passphrase").status == 0
    assert reader.call(*close).status == 0

    assert Catalogue(reader.home).get("mayo").state == ("current", "closed writer")
    assert "state       current, closed writer" in reader.call("show", "mayo").out.splitlines()


def test_pages_counts_and_facets_are_those_of_the_search(towns: Catalogue) -> None:
    found = towns.search(filter="eo:cloud_cover < 10")

    assert [[item["id"] for item in page] for page in found.pages(1)] == [
        ["whitehorse"],
        ["dawson"],
    ]
    assert found.count() == 2
    [held] = towns.catalogues()
    assert found.facets().collections == {(held["id"], "towns"): 2}
    assert found.facets().years == {2020: 1, 2021: 1}
    assert [len(page) for page in towns.search(limit=2).pages(2)] == [2]


def test_old_versions_are_found_when_they_are_asked_for(reader: CommandLine) -> None:
    changed = town_of("mayo")
    changed["properties"] = {**changed["properties"], "title": "Mayo"}
    write_items(reader.folder / "again.ndjson", changed)
    assert reader.call("publish", "again.ndjson", "--offline").status == 0
    towns = Catalogue(reader.home)

    assert towns.get("mayo").item["properties"]["title"] == "Mayo"
    old = [each for each in towns.search(ids=["mayo"], old=True).signed() if not each.is_visible]
    assert [each.item["properties"]["title"] for each in old] == ["Forêt de Mayo"]
    [proof] = [towns.proof(towns.get("mayo"))]
    assert proof.is_valid
    assert [step.name for step in proof.steps][:3] == ["item", "segment", "row"]


def test_a_proof_says_which_step_does_not_hold(reader: CommandLine) -> None:
    towns = Catalogue(reader.home)
    item = towns.get("mayo")
    forged = replace(item, found=replace(item.found, item=item.raw.replace(b"Mayo", b"Elsa")))

    proof = towns.proof(forged)

    assert not proof.is_valid
    assert [step.name for step in proof.steps if step.fault] == ["row"]


def test_what_cannot_be_found_is_said(towns: Catalogue) -> None:
    with pytest.raises(UsageError, match="no item 'elsa' is visible"):
        towns.get("elsa")
    with pytest.raises(UsageError, match="bbox"):
        towns.search(bbox=(1, 2, 3, 4, 5, 6, 7))
    with pytest.raises(UsageError, match="no item here has the property 'clouds'"):
        towns.search(filter="clouds < 1").count()
    with pytest.raises(UsageError, match="no column 'cloud'"):
        towns.search().arrow(["cloud"])


# --- Tables ---------------------------------------------------------------------------------------
def test_tables_are_read_by_geopandas_and_duckdb(towns: Catalogue) -> None:
    frame = towns.search().geodataframe()
    assert frame["id"].tolist() == NEWEST_FIRST
    assert frame.crs == "OGC:CRS84"
    assert [round(point.x, 1) for point in frame.geometry] == [-135.1, -139.4, -135.9]

    table = towns.search().table()
    assert table.num_rows == 3
    found = (
        duckdb.connect()
        .execute(
            "SELECT id, bbox.xmin, assets['image'].href, item->>'$.properties.title' FROM \"table\""
            " WHERE \"eo:cloud_cover\" < 10 AND datetime > '2021-01-01'"
        )
        .fetchall()
    )
    href = "https://data.example.org/whitehorse.tif"
    assert found == [("whitehorse", -135.1, href, "Whitehorse")]


def test_a_table_becomes_a_file_that_geopandas_reads(towns: Catalogue, tmp_path: Path) -> None:
    towns.search().geodataframe(["id", "datetime", "geometry"]).to_parquet(tmp_path / "a.parquet")

    assert geopandas.read_parquet(tmp_path / "a.parquet")["id"].tolist() == NEWEST_FIRST


def test_batches_stream_with_one_schema(towns: Catalogue) -> None:
    reader = towns.search().arrow(["id", "geometry", "assets"])

    assert isinstance(reader, pa.RecordBatchReader)
    assert reader.schema.field("geometry").metadata[b"ARROW:extension:name"] == b"geoarrow.wkb"
    assert [batch.num_rows for batch in reader] == [3]
    assert towns.search("nothing").table().num_rows == 0


# --- Without a trace ------------------------------------------------------------------------------
def everything(towns: Catalogue) -> None:
    """Ask a catalogue for all that it can say."""
    item = towns.get("mayo")
    assert towns.proof(item).is_valid
    assert (towns.search().count(), len(towns.collections()), len(towns.catalogues())) == (3, 1, 1)
    assert towns.search().table().num_rows == len(towns.search().facets().years) == 3


def test_a_directory_whose_peer_ended_is_not_touched(reader: CommandLine) -> None:
    before, times = tree(reader.home), {path: path.stat().st_mtime_ns for path in files(reader)}

    everything(Catalogue(reader.home))

    assert tree(reader.home) == before
    assert {path: path.stat().st_mtime_ns for path in files(reader)} == times


def test_a_directory_that_cannot_be_written_is_read(reader: CommandLine) -> None:
    for path in sorted(reader.home.rglob("*"), reverse=True):
        path.chmod(0o555 if path.is_dir() else 0o444)
    reader.home.chmod(0o555)
    try:
        everything(Catalogue(reader.home))
    finally:
        for path in (reader.home, *reader.home.rglob("*")):
            path.chmod(0o755)


def test_a_running_peer_is_not_held_up_and_its_news_is_seen(reader: CommandLine) -> None:
    towns = Catalogue(reader.home)
    with reader.running_peer():
        before = {path.name: path.stat().st_size for path in reader.home.glob("*.db*")}
        everything(towns)
        assert {path.name: path.stat().st_size for path in reader.home.glob("*.db*")} == before
        write_items(reader.folder / "more.ndjson", town_of("mayo") | {"id": "elsa"})
        assert reader.run("publish", "more.ndjson", "--offline").status == 0
        assert towns.get("elsa").state == ("current",)
        assert towns.proof(towns.get("elsa")).is_valid
        assert towns.collections()[0]["items"] == 4
    assert [path.name for path in reader.home.glob("*.db-*")] == []


def test_a_directory_whose_peer_was_killed_is_read_and_its_data_not_touched(
    reader: CommandLine,
) -> None:
    with reader.running_peer() as process:
        write_items(reader.folder / "more.ndjson", town_of("mayo") | {"id": "elsa"})
        assert reader.run("publish", "more.ndjson", "--offline").status == 0
        process.send_signal(signal.SIGKILL)
        process.wait()
    before = data_of(reader)
    assert "index.db-wal" in before

    towns = Catalogue(reader.home)
    assert sorted(item["id"] for item in towns.search()) == ["dawson", "elsa", "mayo", "whitehorse"]
    assert towns.proof(towns.get("elsa")).is_valid

    assert data_of(reader) == before


def files(reader: CommandLine) -> Iterator[Path]:
    return (path for path in reader.home.rglob("*") if path.is_file())


def data_of(reader: CommandLine) -> dict[str, bytes]:
    """Return all files but the memory that readers of a write-ahead log share."""
    return {name: raw for name, raw in tree(reader.home).items() if not name.endswith("-shm")}


# --- What is no data directory of this version ----------------------------------------------------
def test_what_is_no_directory_of_this_version_is_refused(reader: CommandLine) -> None:
    with pytest.raises(StorageError, match="is not a meshnode data directory") as missing:
        Catalogue(reader.folder / "nowhere")
    assert "meshnode init" in missing.value.hint
    assert not (reader.folder / "nowhere").exists()

    for number, hint in (
        (schema.FORMAT - 1, "meshnode run"),
        (schema.FORMAT + 1, "newer meshnode"),
    ):
        with apsw.Connection(str(reader.home / "index.db")) as database:
            database.pragma("user_version", number)
        database.close()
        with pytest.raises(StorageError, match=f"has format {number}") as other:
            Catalogue(reader.home).search().count()
        assert hint in other.value.hint

    (reader.home / "index.db").unlink()
    with pytest.raises(StorageError, match="there is no index"):
        Catalogue(reader.home).search().count()

    (reader.home / "format").write_text("meshnode data directory, format 99\n")
    with pytest.raises(StorageError, match="format 99"):
        Catalogue(reader.home)


def test_the_environment_names_the_directory(reader: CommandLine, monkeypatch) -> None:
    monkeypatch.setenv("MESHNODE_HOME", str(reader.home))
    assert Catalogue().search().count() == 3


# --- Its pages ------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", MODULES)
def test_the_examples_of_its_docstrings_hold(name: str, yukon: Path, monkeypatch) -> None:
    monkeypatch.chdir(yukon)
    module = importlib.import_module(f"meshnode.library.{name}")
    said = doctest.testmod(
        module, extraglobs={"catalogue": Catalogue("me")}, optionflags=doctest.NORMALIZE_WHITESPACE
    )
    assert said.failed == 0


def test_the_page_shows_what_a_person_sees(reader: CommandLine, monkeypatch) -> None:
    monkeypatch.chdir(reader.folder)
    page = (ROOT / "docs/library.md").read_text()
    blocks = [fence["body"] for fence in FENCE.finditer(page) if fence["kind"] == "pycon"]
    test = doctest.DocTestParser().get_doctest("\n".join(blocks), {}, "library.md", None, 0)
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)

    assert runner.run(test).failed == 0
    assert len(test.examples) > 10


def test_naming_the_package_loads_none_of_the_library() -> None:
    probe = "import sys, meshnode; print([n for n in sys.modules if n.startswith('meshnode.')])"
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, check=True, cwd=ROOT)
    assert done.stdout == b"[]\n"


def test_the_library_loads_no_mesh_and_no_tables_before_they_are_asked_for() -> None:
    probe = (
        "import sys, meshnode; meshnode.Catalogue;"
        "print([n for n in ('libp2p', 'hypercorn', 'geopandas', 'pandas') if n in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, check=True, cwd=ROOT)
    assert done.stdout == b"[]\n"


def test_a_copy_of_a_directory_is_read_as_well(reader: CommandLine, tmp_path: Path) -> None:
    shutil.copytree(reader.home, tmp_path / "copy")
    found = [json.loads(raw)["id"] for raw in Catalogue(tmp_path / "copy").search().raw()]
    assert sorted(found) == sorted(TOWNS)
