"""`payload`: dataset files, published with the items that they belong to."""

from __future__ import annotations

import json
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.progress import BarColumn, DownloadColumn
from rich.text import Text

from meshnode.cli.access import reach, running
from meshnode.cli.passphrase import PassphraseFileOption, asked
from meshnode.cli.release import print_payload
from meshnode.cli.search import found_by
from meshnode.cli.signing import OfflineOption, RestoredOption, follow_messages, own_state
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

if TYPE_CHECKING:
    from meshnode.runtime.maintainer.publishing import Draft, Publisher
    from meshnode.runtime.payloads.creation import PayloadFiles

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
    offline: OfflineOption = False,
    restored: RestoredOption = False,
    passphrase_file: PassphraseFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Publish a file or folder: hash it, sign its entry, serve it from where it lies.

    The peer must be running, since it serves the payload; the items are published before.

    Example:

      meshnode payload add yukon.tif --collection ca-yt-orthoimagery
        --bind ca-yt_whitehorse-2019:data
        --mirror https://data.example.org/yukon.tif
    """
    from meshnode.runtime.home import Home
    from meshnode.runtime.maintainer.institutions import choose
    from meshnode.runtime.maintainer.publishing import Publisher, payload_draft

    layout = Home(home)
    layout.check()
    institution = choose(layout, catalogue)
    bindings = [_binding(text) for text in bind or []]
    if bindings and content.is_dir():
        raise UsageError("--bind names the asset that a file is, and this is a folder")
    run_async(lambda: _check(home, institution.text, collection, bindings))
    key = institution.writer_key(asked(passphrase_file))
    described = _described(content, bindings)
    draft = payload_draft(described, collection, mirror or [], risk)

    async def work() -> Message:
        control = await running(home)
        with Publisher(layout, institution, key, control).session() as publisher:
            is_new = await _publish(publisher, described, draft, offline=offline, restored=restored)
        serving = control.follow(
            "seed",
            catalogue=institution.text,
            key=described.key.hex(),
            content=str(content.absolute()),
        )
        return {"is_new": is_new, "port": (await follow_messages(serving))["port"]}

    done = run_async(work)
    if as_json:
        print_json({"payload": described.key.hex(), **done})
        return
    size = size_text(described.files.size_bytes)
    out.print(f"{'published' if done['is_new'] else 'known already'}: {content} ({size})")
    out.print(f"payload {described.key.hex()}, served on port {done['port']}")


@app.command("list")
def list_(
    home: HomeOption,
    collection: Annotated[str | None, typer.Option(help="Only of this collection.")] = None,
    catalogue: Annotated[
        str | None, typer.Option("--catalogue", help="Only of this catalogue, by id.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """List the payloads of all followed catalogues, with their files, mirrors and pieces.

    Example:

      meshnode payload list --collection ca-yt-orthoimagery
    """
    wanted: Message = {"catalogues": [catalogue]} if catalogue else {}
    wanted |= {"collection": collection} if collection else {}

    async def ask() -> list[Message]:
        async with reach(home) as control:
            return list((await control.ask("payloads", **wanted))["payloads"])

    found = run_async(ask)
    if as_json:
        print_json(found)
        return
    for of_collection, payloads in groupby(found, key=itemgetter("collection")):
        out.print(Text(of_collection, "bold"))
        for each in payloads:
            print_payload(each)
    if not found:
        out.print("no payload is known here")


async def _check(
    home: Path, catalogue: str, collection: str, bindings: list[tuple[str, str]]
) -> None:
    """Find out before anything is hashed or signed whether this can be done.

    Raises:
        NotRunningError: no peer runs, which would serve the payload.
        UsageError: an item or an asset that is named is not in the catalogue.
    """
    control = await running(home)
    for item, asset in bindings:
        where = {"catalogues": [catalogue], "collections": [collection], "ids": [item]}
        found = [each async for each in found_by(control, "search", **where, limit=1)]
        if not found:
            raise UsageError(
                f"no item {item!r} is published in collection {collection!r}",
                hint="publish the item first, or look up its id with: meshnode search",
            )
        assets = json.loads(found[0]["item"]).get("assets", {})
        if asset not in assets:
            known = ", ".join(assets) or "none"
            raise UsageError(
                f"item {item!r} has no asset {asset!r}", hint=f"its assets are: {known}"
            )


def _described(content: Path, bindings: list[tuple[str, str]]) -> PayloadFiles:
    from meshnode.runtime.payloads.creation import describe

    with progress("hashing", BarColumn(), DownloadColumn()) as bar:
        task = bar.add_task("")
        return describe(
            content,
            {content.name: bindings} if bindings else {},
            lambda done, total: bar.update(task, completed=done, total=total),
        )


async def _publish(
    publisher: Publisher, described: PayloadFiles, draft: Draft, *, offline: bool, restored: bool
) -> bool:
    """Sign and submit the payload's entry; say whether it is new."""
    from meshnode.runtime.maintainer.staging import stage

    state = await own_state(publisher, offline=offline, restored=restored)
    if described.key.hex() in state["payloads"]:
        return False
    staged = [stage(publisher.staging, each) for each in (described.file_list, described.torrent)]
    await follow_messages(publisher.publish(state, [draft], staged))
    return True


def _binding(text: str) -> tuple[str, str]:
    item, colon, asset = text.rpartition(":")
    if not (item and colon and asset):
        raise UsageError(f"--bind {text!r} is not ITEM:ASSET")
    return item, asset
