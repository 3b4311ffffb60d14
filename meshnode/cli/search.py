"""`search`, `export`: what people find, from this peer's own disk."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.text import Text

from meshnode.cli.access import reach
from meshnode.cli.collection import title_in
from meshnode.cli.standing import overdue_line
from meshnode.cli.terminal import (
    HomeOption,
    JsonOption,
    counted,
    cut_line,
    err,
    out,
    print_json,
    run_async,
)
from meshnode.control import Control, Message
from meshnode.errors import UsageError

ItemKey = tuple[str, str, str]  # catalogue, collection, id

app = typer.Typer()

BboxOption = Annotated[
    str | None,
    typer.Option(help="west,south,east,north in degrees; west > east crosses the antimeridian."),
]
DatetimeOption = Annotated[
    str | None,
    typer.Option("--datetime", help="RFC 3339 instant or interval: 2020-01-01T00:00:00Z/.."),
]
CollectionOption = Annotated[
    list[str] | None,
    typer.Option("--collection", help="Only these collections, by id or title (repeatable)."),
]
CataloguesOption = Annotated[
    list[str] | None, typer.Option("--catalogue", help="Only these catalogues, by id (repeatable).")
]
DguidOption = Annotated[
    list[str] | None,
    typer.Option(
        "--dguid",
        help="Only this place of Statistics Canada: 2021A00056001009, or A00056001009 for every "
        "year (repeatable).",
    ),
]
IdsOption = Annotated[list[str] | None, typer.Option("--id", help="Only these items (repeatable).")]


@dataclass(slots=True)
class Found:
    """An answer: its items, how many there are, and what may be missing from it.

    `to_index` segments are here and not searchable yet; `overdue` catalogues may be out of date.
    """

    items: list[Message] = field(default_factory=list)
    count: int = 0
    to_index: int = 0
    overdue: list[Message] = field(default_factory=list)


class Format(StrEnum):
    """What `export` writes."""

    NDJSON = "ndjson"
    GEOPARQUET = "geoparquet"


@app.command(rich_help_panel="Use")
def search(
    home: HomeOption,
    bbox: BboxOption = None,
    datetime: DatetimeOption = None,
    collection: CollectionOption = None,
    catalogue: CataloguesOption = None,
    item: IdsOption = None,
    dguid: DguidOption = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="Most items to show.")] = 20,
    count: Annotated[bool, typer.Option("--count", help="Only count what matches.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Search the items of all followed catalogues, newest first.

    Examples:

      meshnode search --bbox -135.3,60.6,-134.9,60.8

      meshnode search --datetime 2021-01-01T00:00:00Z/.. --collection ca-yt-orthoimagery --json

      meshnode search --dguid A00056001009
    """
    query = query_of(bbox, datetime, collection, catalogue, item, dguid)

    async def ask() -> Found:
        async with reach(home) as control:
            if count:
                return await _found(control, "count", **query)
            return await _found(control, "search", **query, limit=limit)

    found = run_async(ask)
    # Members that GeoJSON does not know are allowed beside its own (RFC 7946 section 6.1).
    beside = {"to_index": found.to_index, "overdue": found.overdue}
    if count:
        print_json({"count": found.count, **beside}) if as_json else out.print(str(found.count))
    elif as_json:
        features = [json.loads(each["item"]) for each in found.items]
        print_json({"type": "FeatureCollection", "features": features, **beside})
    else:
        _print_found(found.items, limit)
    if not as_json:
        _print_doubts(found)


