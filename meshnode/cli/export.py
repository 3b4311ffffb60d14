"""`export`: what is visible, into files that other tools read."""

from __future__ import annotations

from contextlib import aclosing
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from meshnode.cli.access import reach
from meshnode.cli.query_options import (
    BboxOption,
    CataloguesOption,
    CollectionOption,
    CurrentOption,
    DatetimeOption,
    DguidOption,
    FilterOption,
    IntersectsOption,
    TextOption,
    query_of,
)
from meshnode.cli.search import found_by
from meshnode.cli.terminal import HomeOption, JsonOption, err, print_json, run_async
from meshnode.control import Control, Message
from meshnode.errors import UsageError

ItemKey = tuple[str, str, str]  # catalogue, collection, id

app = typer.Typer()


class Format(StrEnum):
    """What `export` writes."""

    NDJSON = "ndjson"
    GEOPARQUET = "geoparquet"


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
    intersects: IntersectsOption = None,
    text: TextOption = None,
    filter_: FilterOption = None,
    current: CurrentOption = False,
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

    query = query_of(
        bbox,
        datetime,
        collection,
        catalogue,
        None,
        dguid,
        text=text,
        filter_=filter_,
        intersects=intersects,
        current=current,
    )

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
