"""`changes`: what came to show here, what took its place, and what was withdrawn."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from contextlib import aclosing
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from meshnode.cli.access import reach
from meshnode.cli.query_options import CataloguesOption, CollectionOption
from meshnode.cli.terminal import (
    HomeOption,
    JsonOption,
    counted,
    cut_line,
    err,
    out,
    print_json,
    print_table,
    run_async,
    short,
    write_bytes,
)
from meshnode.control import Message
from meshnode.errors import UsageError

app = typer.Typer()


@app.command(rich_help_panel="Use")
def changes(
    home: HomeOption,
    since: Annotated[
        str | None,
        typer.Option(
            help="A cursor of an answer before, a time, a day, beginning or now. "
            "Without it: the newest."
        ),
    ] = None,
    collection: CollectionOption = None,
    catalogue: CataloguesOption = None,
    limit: Annotated[
        int | None, typer.Option(min=1, help="Most changes to show; without --since 20.")
    ] = None,
    follow: Annotated[
        bool, typer.Option("--follow", help="Go on, and show each change as it happens.")
    ] = False,
    count: Annotated[
        bool, typer.Option("--count", help="Count what is new since then, by collection.")
    ] = False,
    ndjson: Annotated[
        bool, typer.Option("--ndjson", help="Print one change a line, with its item and cursor.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Show what changed here: items added, replaced and withdrawn, in the order they came to show.

    Whoever does what each change says, from any cursor on, ends with what a search shows.

    Examples:

      meshnode changes

      meshnode changes --since 2026-11-01 --count

      meshnode changes --since beginning --ndjson

      meshnode changes --collection ca-yt-orthoimagery --follow
    """
    asked: Message = {"collections": collection, "catalogues": catalogue, "since": since}
    query = {key: value for key, value in asked.items() if value is not None}
    if count:
        if since is None or follow or ndjson or limit:
            raise UsageError("--count counts what is new since a moment", hint="--since 2026-11-01")
        _count(home, query, as_json=as_json)
        return
    if ndjson and as_json:
        raise UsageError("--json and --ndjson: take one of them")
    lines = ndjson or (as_json and follow)
    show = _print_line if lines else None if as_json else _print_change
    query |= {"follow": follow} | ({} if limit is None else {"limit": limit})
    found = run_async(lambda: _found(home, query, show))
    if show is None:
        print_json(found)
    elif not lines:
        _print_end(found)


async def _found(home: Path, query: Message, show: Callable[[Message], None] | None) -> Message:
    """Read the feed; changes that are shown as they come are counted, and not kept."""
    kept: list[Message] = []
    said: Message = {"changes": kept, "count": 0, "reset": False}
    async with reach(home) as control, aclosing(control.follow("changes", **query)) as messages:
        async for message in messages:
            event = message.get("event", {})
            if event.get("reset"):
                said["reset"] = True
                err.print(
                    Text("the cursor means nothing here any more: all is told anew", "yellow")
                )
            for change in event.get("changes", ()):
                said["count"] += 1
                if show is not None:
                    show(change)
                else:
                    kept.append(_with_item(change))
            said |= message.get("result", {})
    return said


def _with_item(change: Message) -> Message:
    return change | ({"item": json.loads(change["item"])} if "item" in change else {})


def _print_line(change: Message) -> None:
    """Print a change on one line, its item as it was published but for line breaks."""
    from meshnode.runtime.segments.export import one_line

    said = {key: value for key, value in change.items() if key != "item"}
    line = json.dumps(said, ensure_ascii=False).encode()
    if "item" in change:
        line = line[:-1] + b', "item": ' + one_line(change["item"].encode())[:-1] + b"}"
    write_bytes(line + b"\n")
    sys.stdout.buffer.flush()


def _print_change(change: Message) -> None:
    when = change["at"].replace("T", " ")[:16]
    line = cut_line(f"{when}  {change['change']:<9}  {change['collection']}  {change['id']}")
    out.print(line)


def _print_end(found: Message) -> None:
    if not found["count"]:
        out.print("nothing changed")
    if found["to_index"]:
        err.print(f"{counted(found['to_index'], 'segment')} still to index: there will be more")
    err.print(f"to go on from here: --since {found['cursor']}")


def _count(home: Path, query: Message, *, as_json: bool) -> None:
    async def ask() -> Message:
        async with reach(home) as control:
            return await control.ask("changes_count", **query)

    said = run_async(ask)
    if as_json:
        print_json(said)
        return
    kinds = ("added", "replaced", "withdrawn")
    rows = [
        (
            *(each[kind] for kind in kinds),
            each["collection"],
            each["title"] or short(each["catalogue"]),
        )
        for each in said["collections"]
    ]
    if rows:
        print_table((*kinds, "collection", "catalogue"), rows)
    else:
        out.print("nothing changed")
    err.print(f"to go on from here: --since {said['cursor']}")
