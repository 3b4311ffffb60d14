"""`changes` as a person and a program use it."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest

from tests.cli.command_line import CommandLine
from tests.cli.test_bad_input import assert_refused, write_items
from tests.cli.yukon import TOWNS, town_of

pytestmark = pytest.mark.slow


def publish(reader: CommandLine, name: str, title: str) -> None:
    item = town_of("mayo") | {"id": name}
    item["properties"] = {**item["properties"], "title": title}
    write_items(reader.folder / "items.ndjson", item)
    assert reader.call("publish", "items.ndjson", "--offline").status == 0


def cursor_of(said_err: str) -> str:
    return said_err.splitlines()[-1].removeprefix("to go on from here: --since ")


def test_the_newest_are_shown_and_the_cursor_goes_on(reader: CommandLine) -> None:
    said = reader.call("changes")
    assert sorted(line[18:] for line in said.out.splitlines()) == [
        f"added      towns  {name}" for name in sorted(TOWNS)
    ]
    cursor = cursor_of(said.err)

    publish(reader, "mayo", "Mayo")
    publish(reader, "elsa", "Elsa")
    withdraw = ("withdraw", "--offline", "--reason", "error", "towns", "dawson")
    assert reader.call(*withdraw).status == 0

    said = reader.call("changes", "--since", cursor)
    assert [line[18:] for line in said.out.splitlines()] == [
        "replaced   towns  mayo",
        "added      towns  elsa",
        "withdrawn  towns  dawson",
    ]
    said = reader.call("changes", "--since", cursor, "--count")
    assert [line.rstrip() for line in said.out.splitlines()] == [
        "added  replaced  withdrawn  collection  catalogue",
        "1      1         1          towns       Yukon",
    ]
    assert reader.call("changes", "--since", cursor_of(said.err)).out == "nothing changed\n"
    assert max(map(len, reader.call("changes", "--since", "beginning").out.splitlines())) <= 80


def test_one_change_a_line_has_the_published_bytes(reader: CommandLine, yukon: Path) -> None:
    published = (yukon / "towns.ndjson").read_text().splitlines()

    lines = reader.call("changes", "--since", "beginning", "--ndjson").out.splitlines()

    assert len(lines) == len(TOWNS)
    assert all(any(line.endswith(f', "item": {item}}}') for item in published) for line in lines)
    middle = json.loads(lines[0])["cursor"]
    rest = reader.call("changes", "--since", middle, "--ndjson").out.splitlines()
    assert [json.loads(line)["id"] for line in rest] == [
        json.loads(line)["id"] for line in lines[1:]
    ]
    assert (
        reader.call("changes", "--since", "beginning", "--limit", "2", "--json").json["count"] == 2
    )


def test_an_index_that_was_made_anew_tells_all_anew(reader: CommandLine) -> None:
    cursor = reader.call("changes", "--json").json["cursor"]
    assert reader.call("index", "rebuild").status == 0

    said = reader.call("changes", "--since", cursor, "--json")

    assert (said.json["reset"], len(said.json["changes"])) == (True, len(TOWNS))
    assert said.err == "the cursor means nothing here any more: all is told anew\n"


def test_who_follows_sees_what_happens(reader: CommandLine) -> None:
    with reader.running_peer():
        follower = reader.start("changes", "--since", "now", "--follow", "--ndjson")
        try:
            publish_running(reader, "elsa")
            assert follower.stdout is not None
            said = json.loads(follower.stdout.readline())
        finally:
            follower.send_signal(signal.SIGINT)
            follower.communicate(timeout=60)
    assert (said["change"], said["id"], said["item"]["id"]) == ("added", "elsa", "elsa")


def publish_running(reader: CommandLine, name: str) -> None:
    write_items(reader.folder / "items.ndjson", town_of("mayo") | {"id": name})
    assert reader.run("publish", "items.ndjson", "--offline").status == 0


def test_mistakes_are_said(reader: CommandLine) -> None:
    assert_refused(
        reader.call("changes", "--since", "yesterday"),
        "'yesterday' is no cursor, time or day",
        "a cursor of an answer before, 2026-11-27T00:00:00Z, 2026-11-27, beginning or now",
    )
    assert_refused(
        reader.call("changes", "--count"),
        "--count counts what is new since a moment",
        "--since 2026-11-01",
    )


def test_what_a_closing_takes_back_is_withdrawn(reader: CommandLine) -> None:
    cursor = reader.call("changes", "--json").json["cursor"]
    close = ("writer", "close", "first writer", "--at", "1", "--replace-by", "new.key.pub", "--yes")
    assert reader.call("key", "create", "new.key", "--no-passphrase").status == 0
    assert reader.call(*close).status == 0

    said = reader.call("changes", "--since", cursor, "--json").json

    assert {each["id"]: each["change"] for each in said["changes"]} == dict.fromkeys(
        TOWNS, "withdrawn"
    )
    assert all("item" not in each for each in said["changes"])
    assert reader.call("search", "--count").out == "0\n"
