"""`payload`: dataset files, published with the items that they belong to."""

from __future__ import annotations

from contextlib import aclosing
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, DownloadColumn

from meshnode.cli.access import reach
from meshnode.cli.publish import follow_messages
from meshnode.cli.terminal import (
    HomeOption,
    JsonOption,
    out,
    passphrase,
    print_json,
    progress,
    run_async,
    size_text,
)
from meshnode.control import Message
from meshnode.errors import UsageError

app = typer.Typer(help="Publish dataset files as payloads.", no_args_is_help=True)


@app.callback()
def payload() -> None:
    """Publish dataset files as payloads."""


@app.command()
def add(
    home: HomeOption,
    content: Annotated[Path, typer.Argument(help="The file or folder.")],
    collection: Annotated[str, typer.Option(help="The collection it belongs to.")],
    bind: Annotated[
        list[str] | None,
        typer.Option(help="ITEM:ASSET, the item's asset that this file is (repeatable)."),
    ] = None,
    mirror: Annotated[
        list[str] | None,
        typer.Option(help="URL of the same file, or of its folder, ending in / (repeatable)."),
    ] = None,
    catalogue: Annotated[str | None, typer.Option(help="Which catalogue made here.")] = None,
    risk: Annotated[int, typer.Option(min=0, max=4, help="How endangered it is, 0 to 4.")] = 0,
    as_json: JsonOption = False,
) -> None:
    """Publish a file or folder: hash it, sign its entry, serve it from where it lies.

    Example:

      meshnode payload add yukon.tif --collection ca-yt-orthoimagery
        --bind ca-yt_whitehorse-2019:data --mirror https://data.example.org/yukon.tif
    """
    from meshnode.runtime.home import Home
    from meshnode.runtime.institutions import choose
    from meshnode.runtime.payloads import describe
    from meshnode.runtime.publishing import Publisher, payload_draft, stage

    layout = Home(home)
    layout.check()
    institution = choose(layout, catalogue)
    key = institution.writer_key(passphrase())
    bindings = [_binding(text) for text in bind or []]
    if bindings and content.is_dir():
        raise UsageError("--bind names the asset that a file is, and this is a folder")
    with progress("hashing", BarColumn(), DownloadColumn()) as bar:
        task = bar.add_task("")
        described = describe(
            content,
            {content.name: bindings} if bindings else {},
            lambda done, total: bar.update(task, completed=done, total=total),
        )

    async def work() -> Message:
        async with reach(home) as control:
            with Publisher(layout, institution, key, control).session() as publisher:
                await follow_messages(publisher.recover())
                state = await publisher.state()
                is_new = described.key.hex() not in state["payloads"]
                if is_new:
                    staged = [
                        stage(publisher.staging, each)
                        for each in (described.file_list, described.torrent)
                    ]
                    draft = payload_draft(described, collection, mirror or [], risk)
                    await follow_messages(publisher.publish(state, [draft], staged))
            serving = control.follow(
                "seed",
                catalogue=institution.text,
                key=described.key.hex(),
                content=str(content.absolute()),
            )
            async with aclosing(serving):
                port = (await follow_messages(serving))["port"]
            return {"is_new": is_new, "port": port}

    done = run_async(work)
    if as_json:
        print_json({"payload": described.key.hex(), **done})
        return
    size = size_text(described.files.size_bytes)
    out.print(f"{'published' if done['is_new'] else 'known already'}: {content} ({size})")
    out.print(f"payload {described.key.hex()}, served on port {done['port']}")


def _binding(text: str) -> tuple[str, str]:
    item, colon, asset = text.rpartition(":")
    if not (item and colon and asset):
        raise UsageError(f"--bind {text!r} is not ITEM:ASSET")
    return item, asset
