"""`inventory`: what a data steward sees who has files and no STAC."""

from __future__ import annotations

import json

import pytest

from tests.cli.command_line import CommandLine
from tests.cli.test_bad_input import assert_refused
from tests.runtime.data_files import YUKON_ALBERS, write_flatgeobuf, write_geoparquet

GOOD = "ca-yt_whitehorse-2019A00056001009_d4c-datapkg-orthoimagery_2019_200mm.tif"
OLD = "ca_nrcan_land_cover_2020_30m.pmtiles"


def test_lint_names_each_problem_and_counts(newcomer: CommandLine) -> None:
    said = newcomer.call("inventory", "lint", GOOD, f"https://data.example.org/x/{OLD}")
    assert (said.status, said.out) == (0, "2 names: 0 refused, 1 with warnings\n")
    assert said.err == (
        f"warning {OLD}: its package 'land_cover' does not begin with d4c-datapkg-\n"
    )


def test_lint_of_a_folder_fails_if_a_name_below_it_is_refused(newcomer: CommandLine) -> None:
    folder = newcomer.folder / "data/2019"
    folder.mkdir(parents=True)
    for name in (GOOD, "map.tif"):
        (folder / name).touch()
    said = newcomer.call("inventory", "lint", "data")
    assert (said.status, said.out) == (1, "2 names: 1 refused, 0 with warnings\n")
    assert said.err.splitlines() == [
        "refused map.tif: 'map' at its start is no region, such as ca or ca-yt",
        "error: 1 name does not follow the convention",
        "next:  rename to [region]_[source]-[DGUID]_[package]_[date]_[variant]_[version]"
        ".[extension]",
    ]


def test_lint_reads_names_from_standard_input_and_tells_programs_the_parts(
    newcomer: CommandLine,
) -> None:
    said = newcomer.shell(f"printf '%s\\n\\n' {GOOD} | meshnode inventory lint - --json")
    (name,) = said.json["names"]
    assert (name["name"], name["problems"]) == (GOOD, [])
    assert name["parts"]["dguid"] == "2019A00056001009"


def test_lint_checks_the_urls_of_a_table(newcomer: CommandLine) -> None:
    table = f"link\nhttps://data.example.org/{GOOD}\nhttps://data.example.org/{OLD}\n"
    (newcomer.folder / "files.csv").write_text(table)
    said = newcomer.call("inventory", "lint", "--table", "files.csv", "--column", "link")
    assert (said.status, said.out) == (0, "2 names: 0 refused, 1 with warnings\n")
    assert_refused(
        newcomer.call("inventory", "lint", "--table", "files.csv"),
        "files.csv has no column 'url'",
        "it has link",
    )
    assert_refused(
        newcomer.call("inventory", "lint"),
        "no names are given",
        "name files, a folder, - or --table",
    )


@pytest.fixture
def steward(publisher: CommandLine) -> CommandLine:
    """Somebody with a catalogue, two files, a file that is none, and a mapping of them."""
    (publisher.folder / "data").mkdir()
    write_flatgeobuf(publisher.folder / "data/roads.fgb")
    write_geoparquet(publisher.folder / "data/towns.parquet")
    (publisher.folder / "data/notes.txt").write_text("no data")
    (publisher.folder / "m.toml").write_text(
        'collection = "yukon"\nbase = "https://data.example.org/"\nitem.datetime = "2021"\n'
    )
    return publisher


def test_items_are_written_and_files_that_give_none_are_named(steward: CommandLine) -> None:
    command = ("inventory", "items", "data", "--mapping", "m.toml")
    said = steward.call(*command, "--to", "items.ndjson", "--json")
    assert said.status == 1
    notes = {
        "where": "notes.txt",
        "id": "notes",
        "reason": "it is no GeoTIFF, PMTiles, FlatGeobuf or GeoParquet",
    }
    assert said.json == {"items": 2, "to": "items.ndjson", "refused": [notes]}
    (steward.folder / "data/notes.txt").unlink()
    said = steward.call(*command, "--to", "-")
    assert (said.status, said.err) == (0, "2 items written to -\n")
    assert said.out == (steward.folder / "items.ndjson").read_text()


def test_sync_of_an_inventory_publishes_differences(steward: CommandLine) -> None:
    data, sync = steward.folder / "data", ("sync", "data", "--mapping", "m.toml", "--json")
    refused = steward.call(*sync)
    assert (refused.status, refused.json["published"]) == (1, False)
    (data / "notes.txt").unlink()
    assert steward.call(*sync).json["new"] == 2
    write_flatgeobuf(data / "roads.fgb", YUKON_ALBERS)
    (data / "towns.parquet").unlink()
    done = steward.call(*sync, "--prune", "--yes").json
    assert (done["new"], done["changed"], done["gone"]) == (0, 1, 1)
    assert done["withdrawn"] == {"yukon": ["towns"]}
    (item,) = steward.call("search", "--json").json["features"]
    assert item["assets"]["fgb"]["href"] == "https://data.example.org/roads.fgb"


def test_a_mapping_that_cannot_be_used_is_told_before_anything_is_read(
    steward: CommandLine,
) -> None:
    (steward.folder / "bad.toml").write_text('collection = "a"\nbases = "x"\n')
    assert_refused(
        steward.call("sync", "data", "--mapping", "bad.toml"),
        "bad.toml: bases: Extra inputs are not permitted",
        "docs/inventory.md says what can stand there",
    )


def test_names_that_stray_from_the_convention_are_warnings_of_sync(
    publisher: CommandLine,
) -> None:
    (publisher.folder / "data").mkdir()
    write_flatgeobuf(publisher.folder / "data/ca_nrcan_roads_2021.fgb")
    (publisher.folder / "d4c.toml").write_text(
        'collection = "roads"\nbase = "https://data.example.org/"\nnames = "d4c"\n'
    )
    sync = ("sync", "data", "--mapping", "d4c.toml", "--dry-run", "--report", "report.ndjson")
    said = publisher.call(*sync)
    assert said.status == 0
    assert said.err.splitlines()[0] == "note 1 warning: --report FILE names each"
    (line,) = (publisher.folder / "report.ndjson").read_text().splitlines()
    assert json.loads(line) == {
        "severity": "warn",
        "where": "ca_nrcan_roads_2021.fgb",
        "id": "ca_nrcan_roads_2021",
        "reason": "its package 'roads' does not begin with d4c-datapkg-",
    }
