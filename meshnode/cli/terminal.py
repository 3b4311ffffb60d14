"""How every command speaks: options that all share, tables, JSON, errors with a next step."""

from __future__ import annotations

import json
import sys
import textwrap
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import Annotated, TypeVar

import trio
import typer
from rich.console import Console, ConsoleRenderable, RenderHook
from rich.progress import Progress, ProgressColumn
from rich.table import Table
from rich.text import Text

from meshnode.default_home import ENV_HOME, default_home
from meshnode.errors import MeshnodeError, first_of

# C0 and C1 controls but for tab and line feed, and marks that change the direction of writing.
STEERING = dict.fromkeys(
    {*range(0x20), *range(0x7F, 0xA0), *range(0x202A, 0x202F), *range(0x2066, 0x206A)} - {9, 10},
    "\N{REPLACEMENT CHARACTER}",
)
FIELD_WIDTH = 12  # columns of a field's name
PIPE_WIDTH = 10_000  # columns: wider than any row, and a bound on what a hostile title costs

Result = TypeVar("Result")


HomeOption = Annotated[
    Path,
    typer.Option(
        "--home",
        envvar=ENV_HOME,
        help="The data directory.",
        default_factory=default_home,
        show_default="the user's data folder",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]

out = Console(highlight=False, soft_wrap=True)
err = Console(stderr=True, highlight=False, soft_wrap=True)


class Harmless(RenderHook):
    """Shows a mark instead of characters that steer a terminal or hide what is said.

    Titles, ids and reasons come from strangers.
    """

    def process_renderables(self, renderables: list[ConsoleRenderable]) -> list[ConsoleRenderable]:
        for each in renderables:
            if isinstance(each, Text):
                each.plain = visible(each.plain)
        return renderables


out.push_render_hook(Harmless())
err.push_render_hook(Harmless())


def visible(text: str) -> str:
    return text.translate(STEERING)


def run_async(work: Callable[[], Awaitable[Result]]) -> Result:
    """Run a command's coroutine; an error that several tasks share comes out as one."""

    async def main() -> Result:
        return await work()

    try:
        return trio.run(main)
    except BaseExceptionGroup as group:
        raise first_of(group) from group


def write_bytes(raw: bytes) -> None:
    """Write exactly these bytes, after all that was printed before, whatever the locale says."""
    sys.stdout.flush()
    sys.stdout.buffer.write(raw)


def print_json(value: object) -> None:
    """Print JSON in UTF-8, as RFC 8259 section 8.1 wants it."""
    write_bytes(json.dumps(value, ensure_ascii=False, indent=2).encode() + b"\n")


def print_json_line(value: object) -> None:
    """Print one of many values, at once: a program that watches waits for it."""
    write_bytes(json.dumps(value, ensure_ascii=False).encode() + b"\n")
    sys.stdout.buffer.flush()


def print_table(columns: Iterable[str], rows: Iterable[Iterable[object]]) -> None:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(Text(visible(str(cell))) for cell in row))
    # Folded to fit a terminal; on a pipe each row stays one line, for grep and the like.
    width = None if out.is_terminal else PIPE_WIDTH
    Console(highlight=False, width=width).print(table)


def print_fields(**fields: str) -> None:
    """Print names and texts in two columns, further lines of a text below its first; none empty."""
    for name, text in fields.items():
        if text:
            lines = text.replace("\n", f"\n{'':{FIELD_WIDTH}}")
            out.print(Text(f"{name.replace('_', ' '):<{FIELD_WIDTH}}{lines}"))


def progress(*columns: str | ProgressColumn) -> Progress:
    """Make a progress display; on anything but a terminal it shows nothing."""
    return Progress(*columns, console=err, transient=True, disable=not err.is_terminal)


def cut_line(text: str) -> Text:
    """Return one line of text, ended by … where the terminal is too narrow for it."""
    line = Text(text.replace("\n", " "))
    if out.is_terminal:
        line.truncate(out.width, overflow="ellipsis")
    return line


def print_error(error: MeshnodeError) -> None:
    """Say what happened and what to do next; JSON where the command was asked for JSON."""
    sys.stdout.flush()  # what was printed before comes first, where both are one file
    if "--json" in sys.argv:
        said = {"error": {"message": str(error), "hint": error.hint, "kind": type(error).__name__}}
        sys.stderr.write(json.dumps(said, ensure_ascii=False) + "\n")
        return
    print_labelled("error:", str(error), "red bold", err)
    if error.hint:
        print_labelled("next: ", error.hint, "bold", err)


def print_labelled(label: str, text: str, style: str, console: Console) -> None:
    """Print a label and its text, folded between words where a terminal is too narrow for it."""
    line = f"{label} {text}"
    if console.is_terminal:
        line = textwrap.fill(
            line,
            console.width,
            subsequent_indent=" " * (len(label) + 1),
            break_long_words=False,
            break_on_hyphens=False,
        )
    said = Text(line)
    said.stylize(style, 0, len(label))
    console.print(said)


def counted(number: int, one: str, many: str = "") -> str:
    """Return a number with its noun: 1 entry, 2 entries."""
    return f"{number} {one if number == 1 else many or f'{one}s'}"


def size_text(size_bytes: float) -> str:
    """Return a size for people, in decimal units (1 MB = 10^6 bytes)."""
    for unit in ("B", "kB", "MB", "GB"):
        if size_bytes < 1000:
            return f"{size_bytes:.0f} {unit}" if unit == "B" else f"{size_bytes:.1f} {unit}"
        size_bytes /= 1000
    return f"{size_bytes:.1f} TB"


def short(text: str, length: int = 16) -> str:
    """Shorten an id for a table: its end tells ids apart, its start does not."""
    return text if len(text) <= length else "…" + text[1 - length :]
