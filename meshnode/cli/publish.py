"""`publish`: from files of items to a signed head that this peer holds and tells others about."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from meshnode.cli.passphrase import PassphraseFileOption
from meshnode.cli.signing import (
    CatalogueOption,
    NextWithinOption,
    OfflineOption,
    RestoredOption,
    Session,
    Signing,
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
    size_text,
)
from meshnode.control import Message
from meshnode.errors import UsageError

if TYPE_CHECKING:
    from meshnode.runtime.maintainer.batches import Batch
    from meshnode.runtime.maintainer.publishing import Draft
    from meshnode.runtime.segments.extension_schemas import ExtensionSchemas

REFUSED_SHOWN_MAX = 20

ReportOption = Annotated[
    Path | None,
    typer.Option("--report", help="Write each refusal and warning here, a line of JSON each."),
]
SchemasOption = Annotated[
    Path | None,
    typer.Option(
        "--schemas", help="A folder of JSON Schemas of STAC extensions to check items by."
    ),
]

app = typer.Typer()


@app.command(rich_help_panel="Publish")
def publish(
    home: HomeOption,
    files: Annotated[
        list[Path],
        typer.Argument(help="STAC items: NDJSON, an Item, an ItemCollection or STAC-GeoParquet."),
    ],
    catalogue: CatalogueOption = None,
    collection: Annotated[
        str | None, typer.Option(help="The collection of all items, if they do not say it.")
    ] = None,
    collection_json: Annotated[
        list[Path] | None,
        typer.Option("--collection-json", help="A STAC Collection document (repeatable)."),
    ] = None,
    skip_invalid: Annotated[
        bool, typer.Option("--skip-invalid", help="Publish the good items of a mixed file.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check everything, sign and publish nothing.")
    ] = False,
    report: ReportOption = None,
    schemas: SchemasOption = None,
    next_within: NextWithinOption = None,
    offline: OfflineOption = False,
    restored: RestoredOption = False,
    passphrase_file: PassphraseFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Publish STAC items: check them, write signed segments, tell the mesh.

    Each item stays byte for byte as given; one that is published as it is, is left out. If any item
    is refused, nothing is published unless --skip-invalid is given. A run that is interrupted can
    be repeated.

    Examples:

      meshnode publish items.ndjson --catalogue yukon

      meshnode publish inventory.parquet --collection ca-yt-orthoimagery --dry-run
    """
    from meshnode.runtime.datasets.collection import read_document
    from meshnode.runtime.maintainer.batches import Batch
    from meshnode.runtime.maintainer.reports import reporting

    by_schemas = extension_schemas(schemas)
    signing = Signing(
        home,
        catalogue,
        passphrase_file,
        offline=offline,
        restored=restored,
        dry_run=dry_run,
        next_within_days=next_within,
    )
    institution = signing.institution

    documents = [read_document(path) for path in collection_json or []]

    async def work() -> Message:
        async with signing.session() as session:
            state, publisher = await session.state(), session.publisher
            held = publisher.documents(state)
            difference = await session.published()
            with reporting(report) as tell:
                batch = Batch(
                    publisher.staging,
                    collection,
                    held | dict(documents),
                    difference,
                    tell,
                    by_schemas,
                )
                _read(batch, files)
            may_publish = not dry_run and (skip_invalid or not batch.refused)
            drafts = batch.drafts(state["collections"], dict(documents))
            done = await _publish(session, state, batch, drafts, may_publish=may_publish)
            return {"catalogue": institution.text, "name": institution.name, **done}

    summary = run_async(work)
    if as_json:
        print_json(summary)
    else:
        _print_summary(summary)
    if refused := summary["refused_count"]:
        complain(refused, summary["items"] + summary["same"], skip_invalid=skip_invalid)


def extension_schemas(folder: Path | None) -> ExtensionSchemas | None:
    """Return the schemas of a folder to check items by, if one is given."""
    from meshnode.runtime.segments.extension_schemas import ExtensionSchemas

    return ExtensionSchemas(folder) if folder else None


def complain(refused: int, good: int, *, skip_invalid: bool) -> None:
    number = counted(refused, "item is", "items are")
    if not good:
        raise UsageError(f"{number} refused and no other is there", hint="mend them")
    if not skip_invalid:
        raise UsageError(
            f"{number} refused, so nothing is published",
            hint="mend them, or publish the others with --skip-invalid",
        )


def _read(batch: Batch, files: list[Path]) -> None:
    with progress() as bar:
        task = bar.add_task("checking items", total=None)
        batch.read(files, lambda count: bar.advance(task, count))


async def _publish(
    session: Session,
    state: Message,
    batch: Batch,
    drafts: Sequence[Draft],
    *,
    may_publish: bool,
) -> Message:
    """Sign and submit what is new; return the summary."""
    summary = {
        "items": batch.taken,
        "same": batch.same,
        "segments": len(batch.segments),
        "size_bytes": sum(segment.file.size_bytes for segment in batch.segments),
        "entries": len(drafts),
        "warnings": batch.warnings,
        "collections_made": batch.made_documents,
        **refusals(batch),
        "published": False,
    }
    if may_publish and (drafts or session.signing.renews_promise):
        result = await session.publish(state, drafts, batch.staged)
        summary |= {"published": True, "refused_segments": result.get("refused", [])}
    return summary


def refusals(batch: Batch) -> Message:
    """Return the members of a summary that `print_refused` shows items by."""
    return {
        "refused_count": batch.refused_count,
        "refused": [
            {"where": item.where, "id": item.id, "reason": item.reason} for item in batch.refused
        ],
    }


def print_refused(summary: Message) -> None:
    """Show which items were refused and why, and which collections have no document.

    Warnings are counted: there may be one for every item, and a report has them all.
    """
    for refused in summary["refused"][:REFUSED_SHOWN_MAX]:
        name = f" {refused['id']}" if refused["id"] else ""
        print_labelled("refused", f"{refused['where']}{name}: {refused['reason']}", "yellow", err)
    if summary["refused_count"] > REFUSED_SHOWN_MAX:
        err.print(f"… and {summary['refused_count'] - REFUSED_SHOWN_MAX} more; --json names 1,000")
    if warnings := summary.get("warnings"):
        text = f"{counted(warnings, 'warning')}: --report FILE names each"
        print_labelled("note", text, "yellow", err)
    for collection in summary["collections_made"]:
        text = f"collection {collection} has no document: give --collection-json"
        print_labelled("note", text, "yellow", err)


def _print_summary(summary: Message) -> None:
    print_refused(summary)
    if not summary["items"] and not summary["same"]:
        return
    size = size_text(summary["size_bytes"])
    items, segments = counted(summary["items"], "item"), counted(summary["segments"], "segment")
    entries = counted(summary["entries"], "entry", "entries")
    if summary["items"]:
        out.print(f"{items} in {segments}, {size}")
    if summary["same"] and summary["entries"]:
        out.print(f"left out, published as they are: {counted(summary['same'], 'item')}")
    if summary["published"] and summary["entries"]:
        out.print(f"published in {summary['name']}: {entries} signed, indexed here")
    elif summary["published"]:
        out.print(f"nothing is new in {summary['name']}; signed anew, as promised")
    elif not summary["entries"]:
        out.print("nothing is new: all of it is published already")
    else:
        out.print(f"not published: {entries} would be signed in {summary['name']}")
    for refused in summary.get("refused_segments", []):
        text = f"segment {refused['segment']}, by this peer: {refused['reason']}"
        print_labelled("refused", text, "red", err)
