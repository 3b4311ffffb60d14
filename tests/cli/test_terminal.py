"""What a person sees on a real terminal of 80 columns, and what others must not do to it."""

import fcntl
import os
import pty
import re
import shutil
import struct
import subprocess
import termios
from pathlib import Path

import pytest

from tests.cli.command_line import MESHNODE, CommandLine
from tests.cli.test_bad_input import town, write_items

pytestmark = pytest.mark.slow

WIDTH = 80
ESCAPE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
COLOUR = re.compile(r"\x1b\[(?:\d+;)*(?:3[0-7]|38|9[0-7])(?:;\d+)*m")
LONG = "A title that goes on for longer than any terminal of eighty columns has room for, and on"
HOSTILE = "\x1b[31mred\x1b]0;owned\x07\u202egnp.exe"


def on_a_terminal(person: CommandLine, *arguments: str, **environment: str) -> str:
    """Run a command on a pseudo-terminal; return all that it wrote there."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, WIDTH, 0, 0))
    inherited = {name: text for name, text in person.environment.items() if name != "COLUMNS"}
    process = subprocess.Popen(
        [*MESHNODE, *arguments],
        cwd=person.folder,
        env=inherited | {"TERM": "xterm-256color"} | environment,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    written = b""
    while part := _read(ours):
        written += part
    os.close(ours)
    process.wait()
    return written.decode()


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 1 << 16)
    except OSError:  # how Linux says that the other end is closed
        return b""


def lines_of(written: str) -> list[str]:
    """Return the lines a person sees: of what is written over, the last."""
    plain = ESCAPE.sub("", written).replace("\r\n", "\n")
    return [line.rpartition("\r")[2] for line in plain.split("\n")]


@pytest.fixture(scope="module")
def person(tmp_path_factory: pytest.TempPathFactory, made_home: Path) -> CommandLine:
    """Somebody with items whose titles are long, or not honest."""
    person = CommandLine(tmp_path_factory.mktemp("terminal"))
    shutil.copytree(made_home, person.home)
    titles = {"long": LONG, "hostile": HOSTILE}
    items = (
        town(name, properties={"datetime": "2021-06-01T12:00:00Z", "title": title})
        for name, title in titles.items()
    )
    write_items(person.folder / "towns.ndjson", *items)
    write_items(person.folder / "bad.ndjson", town("nowhere", geometry=None))
    assert person.run("publish", "towns.ndjson").status == 0
    return person


@pytest.mark.parametrize(
    "arguments",
    [
        ["status"],
        ["peers"],
        ["search"],
        ["catalogue", "list"],
        ["publish", "bad.ndjson"],
        ["publish", "towns.ndjson", "--dry-run"],
        ["config", "set", "log.level", "loud"],
        ["show", "nothing"],
        ["search", "--nearby"],
    ],
    ids=" ".join,
)
def test_what_is_said_fits_80_columns(person: CommandLine, arguments: list[str]) -> None:
    lines = lines_of(on_a_terminal(person, *arguments))
    told = [line for line in lines if str(person.folder) not in line]  # its length is pytest's
    assert told != [""]
    assert max(map(len, told)) <= WIDTH


def test_a_long_error_is_folded_between_words(person: CommandLine) -> None:
    lines = lines_of(on_a_terminal(person, "config", "set", "log.level", "loud"))
    assert lines == [
        "error: the new value: log.level = 'loud': input should be 'debug', 'info',",
        "       'warning' or 'error'",
        "next:  `meshnode config schema` lists every field with its bounds and default",
        "",
    ]


@pytest.mark.parametrize("arguments", [["search"], ["show", "hostile"]], ids=" ".join)
def test_a_title_cannot_steer_the_terminal(person: CommandLine, arguments: list[str]) -> None:
    written = on_a_terminal(person, *arguments)
    shown = "\N{REPLACEMENT CHARACTER}[31mred\N{REPLACEMENT CHARACTER}]0;owned"
    assert shown in written
    assert "\x1b]" not in written
    assert "\u202e" not in written


def test_colours_are_for_terminals_that_want_them(person: CommandLine) -> None:
    command = ("show", "nothing")
    assert COLOUR.search(on_a_terminal(person, *command))
    assert not COLOUR.search(on_a_terminal(person, *command, NO_COLOR="1"))
    assert "\x1b" not in person.run(*command).err


def test_progress_is_shown_on_a_terminal_only(person: CommandLine) -> None:
    command = ("publish", "towns.ndjson", "--dry-run")
    assert "checking items" in on_a_terminal(person, *command)
    assert person.run(*command).err == ""
