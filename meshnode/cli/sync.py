"""`sync`: publish the difference between a source and what is published of it."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

from meshnode.cli.passphrase import PassphraseFileOption
from meshnode.cli.publish import (
    ReportOption,
    SchemasOption,
    complain,
    extension_schemas,
    print_refused,
    refusals,
)
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
    print_table,
    progress,
    run_async,
    size_text,
)
from meshnode.cli.timers import Timer, print_timer
from meshnode.control import Message
from meshnode.errors import UsageError

if TYPE_CHECKING:
    from meshnode.core.entries import Reason
    from meshnode.runtime.maintainer.batches import Batch, Finding
    from meshnode.runtime.maintainer.inventories.mapping import Mapping
    from meshnode.runtime.maintainer.plans import Plan, Within
    from meshnode.runtime.maintainer.sources import Given, Reading
    from meshnode.runtime.segments.extension_schemas import ExtensionSchemas
    from meshnode.runtime.segments.items import ItemText
    from meshnode.runtime.segments.validation import Problem

GONE_SHOWN_MAX = 20
GONE_SAID_MAX = 1000  # with --json, of each collection

app = typer.Typer()


@app.command(rich_help_panel="Publish")
def sync(
    home: HomeOption,
    source: Annotated[
        str,
        typer.Argument(
            help="A file or folder of items, a static STAC catalogue (folder or URL), a STAC API, "
            "STAC-GeoParquet (file or URL), or - for standard input."
        ),
    ],
    catalogue: CatalogueOption = None,
    collection: Annotated[
        list[str] | None,
        typer.Option(help="Only this collection (repeatable); all that the source has if none."),
    ] = None,
    collection_json: Annotated[
        list[Path] | None,
        typer.Option("--collection-json", help="A STAC Collection document (repeatable)."),
    ] = None,
    mapping: Annotated[
        Path | None,
        typer.Option(
            help="The source is an inventory of files, or a folder of them: how items are made."
        ),
    ] = None,
    prune: Annotated[
        bool, typer.Option("--prune", help="Withdraw what is gone from the source.")
    ] = False,
    reason: Annotated[
        str,
        typer.Option(help="Why what is gone is withdrawn: retired, superseded, error, duplicate."),
    ] = "retired",
    yes: Annotated[
        bool, typer.Option("--yes", help="Withdraw more than a fifth of a collection, too.")
    ] = False,
    skip_invalid: Annotated[
        bool, typer.Option("--skip-invalid", help="Publish the good items of a mixed source.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show the difference, sign and publish nothing.")
    ] = False,
    report: ReportOption = None,
    schemas: SchemasOption = None,
    timer: Annotated[
        Timer | None, typer.Option(help="Print how this very command runs every night, and end.")
    ] = None,
    next_within: NextWithinOption = None,
    offline: OfflineOption = False,
    restored: RestoredOption = False,
    passphrase_file: PassphraseFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Publish what is new or changed in a source, and withdraw with --prune what is gone from it.

    What is the same, byte for byte, is not touched. A run that is interrupted can be repeated: it
    publishes what is still missing.

    Examples:

      meshnode sync items.ndjson --dry-run

      meshnode sync https://stac.example.org/v1 --collection landsat --prune

      meshnode sync files.csv --mapping orthoimagery.toml
    """
    if timer is not None:
        print_timer(timer, home)
        return
    from meshnode.runtime.datasets.collection import read_document
    from meshnode.runtime.maintainer.drafts import parse_reason
    from meshnode.runtime.maintainer.inventories.mapping import read_mapping
    from meshnode.runtime.maintainer.inventories.names import doubts
    from meshnode.runtime.maintainer.reports import reporting
    from meshnode.runtime.maintainer.sources.opening import opened

    how = read_mapping(mapping) if mapping else None
    wanted = Wanted(
        collections=list(dict.fromkeys(collection or [])),
        documents=dict(read_document(path) for path in collection_json or []),
        reason=_why_gone(parse_reason(reason)) if prune else None,
        may_prune_many=yes,
        skip_invalid=skip_invalid,
        signs=not dry_run,
        schemas=extension_schemas(schemas),
        lint=doubts if how and how.names == "d4c" else None,
        mapping=how,
    )
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

    async def work() -> Message:
        async with signing.session() as session:
            with (
                opened(
                    source, wanted.collections, signing.layout.sources, wanted.mapping
                ) as reading,
                reporting(report) as tell,
            ):
                done = await _synchronise(session, reading, tell, wanted)
                return {"catalogue": institution.text, "name": institution.name, **done}

    summary = {"source": source, **run_async(work)}
    if as_json:
        print_json(summary)
    else:
        _print_summary(summary, prunes=prune)
    if refused := summary["refused_count"]:
        complain(refused, summary["items"] + summary["same"], skip_invalid=skip_invalid)


