"""`replace`: publish corrected items in the place of those that are published."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from meshnode.cli.passphrase import PassphraseFileOption
from meshnode.cli.publish import complain, print_refused, refusals
from meshnode.cli.signing import CatalogueOption, OfflineOption, RestoredOption, Signing
from meshnode.cli.terminal import (
    HomeOption,
    JsonOption,
    counted,
    out,
    print_json,
    run_async,
    size_text,
)
from meshnode.control import Message

if TYPE_CHECKING:
    from meshnode.runtime.maintainer.batches import Batch
    from meshnode.runtime.maintainer.difference import Difference
    from meshnode.runtime.maintainer.sources import Given

app = typer.Typer()


@app.command(rich_help_panel="Publish")
def replace(
    home: HomeOption,
    files: Annotated[list[Path], typer.Argument(help="The corrected items, as for `publish`.")],
    catalogue: CatalogueOption = None,
    collection: Annotated[
        str | None, typer.Option(help="The collection of all items, if they do not say it.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check everything, sign and publish nothing.")
    ] = False,
    offline: OfflineOption = False,
    restored: RestoredOption = False,
    passphrase_file: PassphraseFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Replace published items by corrected ones of the same ids; an id that is new is refused.

    Searches show the corrected items from then on. The old bytes stay in the old segments:
    `meshnode withdraw` and `meshnode purge` are for what must not be kept.

    Example:

      meshnode replace corrected.ndjson --dry-run
    """
    from meshnode.runtime.maintainer.batches import Batch
    from meshnode.runtime.segments.items import read_items

    signing = Signing(
        home, catalogue, passphrase_file, offline=offline, restored=restored, dry_run=dry_run
    )
    institution = signing.institution

    async def work() -> Message:
        async with signing.session() as session:
            state, publisher = await session.state(), session.publisher
            difference = await session.published()
            batch = Batch(publisher.staging, collection, publisher.documents(state), difference)
            given = (item for path in files for item in read_items(path))
            batch.take(_known(given, difference, collection), lambda count: None)
            drafts = batch.drafts(state["collections"])
            published = bool(drafts) and not dry_run and not batch.refused
            if published:
                await session.publish(state, drafts, batch.staged)
            return {
                "catalogue": institution.text,
                "name": institution.name,
                "published": published,
                "entries": len(drafts),
                **_summary(batch),
            }

    summary = run_async(work)
    if as_json:
        print_json(summary)
    else:
        _print_summary(summary)
    if refused := summary["refused_count"]:
        complain(refused, 1, skip_invalid=False)


def _known(
    items: Iterable[Given], difference: Difference, collection: str | None
) -> Iterator[Given]:
    """Refuse items that replace nothing."""
    from meshnode.core.entries import ItemName
    from meshnode.runtime.segments.items import ItemText, RefusedItem

    for item in items:
        if isinstance(item, ItemText):
            name = ItemName(collection or str(item.collection), str(item.id))
            if not difference.is_published(name):
                yield RefusedItem(item.where, name.id, f"none is published in {name.collection}")
                continue
        yield item


def _summary(batch: Batch) -> Message:
    return {
        "items": batch.taken,
        "size_bytes": sum(segment.file.size_bytes for segment in batch.segments),
        "collections_made": [],
        **refusals(batch),
    }


def _print_summary(summary: Message) -> None:
    print_refused(summary)
    items, size = counted(summary["items"], "item"), size_text(summary["size_bytes"])
    entries = counted(summary["entries"], "entry", "entries")
    if summary["published"]:
        out.print(f"replaced in {summary['name']}: {items}, {size}, {entries} signed")
    elif summary["entries"]:
        out.print(f"not published: {items} would be replaced in {summary['name']}, {size}")
    else:
        out.print("nothing is replaced: the items are published as they are")
