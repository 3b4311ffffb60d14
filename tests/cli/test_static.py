"""A static mirror as its institution makes it: what is printed, and what may not be in it."""

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


def test_a_mirror_is_written_brought_up_to_date_and_checked(towns: CommandLine) -> None:
    first = towns.call("static", "export", "www")
    assert first.status == 0, first.err
    assert first.out.startswith("1 catalogue, 6 files (")
    assert "\nwritten  6 (" in first.out
    assert all(len(line) <= 80 for line in first.out.splitlines())
    assert towns.call("static", "export", "www", "--json").json["written"] == 0
    checked = towns.call("verify", "www")
    assert checked.status == 0, checked.out
    assert checked.out.startswith("1 catalogue, 1 root, 2 heads, 3 entries\n")


def test_what_is_withdrawn_for_privacy_is_gone_after_the_next_export(towns: CommandLine) -> None:
    towns.call("static", "export", "www")
    before = tree(towns.folder / "www/objects")
    withdrawn = towns.call("withdraw", "towns", "dawson", "--reason", "privacy")
    assert withdrawn.status == 0, withdrawn.err
    said = towns.call("static", "export", "www", "--json").json
    assert said["removed"] >= 1
    after = tree(towns.folder / "www/objects")
    assert any(b"PAR1" in raw and b"dawson" in raw for raw in before.values())
    assert not any(b"PAR1" in raw and b"dawson" in raw for raw in after.values())
    assert towns.call("verify", "www").status == 0


def test_a_dry_run_makes_no_folder(towns: CommandLine) -> None:
    said = towns.call("static", "export", "www", "--catalogue", "towns", "--dry-run")
    assert "would be written  6 (" in said.out
    assert not (towns.folder / "www").exists()


def test_what_cannot_be_exported_says_why(towns: CommandLine) -> None:
    (towns.folder / "full").mkdir()
    (towns.folder / "full/page.html").write_text("a page")
    assert_refused(
        towns.call("static", "export", "full"),
        "full holds other files: page.html",
        "name an empty or a new directory",
    )
    assert_refused(
        towns.call("static", "export", "www", "--catalogue", "nobody"),
        "'nobody' is not a catalogue id (bafyrei…)",
        "copy the whole id, 59 characters",
    )


def test_a_peer_that_follows_nothing_has_no_mirror_to_write(newcomer: CommandLine) -> None:
    newcomer.call("init")
    assert_refused(
        newcomer.call("static", "export", "www"),
        "this peer follows no catalogue whose root is here",
        "meshnode follow CATALOGUE",
    )


def test_a_damaged_file_of_a_mirror_is_named(towns: CommandLine) -> None:
    towns.call("static", "export", "www")
    files = Path(towns.folder / "www/objects").glob("*/*")
    path = max(files, key=lambda each: each.stat().st_size)
    path.write_bytes(path.read_bytes()[:-1] + b"\0")
    said = towns.call("verify", "www")
    assert said.status == 1
    assert path.name in said.out
