"""`writer`: the keys that may extend a catalogue. Each change is a new root."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from meshnode.cli.access import reach
from meshnode.cli.amend import (
    Ceremony,
    KeysOption,
    ToOption,
    WhichOption,
    YesOption,
    amend,
    writer_named,
)
from meshnode.cli.catalogue import CatalogueArgument, identifier
from meshnode.cli.passphrase import NoPassphraseOption, PassphraseFileOption, chosen
from meshnode.cli.terminal import HomeOption, JsonOption, out, print_json, run_async
from meshnode.control import Control
from meshnode.errors import UsageError

if TYPE_CHECKING:
    from meshnode.core.amendments import Change
    from meshnode.core.roots import Closing, Writer
    from meshnode.core.trust import RootChain

app = typer.Typer(help="Say who may extend a catalogue of yours.", no_args_is_help=True)

WriterArgument = Annotated[
    str, typer.Argument(help="The writer's label, or how his key id begins.")
]


@app.command()
def create(
    home: HomeOption,
    name: Annotated[str, typer.Argument(help="Short local name, for example 'yukon'.")],
    catalogue: Annotated[str, typer.Argument(help="The catalogue's id; this peer follows it.")],
    no_passphrase: NoPassphraseOption = False,
    passphrase_file: PassphraseFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a writer key here for a catalogue whose root key is elsewhere.

    Give the public key that it writes to whoever has the root keys: `meshnode writer add`.

    Example:

      meshnode writer create yukon bafyreigh2akiscaildc3mqbqmvtqsdxkq2a7pyb4tjlmmuiwjzrobmqk3u
    """
    from meshnode.core.identifiers import parse_catalogue
    from meshnode.runtime.home import Home
    from meshnode.runtime.maintainer.ceremony import chain_at
    from meshnode.runtime.maintainer.institutions import WRITER_KEY, join

    wanted = parse_catalogue(catalogue)

    async def ask() -> RootChain:
        async with reach(home) as control:
            return await chain_at(control, wanted, despite_rivals=True)

    chain = run_async(ask)
    secret = chosen(passphrase_file, none=no_passphrase)
    made = join(Home(home), name, chain.raws[0], secret)
    public = made.directory / f"{WRITER_KEY}.pub"
    if as_json:
        print_json({"name": name, "catalogue": made.text, "public": str(public)})
        return
    out.print(f"catalogue  {made.text}\npublic key {public}")
    out.print("\nnext: give the public key to the holder of the root key, who runs")
    out.print(f"      [bold]meshnode writer add {public.name} --label NAME[/]")


@app.command()
def add(
    home: HomeOption,
    public: Annotated[Path, typer.Argument(help="The new writer's public key.")],
    label: Annotated[str, typer.Option(help="What people call this writer; it is public.")],
    prefix: Annotated[
        list[str] | None,
        typer.Option(help="Only collections that begin like this (repeatable)."),
    ] = None,
    catalogue: WhichOption = None,
    key: KeysOption = None,
    to: ToOption = None,
    yes: YesOption = False,
    passphrase_file: PassphraseFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Let one more key extend the catalogue, everywhere or in some collections.

    Example:

      meshnode writer add colleague.pub --label "Colleague" --prefix ca-yt-
    """
    from meshnode.core.amendments import add_writer
    from meshnode.runtime.keys import read_public_key

    new = read_public_key(public)

    async def changes(_: Control, __: RootChain) -> Sequence[Change]:
        return [add_writer(new, label, prefix)]

    amend(Ceremony(home, catalogue, key, passphrase_file, to, yes, as_json), changes)


@app.command()
def close(
    home: HomeOption,
    writer: WriterArgument,
    at: Annotated[
        int | None,
        typer.Option(min=1, help="The last head that counts, by its number in `meshnode log`."),
    ] = None,
    head: Annotated[
        str, typer.Option(help="Or by the beginning of its digest: if there are several histories.")
    ] = "",
    nothing: Annotated[
        bool, typer.Option("--nothing", help="Nothing that this writer signed counts.")
    ] = False,
    replace_by: Annotated[
        Path | None, typer.Option(help="Public key that goes on in the closed writer's place.")
    ] = None,
    catalogue: WhichOption = None,
    key: KeysOption = None,
    to: ToOption = None,
    yes: YesOption = False,
    passphrase_file: PassphraseFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """End a writer's log: what it says after its last good head counts nowhere, for ever.

    Without --at the last good head is the newest that this peer holds: right when a colleague
    leaves. After a theft look at `meshnode log` first, and name the last head that is yours.
    A closing is never taken back; it can only move further back.

    Examples:

      meshnode writer close "Colleague"

      meshnode writer close laptop --at 41 --replace-by new-laptop.pub
    """
    from meshnode.core.amendments import add_writer, close_writer
    from meshnode.runtime.keys import read_public_key

    if nothing and (at is not None or head):
        raise UsageError("--at and --nothing say different things", hint="give one of them")
    new = read_public_key(replace_by) if replace_by else None

    async def changes(control: Control, chain: RootChain) -> Sequence[Change]:
        old = writer_named(chain.current, writer)
        last = await _closing(control, chain, old, at, head, nothing=nothing)
        made = [close_writer(old.kid, last)]
        return [*made, add_writer(new, old.label, old.prefixes)] if new else made

    amend(Ceremony(home, catalogue, key, passphrase_file, to, yes, as_json), changes)


@app.command("list")
def list_(home: HomeOption, catalogue: CatalogueArgument, as_json: JsonOption = False) -> None:
    """List who may extend a catalogue, and whose log is closed.

    Example:

      meshnode writer list yukon
    """
    from meshnode.core.identifiers import parse_catalogue
    from meshnode.runtime.maintainer.ceremony import chain_at

    wanted = parse_catalogue(identifier(home, catalogue))

    async def ask() -> RootChain:
        async with reach(home) as control:
            return await chain_at(control, wanted, despite_rivals=True)

    writers = run_async(ask).current.writers
    if as_json:
        print_json([_said(writer) for writer in writers])
        return
    for writer in writers:
        out.print(Text(writer.label, "bold").append(f"  {_standing(writer)}", "default"))
        where = "all collections"
        if writer.prefixes is not None:
            where = ", ".join(f"{prefix}*" for prefix in writer.prefixes) or "no collection"
        out.print(Text(f"  {writer.kid.hex()}\n  {where}"))


def _said(writer: Writer) -> dict[str, object]:
    return {
        "kid": writer.kid.hex(),
        "label": writer.label,
        "prefixes": None if writer.prefixes is None else list(writer.prefixes),
        "standing": _standing(writer),
    }


def _standing(writer: Writer) -> str:
    if writer.closed is None:
        return "open"
    return "closed, nothing counts" if not writer.closed else f"closed at head {writer.closed.seq}"


async def _closing(
    control: Control, chain: RootChain, writer: Writer, at: int | None, head: str, *, nothing: bool
) -> Closing:
    from meshnode.runtime.maintainer.ceremony import last_head

    if nothing:
        return False
    last = await last_head(control, chain.catalogue, writer.kid, at, head)
    return last if last is not None else False
