"""`payload hold` and `release`: parts of payloads that this peer keeps for others."""

from __future__ import annotations

import re
from typing import Annotated, Any, Final

import typer

from meshnode.cli.access import reach
from meshnode.cli.fetching import Fetching
from meshnode.cli.naming import PayloadArgument, payload_named
from meshnode.cli.payload_text import held_text
from meshnode.cli.terminal import (
    HomeOption,
    JsonOption,
    counted,
    out,
    print_json,
    run_async,
    short,
    size_text,
)
from meshnode.control import Message
from meshnode.errors import UsageError

_PIECES: Final = re.compile(r"(\d{1,9})(?:-(\d{1,9}))?")

PiecesOption = Annotated[
    str | None, typer.Option(metavar="A-B", help="Only these pieces, numbered from 0.")
]
FilesOption = Annotated[
    str | None, typer.Option(help="Only files whose path or name is like this: '*_2019_*.tif'.")
]


def hold(
    home: HomeOption,
    payload: PayloadArgument,
    pieces: PiecesOption = None,
    files: FilesOption = None,
    any_license: Annotated[
        bool, typer.Option("--any-license", help="Also what is not under an open licence.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Keep a payload, or parts of it, and serve it to others.

    Missing pieces are fetched from mirrors and peers, after what people and programs wait for.
    They stay until `payload release` or `drop`, also over restarts. An interrupted `hold` goes on
    where it was.

    By default only what its collection puts under an open licence is held. Peers see your address
    and what you hold, as always in BitTorrent.

    Examples:

      meshnode payload hold 1a9a0dac02abf7d4

      meshnode payload hold 1a9a0dac02abf7d4 --pieces 0-255

      meshnode payload hold 1a9a0dac02abf7d4 --files '*_2019_*.tif' --json
    """
    chosen = _chosen(pieces, files) | ({"any_licence": True} if any_license else {})

    async def work() -> Message:
        async with reach(home) as control:
            known = (await control.ask("payloads"))["payloads"]
            found = payload_named(known, payload)
            wanted = {"payload": found["key"], "catalogue": found["catalogue"], **chosen}
            fetching = Fetching(control, lambda _: None, action="payload_hold")
            results, failures = await fetching.fetch([wanted])
            if failures:
                raise failures[0]
            return results[0]

    done = run_async(work)
    if as_json:
        print_json(done)
        return
    out.print(f"held: payload {short(done['payload'])}, {held_text(done['held'])}")
    for source, size_bytes in done["by_source"].items():
        out.print(f"  {size_text(size_bytes):>10}  from {source}", markup=False)


def release(
    home: HomeOption,
    payload: PayloadArgument,
    pieces: PiecesOption = None,
    files: FilesOption = None,
    as_json: JsonOption = False,
) -> None:
    """Keep a payload, or parts of it, no longer, and free their disk.

    What a program reads at the moment stays until it is read. A file that `get` put elsewhere as a
    second name is freed only as a whole: no hole is made in it.

    Examples:

      meshnode payload release 1a9a0dac02abf7d4

      meshnode payload release 1a9a0dac02abf7d4 --pieces 128-255
    """
    chosen = _chosen(pieces, files)

    async def work() -> Message:
        async with reach(home) as control:
            known = (await control.ask("payloads"))["payloads"]
            key = payload_named(known, payload)["key"]
            return await control.ask("payload_release", payload=key, **chosen)

    done = run_async(work)
    if as_json:
        print_json(done)
        return
    freed = counted(done["freed_pieces"], "piece")
    out.print(f"released: payload {short(done['payload'])}, {freed} freed")
    out.print(f"  {held_text(done['held'])} left", markup=False)


def _chosen(pieces: str | None, files: str | None) -> dict[str, Any]:
    chosen: dict[str, Any] = {"only": files} if files is not None else {}
    if pieces is None:
        return chosen
    found = _PIECES.fullmatch(pieces)
    if found is None:
        raise UsageError(
            f"{pieces!r} are no pieces", hint="write them as 0-255, or one of them as 7"
        )
    return chosen | {"first": int(found[1]), "last": int(found[2] or found[1])}
