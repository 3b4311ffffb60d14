"""`compact`: rewrite one's own small and half-dead segments as few."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from meshnode.cli.passphrase import PassphraseFileOption
from meshnode.cli.signing import CatalogueOption, OfflineOption, RestoredOption, Signing
from meshnode.cli.terminal import HomeOption, JsonOption, counted, out, print_json, run_async

if TYPE_CHECKING:
    from meshnode.control import Message
    from meshnode.runtime.maintainer.compacting import Rewrite

app = typer.Typer()


@app.command(rich_help_panel="Publish")
def compact(
    home: HomeOption,
    catalogue: CatalogueOption = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be rewritten; sign nothing.")
    ] = False,
    offline: OfflineOption = False,
    restored: RestoredOption = False,
    passphrase_file: PassphraseFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Rewrite your own segments as few, without rows that you replaced or withdrew.

    A collection is rewritten if it has more than 32 segments of yours, or if more than 30 % of
    their rows are beaten. What anybody finds stays the same.

    Examples:

      meshnode compact --dry-run

      meshnode compact --catalogue yukon
    """
    from meshnode.runtime.maintainer.compacting import Compaction

    signing = Signing(
        home, catalogue, passphrase_file, offline=offline, restored=restored, dry_run=dry_run
    )
    institution = signing.institution

    async def work() -> list[Rewrite]:
        async with signing.session() as session:
            state, publisher = await session.state(), session.publisher
            own, documents = await publisher.own_segments(), publisher.documents(state)
            compaction = Compaction(signing.layout.objects, own, documents)
            rewrites = compaction.rewrites()
            if rewrites and not dry_run:
                staging = publisher.staging
                drafts = [d for each in rewrites for d in compaction.drafts(each, staging)]
                await session.publish(state, drafts, compaction.staged)
            return rewrites

    rewrites = run_async(work)
    if as_json:
        said = {"catalogue": institution.text, "dry_run": dry_run}
        print_json(said | {"collections": [_said(each) for each in rewrites]})
        return
    for each in rewrites:
        verb = "would be" if dry_run else "are"
        number = counted(len(each.plan.segments), "segment")
        left_out = counted(each.plan.dropped, "beaten row")
        out.print(
            f"{each.collection}: {number} of {each.segments} {verb} rewritten, {left_out} left out"
        )
    if not rewrites:
        out.print("nothing to do: few segments, and few rows that are beaten")


def _said(rewrite: Rewrite) -> Message:
    return {
        "collection": rewrite.collection,
        "segments": rewrite.segments,
        "rewritten": len(rewrite.plan.segments),
        "rows_kept": len(rewrite.plan.kept),
        "rows_left_out": rewrite.plan.dropped,
    }