def _why_gone(reason: Reason) -> Reason:
    """Refuse reasons for which bytes are erased: a person names such items one by one."""
    if reason.erases:
        raise UsageError(
            f"what is gone from a source is not withdrawn for {reason.name.lower()}",
            hint="name the items: meshnode withdraw COLLECTION ITEM --reason …",
        )
    return reason


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a run may do. `reason`: why what is gone is withdrawn; None: it stays."""

    collections: list[str]
    documents: dict[str, bytes]
    reason: Reason | None
    may_prune_many: bool
    skip_invalid: bool
    signs: bool
    schemas: ExtensionSchemas | None
    lint: Callable[[ItemText], list[Problem]] | None
    mapping: Mapping | None


async def _synchronise(
    session: Session,
    reading: Reading,
    tell: Callable[[Finding], None],
    wanted: Wanted,
) -> Message:
    """Read the source, sign and submit the difference; return the summary."""
    from meshnode.runtime.maintainer.batches import Batch
    from meshnode.runtime.maintainer.plans import Within, plan, require_few_gone

    publisher, state = session.publisher, await session.state()
    difference = await session.published()
    documents = ChainMap(
        dict(wanted.documents), reading.documents.by_id, publisher.documents(state)
    )
    only = wanted.collections[0] if len(wanted.collections) == 1 else None
    batch = Batch(publisher.staging, only, documents, difference, tell, wanted.schemas, wanted.lint)
    within = Within(wanted.collections)
    _take(batch, within(reading.items))
    spoken_for = wanted.collections or [
        *difference.collections(), *reading.documents.by_id, *wanted.documents
    ]  # fmt: skip
    planned = plan(batch, state, spoken_for, wanted.reason)
    may_publish = wanted.signs and (wanted.skip_invalid or not batch.refused)
    if may_publish and not wanted.may_prune_many:
        require_few_gone(planned)
    published = may_publish and (bool(planned.drafts) or session.signing.renews_promise)
    if published:
        await session.publish(state, planned.drafts, batch.staged)
    return {
        "published": published,
        **_summary(batch, planned, within),
        "documents_refused": reading.documents.problems,
    }


def _take(batch: Batch, items: Iterable[Given]) -> None:
    with progress(*_columns()) as bar:
        task = bar.add_task("reading items", total=None)
        batch.take(items, lambda count: bar.advance(task, count))


def _columns() -> tuple[Any, ...]:
    from rich.progress import MofNCompleteColumn, SpinnerColumn, TextColumn, TimeElapsedColumn

    return (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )


def _summary(batch: Batch, planned: Plan, within: Within) -> Message:
    return {
        "items": batch.taken,
        "items_bytes": batch.taken_bytes,
        "segments": len(batch.segments),
        "size_bytes": sum(segment.file.size_bytes for segment in batch.segments),
        "entries": len(planned.drafts),
        "new": sum(each.new for each in planned.counts),
        "changed": sum(each.changed for each in planned.counts),
        "same": sum(each.same for each in planned.counts),
        "gone": sum(each.gone for each in planned.counts),
        "outside": within.outside,
        "collections": {
            each.collection: {
                "new": each.new,
                "changed": each.changed,
                "same": each.same,
                "gone": each.gone,
            }
            for each in planned.counts
        },
        "withdrawn": {name: ids[:GONE_SAID_MAX] for name, ids in planned.gone.items()},
        "withdrawn_count": sum(len(ids) for ids in planned.gone.values()),
        "warnings": batch.warnings,
        "collections_made": batch.made_documents,
        **refusals(batch),
    }


def _print_summary(summary: Message, *, prunes: bool) -> None:
    print_refused(summary)
    for problem in summary["documents_refused"]:
        print_labelled("note", problem, "yellow", err)
    print_table(
        ("collection", "new", "changed", "gone", "same"),
        (
            (name, each["new"], each["changed"], each["gone"], each["same"])
            for name, each in summary["collections"].items()
        ),
    )
    for name, ids in summary["withdrawn"].items():
        for id_ in ids[:GONE_SHOWN_MAX]:
            out.print(Text(f"withdraw {name}/{id_}"))
        if len(ids) > GONE_SHOWN_MAX:
            out.print(f"… and {len(ids) - GONE_SHOWN_MAX} more of {name}")
    if summary["gone"] and not prunes:
        number = counted(summary["gone"], "item is", "items are")
        print_labelled("note", f"{number} gone from the source: --prune withdraws", "yellow", err)
    if summary["outside"]:
        out.print(f"left aside, of other collections: {counted(summary['outside'], 'item')}")
    entries = counted(summary["entries"], "entry", "entries")
    size = size_text(summary["size_bytes"])
    if summary["published"] and summary["entries"]:
        out.print(f"published in {summary['name']}: {entries} signed, {size} of segments")
    elif summary["published"]:
        out.print(f"nothing changed in {summary['name']}; signed anew, as promised")
    elif not summary["entries"]:
        out.print("nothing changed")
    else:
        out.print(f"not published: {entries} would be signed in {summary['name']}, {size}")
