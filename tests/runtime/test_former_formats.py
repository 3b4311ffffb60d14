"""Data directories as former versions left them are taken over: nothing is lost, nothing is new."""

from __future__ import annotations

import tarfile
from contextlib import aclosing
from pathlib import Path

import apsw
import pytest
import trio

from meshnode.control import Control, Message
from meshnode.runtime.home import Home
from meshnode.runtime.log_formats import SCHEMA_VERSION
from meshnode.runtime.service import offline
from tests.runtime.homes import WITHIN_SECONDS, ids_found

FROZEN = Path(__file__).parent / "formats"
FORMATS = range(1, SCHEMA_VERSION + 1)  # a new format is not complete without its frozen file
ITEMS = ["town-1", "town-2", "town-3"]


def unpacked(number: int, folder: Path) -> Home:
    with tarfile.open(FROZEN / f"log-{number}.tar.xz") as archive:
        archive.extractall(folder, filter="data")
    return Home(folder)


def format_of(home: Home) -> int:
    return int(apsw.Connection(str(home.log)).pragma("user_version"))


async def until_indexed(home: Home) -> Message:
    """Wait until all segments are searchable again: an index of a former format is made anew."""
    async with aclosing(Control(home.control).follow("watch")) as changes:
        async for change in changes:
            status: Message = change["event"]
            if status["backlog"] == 0:
                return status
    raise AssertionError("the peer ended")


@pytest.mark.parametrize("number", FORMATS)
async def test_a_directory_of_a_former_format_is_taken_over_and_shows_what_it_held(
    tmp_path: Path, number: int
) -> None:
    home = unpacked(number, tmp_path / "home")
    assert format_of(home) == number
    for _ in range(2):  # the second start finds what the first has written
        with trio.fail_after(WITHIN_SECONDS):
            async with offline(home.root):
                status = await until_indexed(home)
                found = await ids_found(home)
        [catalogue] = status["catalogues"]
        assert found == ITEMS
        assert (catalogue["title"], catalogue["items"], catalogue["segments"]) == ("Towns", 3, 2)
        assert [(log["seq"], log["disputed"]) for log in catalogue["logs"]] == [(2, False)]
        assert (status["refused"], status["backlog"]) == ([], 0)
    assert format_of(home) == SCHEMA_VERSION
