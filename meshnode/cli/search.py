"""`search`: what people find, from this peer's own disk."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, assert_never

import typer
from rich.text import Text

from meshnode.cli.access import reach
from meshnode.cli.collection import title_in
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
    short,
    write_bytes,
)
from meshnode.control import Control, Message
from meshnode.errors import UsageError

app = typer.Typer()


@dataclass(slots=True)
class Found:
    """An answer: its items, how many there are, and what may be missing from it.

    `to_index` segments are here and not searchable yet; `overdue` catalogues may be out of date.
    """

    items: list[Message] = field(default_factory=list)
    result: Message = field(default_factory=dict)
    to_index: int = 0
    overdue: list[Message] = field(default_factory=list)


class Output(StrEnum):
    """What `search` prints."""

    TABLE = "table"
    JSON = "json"
    NDJSON = "ndjson"
    GEOJSON = "geojson"


@app.command(rich_help_panel="Use")
def search(
    home: HomeOption,
    bbox: BboxOption = None,
    intersects: IntersectsOption = None,
    datetime: DatetimeOption = None,
    text: TextOption = None,
    filter_: FilterOption = None,
    collection: CollectionOption = None,
    catalogue: CataloguesOption = None,
    item: IdsOption = None,
    dguid: DguidOption = None,
    current: CurrentOption = False,
    old: Annotated[
        bool, typer.Option("--old", help="Also rows that were replaced or withdrawn.")
    ] = False,
    sort: Annotated[
        str | None,
        typer.Option(help="Order by these, - for the greatest first: -datetime,eo:cloud_cover"),
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="Most items to show.")] = 20,
    fields: Annotated[
        str | None,
        typer.Option(help="Only these members, or all without: id,properties.title,-assets"),
    ] = None,
    count: Annotated[bool, typer.Option("--count", help="Only count what matches.")] = False,
    facets: Annotated[
        bool, typer.Option("--facets", help="Count what matches by collection and by year.")
    ] = False,
    ndjson: Annotated[bool, typer.Option("--ndjson", help="Print one item a line.")] = False,
    geojson: Annotated[
        bool, typer.Option("--geojson", help="Print a GeoJSON FeatureCollection.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Search the items of all followed catalogues, newest first.

    Examples:

      meshnode search --bbox -135.3,60.6,-134.9,60.8

      meshnode search -q "forêt boréale" --filter "eo:cloud_cover < 10" --sort eo:cloud_cover

      meshnode search --intersects yukon.geojson --datetime 2021-01-01T00:00:00Z/.. --ndjson

      meshnode search --dguid A00056001009 --facets
    """
    output = _output({Output.JSON: as_json, Output.NDJSON: ndjson, Output.GEOJSON: geojson}, fields)
    if (count or facets) and output not in (Output.TABLE, Output.JSON):
        raise UsageError(f"a count is no {output.value}", hint="--json prints it for programs")
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
    query |= {"old": True} if old else {}
    if count or facets:
        _counted(home, "facets" if facets else "count", query, output)
        return
    asked = {"sort": sort, "fields": fields}
    query |= {key: value for key, value in asked.items() if value is not None}
    found = run_async(lambda: _print_or_find(home, query | {"limit": limit}, output))
    match output:
        case Output.JSON | Output.GEOJSON:
            features = [json.loads(each["item"]) for each in found.items]
            # Members that GeoJSON does not know are allowed beside its own (RFC 7946 section 6.1).
            beside = _doubts(found) if output is Output.JSON else {}
            print_json({"type": "FeatureCollection", "features": features, **beside})
        case Output.TABLE:
            _print_found(found.items, limit, is_sorted=sort is not None)
        case Output.NDJSON:
            pass  # printed as it came
        case _:
            assert_never(output)
    if output is not Output.JSON:
        _print_doubts(found)


def _output(asked: dict[Output, bool], fields: str | None) -> Output:
    chosen = [output for output, is_asked in asked.items() if is_asked]
    if len(chosen) > 1:
        raise UsageError(f"{' and '.join(f'--{each.value}' for each in chosen)}: take one of them")
    if not chosen and fields is not None:
        raise UsageError(
            "--fields chooses members of JSON", hint="add --json, --ndjson or --geojson"
        )
    return chosen[0] if chosen else Output.TABLE


async def _print_or_find(home: Path, query: Message, output: Output) -> Found:
    """Ask the peer; items for NDJSON are printed as they come, and not kept."""
    from meshnode.runtime.segments.export import one_line

    async with reach(home) as control:
        if output is not Output.NDJSON:
            return await _found(control, "search", **query)
        return await _found(
            control, "search", lambda each: write_bytes(one_line(each["item"].encode())), **query
        )


def _counted(home: Path, action: str, query: Message, output: Output) -> None:
    async def ask() -> Found:
        async with reach(home) as control:
            return await _found(control, action, **query)

    found = run_async(ask)
    if output is Output.JSON:
        print_json({**found.result, **_doubts(found)})
        return
    out.print(str(found.result["count"]))
    if action == "facets":
        _print_facets(found.result)
    _print_doubts(found)


def _print_facets(said: Message) -> None:
    out.print("\nby catalogue and collection", style="bold")
    for each in said["collections"]:
        name = each["title"] or short(each["catalogue"])
        out.print(cut_line(f"  {each['count']:>9}  {each['collection']} · {name}"))
    out.print("\nby year", style="bold")
    for each in said["years"]:
        out.print(f"  {each['count']:>9}  {'no time' if each['year'] is None else each['year']}")


def _doubts(found: Found) -> Message:
    return {"to_index": found.to_index, "overdue": found.overdue}


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
    take: Callable[[Message], None] | None = None,
    **query: Any,  # noqa: ANN401 - JSON
) -> Found:
    """Ask for an answer with its items; `take` is given them instead, one by one."""
    found = Found()
    take = take or found.items.append
    async with aclosing(control.follow(action, **query)) as messages:
        async for message in messages:
            event = message.get("event", {})
            for each in event.get("found", ()):
                take(each)
            found.overdue += event.get("overdue", ())
            if "result" in message:
                found.result = message["result"]
                found.to_index = found.result["to_index"]
    return found


def _print_doubts(found: Found) -> None:
    if found.to_index:
        err.print(f"{counted(found.to_index, 'segment')} still to index: there may be more")
    if found.overdue:
        err.print(Text(overdue_line(found.overdue), "yellow"))


def _print_found(found: list[Message], limit: int, *, is_sorted: bool) -> None:
    """Two lines an item: its id to copy, then what it is."""
    for each in found:
        item = json.loads(each["item"])
        properties = item["properties"]
        when = _date(properties.get("datetime") or properties.get("start_datetime"))
        beaten = "" if each["is_visible"] else "  (replaced or withdrawn)"
        out.print(Text.assemble((item["id"], "bold"), beaten))
        about = (properties.get("title"), title_in(each["collection_titles"]))
        said = " · ".join(str(text) for text in about if text)
        out.print(cut_line(f"  {when}  {each['collection']}  {said}"))
    if not found:
        out.print("nothing found")
    elif len(found) == limit:
        which = "first" if is_sorted else "newest"
        err.print(f"the {which} {limit}; --limit shows more, --count says how many there are")


def _date(moment: object) -> str:
    return str(moment)[:10] if moment else "no date   "
