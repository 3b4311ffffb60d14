"""`get`: files of items and releases, from mirrors and peers at once, verified."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated

import typer

from meshnode.cli.access import reach
from meshnode.cli.fetching import Fetching
from meshnode.cli.naming import PAYLOAD, payload_named, release_name, release_named
from meshnode.cli.terminal import (
    HomeOption,
    JsonOption,
    out,
    print_error,
    print_json,
    run_async,
    size_text,
)
from meshnode.control import Control, Message
from meshnode.errors import MeshnodeError, UsageError

app = typer.Typer()


@app.command(rich_help_panel="Use")
def get(
    home: HomeOption,
    items: Annotated[
        list[str],
        typer.Argument(
            metavar="ITEM...",
            help="Ids of items; or doi:…, release:COLLECTION@VERSION, payload:KEY.",
        ),
    ],
    to: Annotated[Path, typer.Option("--to", help="The folder to put the files in.")] = Path(),
    asset: Annotated[str | None, typer.Option(help="Only this asset of each item.")] = None,
    only: Annotated[
        str | None, typer.Option(help="Only files whose path or name is like this: '*_2019_*.tif'.")
    ] = None,
    copy: Annotated[
        bool, typer.Option("--copy", help="Make files of your own, that you may write to.")
    ] = False,
    collection: Annotated[str | None, typer.Option(help="The items' collection.")] = None,
    catalogue: Annotated[str | None, typer.Option(help="The items' catalogue, by id.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Get the files of items or releases, from mirrors and other peers at once.

    Every piece is verified, and each file's SHA-256 at the end. An interrupted download goes on
    where it was. Peers see your address and which payload you ask for, as always in BitTorrent.

    On the file system of the data directory no second copy is made: files share their blocks with
    the peer's, or where the file system cannot do that, are second names of them, read-only.

    Examples:

      meshnode get ca-yt_whitehorse-2019 --to .

      meshnode get ca-yt_whitehorse-2019 --asset data --to /data --json

      meshnode get doi:10.5072/yukon-2019 --only '*.parquet' --to /data

      meshnode get town-a town-b town-c --to /data --copy
    """
    if not to.is_dir():
        raise UsageError(f"{to} is not a folder", hint=f"mkdir {to}")
    if asset and any(item.startswith(PAYLOAD) or release_name(item) for item in items):
        raise UsageError("--asset is one of an item's", hint="name the item, not its release")
    where = {"collection": collection, "catalogue": catalogue}
    where = {key: value for key, value in where.items() if value is not None}
    chosen = {key: value for key, value in (("asset", asset), ("only", only)) if value}
    deliver = _delivering(home, to, may_link=not copy)

    async def work() -> tuple[list[Message], list[MeshnodeError]]:
        async with reach(home) as control:
            wanted = [
                {**each, **chosen}
                for item in dict.fromkeys(items)
                for each in await _wanted(control, item, where)
            ]
            return await Fetching(control, deliver).fetch(wanted)

    results, failures = run_async(work)
    if as_json:
        is_one = len(items) == 1 and not release_name(items[0])
        if results or not failures:
            print_json(results[0] if is_one else results)
    else:
        _say(results)
    for failure in failures[1:]:
        print_error(failure)
    if failures:
        raise failures[0]


async def _wanted(control: Control, item: str, where: Message) -> list[Message]:
    """Return what to ask for each payload that a name stands for."""
    if item.startswith(PAYLOAD):
        known = (await control.ask("payloads"))["payloads"]
        return [{"payload": payload_named(known, item)["key"], **where}]
    if name := release_name(item):
        catalogues = [where["catalogue"]] if "catalogue" in where else []
        found = await release_named(control, name, catalogues)
        return [{**where, **each} for each in _payloads_of(found)]
    return [{"item": item, **where}]


def _payloads_of(found: Message) -> Iterator[Message]:
    """Yield what to ask for each payload of a release.

    Raises:
        UsageError: it has none, or one is withdrawn or not here yet.
    """
    if not found["payloads"]:
        raise UsageError("this release has no files: it is a version of the items alone")
    for payload in found["payloads"]:
        if not payload["is_live"]:
            raise UsageError(
                f"the payload {payload['key']} of this release is withdrawn, or not here yet",
                hint="meshnode log CATALOGUE --collection COLLECTION says which",
            )
        yield {
            "payload": payload["key"],
            "collection": found["collection"],
            "catalogue": found["catalogue"],
        }


def _delivering(home: Path, to: Path, *, may_link: bool) -> Callable[[Message], None]:
    """Return what puts the files of a result into the folder and says where, under `to`."""
    from meshnode.runtime.home import Home
    from meshnode.runtime.payloads.delivery import deliver

    own = Home(home).payloads.absolute()
    delivered: dict[str, str] = {}  # where each file's name came from, by its path on this disk

    def put(result: Message) -> None:
        for file in result["files"]:
            name, at = Path(file["path"]).name, Path(file["at"])
            if delivered.setdefault(name, file["at"]) != file["at"]:
                raise UsageError(
                    f"two files are called {name}: {file['path']} was not put into {to}",
                    hint="get the items one by one, each into a folder of its own with --to",
                )
            links = may_link and at.is_relative_to(own)
            place, how = deliver(at, to, file["path"], file["sha256"], may_link=links)
            file |= {"to": str(place), "handover": how.value}

    return put


def _say(results: list[Message]) -> None:
    for file in (file for result in results for file in result["files"]):
        out.print(f"{file['to']}  {size_text(file['size_bytes'])}  {_sum(file['sha256'])}")
    by_source = sum((Counter(result["by_source"]) for result in results), Counter[str]())
    for source, size_bytes in by_source.items():
        out.print(f"  {size_text(size_bytes):>10}  from {source}")


def _sum(sha256: str | None) -> str:
    return f"sha256 {sha256}" if sha256 else "verified piece by piece (no SHA-256 is published)"
