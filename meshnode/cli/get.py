"""`get`: an item's files, from mirrors and peers at once, verified."""

from __future__ import annotations

from contextlib import aclosing
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, DownloadColumn, TransferSpeedColumn

from meshnode.cli.access import reach
from meshnode.cli.terminal import (
    HomeOption,
    JsonOption,
    out,
    print_json,
    progress,
    run_async,
    size_text,
)
from meshnode.control import Message
from meshnode.errors import UsageError

app = typer.Typer()


@app.command(rich_help_panel="Use")
def get(
    home: HomeOption,
    item: Annotated[str, typer.Argument(help="The item's id.")],
    to: Annotated[Path, typer.Option("--to", help="The folder to put the files in.")] = Path(),
    asset: Annotated[str | None, typer.Option(help="Only this asset of the item.")] = None,
    collection: Annotated[str | None, typer.Option(help="The item's collection.")] = None,
    catalogue: Annotated[str | None, typer.Option(help="The item's catalogue, by id.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Get the files of an item, from its mirrors and other peers at once.

    Every piece is verified, and each file's SHA-256 at the end. An interrupted download goes on
    where it was. Peers see your address and which payload you ask for, as always in BitTorrent.

    Examples:

      meshnode get ca-yt_whitehorse-2019 --to .

      meshnode get ca-yt_whitehorse-2019 --asset data --to /data --json
    """
    from meshnode.runtime.payloads.delivery import deliver

    if not to.is_dir():
        raise UsageError(f"{to} is not a folder", hint=f"mkdir {to}")

    async def work() -> Message:
        async with reach(home) as control:
            asked = {"item": item, "asset": asset, "collection": collection, "catalogue": catalogue}
            arguments = {key: value for key, value in asked.items() if value is not None}
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

    result = run_async(work)
    for file in result["files"]:
        file["to"] = str(deliver(Path(file["at"]), to, file["path"], file["sha256"]))
    if as_json:
        print_json(result)
        return
    for file in result["files"]:
        out.print(f"{file['to']}  {size_text(file['size_bytes'])}  sha256 {file['sha256']}")
    for source, size_bytes in result["by_source"].items():
        out.print(f"  {size_text(size_bytes):>10}  from {source}")


def _sources(by_source: dict[str, int]) -> str:
    mirrors = sum(name.startswith("mirror") for name in by_source)
    return f"{mirrors} mirrors, {len(by_source) - mirrors} peers"
