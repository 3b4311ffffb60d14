"""`snapshot`: sign what of one's own log newcomers need not read again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from meshnode.cli.passphrase import PassphraseFileOption
from meshnode.cli.signing import CatalogueOption, OfflineOption, RestoredOption, Signing
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

if TYPE_CHECKING:
    from meshnode.control import Message

app = typer.Typer()


@app.command(rich_help_panel="Publish")
def snapshot(
    home: HomeOption,
    catalogue: CatalogueOption = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be signed; sign nothing.")
    ] = False,
    offline: OfflineOption = False,
    restored: RestoredOption = False,
    passphrase_file: PassphraseFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Sign a snapshot of your log, with which new peers begin instead of its first entry.

    It lists your entries but for those that later ones replace or correct. Peers that hold the log
    make it again and compare, and what anybody finds stays the same. It is worth signing after some
    1,000 entries, best right after `meshnode compact`.

    Examples:

      meshnode snapshot --dry-run

      meshnode snapshot --catalogue yukon
    """
    from meshnode.core.identifiers import Digest, object_text

    signing = Signing(
        home, catalogue, passphrase_file, offline=offline, restored=restored, dry_run=dry_run
    )

    async def work() -> tuple[Message, bool]:
        async with signing.session() as session:
            state, publisher = await session.state(), session.publisher
            made = await publisher.made_snapshot(keep=not dry_run)
            is_new = made["index"] > made["newest"]
            if is_new and not dry_run:
                await session.begin_snapshot(state, made)
            return made, is_new

    made, is_new = run_async(work)
    name = object_text(Digest(bytes.fromhex(made["object"])))
    if as_json:
        said = {"catalogue": signing.institution.text, "dry_run": dry_run}
        print_json(said | {"signed": is_new and not dry_run} | made | {"object": name})
        return
    if not is_new:
        out.print("nothing to do: the log has no entry after its newest snapshot")
        return
    listed, bytes_ = counted(made["listed"], "entry", "entries"), size_text(made["size_bytes"])
    verb = "would be" if dry_run else "is"
    out.print(f"a snapshot {verb} signed: {listed} of {made['index']}, {bytes_}")
    out.print(f"its object is {short(name)}")
