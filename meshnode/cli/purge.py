"""`purge`: what the holders of the root keys want erased from every disk."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from meshnode.cli import amend, root
from meshnode.cli.amend import (
    Ceremony,
    KeysOption,
    ToOption,
    WhichOption,
    YesOption,
    catalogue_of,
)
from meshnode.cli.passphrase import PassphraseFileOption
from meshnode.cli.terminal import HomeOption, JsonOption
from meshnode.control import Control
from meshnode.errors import UsageError

if TYPE_CHECKING:
    from meshnode.core.entries import ItemName
    from meshnode.core.identifiers import Digest
    from meshnode.core.proposals import Proposal

app = typer.Typer(help="Erase items or files from every disk, at once.", no_args_is_help=True)

REASONS = ("privacy", "legal", "licence")


@app.command()
def propose(
    home: HomeOption,
    reason: Annotated[str, typer.Option(help="privacy, legal or licence.")],
    item: Annotated[
        list[str] | None, typer.Option(help="COLLECTION/ID of an item (repeatable).")
    ] = None,
    object_: Annotated[
        list[str] | None,
        typer.Option("--object", help="Id (bafkrei…) of a segment or a payload (repeatable)."),
    ] = None,
    catalogue: WhichOption = None,
    key: KeysOption = None,
    to: ToOption = None,
    yes: YesOption = False,
    passphrase_file: PassphraseFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Purge items, segments or payloads: every peer erases their bytes when it hears of it.

    The threshold of root keys must sign it, and it cannot be taken back. Items are withdrawn first
    (`meshnode withdraw`): a purge then spares them the seven days of waiting.

    Example:

      meshnode purge propose --reason privacy --item ca-yt-orthoimagery/ca-yt_whitehorse-2019
    """
    from meshnode.runtime.maintainer.ceremony import chain_at, purge_of

    if reason not in REASONS:
        raise UsageError(f"{reason!r} is no reason to purge", hint=f"one of {', '.join(REASONS)}")
    items, objects = [_item(text) for text in item or []], [_digest(text) for text in object_ or []]
    if not (items or objects):
        raise UsageError("nothing is named", hint="--item COLLECTION/ID, or --object ID")
    options = Ceremony(home, catalogue, key, passphrase_file, to, yes, as_json)

    async def make(control: Control) -> Proposal:
        return purge_of(await chain_at(control, catalogue_of(options)), reason, objects, items)

    amend.propose(options, make)


@app.command()
def sign(
    file: root.FileArgument,
    key: Annotated[list[Path], typer.Option(help="A root key to sign with (repeatable).")],
    yes: YesOption = False,
    passphrase_file: PassphraseFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Look at a proposed purge and sign it; needs neither a peer nor a network.

    Example:

      meshnode purge sign purge-of-jzrobmqk.proposal --key alice.key
    """
    root.sign(file, key, yes, passphrase_file, as_json)


@app.command()
def combine(
    files: Annotated[list[Path], typer.Argument(help="Copies of one proposal, each signed.")],
    to: Annotated[Path, typer.Option(help="Where the combined proposal goes.")],
    as_json: JsonOption = False,
) -> None:
    """Gather the signatures of several copies of a proposed purge.

    Example:

      meshnode purge combine from-alice.proposal from-bob.proposal --to both.proposal
    """
    root.combine(files, to, as_json)


@app.command()
def publish(home: HomeOption, file: root.FileArgument, as_json: JsonOption = False) -> None:
    """Tell the mesh of a purge that enough keys have signed.

    Example:

      meshnode purge publish purge-of-jzrobmqk.proposal
    """
    root.publish(home, file, as_json)


def _item(text: str) -> ItemName:
    from meshnode.core.entries import ItemName

    collection, slash, item = text.partition("/")
    if not (collection and slash and item):
        raise UsageError(f"--item {text!r} is not COLLECTION/ID")
    return ItemName(collection, item)


def _digest(text: str) -> Digest:
    from meshnode.core.identifiers import parse_object

    return parse_object(text)
