"""`payload`: dataset files, published with the items that they belong to."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.progress import BarColumn, DownloadColumn
from rich.text import Text

from meshnode.cli.access import reach, running
from meshnode.cli.mirror_names import mirrors_named
from meshnode.cli.naming import PayloadArgument, payload_named
from meshnode.cli.offering import Offer, publish, rebind, require_assets
from meshnode.cli.passphrase import PassphraseFileOption
from meshnode.cli.payload_drop import drop
from meshnode.cli.payload_hold import hold, release
from meshnode.cli.payload_pause import pause, resume
from meshnode.cli.payload_scrub import scrub
from meshnode.cli.payload_show import show
from meshnode.cli.payload_text import print_payload
from meshnode.cli.payload_url import url
from meshnode.cli.signing import (
    CatalogueOption,
    DryRunOption,
    OfflineOption,
    RestoredOption,
    Signing,
    follow_messages,
)
from meshnode.cli.terminal import (
    HomeOption,
    JsonOption,
    counted,
    err,
    out,
    print_json,
    print_labelled,
    progress,
    run_async,
    short,
    size_text,
)
from meshnode.control import Message
from meshnode.errors import UsageError

if TYPE_CHECKING:
    from meshnode.runtime.maintainer.binding import Bound
    from meshnode.runtime.payloads.creation import PayloadFiles

app = typer.Typer(help="Publish and hold dataset files as payloads.", no_args_is_help=True)

BindOption = Annotated[
    list[str] | None,
    typer.Option(
        help="ITEM:ASSET, the item's asset that this file is; PATH=ITEM:ASSET of a folder."
        " Repeatable."
    ),
]


@app.callback()
def payload() -> None:
    """Publish and hold dataset files as payloads."""


@app.command()
def add(
    home: HomeOption,
    collection: Annotated[str, typer.Option(help="The collection it belongs to.")],
    content: Annotated[
        Path | None, typer.Argument(help="The file or folder, if its bytes are at hand.")
    ] = None,
    torrent: Annotated[
        Path | None,
        typer.Option(help="A .torrent that others made, whose bytes are not at hand."),
    ] = None,
    bind: BindOption = None,
    mirror: Annotated[
        list[str] | None,
        typer.Option(
            help="URL of the same file, or of its folder, ending in /; or zenodo:RECORD, ia:ITEM,"
            " source:ACCOUNT/PRODUCT, s3://BUCKET/PREFIX. Repeatable."
        ),
    ] = None,
    web_seeds: Annotated[
        bool, typer.Option("--web-seeds", help="Take the web servers in the .torrent as mirrors.")
    ] = False,
    risk: Annotated[int, typer.Option(min=0, max=4, help="How endangered it is, 0 to 4.")] = 0,
    catalogue: CatalogueOption = None,
    dry_run: DryRunOption = False,
    offline: OfflineOption = False,
    restored: RestoredOption = False,
    passphrase_file: PassphraseFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Publish a file or folder: hash it, sign its entry, serve it from where it lies.

    The peer must be running, since it serves the payload; the items are published before. With
    --torrent nothing is served: the entry says what others have, and from which mirrors.

    Examples:

      meshnode payload add yukon.tif --collection ca-yt-orthoimagery
        --bind ca-yt_whitehorse-2019:data
        --mirror https://data.example.org/yukon.tif --mirror zenodo:3615172

      meshnode payload add --torrent yukon.tif.torrent --web-seeds --collection ca-yt-orthoimagery
    """
    from meshnode.runtime.home import Home
    from meshnode.runtime.maintainer.binding import parse_bound
    from meshnode.runtime.maintainer.institutions import choose

    if (content is None) == (torrent is None):
        raise UsageError(
            "a payload is either a file or a folder, or a --torrent FILE",
            hint="meshnode payload add --help",
        )
    if web_seeds and torrent is None:
        raise UsageError("--web-seeds are those of a --torrent", hint="name others by --mirror")
    bound = [parse_bound(text) for text in bind or []]
    layout = Home(home)
    layout.check()
    institution = choose(layout, catalogue)
    serves = content is not None and not dry_run
    run_async(lambda: _check(home, institution.text, collection, bound, serves=serves))
    how = Signing(
        home, catalogue, passphrase_file, offline=offline, restored=restored, dry_run=dry_run
    )
    described, seeds = _described(content, torrent)
    named = mirrors_named(mirror or [], described.files, content)
    urls = list(dict.fromkeys([*named, *(seeds if web_seeds else ())]))
    offer = Offer(collection, described, bound, urls, risk)

    async def work() -> Message:
        async with how.session() as session:
            done = await publish(session, offer)
            if serves:
                serving = session.control.follow(
                    "seed",
                    catalogue=institution.text,
                    key=described.key.hex(),
                    content=str((content or Path()).absolute()),
                )
                done |= {"port": (await follow_messages(serving))["port"]}
            return done

    done = {"web_seeds": list(seeds), **run_async(work)}
    if as_json:
        print_json(done)
    else:
        _say(done, str(content or torrent), uses_seeds=web_seeds)


