"""`show`: one item, or one release, with what is known of it and who signed it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from meshnode.cli.access import reach
from meshnode.cli.collection import title_in
from meshnode.cli.naming import ReleaseName, release_name, releases_named
from meshnode.cli.query_options import CataloguesOption, CollectionOption, query_of
from meshnode.cli.release import print_release, version_line
from meshnode.cli.search import found_by
from meshnode.cli.standing import titled
from meshnode.cli.terminal import (
    HomeOption,
    JsonOption,
    out,
    print_fields,
    print_json,
    run_async,
    write_bytes,
)
from meshnode.control import Control, Message
from meshnode.errors import UsageError

SHOWN_MAX = 100  # items of one id, in as many collections

app = typer.Typer()


@app.command(rich_help_panel="Use")
def show(
    home: HomeOption,
    item: Annotated[
        str, typer.Argument(help="The item's id; or doi:…, or release:COLLECTION@VERSION.")
    ],
    collection: CollectionOption = None,
    catalogue: CataloguesOption = None,
    old: Annotated[
        bool, typer.Option("--old", help="Also the versions that were replaced or withdrawn.")
    ] = False,
    raw: Annotated[bool, typer.Option("--raw", help="Print the exact bytes published.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Show an item or a release, and who signed it.

    Examples:

      meshnode show ca-yt_whitehorse-2019

      meshnode show ca-yt_whitehorse-2019 --raw | sha256sum

      meshnode show doi:10.5072/yukon-2019
    """
    if name := release_name(item):
        _show_releases(home, name, catalogue or [], as_json=as_json)
        return

    async def ask() -> list[Message]:
        query = query_of(None, None, collection, catalogue, [item]) | {"old": old}
        async with reach(home) as control:
            found = [each async for each in found_by(control, "search", **query, limit=SHOWN_MAX)]
            for each in found:
                each["licence"] = await _licence(control, each)
                each["releases"] = await _releases(control, each)
            return found

    found = run_async(ask)
    if not found:
        raise UsageError(
            f"no item {item!r} is visible here",
            hint=f"meshnode status --home {home} says whether there is more to fetch",
        )
    if raw:
        for each in found:
            write_bytes(each["item"].encode())
        return
    if as_json:
        print_json([{**each, "item": json.loads(each["item"])} for each in found])
        return
    for each in found:
        _print_item(each)


def _show_releases(home: Path, name: ReleaseName, catalogues: list[str], *, as_json: bool) -> None:
    async def ask() -> list[Message]:
        async with reach(home) as control:
            return await releases_named(control, name, catalogues)

    found = run_async(ask)
    if as_json:
        print_json(found)
        return
    for each in found:
        print_release(each)


async def _licence(control: Control, each: Message) -> str:
    """Return the licence that the item says, else the one that its collection says."""
    said = json.loads(each["item"])["properties"].get("license")
    if said:
        return str(said)
    where = {"collection": each["collection"], "catalogue": each["catalogue"]}
    try:
        answer = await control.ask("collection", **where)
    except UsageError:
        return "not known here yet"
    return str(json.loads(answer["document"]).get("license", "not said"))


async def _releases(control: Control, each: Message) -> list[Message]:
    """Return the releases that hold an asset of this item, with what STAC says of them."""
    from meshnode.runtime.datasets.version_links import version_members

    where = {"catalogues": [each["catalogue"]], "collection": each["collection"]}
    answer = await control.ask("releases", **where, item=each["id"])
    names = ("release", "version", "doi", "is_newest", "predecessor", "successors", "conflicts")
    return [
        {**{name: release[name] for name in names}, "stac": version_members(release)}
        for release in answer["releases"]
    ]


def _print_item(each: Message) -> None:
    item = json.loads(each["item"])
    beaten = "" if each["is_visible"] else "  (replaced or withdrawn)"
    out.print(Text.assemble((item["id"], "bold"), beaten))
    if title := item["properties"].get("title"):
        out.print(Text(str(title)))
    print_fields(
        licence=each["licence"],
        releases="\n".join(version_line(release) for release in each["releases"]),
        collection="\n".join(
            filter(None, (each["collection"], title_in(each["collection_titles"])))
        ),
        catalogue=f"{titled(each, '')}\n{each['catalogue']}",
        signed_by=f"{each['writer']}, clock {each['clock']}",
        state="" if each["state"] == ["current"] else ", ".join(each["state"]),
        segment=each["segment"],
    )
    out.print("\nassets", style="bold")
    for key, asset in item.get("assets", {}).items():
        out.print(Text(f"  {key}  {asset.get('type', '')}\n    {asset.get('href', '')}"))
