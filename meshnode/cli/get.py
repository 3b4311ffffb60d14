"""`get`: an item's files, from mirrors and peers at once, verified."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import aclosing
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, DownloadColumn, TransferSpeedColumn

from meshnode.cli.access import reach
from meshnode.cli.naming import PAYLOAD, payload_named, release_name, release_named
from meshnode.cli.terminal import (
    HomeOption,
    JsonOption,
    out,
    print_json,
    progress,
    run_async,
    size_text,
)
from meshnode.control import Control, Message
from meshnode.errors import UsageError

app = typer.Typer()


@app.command(rich_help_panel="Use")
def get(
    home: HomeOption,
    item: Annotated[
        str,
        typer.Argument(help="The item's id; or doi:…, release:COLLECTION@VERSION, payload:KEY."),
    ],
    to: Annotated[Path, typer.Option("--to", help="The folder to put the files in.")] = Path(),
    asset: Annotated[str | None, typer.Option(help="Only this asset of the item.")] = None,
    collection: Annotated[str | None, typer.Option(help="The item's collection.")] = None,
    catalogue: Annotated[str | None, typer.Option(help="The item's catalogue, by id.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Get the files of an item or a release, from mirrors and other peers at once.

    Every piece is verified, and each file's SHA-256 at the end. An interrupted download goes on
    where it was. Peers see your address and which payload you ask for, as always in BitTorrent.

    Examples:

      meshnode get ca-yt_whitehorse-2019 --to .

      meshnode get ca-yt_whitehorse-2019 --asset data --to /data --json

      meshnode get doi:10.5072/yukon-2019 --to /data
    """
    from meshnode.runtime.payloads.delivery import deliver

    if not to.is_dir():
        raise UsageError(f"{to} is not a folder", hint=f"mkdir {to}")

    if asset and (item.startswith(PAYLOAD) or release_name(item)):
        raise UsageError("--asset is one of an item's", hint="name the item, not its release")
    where = {"collection": collection, "catalogue": catalogue}
    where = {key: value for key, value in where.items() if value is not None}

    async def work() -> list[Message]:
        async with reach(home) as control:
            if item.startswith(PAYLOAD):
                wanted = [await _payload(control, item, where)]
            elif name := release_name(item):
                found = await release_named(control, name, [catalogue] if catalogue else [])
                wanted = list(_payloads_of(found))
            else:
                wanted = [{"item": item, "asset": asset} if asset else {"item": item}]
            return [await _fetch(control, {**where, **each}) for each in wanted]

    results = run_async(work)
    files = [file for result in results for file in result["files"]]
    for file in files:
        file["to"] = str(deliver(Path(file["at"]), to, file["path"], file["sha256"]))
    by_source = sum((Counter(result["by_source"]) for result in results), Counter[str]())
    if as_json:
        print_json(results if release_name(item) else results[0])
        return
    for file in files:
        out.print(f"{file['to']}  {size_text(file['size_bytes'])}  {_sum(file['sha256'])}")
    for source, size_bytes in by_source.items():
        out.print(f"  {size_text(size_bytes):>10}  from {source}")


async def _fetch(control: Control, arguments: Message) -> Message:
    """Fetch the files of one payload; return where they lie."""
    columns = ("{task.description}", BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with progress(*columns) as bar:
        task = bar.add_task("asking peers", total=None)
        async with aclosing(control.follow("get", **arguments)) as messages:
            async for message in messages:
                if "result" in message:
                    return dict(message["result"])
                seen = message["event"]["progress"]
                bar.update(
                    task,
                    total=seen["total_bytes"],
                    completed=seen["done_bytes"],
                    description=_sources(seen["by_source"]),
                )
    raise AssertionError("the control client ends with a result or an error")


async def _payload(control: Control, text: str, where: Message) -> Message:
    known = (await control.ask("payloads"))["payloads"]
    return {"payload": payload_named(known, text)["key"], **where}


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


def _sum(sha256: str | None) -> str:
    return f"sha256 {sha256}" if sha256 else "verified piece by piece (no SHA-256 is published)"


def _sources(by_source: dict[str, int]) -> str:
    mirrors = sum(name.startswith("mirror") for name in by_source)
    return f"{mirrors} mirrors, {len(by_source) - mirrors} peers"