@app.command()
def bind(
    home: HomeOption,
    payload: PayloadArgument,
    assets: Annotated[
        list[str],
        typer.Argument(help="ITEM:ASSET that the file is; PATH=ITEM:ASSET where it has several."),
    ],
    drop: Annotated[
        bool, typer.Option("--drop", help="Say that the file is not these assets.")
    ] = False,
    catalogue: CatalogueOption = None,
    dry_run: DryRunOption = False,
    offline: OfflineOption = False,
    restored: RestoredOption = False,
    passphrase_file: PassphraseFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say which assets of which items the files of a published payload are.

    Neither the payload nor the items change: their bytes stay what they are.

    Example:

      meshnode payload bind 1a9a0dac02abf7d4 ca-yt_whitehorse-2019:data
    """
    from meshnode.runtime.maintainer.binding import parse_bound

    bound = [parse_bound(text) for text in assets]
    how = Signing(
        home, catalogue, passphrase_file, offline=offline, restored=restored, dry_run=dry_run
    )

    async def work() -> Message:
        async with how.session() as session:
            found = payload_named(await session.payloads(), payload)
            if not drop:
                await require_assets(
                    session.control, how.institution.text, found["collection"], bound
                )
            return await rebind(session, await session.state(), found, bound, drop=drop)

    done = run_async(work)
    if as_json:
        print_json(done)
        return
    number = counted(len(bound), "binding")
    what = f"{number} {'dropped' if drop else 'added'}: payload {short(done['payload'])}"
    if not done["is_new"]:
        out.print(f"known already: payload {short(done['payload'])}, {number}")
    else:
        out.print(what if done["published"] else f"not signed: {what}; 1 entry would be signed")


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


for command in (show, url, hold, release, scrub, drop, pause, resume):
    app.command()(command)


async def _check(
    home: Path, catalogue: str, collection: str, bound: Sequence[Bound], *, serves: bool
) -> None:
    """Find out before anything is hashed or signed whether this can be done.

    Raises:
        NotRunningError: no peer runs, which would serve the payload.
        UsageError: an item or an asset that is named is not in the catalogue.
    """
    if serves:
        await running(home)
    async with reach(home) as control:
        await require_assets(control, catalogue, collection, bound)


def _described(content: Path | None, torrent: Path | None) -> tuple[PayloadFiles, tuple[str, ...]]:
    """Return the payload that these files are, and the web seeds that a torrent names."""
    from meshnode.runtime.payloads.adoption import adopt
    from meshnode.runtime.payloads.creation import describe

    if torrent is not None:
        return adopt(torrent)
    assert content is not None
    with progress("hashing", BarColumn(), DownloadColumn()) as bar:
        task = bar.add_task("")
        report = lambda done, total: bar.update(task, completed=done, total=total)  # noqa: E731
        return describe(content, None, report), ()


def _say(done: Message, what: str, *, uses_seeds: bool) -> None:
    size, key = size_text(done["size_bytes"]), done["payload"]
    if not done["is_new"]:
        out.print(f"known already: {what} ({size})")
    elif done["published"]:
        out.print(f"published: {what} ({size})")
    else:
        said = (counted(done[name], name[:-1]) for name in ("files", "bindings"))
        mirrors = counted(len(done["mirrors"]), "mirror")
        out.print(f"not signed: {what} ({size}), {', '.join([*said, mirrors])}")
        out.print("1 entry would be signed")
    port = f", served on port {done['port']}" if done.get("port") else ""
    out.print(f"payload {key}{port}")
    if "port" in done and not done["port"]:
        text = "nobody can fetch it from here: payload.listen is off"
        print_labelled("note", text, "yellow", err)
    if "port" not in done and done["published"]:
        text = "nobody is known to have it: name a mirror with --mirror"
        if done["mirrors"]:
            text = "its bytes are not here: they come from mirrors, and from peers that got them"
        print_labelled("note", text, "yellow", err)
    if done["web_seeds"] and not uses_seeds:
        seeds = counted(len(done["web_seeds"]), "web server")
        text = f"the torrent names {seeds}: --web-seeds makes them mirrors"
        print_labelled("note", text, "yellow", err)
