"""`withdraw`: take items out of a catalogue, with the reason."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from meshnode.cli.access import reach
from meshnode.cli.passphrase import PassphraseFileOption, asked
from meshnode.cli.publish import OfflineOption, RestoredOption, follow_messages, own_state
from meshnode.cli.terminal import HomeOption, JsonOption, counted, out, print_json, run_async
from meshnode.errors import UsageError

if TYPE_CHECKING:
    from meshnode.runtime.publishing import Draft

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
    catalogue: Annotated[
        str | None, typer.Option(help="Which of the catalogues made here; needed if several.")
    ] = None,
    offline: OfflineOption = False,
    restored: RestoredOption = False,
    passphrase_file: PassphraseFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Withdraw items: no search of any peer shows them from then on.

    For privacy, legal and licence reasons peers serve them to nobody and erase their bytes after
    seven days; `meshnode purge` does it at once. For the other reasons the bytes stay.

    Example:

      meshnode withdraw ca-yt-orthoimagery ca-yt_whitehorse-2019 --reason error
    """
    from meshnode.core.entries import ItemsRemoved, Reason
    from meshnode.core.limits import ITEM_IDS_MAX
    from meshnode.runtime.home import Home
    from meshnode.runtime.institutions import choose
    from meshnode.runtime.publishing import Publisher

    known = {each.name.lower(): each for each in Reason}
    if reason not in known:
        raise UsageError(f"{reason!r} is no reason", hint=f"one of {', '.join(known)}")
    ids = tuple(dict.fromkeys(items))
    layout = Home(home)
    layout.check()
    institution = choose(layout, catalogue)
    key = institution.writer_key(asked(passphrase_file))

    def draft(part: tuple[str, ...]) -> Draft:
        return lambda clock: ItemsRemoved(clock, collection, part, known[reason], None)

    async def work() -> None:
        async with reach(home) as control:
            for id_ in ids:
                where = {"catalogue": institution.text, "collection": collection, "item": id_}
                await control.ask("evidence", **where)  # refused for an item that is not shown
            with Publisher(layout, institution, key, control).session() as publisher:
                state = await own_state(publisher, offline=offline, restored=restored)
                parts = [ids[at : at + ITEM_IDS_MAX] for at in range(0, len(ids), ITEM_IDS_MAX)]
                await follow_messages(publisher.publish(state, [draft(p) for p in parts], []))

    run_async(work)
    if as_json:
        print_json({"catalogue": institution.text, "withdrawn": list(ids), "reason": reason})
        return
    out.print(f"withdrawn from {institution.name}: {counted(len(ids), 'item')}, {reason}")