@app.command(rich_help_panel="Use")
def export(
    home: HomeOption,
    to: Annotated[Path, typer.Option("--to", help="The file to write, or - for standard output.")],
    format_: Annotated[Format, typer.Option("--format", help="What to write.")] = Format.NDJSON,
    bbox: BboxOption = None,
    datetime: DatetimeOption = None,
    collection: CollectionOption = None,
    catalogue: CataloguesOption = None,
    dguid: DguidOption = None,
    releases: Annotated[
        bool,
        typer.Option(
            "--releases",
            help="Write version, DOI and links of each item's release into it: not as published.",
        ),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Export what is visible: NDJSON with the published bytes, or one GeoParquet file.

    Examples:

      meshnode export --to items.ndjson

      meshnode export --releases --to cited.ndjson

      meshnode export --format geoparquet --collection ca-yt-orthoimagery --to yukon.parquet
    """
    from meshnode.runtime.segments.export import export_geoparquet, export_ndjson

    query = query_of(bbox, datetime, collection, catalogue, None, dguid)

    async def write() -> int:
        async with reach(home) as control, aclosing(found_by(control, "search", **query)) as found:
            released = await _released(control, query) if releases else {}
            items = (_exported(each, released) async for each in found)
            if format_ is Format.NDJSON:
                return await export_ndjson(items, to)
            name, document = await _document(control, collection, catalogue)
            return await export_geoparquet(items, to, name, document)

    number = run_async(write)
    if as_json and str(to) != "-":
        print_json({"items": number, "to": str(to)})
    else:
        err.print(f"{number} items written to {to}")


async def _released(control: Control, query: Message) -> dict[ItemKey, Message]:
    """Return the release of each item that a file of one is bound to."""
    where = {"catalogues": query.get("catalogues", [])}
    released: dict[ItemKey, Message] = {}
    async with aclosing(control.follow("released_items", **where)) as messages:
        async for message in messages:
            if event := message.get("event"):
                place = event["release"]["catalogue"], event["release"]["collection"]
                released |= {(*place, item): event["release"] for item in event["items"]}
    return released


def _exported(found: Message, released: dict[ItemKey, Message]) -> bytes:
    from meshnode.runtime.datasets.version_links import with_release

    raw: bytes = found["item"].encode()
    release = released.get((found["catalogue"], found["collection"], found["id"]))
    return with_release(raw, release) if release else raw


async def _document(
    control: Control, collections: list[str] | None, catalogues: list[str] | None
) -> tuple[str, bytes]:
    if not collections or len(collections) != 1 or len(catalogues or []) > 1:
        raise UsageError(
            "a GeoParquet file holds one collection of one catalogue",
            hint="name it with --collection, and --catalogue where several have it",
        )
    where = {"catalogue": catalogues[0]} if catalogues else {}
    answer = await control.ask("collection", collection=collections[0], **where)
    return collections[0], answer["document"].encode()


async def found_by(
    control: Control,
    action: str,
    **query: Any,  # noqa: ANN401 - JSON
) -> AsyncGenerator[Message, None]:
    """Yield the items of an answer one by one."""
    async with aclosing(control.follow(action, **query)) as messages:
        async for message in messages:
            for each in message.get("event", {}).get("found", ()):
                yield each


async def _found(
    control: Control,
    action: str,
    **query: Any,  # noqa: ANN401 - JSON
) -> Found:
    found = Found()
    async with aclosing(control.follow(action, **query)) as messages:
        async for message in messages:
            event = message.get("event", {})
            found.items += event.get("found", ())
            found.overdue += event.get("overdue", ())
            if "result" in message:
                found.count = message["result"]["count"]
                found.to_index = message["result"]["to_index"]
    return found


def _print_doubts(found: Found) -> None:
    if found.to_index:
        err.print(f"{counted(found.to_index, 'segment')} still to index: there may be more")
    if found.overdue:
        err.print(Text(overdue_line(found.overdue), "yellow"))


def query_of(
    bbox: str | None,
    datetime: str | None,
    collections: list[str] | None,
    catalogues: list[str] | None,
    ids: list[str] | None,
    dguids: list[str] | None = None,
) -> Message:
    query = {
        "bbox": _numbers(bbox) if bbox else None,
        "datetime": datetime,
        "collections": collections,
        "catalogues": catalogues,
        "ids": ids,
        "dguids": dguids,
    }
    return {key: value for key, value in query.items() if value}


def _numbers(bbox: str) -> list[float]:
    try:
        return [float(part) for part in bbox.split(",")]
    except ValueError as error:
        raise UsageError(f"--bbox {bbox!r} is not west,south,east,north") from error


def _print_found(found: list[Message], limit: int) -> None:
    """Two lines an item: its id to copy, then what it is."""
    for each in found:
        item = json.loads(each["item"])
        properties = item["properties"]
        when = _date(properties.get("datetime") or properties.get("start_datetime"))
        out.print(Text(item["id"], style="bold"))
        about = (properties.get("title"), title_in(each["collection_titles"]))
        said = " · ".join(str(text) for text in about if text)
        out.print(cut_line(f"  {when}  {each['collection']}  {said}"))
    if not found:
        out.print("nothing found")
    elif len(found) == limit:
        err.print(f"the newest {limit}; --limit shows more, --count says how many there are")


def _date(moment: object) -> str:
    return str(moment)[:10] if moment else "no date   "
