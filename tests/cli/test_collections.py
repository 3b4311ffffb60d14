"""Collections on the command line: published, replaced, listed, shown; searched by their title."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.cli.command_line import CommandLine, tree
from tests.cli.test_bad_input import assert_refused, town, write_items
from tests.cli.test_tour import COLLECTION

pytestmark = pytest.mark.slow

TITLED = COLLECTION | {
    "title": "Towns of Yukon",
    "title_fr": "Villes du Yukon",
    "language": {"code": "en"},
    "keywords": ["census"],
    "providers": [{"name": "Yukon", "roles": ["producer", "licensor"]}],
}


def write(reader: CommandLine, name: str = "towns.json", **changes: Any) -> str:
    (reader.folder / name).write_text(json.dumps(TITLED | changes))
    return name


@pytest.fixture(scope="module")
def described(tmp_path_factory: pytest.TempPathFactory, made_home: Path) -> CommandLine:
    """A publisher with a collection of one item, and another without items; tests only read."""
    publisher = CommandLine(tmp_path_factory.mktemp("described"))
    shutil.copytree(made_home, publisher.home)
    write_items(publisher.folder / "items.ndjson", town("dawson"))
    lakes = write(publisher, "lakes.json", id="lakes", title="Lakes", title_fr="Lacs")
    assert publisher.call("collection", "add", write(publisher), lakes).status == 0
    assert publisher.call("publish", "items.ndjson").status == 0
    return publisher


def test_a_document_is_shown_as_it_was_published(described: CommandLine) -> None:
    raw = described.call("collection", "show", "towns", "--raw").out
    assert raw == (described.folder / "towns.json").read_text()
    lines = described.call("collection", "show", "towns").out.splitlines()
    assert lines[:9] == [
        "towns",
        "Towns of Yukon",
        "Villes du Yukon",
        "Three towns",
        "licence     OGL-Canada-2.0",
        "providers   Yukon (producer, licensor)",
        "keywords    census",
        "place       -140, 60, -135, 65",
        "time        2019-01-01 to ..",
    ]
    said = described.call("collection", "show", "towns", "--json").json
    assert said["titles"] == {"en": "Towns of Yukon", "fr": "Villes du Yukon"}


def test_the_list_speaks_the_readers_language_and_can_be_searched(described: CommandLine) -> None:
    in_french = described.call("collection", "list", "census", LANG="fr_CA.UTF-8").out
    assert in_french.splitlines() == [
        "lakes",
        "  Lacs",
        "  0 items, OGL-Canada-2.0; Towns",
        "towns",
        "  Villes du Yukon",
        "  1 item, OGL-Canada-2.0; Towns",
    ]
    found = described.call("collection", "list", "YUKON", "villes", "--json").json
    assert [each["collection"] for each in found] == ["towns"]
    assert described.call("collection", "list", "mountains").out.startswith("no collection is")


def test_a_search_shows_the_collections_title_and_finds_by_it(described: CommandLine) -> None:
    shown = ["dawson", "  2021-06-01  towns  Towns of Yukon"]
    assert described.call("search").out.splitlines() == shown
    for named in ("towns", "Towns of Yukon", "villes du yukon"):
        assert described.call("search", "--collection", named, "--count").out == "1\n"
    for named in ("Lakes", "Towns"):
        assert described.call("search", "--collection", named, "--count").out == "0\n"


def test_the_same_document_is_signed_once_and_another_only_as_a_replacement(
    publisher: CommandLine,
) -> None:
    name = write(publisher)
    unsigned = publisher.call("collection", "add", name, "--dry-run")
    assert unsigned.out == "not published: towns; 1 entry would be signed in towns\n"
    assert publisher.call("collection", "list", "--json").json == []
    assert_refused(
        publisher.call("collection", "replace", name),
        "no document of 'towns' is published",
        "meshnode collection add",
    )
    assert publisher.call("collection", "add", name).out == "published in towns: towns\n"
    before = tree(publisher.home)
    again = publisher.call("collection", "add", name, "--json").json
    assert (again["published"], again["same"], again["entries"]) == (False, ["towns"], 0)
    write(publisher, title="Settlements")
    assert_refused(
        publisher.call("collection", "add", name),
        "another document of 'towns' is published",
        "look at it: meshnode collection show towns; then: meshnode collection replace",
    )
    assert tree(publisher.home).keys() == before.keys()
    assert publisher.call("collection", "replace", name).status == 0
    shown = publisher.call("collection", "show", "towns", "--json").json
    assert shown["titles"]["en"] == "Settlements"


def test_a_licence_that_spdx_does_not_know_is_refused_before_anything_is_signed(
    publisher: CommandLine,
) -> None:
    name = write(publisher, license="CC-BY")
    assert_refused(
        publisher.call("collection", "add", name),
        "towns.json: its licence is no SPDX expression: Unknown license: 'cc-by'",
        "name it as SPDX does (spdx.org/licenses), or 'other' with a link rel 'license'",
    )
    write_items(publisher.folder / "items.ndjson", town("dawson"))
    said = publisher.call("publish", "items.ndjson", "--collection-json", name)
    assert (said.status, said.out) == (1, "")
    assert publisher.call("search", "--count").out == "0\n"


def test_a_licence_that_nobody_can_read_is_noted(publisher: CommandLine) -> None:
    said = publisher.call("collection", "add", write(publisher, license="other"))
    assert (said.status, said.out) == (0, "published in towns: towns\n")
    assert said.err == (
        "note towns: its licence is 'other', and no link with rel 'license' says which\n"
    )


def test_a_collection_that_is_not_here_is_named(described: CommandLine) -> None:
    assert_refused(
        described.call("collection", "show", "rivers"),
        "no catalogue has a collection 'rivers'",
        "meshnode collection list",
    )
