"""A catalogue carried on a disk: written as one file, read where there is no network."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from tests.cli.command_line import CommandLine, tree
from tests.cli.test_bad_input import assert_refused, town, write_items

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture
def towns(publisher: CommandLine) -> CommandLine:
    """Somebody who has published dawson and mayo in `towns`, a segment each."""
    for name in ("dawson", "mayo"):
        write_items(publisher.folder / "items.ndjson", town(name))
        assert publisher.call("publish", "items.ndjson").status == 0
    return publisher


@pytest.fixture
def bundle(towns: CommandLine) -> Path:
    written = towns.call("bundle", "write", "towns.tar")
    assert written.status == 0, written.err
    assert written.out.startswith("1 catalogue, 6 files (")
    return towns.folder / "towns.tar"


@pytest.fixture
def reader(tmp_path: Path) -> CommandLine:
    (tmp_path / "reader").mkdir()
    reader = CommandLine(tmp_path / "reader")
    reader.call("init")
    return reader


def ids_found_by(person: CommandLine) -> list[str]:
    return [each["id"] for each in person.call("search", "--json").json["features"]]


def test_what_is_read_is_what_was_written(
    towns: CommandLine, bundle: Path, reader: CommandLine
) -> None:
    said = reader.call("bundle", "read", str(bundle), "--yes")
    assert said.status == 0, said.err
    assert said.out.endswith("1 catalogue, 3 new objects\n")
    assert reader.call("search", "--json").json == towns.call("search", "--json").json
    assert reader.call("verify").status == 0
    again = reader.call("bundle", "read", str(bundle), "--json")
    assert (again.json["stored"], again.json["left"], again.json["faults"]) == (0, 0, [])


def test_the_same_state_gives_the_same_bytes_from_any_peer(
    bundle: Path, reader: CommandLine
) -> None:
    assert reader.call("bundle", "read", str(bundle), "--yes").status == 0
    assert reader.call("bundle", "write", "copy.tar").status == 0
    assert (reader.folder / "copy.tar").read_bytes() == bundle.read_bytes()
    piped = reader.shell("meshnode bundle write - > piped.tar")
    assert (piped.status, piped.out, piped.err) == (0, "", "")
    assert (reader.folder / "piped.tar").read_bytes() == bundle.read_bytes()


def test_a_folder_of_a_static_mirror_is_read_as_well(
    towns: CommandLine, reader: CommandLine
) -> None:
    assert towns.call("static", "export", "www").status == 0
    said = reader.call("bundle", "read", str(towns.folder / "www"), "--yes")
    assert said.status == 0, said.err
    assert ids_found_by(reader) == ["dawson", "mayo"]


def test_a_newer_bundle_brings_only_what_is_new_to_a_peer_that_runs(
    towns: CommandLine, bundle: Path, reader: CommandLine
) -> None:
    reader.call("config", "set", "network.listen", "/ip4/127.0.0.1/tcp/0")
    reader.call("config", "set", "payload.listen", "127.0.0.1:0")
    assert reader.call("bundle", "read", str(bundle), "--yes").status == 0
    write_items(towns.folder / "items.ndjson", town("faro"))
    assert towns.call("publish", "items.ndjson").status == 0
    assert towns.call("bundle", "write", str(bundle)).status == 0
    with reader.running_peer():
        said = reader.call("bundle", "read", str(bundle), "--json")  # followed: nothing to confirm
        assert (said.status, said.json["stored"]) == (0, 1), said.err
        assert ids_found_by(reader) == ["dawson", "faro", "mayo"]
        assert reader.call("peers", "--json").json["blames"] == []


def test_a_changed_object_is_refused_by_the_name_of_the_check_and_the_rest_is_taken(
    bundle: Path, reader: CommandLine
) -> None:
    whole = bundle.read_bytes()
    at = whole.index(b"PAR1") + 100
    bundle.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
    said = reader.call("bundle", "read", str(bundle), "--yes")
    assert said.status == 1
    assert "refused: content hash: " in said.out
    assert len(ids_found_by(reader)) == 1
    bundle.write_bytes(whole)
    assert reader.call("bundle", "read", str(bundle)).status == 0
    assert ids_found_by(reader) == ["dawson", "mayo"]


def test_reading_that_is_killed_goes_on_from_where_it_was(
    bundle: Path, reader: CommandLine
) -> None:
    process = reader.start("bundle", "read", str(bundle), "--yes")
    while not any((reader.home / "objects").glob("*/*")) and process.poll() is None:
        reader.run("version")  # some work, so that the disk is not looked at all the time
    process.send_signal(signal.SIGKILL)
    process.communicate()
    held = len(tree(reader.home / "objects"))
    said = reader.call("bundle", "read", str(bundle), "--json", "--yes")
    assert said.status == 0, said.err
    assert said.json["stored"] <= 3 - held
    assert ids_found_by(reader) == ["dawson", "mayo"]
    assert reader.call("verify").status == 0


def test_what_is_no_bundle_is_said_so(bundle: Path, reader: CommandLine) -> None:
    (reader.folder / "notes.txt").write_text("no bundle")
    hint = "copy it again, or write it again: meshnode bundle write"
    path = reader.folder / "notes.txt"
    assert_refused(
        reader.call("bundle", "read", "notes.txt"),
        f"{path} is not a whole bundle: no file begins at byte 0: truncated header",
        hint,
    )
    assert_refused(
        reader.call("bundle", "read", "nowhere.tar"),
        f"there is no {reader.folder / 'nowhere.tar'}",
        "check the path",
    )
    said = reader.call("bundle", "read", str(bundle))
    assert said.status == 1 and "compare the ids" in said.err


def test_what_is_withheld_is_not_in_a_bundle(towns: CommandLine, bundle: Path) -> None:
    before = bundle.read_bytes()
    assert towns.call("withdraw", "towns", "dawson", "--reason", "privacy").status == 0
    assert towns.call("bundle", "write", "towns.tar").status == 0
    after = bundle.read_bytes()
    assert before.count(b"PAR1") == 4  # two segments, at their beginning and at their end
    assert after.count(b"PAR1") == 2
