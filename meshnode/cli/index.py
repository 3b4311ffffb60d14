"""`index`: look after the search index, which is made from the segments and can be made again."""

from __future__ import annotations

from contextlib import aclosing
from pathlib import Path

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID
from rich.text import Text

from meshnode.cli.access import reach
from meshnode.cli.terminal import (
    HomeOption,
    JsonOption,
    counted,
    out,
    print_fields,
    print_json,
    print_table,
    progress,
    run_async,
    size_text,
)
from meshnode.control import Message
from meshnode.errors import StorageError

app = typer.Typer(no_args_is_help=True, help="The search index: stats, check, rebuild.")


@app.command()
def stats(home: HomeOption, as_json: JsonOption = False) -> None:
    """Say what the index holds and how much room it takes.

    Example:

      meshnode index stats
    """
    said, _ = _follow(home, "index_stats", "indexing")
    if as_json:
        print_json(said)
        return
    _print_stats(said)


@app.command()
def check(home: HomeOption, as_json: JsonOption = False) -> None:
    """Check the index: its tables against each other, every row against the item's bytes.

    A peer that runs goes on meanwhile. Problems end the command with the status 1.

    Example:

      meshnode index check
    """
    said, problems = _follow(home, "index_check", "checking")
    if as_json:
        print_json({"segments": said["segments"], "problems": problems})
    else:
        for problem in problems:
            out.print(Text(problem))
    if problems:
        raise StorageError(
            f"the index has {counted(len(problems), 'problem')}",
            hint="stop the peer, then: meshnode index rebuild",
        )
    if not as_json:
        out.print(f"the index is sound: {counted(said['segments'], 'segment')} checked")


@app.command()
def rebuild(home: HomeOption, as_json: JsonOption = False) -> None:
    """Delete the index and make it again from the segments on this disk; nothing else changes.

    The peer must not run. Interrupted, the next command or `meshnode run` goes on with it.

    Example:

      meshnode index rebuild
    """
    from meshnode.runtime.home import Home, HomeLock
    from meshnode.runtime.index.schema import delete

    layout = Home(home)
    layout.check()
    with HomeLock(layout):
        delete(layout.index)
    said, _ = _follow(home, "index_stats", "indexing")
    if as_json:
        print_json(said)
        return
    _print_stats(said)


@app.command()
def properties(home: HomeOption, as_json: JsonOption = False) -> None:
    """List what --filter may name: the properties that the items here have.

    Those with a kind have a column of their own and are fast; the others are read from each item.

    Example:

      meshnode index properties
    """
    said, _ = _follow(home, "queryables", "reading")
    if as_json:
        print_json(said["queryables"])
        return
    rows = [(each["name"], each["kind"], each["title"]) for each in said["queryables"]]
    print_table(("property", "kind", "what it is"), rows)


def _follow(home: Path, action: str, doing: str) -> tuple[Message, list[str]]:
    """Ask, show how far it is, and return the result and the problems."""

    async def ask() -> tuple[Message, list[str]]:
        problems: list[str] = []
        with progress(doing, BarColumn(), MofNCompleteColumn()) as bar:
            task = bar.add_task(doing, total=None)
            async with (
                reach(home) as control,
                aclosing(control.follow(action)) as messages,
            ):
                async for message in messages:
                    if "result" in message:
                        return message["result"], problems
                    problems += message["event"].get("problems", ())
                    _advance(bar, task, message["event"])
        raise AssertionError("every answer ends with a result")

    return run_async(ask)


def _advance(bar: Progress, task: TaskID, said: Message) -> None:
    if "to_index" in said:
        total = max(bar.tasks[task].total or 0, said["to_index"])
        bar.update(task, total=total, completed=total - said["to_index"])
    elif "segments" in said:
        bar.update(task, total=said["segments"], completed=said["checked"])


def _print_stats(said: Message) -> None:
    rows, items = said["rows"], said["items"]
    size = size_text(said["size_bytes"])
    each = f", {said['size_bytes'] / rows:,.0f} B a row" if rows else ""
    print_fields(
        items=f"{items:,} in {counted(said['collections'], 'collection')}",
        old_rows=f"{rows - items:,} replaced or withdrawn",
        segments=f"{said['segments']:,}"
        + (f", {said['to_index']:,} still to index" if said["to_index"] else ""),
        properties=f"{said['properties']:,}",
        size=f"{size}{each}",
        format=str(said["format"]),
    )
