"""`payload url`: where programs read the files of a payload in place."""

from __future__ import annotations

from typing import Annotated

import typer

from meshnode.cli.access import reach
from meshnode.cli.naming import PAYLOAD, payload_named
from meshnode.cli.terminal import HomeOption, JsonOption, out, print_json, run_async
from meshnode.control import Message
from meshnode.errors import UsageError


def url(
    home: HomeOption,
    name: Annotated[str, typer.Argument(help="An item's id, or payload:KEY.")],
    asset: Annotated[str | None, typer.Option(help="Only this asset of the item.")] = None,
    collection: Annotated[str | None, typer.Option(help="The item's collection.")] = None,
    catalogue: Annotated[str | None, typer.Option(help="The item's catalogue, by id.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Print the URLs at which QGIS, DuckDB, GDAL or a browser of this machine read files in place.

    The running peer fetches the parts that a program asks for, from mirrors and other peers,
    verifies them, and keeps them. Nothing is fetched before somebody reads.

    Examples:

      meshnode payload url ca-yt_whitehorse-2019 --asset data

      gdalinfo /vsicurl/$(meshnode payload url ca-yt_whitehorse-2019 --asset data)

      meshnode payload url payload:1a9a0dac02abf7d4 --json
    """
    if asset and name.startswith(PAYLOAD):
        raise UsageError("--asset is one of an item's", hint="name the item, not its payload")
    given = {"asset": asset, "collection": collection, "catalogue": catalogue}
    wanted = {key: value for key, value in given.items() if value is not None}

    async def ask() -> Message:
        async with reach(home) as control:
            if name.startswith(PAYLOAD):
                known = (await control.ask("payloads"))["payloads"]
                return await control.ask(
                    "payload_urls", **wanted, payload=payload_named(known, name)["key"]
                )
            return await control.ask("payload_urls", **wanted, item=name)

    said = run_async(ask)
    if as_json:
        print_json(said)
        return
    for file in said["files"]:
        out.print(file["url"], markup=False)
