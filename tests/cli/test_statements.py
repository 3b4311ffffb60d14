"""What somebody reports about a catalogue, everybody who follows it can read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import trio

from meshnode.control import Control
from tests.cli.command_line import CommandLine

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

SECONDS_MAX = 60.0
PLACE = ("--problem", "place", "--item", "towns/t-1", "--note", "It lies in the sea.")


def test_a_report_is_shown_and_a_later_one_takes_its_place(publisher: CommandLine) -> None:
    assert publisher.call("statements").out == "nobody has stated anything\n"
    made = publisher.call("report", "towns", *PLACE)
    assert made.status == 0
    first, second = made.out.splitlines()
    assert first.startswith("issue by this peer until ")
    assert " about bafyrei" in first
    assert second == "  place of towns/t-1: It lies in the sea."
    assert publisher.call("statements", "towns", "--kind", "issue").out == made.out
    assert publisher.call("report", "towns", "--problem", "licence").status == 0
    shown = publisher.call("statements", "--json").json
    assert shown["count"] == 1
    [only] = shown["statements"]
    assert only["says"] == {"problem": "licence", "item": None, "note": ""}
    assert only["own"] is True
    assert only["expires"] - only["issued"] == 90 * 86_400
    nothing = publisher.call("statements", "--kind", "provider")
    assert nothing.out == "nobody has stated anything\n"


@pytest.mark.parametrize(
    ("arguments", "problem", "hint"),
    [
        (("towns", "--problem", "ugly"), "ugly", "--help"),
        (("towns", "--problem", "place", "--item", "x"), "COLLECTION/ITEM", "search"),
        (("payload:12", "--problem", "place"), "key of a payload", "payload list"),
        (("payload:" + "0" * 64, "--problem", "place"), "nothing that is followed", "follow"),
        (("nowhere", "--problem", "place"), "nowhere", "59 characters"),
        (("towns", "--problem", "other", "--note", "é" * 600), "1,024 bytes", "shorter"),
        (("towns", "--problem", "other", "--days", "0"), "days", "--help"),
    ],
)
def test_a_report_that_cannot_be_made_says_why(
    publisher: CommandLine, arguments: tuple[str, ...], problem: str, hint: str
) -> None:
    said = publisher.call("report", *arguments)
    assert (said.status > 0, said.out) == (True, "")
    error, next_step = said.err.split("next: ")
    assert problem in error
    assert hint in next_step


def test_a_report_reaches_a_peer_that_was_not_there(publisher: CommandLine, tmp_path: Path) -> None:
    (tmp_path / "reader").mkdir()
    reader = CommandLine(tmp_path / "reader")
    reader.call("init", "--listen", "/ip4/127.0.0.1/tcp/0")
    for who in (reader, publisher):
        who.call("config", "set", "payload.listen", "127.0.0.1:0")
    assert publisher.call("report", "towns", *PLACE).status == 0  # offline: nobody hears it
    with publisher.running_peer():
        status = publisher.call("status", "--json").json
        reader.call("config", "set", "network.seeds", status["addresses"][0])
        with reader.running_peer():
            assert reader.call("follow", status["catalogues"][0]["id"]).status == 0
            [found] = until_stated(reader)
    assert found["issuer"] == status["peer"]
    assert found["says"]["note"] == "It lies in the sea."
    assert [each["name"] for each in reader.call("statements", "--json").json["statements"]] == [
        found["name"]
    ]


def until_stated(who: CommandLine) -> list[dict[str, Any]]:
    """Ask until a statement is there; comparing brings it within a poll."""

    async def wait() -> list[dict[str, Any]]:
        control = Control(who.home / "control.sock")
        with trio.fail_after(SECONDS_MAX):
            while not (said := await control.ask("statements"))["count"]:
                pass
        return list(said["statements"])

    return trio.run(wait)
