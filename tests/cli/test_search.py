"""`search`, `show --old` and `index` as a person uses them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import apsw
import pytest

from tests.cli.command_line import CommandLine
from tests.cli.test_bad_input import assert_refused, town, write_items

pytestmark = pytest.mark.slow

SQUARE = {"type": "Polygon", "coordinates": [[[-76, 44], [-74, 44], [-74, 46], [-76, 44]]]}


@pytest.fixture(scope="module")
def towns(tmp_path_factory: pytest.TempPathFactory, made_home: Path) -> CommandLine:
    """A publisher whose items the tests of this module share, and read."""
    publisher = CommandLine(tmp_path_factory.mktemp("towns"))
    shutil.copytree(made_home, publisher.home)
    said: list[dict[str, Any]] = [
        {"datetime": "2019-06-01T12:00:00Z", "title": "Forêt boréale", "eo:cloud_cover": 40},
        {"datetime": "2020-06-01T12:00:00Z", "title": "Boreal town", "eo:cloud_cover": 5},
        {"datetime": "2021-06-01T12:00:00Z", "title": "Whitehorse", "platform": "drone"},
    ]
    east: dict[str, Any] = {
        "geometry": {"type": "Point", "coordinates": [9, 45]},
        "bbox": [9, 45, 9, 45],
    }
    items = [town(f"town-{n}", properties=each) for n, each in enumerate(said)]
    write_items(publisher.folder / "towns.ndjson", *items[:2], items[2] | east)
    assert publisher.run("publish", "towns.ndjson").status == 0
    again = town("town-1", properties=said[1] | {"title": "Boreal city"})
    write_items(publisher.folder / "again.ndjson", again)
    assert publisher.run("publish", "again.ndjson").status == 0
    return publisher


def found(towns: CommandLine, *arguments: str) -> list[str]:
    said = towns.run("search", *arguments, "--json")
    assert (said.status, said.err) == (0, "")
    return [each["id"] for each in said.json["features"]]


def test_words_filters_places_and_orders_go_together(towns: CommandLine) -> None:
    assert found(towns, "-q", "foret") == ["town-0"]
    assert found(towns, "--text", "boreal* -town OR city") == []
    assert found(towns, "--filter", "eo:cloud_cover < 10 OR platform = 'drone'") == [
        "town-2", "town-1",
    ]  # fmt: skip
    assert found(towns, "--filter", '{"op":"isNull","args":[{"property":"platform"}]}') == [
        "town-1", "town-0",
    ]  # fmt: skip
    assert found(towns, "--sort", "eo:cloud_cover") == ["town-1", "town-0", "town-2"]
    assert found(towns, "--current", "--sort", "-id", "--limit", "2") == ["town-2", "town-1"]


def test_a_geometry_comes_from_a_file_or_as_text(towns: CommandLine) -> None:
    collection = {
        "type": "FeatureCollection",
        "features": [{"type": "Feature", "geometry": SQUARE}],
    }
    (towns.folder / "square.geojson").write_text(json.dumps(collection))

    assert found(towns, "--intersects", "square.geojson") == ["town-1", "town-0"]
    assert found(towns, "--intersects", json.dumps(SQUARE)) == ["town-1", "town-0"]


def test_items_are_printed_one_a_line_as_published_or_reduced(towns: CommandLine) -> None:
    published = (towns.folder / "towns.ndjson").read_text().splitlines()
    said = towns.run("search", "--id", "town-0", "--ndjson")
    assert said.out == published[0] + "\n"

    said = towns.run("search", "--id", "town-0", "--ndjson", "--fields", "properties.title")
    assert json.loads(said.out) == {
        "type": "Feature",
        "stac_version": "1.1.0",
        "id": "town-0",
        "collection": "towns",
        "properties": {"title": "Forêt boréale"},
    }


def test_geojson_has_nothing_beside_its_features(towns: CommandLine) -> None:
    assert set(towns.run("search", "--geojson").json) == {"type", "features"}


def test_facets_count_by_collection_and_by_year(towns: CommandLine) -> None:
    said = towns.run("search", "--facets")
    assert said.out.splitlines() == [
        "3",
        "",
        "by catalogue and collection",
        "          3  towns · Towns",
        "",
        "by year",
        "          1  2019",
        "          1  2020",
        "          1  2021",
    ]
    years = towns.run("search", "--facets", "-q", "boreal*", "--json").json["years"]
    assert years == [{"year": 2019, "count": 1}, {"year": 2020, "count": 1}]


def test_old_versions_are_shown_when_asked_for(towns: CommandLine) -> None:
    lines = towns.run("search", "--old", "--id", "town-1").out.splitlines()
    assert lines[0::2] == ["town-1", "town-1  (replaced or withdrawn)"]
    assert ["Boreal city" in lines[1], "Boreal town" in lines[3]] == [True, True]
    versions = towns.run("show", "town-1", "--old", "--json").json
    assert [each["is_visible"] for each in versions] == [True, False]
    assert towns.run("show", "town-1", "--raw").out + "\n" == (
        (towns.folder / "again.ndjson").read_text()
    )


@pytest.mark.parametrize(
    ("arguments", "message", "hint"),
    [
        (["--filter", "eo:clod_cover < 1"], "no item here has the property 'eo:clod_cover'",
         "did you mean eo:cloud_cover?"),
        (["--json", "--ndjson"], "--json and --ndjson: take one of them", None),
        (["--fields", "id"], "--fields chooses members of JSON", "add --json, --ndjson or"),
        (["--count", "--ndjson"], "a count is no ndjson", "--json prints it for programs"),
        (["-q", ""], "there is no word in '' to look for", None),
        (["--sort", "title"], "results cannot be sorted by 'title'", None),
        (["--bbox", "1,2,3"], "a bbox has 4 or 6 numbers, not 3", None),
        (["--filter", "gsd <"], "the filter is not CQL2 at its end", None),
    ],
)  # fmt: skip
def test_a_search_that_cannot_be_is_refused_with_a_next_step(
    towns: CommandLine, arguments: list[str], message: str, hint: str | None
) -> None:
    said = towns.run("search", *arguments)
    text = said.err if said.err.startswith("error: ") else json.loads(said.err)["error"]["message"]
    assert message in text
    assert (said.status, said.out) == (1, "")
    assert hint is None or "--json" in arguments or hint in said.err


def test_a_geometry_that_is_none_is_refused(towns: CommandLine) -> None:
    (towns.folder / "bad.geojson").write_text("{")
    for said in ("nowhere.geojson", "bad.geojson", "{]", '{"type": "Point"}'):
        assert towns.run("search", "--intersects", said).status == 1


# --- The index ------------------------------------------------------------------------------------
def test_the_index_is_sound_and_says_what_it_holds(towns: CommandLine) -> None:
    assert towns.run("index", "check").out == "the index is sound: 2 segments checked\n"
    said = towns.run("index", "stats", "--json").json
    assert (said["items"], said["rows"], said["segments"], said["to_index"]) == (3, 4, 2, 0)
    listed = towns.run("index", "properties").out
    assert "eo:cloud_cover" in listed
    assert "title" in listed


def test_damage_is_found_and_a_rebuild_repairs_it(publisher: CommandLine) -> None:
    write_items(publisher.folder / "towns.ndjson", town("a"), town("b"))
    assert publisher.run("publish", "towns.ndjson").status == 0
    database = apsw.Connection(str(publisher.home / "index.db"))
    database.execute("UPDATE item SET gsd = 5 WHERE id = 'a'")
    database.execute("UPDATE collection SET items = 7")
    database.close()

    said = publisher.run("index", "check")
    assert said.status == 1
    assert "collections whose counter is wrong: 1" in said.out
    assert "item 'a': its columns are not what its bytes say" in said.out
    assert "meshnode index rebuild" in said.err

    assert publisher.run("index", "rebuild", "--json").json["items"] == 2
    assert publisher.run("index", "check").status == 0
    assert publisher.run("search", "--count").out == "2\n"


def test_the_index_of_a_peer_that_runs_is_not_taken_away(publisher: CommandLine) -> None:
    write_items(publisher.folder / "towns.ndjson", town("a"))
    assert publisher.run("publish", "towns.ndjson").status == 0
    with publisher.running_peer():
        assert_refused(
            publisher.run("index", "rebuild"),
            said_of_lock(publisher),
            "stop it first, or name another directory with --home",
        )
        assert publisher.run("index", "check").status == 0


def said_of_lock(publisher: CommandLine) -> str:
    process = (publisher.home / "lock").read_text().strip()
    return f"{publisher.home} is in use by another meshnode process (process {process})"
