"""Releases on the command line: signed once, never changed, in conflict where others differ."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest
import trio

from meshnode.control import Control
from meshnode.core.entries import ReleaseAdded
from meshnode.core.identifiers import Digest
from meshnode.runtime.home import Home
from meshnode.runtime.maintainer.binding import payload_draft
from meshnode.runtime.maintainer.publishing import Draft, Publisher
from meshnode.runtime.maintainer.staging import stage, stage_collection, staged_in
from meshnode.runtime.payloads.creation import describe
from meshnode.runtime.service import offline
from tests.cli.command_line import CommandLine, tree
from tests.cli.test_bad_input import assert_refused, town, write_items
from tests.cli.test_collections import TITLED
from tests.runtime.homes import publisher_of, result_of

pytestmark = pytest.mark.slow

FILES = ("one.csv", "two.csv")
DOI = "10.5072/yukon-2021"
CHANGE = "what is released never changes: give the new content a version and a DOI of its own"


async def sign(home: Home, drafts: Sequence[Draft]) -> None:
    """Sign entries without the checks of a command, as a tool of somebody else may."""
    async with offline(home.root):
        _, publisher = publisher_of(home)
        with publisher.session():
            await result_of(publisher.recover())
            await result_of(publisher.publish(await publisher.state(), drafts, ()))


async def fill(home: Home, folder: Path) -> list[str]:
    """Publish the collection and a payload of each file; return their keys."""
    async with offline(home.root):
        _, publisher = publisher_of(home)
        with publisher.session():
            await result_of(publisher.recover())
            drafts, keys = _payloads(publisher, folder)
            drafts.append(stage_collection(publisher.staging, "towns", json.dumps(TITLED).encode()))
            state, staged = await publisher.state(), staged_in(publisher.staging)
            await result_of(publisher.publish(state, drafts, staged))
    return keys


def _payloads(publisher: Publisher, folder: Path) -> tuple[list[Draft], list[str]]:
    drafts, keys = [], []
    for name in FILES:
        path = folder / name
        path.write_text(name)
        described = describe(path, {name: [("dawson", "data"), ("mayo", "data")]})
        stage(publisher.staging, described.file_list)
        stage(publisher.staging, described.torrent)
        drafts.append(payload_draft(described, "towns", [f"https://data.example.org/{name}"], 0))
        keys.append(described.key.hex())
    return drafts, keys


@pytest.fixture(scope="module")
def filled(
    tmp_path_factory: pytest.TempPathFactory, made_home: Path
) -> tuple[Path, tuple[str, str]]:
    """A data directory with the collection and two payloads, and their keys."""
    folder = tmp_path_factory.mktemp("filled")
    home = Home(folder / "home")
    shutil.copytree(made_home, home.root)
    one, two = trio.run(fill, home, folder)
    return home.root, (one, two)


@pytest.fixture
def keys(filled: tuple[Path, tuple[str, str]]) -> tuple[str, str]:
    return filled[1]


@pytest.fixture
def shelf(newcomer: CommandLine, filled: tuple[Path, tuple[str, str]]) -> CommandLine:
    shutil.copytree(filled[0], newcomer.home)
    return newcomer


# The data directory is a copy, of which the test knows that no other signs with its key: --offline.
def create(shelf: CommandLine, version: str, *options: str) -> list[str]:
    said = shelf.call(
        "release",
        "create",
        "--offline",
        "--collection",
        "towns",
        "--version",
        version,
        *options,
        "--json",
    )
    assert said.status == 0, said.err
    return list(said.json)


def test_a_release_is_signed_once_and_found_by_doi_and_version(
    shelf: CommandLine, keys: tuple[str, str]
) -> None:
    create(shelf, "2021", "--payload", keys[0][:8], "--doi", f"https://doi.org/{DOI}")
    by_doi = shelf.call("show", f"doi:{DOI.upper()}", "--json").json
    by_version = shelf.call("show", "release:towns@2021", "--json").json
    assert by_doi == by_version
    (found,) = by_doi
    assert shelf.call("show", f"release:{found['release']}", "--json").json == by_doi
    assert (found["version"], found["doi"], found["is_newest"]) == ("2021", DOI, True)
    (payload,) = found["payloads"]
    assert (payload["key"], payload["files_held"], payload["file_count"]) == (keys[0], 0, 1)
    assert payload["files"][0]["bindings"] == [["dawson", "data"], ["mayo", "data"]]
    before = tree(shelf.home / "keys")
    again = shelf.call(
        *("release", "create", "--offline", "--collection", "towns", "--version", "2021"),
        *("--payload", keys[0], "--doi", DOI),
    )
    assert again.out == f"known already: release 2021 of towns, doi {DOI}, 1 payload\n"
    assert tree(shelf.home / "keys") == before


def test_the_same_version_or_doi_with_other_content_is_refused(
    shelf: CommandLine, keys: tuple[str, str]
) -> None:
    create(shelf, "2021", "--payload", keys[0], "--doi", DOI)
    (found,) = shelf.call("versions", "towns", "--json").json
    command = ("release", "create", "--offline", "--collection", "towns", "--payload", keys[1])
    what = f"is released already, with other content ({found['release']})"
    assert_refused(
        shelf.call(*command, "--version", "2021"), f"version 2021 of 'towns' {what}", CHANGE
    )
    assert_refused(
        shelf.call(*command, "--version", "2022", "--doi", DOI.upper()),
        f"DOI {DOI.upper()} {what}",
        CHANGE,
    )
    assert len(shelf.call("versions", "towns", "--json").json) == 1


def test_versions_say_what_follows_what(shelf: CommandLine, keys: tuple[str, str]) -> None:
    create(shelf, "2021", "--payload", keys[0], "--doi", DOI)
    create(shelf, "2022", "--payload", keys[0], "--payload", keys[1], "--supersedes", "2021")
    old, new = shelf.call("versions", "towns", "--json").json
    assert [each["version"] for each in old["successors"]] == ["2022"]
    assert (new["predecessor"]["doi"], new["supersedes"]) == (DOI, old["release"])
    today = shelf.call("show", "release:towns@2022").out.splitlines()[2].split()[1]
    assert shelf.call("versions", "towns").out.splitlines() == [
        "2021",
        f"  {today}  1 payload, 7 B",
        f"  doi:{DOI}",
        "2022  newest",
        f"  {today}  2 payloads, 14 B",
        f"  supersedes 2021 (doi:{DOI})",
    ]


def test_what_is_not_superseded_is_noted_and_a_dry_run_signs_nothing(
    shelf: CommandLine, keys: tuple[str, str]
) -> None:
    create(shelf, "2021", "--payload", keys[0])
    before = tree(shelf.home / "keys")
    said = shelf.call(
        *("release", "create", "--offline", "--collection", "towns", "--version", "2022"),
        *("--payload", keys[1], "--dry-run"),
    )
    assert said.out.splitlines() == [
        "not signed: release 2022 of towns, 1 payload; 1 entry would be signed",
        f"  payload {keys[1]}",
    ]
    assert said.err == "note it does not supersede 2021: --supersedes would say so\n"
    assert tree(shelf.home / "keys") == before


@pytest.mark.parametrize(
    ("options", "message", "hint"),
    [
        (
            ("--payload", "abc"),
            "'abc' is too short for the key of a payload",
            "meshnode payload list says the keys",
        ),
        (
            ("--payload", "00" * 32),
            f"no payload begins with '{'00' * 32}' here",
            "meshnode payload list says the keys",
        ),
        (
            ("--supersedes", "2020"),
            "no release of 'towns' is called '2020'",
            "known: none",
        ),
        (("--doi", "10.x"), "'10.x' is not a DOI", "write it as doi:10.5072/example"),
    ],
)
def test_what_cannot_be_released_is_named(
    shelf: CommandLine, options: tuple[str, ...], message: str, hint: str
) -> None:
    said = shelf.call(
        "release", "create", "--offline", "--collection", "towns", "--version", "2021", *options
    )
    assert_refused(said, message, hint)


def test_a_release_of_an_unknown_collection_is_refused(shelf: CommandLine) -> None:
    assert_refused(
        shelf.call("release", "create", "--offline", "--collection", "lakes", "--version", "1"),
        "no collection 'lakes' is published in towns",
        "meshnode collection add FILE",
    )


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("doi:10.5072/unknown", "doi:10.5072/unknown is not known here"),
        ("release:towns@1", "release:towns@1 is not known here"),
        ("release:nothing", "'release:nothing' is not the name of a release"),
        ("doi:nothing", "'doi:nothing' is not a DOI"),
    ],
)
def test_a_release_that_is_not_here_is_named(shelf: CommandLine, name: str, message: str) -> None:
    for command in ("show", "get", "cite"):
        said = shelf.call(command, name)
        assert (said.status, said.out) == (1, "")
        assert said.err.splitlines()[0] == f"error: {message}"


def test_releases_that_contradict_each_other_are_shown_and_neither_is_preferred(
    shelf: CommandLine, keys: tuple[str, str]
) -> None:
    create(shelf, "2021", "--payload", keys[0], "--doi", DOI)
    other = (Digest(bytes.fromhex(keys[1])),)
    trio.run(
        sign,
        Home(shelf.home),
        [lambda clock: ReleaseAdded(clock, "towns", "2022", DOI, other, None, None)],
    )
    assert [each["collection"] for each in status_of(shelf)["conflicts"]] == ["towns", "towns"]
    assert "CONFLICT Towns: release 2021 of towns is contradicted" in shelf.call("status").out
    shown = shelf.call("show", f"doi:{DOI}").out
    assert shown.count("CONFLICT") == 2
    ours, theirs = shelf.call("show", f"doi:{DOI}", "--json").json
    for one, rival in ((ours, theirs), (theirs, ours)):
        assert [each["release"] for each in one["conflicts"]] == [rival["release"]]
    for command in ("get", "cite"):
        assert_refused(
            shelf.call(command, f"doi:{DOI}"),
            f"2 releases are called doi:{DOI}, which is a conflict",
            f"name one: release:{ours['release']}, release:{theirs['release']}",
        )
    named = shelf.call("show", f"release:{theirs['release']}", "--json").json
    assert [each["release"] for each in named] == [theirs["release"]]


def status_of(shelf: CommandLine) -> dict[str, list[dict[str, str]]]:
    (catalogue,) = shelf.call("status", "--json").json["catalogues"]
    return dict(catalogue)


def test_the_files_of_a_release_are_fetched_by_its_doi(
    shelf: CommandLine, keys: tuple[str, str], filled: tuple[Path, tuple[str, str]]
) -> None:
    create(shelf, "2021", "--payload", keys[0], "--payload", keys[1], "--doi", DOI)
    out = shelf.folder / "out"
    out.mkdir()
    with shelf.running_peer():
        trio.run(seed, Home(shelf.home), filled[0].parent, keys)
        said = shelf.call("get", f"doi:{DOI}", "--to", "out", "--json")
        assert said.status == 0, said.err
        one = shelf.call("get", f"payload:{keys[0][:8]}", "--to", "out", "--json").json
    assert sorted(file["path"] for each in said.json for file in each["files"]) == list(FILES)
    assert {path.name: path.read_text() for path in out.iterdir()} == {n: n for n in FILES}
    assert [file["path"] for file in one["files"]] == ["one.csv"]


async def seed(home: Home, folder: Path, keys: tuple[str, str]) -> None:
    institution, _ = publisher_of(home)
    for name, key in zip(FILES, keys, strict=True):
        said = {"catalogue": institution.text, "key": key, "content": str(folder / name)}
        await Control(home.control).ask("seed", **said)


def test_a_release_without_files_has_nothing_to_fetch(shelf: CommandLine) -> None:
    create(shelf, "2021")
    said = shelf.call("get", "release:towns@2021")
    assert said.err == ("error: this release has no files: it is a version of the items alone\n")
    assert_refused(
        shelf.call("get", "release:towns@2021", "--asset", "data"),
        "--asset is one of an item's",
        "name the item, not its release",
    )


def test_a_release_is_cited_in_four_forms(shelf: CommandLine, keys: tuple[str, str]) -> None:
    create(shelf, "2021", "--payload", keys[0], "--doi", DOI)
    cited = shelf.call("cite", f"doi:{DOI}").out
    year = shelf.call("versions", "towns").out.split()[2][:4]
    assert cited == (
        f"Yukon ({year}): Towns of Yukon. Version 2021. Towns. Dataset. https://doi.org/{DOI}\n"
    )
    in_french = shelf.call("cite", "release:towns@2021", LANG="fr_CA.UTF-8").out
    assert in_french.startswith(f"Yukon ({year}): Villes du Yukon. Version 2021.")
    forms = shelf.call("cite", f"doi:{DOI}", "--json").json
    assert list(forms) == ["text", "bibtex", "csl", "datacite"]
    bibtex = shelf.call("cite", f"doi:{DOI}", "--format", "bibtex").out
    assert bibtex == f"{forms['bibtex']}\n"
    for form in ("csl", "datacite"):
        assert shelf.call("cite", f"doi:{DOI}", "--format", form).json == forms[form]
    assert forms["datacite"]["sizes"] == ["7 bytes"]
    assert_refused(
        shelf.call("cite", "towns"),
        "'towns' is not the name of a release",
        "doi:10.5072/example, release:COLLECTION@VERSION, or release:bafkrei…",
    )


def test_an_item_is_shown_with_the_releases_that_hold_its_files(
    shelf: CommandLine, keys: tuple[str, str]
) -> None:
    write_items(shelf.folder / "items.ndjson", town("dawson"), town("carcross"))
    assert shelf.call("publish", "items.ndjson", "--offline").status == 0
    create(shelf, "2021", "--payload", keys[0], "--doi", DOI)
    create(shelf, "2022", "--payload", keys[0], "--payload", keys[1], "--supersedes", "2021")
    lines = shelf.call("show", "dawson").out.splitlines()
    assert lines[2:4] == [f"releases    2021 (doi:{DOI}), superseded", f"{'':12}2022"]
    (item,) = shelf.call("show", "dawson", "--json").json
    old, new = item["releases"]
    assert old["stac"]["properties"] == {"version": "2021", "sci:doi": DOI, "deprecated": True}
    assert [link["rel"] for link in new["stac"]["links"]] == ["predecessor-version"]
    raw = (shelf.folder / "items.ndjson").read_text().splitlines()[0]
    assert shelf.call("show", "dawson", "--raw").out == raw
    exported = shelf.call("export", "--to", "-", "--releases").out.splitlines()
    plain, copy = sorted(map(json.loads, exported), key=lambda item: str(item["id"]))
    assert plain == town("carcross")
    assert (copy["properties"]["version"], len(copy["stac_extensions"])) == ("2022", 1)
    assert copy["links"][-1]["rel"] == "predecessor-version"
    (other,) = shelf.call("show", "carcross", "--json").json
    assert other["releases"] == []
