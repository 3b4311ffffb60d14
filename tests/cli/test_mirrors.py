"""`mirrors`: what is known of each, a check of all, and required ones with an alarm."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.command_line import CommandLine
from tests.cli.test_bad_input import assert_refused, town, write_items
from tests.cli.test_get import ASSET, bytes_of, mirror

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[CommandLine, str]]:
    """A running peer that publishes a file, and the URL of the folder of its mirror."""
    who = CommandLine(tmp_path_factory.mktemp("mirrors"))
    assert who.call("init", "--listen", "/ip4/127.0.0.1/tcp/0").status == 0
    for setting in ("payload.listen", "http.listen"):
        assert who.call("config", "set", setting, "127.0.0.1:0").status == 0
    who.call("config", "set", "payload.allow_local_addresses", "true")
    create = ("catalogue", "create", "towns", "--title", "Towns", "--no-passphrase")
    assert who.call(*create).status == 0
    write_items(who.folder / "items.ndjson", town("mayo", assets=ASSET))
    assert who.call("publish", "items.ndjson").status == 0
    (who.folder / "web").mkdir()
    (who.folder / "web" / "mayo.tif").write_bytes(bytes_of("mayo"))
    (who.folder / "mayo.tif").write_bytes(bytes_of("mayo"))
    with mirror(who.folder / "web") as url, who.running_peer():
        added = who.call(
            *("payload", "add", "mayo.tif", "--collection", "towns", "--json"),
            *("--bind", "mayo:data", "--mirror", f"{url}mayo.tif"),
        )
        assert added.status == 0, added.err
        yield who, url


def test_mirrors_are_checked_required_and_missed(made: tuple[CommandLine, str]) -> None:
    who, url = made
    assert who.call("mirrors").out == "nothing was fetched from a mirror yet\n"
    (payload,) = who.call("payload", "list", "--json").json
    name = f"payload:{payload['key']}"
    assert who.call("mirrors", "require").out == "no mirror is required\n"
    assert who.call("mirrors", "require", name, url, "--days", "2").status == 0

    said = who.call("status")
    assert f"mirror missing: {name} at {url}: not checked yet" in said.out.replace("\n", " ")

    said = who.call("mirrors", "check", "--json")
    assert said.status == 0, said.err
    (checked,) = said.json["mirrors"]
    assert (checked["url"], checked["right"]) == (f"{url}mayo.tif", True)
    assert 0 < checked["bytes"] <= 1 << 16  # compared with the file that is here
    assert [each["met"] for each in said.json["required"]] == [True]
    assert "mirror missing" not in who.call("status").out
    assert who.call("status", "--json").json["mirror_alarms"] == []

    (known,) = who.call("mirrors", "--json").json
    assert (known["proofs"], known["owed"], known["tier"]) == (1, 0, "usual")
    assert who.call("mirrors", "show", url, "--json").json == [known]
    assert "verified" in who.call("mirrors", "show", url).out

    Path(who.folder / "web" / "mayo.tif").write_bytes(bytes(len(bytes_of("mayo"))))
    said = who.call("mirrors", "check", name)
    assert said.status == 3
    assert "sent corrupt bytes" in said.out
    assert f"ALARM {name} at {url}: it fails (sent corrupt bytes)" in said.out
    assert "rests until" in who.call("mirrors").out
    assert [each["met"] for each in who.call("mirrors", "require", "--json").json] == [False]
    assert who.call("status", "--json").json["mirror_alarms"][0]["reason"] == "sent corrupt bytes"

    dropped = who.call("mirrors", "require", name, url, "--drop")
    assert dropped.out == "1 requirement dropped\n"
    assert who.call("mirrors", "check").status == 0


def test_what_names_no_mirror_or_payload_is_refused(made: tuple[CommandLine, str]) -> None:
    who, _ = made
    assert_refused(
        who.call("mirrors", "check", "mayo"),
        "'mayo' names no payload",
        "payload:KEY, doi:…, or release:COLLECTION@VERSION",
    )
    assert_refused(
        who.call("mirrors", "require", "payload:1234567890"),
        "name the mirror by how its URL begins",
        "meshnode mirrors require payload:1234567890 https://data.example.org/",
    )
    assert_refused(
        who.call("mirrors", "show", "https://none.example.org/"),
        "no mirror is known whose URL begins with https://none.example.org/",
        "meshnode mirrors lists them",
    )
