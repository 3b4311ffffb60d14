"""`withdraw`: take items out of a catalogue, with the reason."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from meshnode.cli.passphrase import PassphraseFileOption
from meshnode.cli.signing import CatalogueOption, OfflineOption, RestoredOption, Signing
from meshnode.cli.terminal import HomeOption, JsonOption, counted, out, print_json, run_async
from meshnode.errors import UsageError

if TYPE_CHECKING:
    from meshnode.core.entries import ItemName

app = typer.Typer()


@app.command(rich_help_panel="Publish")
def withdraw(
    home: HomeOption,
    collection: Annotated[str, typer.Argument(help="The items' collection.")],
    items: Annotated[list[str], typer.Argument(help="Their ids.")],
    reason: Annotated[
        str,
        typer.Option(help="retired, superseded, error, duplicate, privacy, legal or licence."),
    ],
    catalogue: CatalogueOption = None,
    by: Annotated[
        str | None, typer.Option(help="COLLECTION/ITEM that takes their place, if one does.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would be signed, sign nothing.")
    ] = False,
    offline: OfflineOption = False,
    restored: RestoredOption = False,
    passphrase_file: PassphraseFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Withdraw items: no search of any peer shows them from then on.

    For privacy, legal and licence reasons peers serve them to nobody and erase their bytes after
    seven days; `meshnode purge` does it at once. Segments with such an item are replaced by ones
    with the other items. For the other reasons the bytes stay.

    Example:

      meshnode withdraw ca-yt-orthoimagery ca-yt_whitehorse-2019 --reason error
    """
    from meshnode.core.entries import ItemName
    from meshnode.runtime.maintainer.drafts import parse_reason, withdrawals
    from meshnode.runtime.maintainer.replacing import replacements

    why = parse_reason(reason)
    successor = _item(by) if by else None
    ids = tuple(dict.fromkeys(items))
    signing = Signing(
        home, catalogue, passphrase_file, offline=offline, restored=restored, dry_run=dry_run
    )
    institution = signing.institution

    async def work() -> tuple[int, int]:
        async with signing.session() as session:
            state, publisher = await session.state(), session.publisher
            published = await session.published()
            for name in [*(ItemName(collection, id_) for id_ in ids), successor]:
                if name is not None and not published.is_published(name):
                    raise _not_shown(name)
            drafts = list(withdrawals(collection, ids, why, successor))
            replaced, staged = await replacements(
                session.control, publisher, institution.text, state, collection, ids, why
            )
            drafts += replaced
            if not dry_run:
                await session.publish(state, drafts, staged)
            return len(drafts), len(replaced)

    entries, replaced = run_async(work)
    if as_json:
        said = {"withdrawn": list(ids), "reason": reason, "by": by, "entries": entries}
        said |= {"segments_replaced": replaced}
        print_json({"catalogue": institution.text, **said, "published": not dry_run})
        return
    number = counted(len(ids), "item")
    if dry_run:
        signed = counted(entries, "entry", "entries")
        out.print(f"not withdrawn: {number}, {reason}; {signed} would be signed")
    else:
        out.print(f"withdrawn from {institution.name}: {number}, {reason}")
        if replaced:
            out.print(f"{counted(replaced, 'segment')} replaced by one without it")


def _item(text: str) -> ItemName:
    from meshnode.core.entries import ItemName

    collection, slash, id_ = text.partition("/")
    if not (collection and slash and id_):
        raise UsageError(f"--by {text!r} is not COLLECTION/ITEM")
    return ItemName(collection, id_)


def _not_shown(name: ItemName) -> UsageError:
    return UsageError(
        f"no item {name.id!r} of {name.collection!r} is shown here",
        hint="it may be withdrawn: meshnode log CATALOGUE --collection COLLECTION",
    )
