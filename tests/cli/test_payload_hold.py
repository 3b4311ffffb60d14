"""`payload hold`, `release` and `show`: parts of payloads that a peer keeps for others."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from meshnode.cli.payload_text import bar, runs_text
from meshnode.runtime.datasets.open_licences import is_open
from meshnode.runtime.payloads.footprint import RUNS_MAX, runs
from tests.cli.command_line import CommandLine
from tests.cli.test_bad_input import assert_refused, town, write_items
from tests.cli.test_get import mirror
from tests.runtime.test_partial_holding import flip

MIB = 1 << 20
SIZES = {"a.tif": 3 * MIB, "b.tif": 2 * MIB}
COLLECTION = {
    "type": "Collection",
    "stac_version": "1.1.0",
    "id": "towns",
    "description": "Towns",
    "license": "CC-BY-4.0",
    "extent": {
        "spatial": {"bbox": [[-141, 60, -123, 69]]},
        "temporal": {"interval": [[None, None]]},
    },
    "links": [],
}


def bytes_of(name: str) -> bytes:
    return random.Random(name).randbytes(SIZES[name])


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[CommandLine, str]]:
    """A running peer that knows a payload of five pieces which only a mirror has, and its key."""
    who = CommandLine(tmp_path_factory.mktemp("hold"))
    assert who.call("init", "--listen", "/ip4/127.0.0.1/tcp/0").status == 0
    for setting in ("payload.listen", "http.listen"):
        assert who.call("config", "set", setting, "127.0.0.1:0").status == 0
    who.call("config", "set", "payload.allow_local_addresses", "true")
    create = ("catalogue", "create", "towns", "--title", "Towns", "--no-passphrase")
    assert who.call(*create).status == 0
    write_items(who.folder / "items.ndjson", town("dawson"))
    assert who.call("publish", "items.ndjson").status == 0
    folder = who.folder / "web" / "maps"
    folder.mkdir(parents=True)
    with mirror(who.folder / "web") as url, who.running_peer():
        for name in SIZES:
            (folder / name).write_bytes(bytes_of(name))
        options = ("--collection", "towns", "--mirror", url, "--json")
        added = who.call("payload", "add", "web/maps", *options)
        assert added.status == 0, added.err
        yield who, str(added.json["payload"])


@pytest.fixture
def held(made: tuple[CommandLine, str]) -> tuple[CommandLine, str]:
    """The same, with nothing of it here, and an open licence."""
    who, key = made
    assert who.call("payload", "drop", key).status == 0
    licensed(who, "CC-BY-4.0")
    return who, key


def licensed(who: CommandLine, licence: str) -> None:
    path = who.folder / "collection.json"
    path.write_text(json.dumps(COLLECTION | {"license": licence}))
    said = who.call("collection", "replace", str(path))
    assert said.status == 0, said.err


def footprint(who: CommandLine, key: str) -> Any:
    return who.call("payload", "show", key, "--json").json["held"]


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("CC-BY-4.0", True),
        ("CC-BY-4.0 AND ODbL-1.0", True),
        ("CC-BY-NC-4.0", False),
        ("CC-BY-4.0 AND CC-BY-NC-4.0", False),
        ("CC-BY-NC-4.0 OR CC0-1.0", True),
        ("(CC-BY-NC-4.0 OR CC0-1.0) AND MIT", True),
        ("CC0-1.0 AND (CC-BY-NC-4.0 OR CC-BY-ND-4.0)", False),
        ("GPL-2.0 WITH Classpath-exception-2.0", False),
        ("other", False),
        ("", False),
        ("(MIT", False),
        ("MIT MIT", False),
        ("AND", False),
        ("(" * 900, False),
    ],
)
def test_a_licence_is_open_if_everybody_may_pass_the_data_on(
    expression: str, expected: bool
) -> None:
    assert is_open(expression) is expected


def test_runs_of_pieces_are_named_and_drawn() -> None:
    found = runs([1, 1, 0, 1, 0, 0, 1, 1])
    assert found == ((0, 1), (3, 3), (6, 7))
    assert runs_text(found) == "0-1, 3, 6-7"
    assert runs_text([]) == "none"
    assert bar(found, 8) == "██ █  ██"
    assert bar([(0, 29), (120, 121)], 600) == "███" + " " * 9 + "░" + " " * 47
    assert len(runs([0, 1] * 500)) == RUNS_MAX
    assert runs_text([(i, i) for i in range(0, 40, 2)]).endswith("14, …")


@pytest.mark.slow
def test_parts_are_held_shown_and_released(held: tuple[CommandLine, str]) -> None:
    who, key = held
    said = who.call("payload", "hold", key, "--pieces", "1-3")
    assert said.status == 0, said.err
    lines = said.out.splitlines()
    assert lines[0].startswith(
        f"held: payload …{key[-15:]}, 3 of 5 pieces (60.0 %), 3 kept, 3.1 MB"
    )
    assert lines[1].strip().startswith("3.1 MB  from mirror http://127.0.0.1:")
    shown = who.call("payload", "show", key).out.splitlines()
    assert "    3 of 5 pieces (60.0 %), 3 kept, 3.1 MB of disk" in shown
    assert shown[-2:] == ["    [ ███ ]", "    pieces here: 1-3"]
    assert "    3 of 5 pieces (60.0 %), 3 kept, 3.1 MB of disk" in (
        who.call("payload", "list").out.splitlines()
    )

    freed = who.call("payload", "release", key[:12], "--files", "b.tif")
    assert freed.out.splitlines() == [
        f"released: payload …{key[-15:]}, 1 piece freed",
        "  2 of 5 pieces (40.0 %), 2 kept, 2.1 MB of disk left",
    ]
    assert footprint(who, key)["runs"] == [[1, 2]]
    assert who.call("payload", "release", key, "--json").json["held"]["held_pieces"] == 0
    assert footprint(who, key) is None


@pytest.mark.slow
def test_files_of_a_pattern_are_held_whole_and_given_without_the_mirror(
    held: tuple[CommandLine, str], tmp_path: Path
) -> None:
    who, key = held
    said = who.call("payload", "hold", key, "--files", "b.*", "--json")
    assert said.status == 0, said.err
    assert said.json["held"]["runs"] == [[3, 4]]
    assert said.json["held"]["files"] == 1
    got = who.call("get", f"payload:{key}", "--only", "b.*", "--to", str(tmp_path), "--json")
    assert got.status == 0, got.err
    assert (tmp_path / "b.tif").read_bytes() == bytes_of("b.tif")


@pytest.mark.slow
def test_rot_is_found_and_mended(held: tuple[CommandLine, str]) -> None:
    who, key = held
    assert who.call("payload", "hold", key, "--files", "b.tif").status == 0
    name = f"payload …{key[-15:]}"
    sound = "2.1 MB of 1 payload looked at: 0 rotten pieces\n"
    assert who.call("payload", "scrub", "--rate", "0").out == sound
    flip(who.home / "payloads" / key / "data" / "1", 7)
    assert who.call("payload", "scrub", key, "--rate", "0").out.splitlines() == [
        f"{name}: 1 piece had rotted",
        "2.1 MB of 1 payload looked at: 1 rotten piece",
    ]
    (found,) = who.call("payload", "scrub", "--rate", "0", "--json").json
    assert (found["rotten_pieces"], found["missing_pieces"]) == ([], [])
    assert (who.home / "payloads" / key / "data" / "1").read_bytes() == bytes_of("b.tif")


@pytest.mark.slow
def test_a_pause_is_told_and_lasts_until_it_is_ended(held: tuple[CommandLine, str]) -> None:
    who, key = held
    said = who.call("payload", "pause").out.splitlines()
    assert said[0] == "paused: no payload is fetched or served until: meshnode payload resume"
    assert " received, " in said[1]
    assert "  payloads are paused: meshnode payload resume" in who.call("status").out.splitlines()
    assert_refused(
        who.call("payload", "hold", key),
        "transfers are paused",
        "meshnode payload resume lets them go on",
    )
    assert who.call("payload", "resume").out.splitlines()[0] == "transfers go on"
    assert who.call("payload", "hold", key, "--json").status == 0
    assert who.call("payload", "resume", "--json").json["stopped"] is None


@pytest.mark.slow
def test_what_is_not_under_an_open_licence_is_held_only_if_asked(
    held: tuple[CommandLine, str],
) -> None:
    who, key = held
    licensed(who, "CC-BY-NC-4.0")
    assert_refused(
        who.call("payload", "hold", key),
        "the licence of 'towns' is CC-BY-NC-4.0, which is no open one",
        "--any-license holds it, if you may pass it on",
    )
    assert footprint(who, key) is None
    assert who.call("payload", "hold", key, "--pieces", "0", "--any-license").status == 0
    assert footprint(who, key)["runs"] == [[0, 0]]


@pytest.mark.slow
def test_pieces_that_are_none_are_refused(held: tuple[CommandLine, str]) -> None:
    who, key = held
    for pieces, message, hint in (
        ("x", "'x' are no pieces", "write them as 0-255, or one of them as 7"),
        ("3-5", "there are no pieces 3-5", "they are numbered from 0 to 4"),
        ("3-2", "there are no pieces 3-2", "they are numbered from 0 to 4"),
    ):
        assert_refused(who.call("payload", "hold", key, "--pieces", pieces), message, hint)
    assert_refused(
        who.call("payload", "release", key), "nothing of this payload is here",
        "meshnode payload list",
    )  # fmt: skip
