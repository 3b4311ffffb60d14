"""`export`: what is visible, into files that other tools read."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Final, assert_never

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
    IdsOption,
    IntersectsOption,
    TextOption,
    query_of,
)
from meshnode.cli.search import found_by
from meshnode.cli.terminal import (
    HomeOption,
    JsonOption,
    counted,
    err,
    print_json,
    progress,
    run_async,
)
from meshnode.control import Control, Message
from meshnode.errors import UsageError

ItemKey = tuple[str, str, str]  # catalogue, collection, id
STDOUT: Final = Path("-")

app = typer.Typer()


class Format(StrEnum):
    """What `export` writes."""

    NDJSON = "ndjson"
    GEOPARQUET = "geoparquet"
    STAC = "stac"


@dataclass(frozen=True, slots=True)
class Part:
    """One collection of one catalogue in the answer; `count` is about how many items it has."""

    catalogue: str
    title: str
    collection: str
    count: int


@dataclass(frozen=True, slots=True)
class Source:
    """What is exported: the items that a query finds, each as it is written."""

    control: Control
    query: Message
    released: dict[ItemKey, Message]
    step: Callable[[int], None]

    async def found(self, part: Part | None = None) -> AsyncGenerator[Message, None]:
        """Yield what is found, of one part alone if it is given; `item` is the text to write."""
        query = self.query
        if part is not None:
            query = query | {"catalogues": [part.catalogue], "collections": [part.collection]}
        async with aclosing(found_by(self.control, "search", **query)) as found:
            async for each in found:
                self.step(1)
                yield each | {"item": _exported(each, self.released)}

    async def items(self, part: Part | None = None) -> AsyncGenerator[bytes, None]:
        async with aclosing(self.found(part)) as found:
            async for each in found:
                yield each["item"]

    async def parts(self) -> list[Part]:
        """Return the collections that the answer reaches into, those of a catalogue together."""
        answer = await self.control.ask("facets", **self.query)
        names = ("catalogue", "title", "collection", "count")
        parts = [Part(*(each[name] for name in names)) for each in answer["collections"]]
        if not parts:
            raise UsageError("no items match: nothing is written")
        return parts

    async def document(self, part: Part) -> bytes:
        """Return the document of a collection; if it is not here, one that says no more."""
        from meshnode.runtime.datasets.collection import minimal_collection

        where = {"catalogue": part.catalogue, "collection": part.collection}
        try:
            answer = await self.control.ask("collection", **where)
        except UsageError:
            return minimal_collection(part.collection)
        document: bytes = answer["document"].encode()
        return document


@app.command(rich_help_panel="Use")
def export(
    home: HomeOption,
    to: Annotated[
        Path, typer.Option("--to", help="The file or folder to write, or - for standard output.")
    ],
    format_: Annotated[Format, typer.Option("--format", help="What to write.")] = Format.NDJSON,
    bbox: BboxOption = None,
    datetime: DatetimeOption = None,
    collection: CollectionOption = None,
    catalogue: CataloguesOption = None,
    item: IdsOption = None,
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
    force: Annotated[bool, typer.Option("--force", help="Replace what is there.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Export what is visible, into a file or a folder that is there as a whole or not at all.

    ndjson: one item a line, the published bytes. geoparquet: STAC-GeoParquet, one collection in
    FILE.parquet, or all of them in a folder. stac: a static STAC catalogue in a folder.

    Examples:

      meshnode export --to items.ndjson

      meshnode export --releases --to cited.ndjson

      meshnode export --format geoparquet --collection ca-yt-orthoimagery --to yukon.parquet

      meshnode export --format stac --bbox -141,60,-124,70 --to yukon-stac
    """
    if to == STDOUT and format_ is not Format.NDJSON:
        raise UsageError(f"{format_} cannot be written to a stream", hint="name a place with --to")
    query = query_of(
        bbox,
        datetime,
        collection,
        catalogue,
        item,
        dguid,
        text=text,
        filter_=filter_,
        intersects=intersects,
        current=current,
    )

    async def write() -> Message:
        async with reach(home) as control:
            released = await _released(control, query) if releases else {}
            with progress(*_columns()) as bar:
                task = bar.add_task("exporting items", total=None)
                if not bar.disable:  # only who watches wants to know how many there will be
                    bar.update(task, total=await _total(control, query))
                source = Source(control, query, released, lambda count: bar.advance(task, count))
                return await _written(source, to, format_, force=force)

    written = run_async(write)
    if as_json and to != STDOUT:
        print_json({**written, "to": str(to), "format": format_.value})
    else:
        err.print(f"{counted(written['items'], 'item')} written to {to}")


async def _written(source: Source, to: Path, format_: Format, *, force: bool) -> Message:
    from meshnode.runtime.exports.destination import replacing
    from meshnode.runtime.segments.export import export_ndjson

    match format_:
        case Format.NDJSON if to == STDOUT:
            return {"items": await export_ndjson(source.items(), to)}
        case Format.NDJSON:
            with replacing(to, is_folder=False, force=force) as made:
                return {"items": await export_ndjson(source.items(), made / to.name)}
        case Format.GEOPARQUET:
            with replacing(to, is_folder=not to.suffix, force=force) as made:
                return await _write_geoparquet(source, made, to)
        case Format.STAC:
            with replacing(to, is_folder=True, force=force) as made:
                return await _write_stac(source, made)
        case _:
            assert_never(format_)


async def _write_geoparquet(source: Source, made: Path, to: Path) -> Message:
    """Write one file, or a folder with a file or more a collection; numbers are their names."""
    from meshnode.runtime.exports.destination import SUMMARY, parts_of, write_summary
    from meshnode.runtime.segments.export import export_geoparquet

    parts = await source.parts()
    if to.suffix and len(parts) > 1:
        raise UsageError(
            f"a GeoParquet file holds one collection of one catalogue, here are {len(parts)}",
            hint="name it with --collection and --catalogue, or a folder with --to",
        )
    files: list[Message] = []
    for number, part in enumerate(parts, 1):
        path = made / (to.name if to.suffix else f"{number}.parquet")
        document = await source.document(part)
        items = await export_geoparquet(source.items(part), path, part.collection, document)
        said = {"catalogue": part.catalogue, "collection": part.collection}
        files.append({**said, "items": items, "files": [each.name for each in parts_of(path)]})
    written = {"items": sum(each["items"] for each in files), "collections": files}
    if not to.suffix:
        write_summary(made / SUMMARY, written)
    return written


async def _write_stac(source: Source, made: Path) -> Message:
    from meshnode.runtime.exports.destination import SUMMARY, write_summary
    from meshnode.runtime.exports.static_stac import StaticStac

    stac = StaticStac(made, "What a peer of a federation of open-data catalogues shows")
    collections: list[Message] = []
    for part in await source.parts():
        document = await source.document(part)
        stac.begin(part.catalogue, part.title, part.collection, document, part.count)
        items = 0
        async with aclosing(source.found(part)) as found:
            async for each in found:
                if stac.lacks_proof(each["segment"]):
                    stac.prove(each["segment"], await _evidence(source.control, each))
                stac.add(each["item"], each)
                items += 1
        said = {"catalogue": part.catalogue, "collection": part.collection}
        collections.append({**said, "items": items})
    stac.end()
    written = {"items": sum(each["items"] for each in collections), "collections": collections}
    write_summary(made / SUMMARY, written)
    return written


async def _evidence(control: Control, found: Message) -> Message | None:
    """Return what proves an item's segment, None if this peer cannot show it."""
    where = {"catalogue": found["catalogue"], "collection": found["collection"]}
    try:
        evidence = await control.ask("evidence", **where, item=found["id"])
    except UsageError:
        return None
    return evidence if evidence["segment"] == found["segment"] else None


async def _total(control: Control, query: Message) -> int | None:
    """Return how many items there will be, None if counting takes too long."""
    try:
        return int((await control.ask("count", **query))["count"])
    except UsageError:
        return None


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


def _columns() -> tuple[Any, ...]:
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn

    return (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
