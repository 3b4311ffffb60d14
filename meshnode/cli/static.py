"""`static`: catalogues as plain files, for any web server."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import trio
import typer

from meshnode.cli.access import reach
from meshnode.cli.catalogue import identifier
from meshnode.cli.terminal import (
    HomeOption,
    JsonOption,
    counted,
    out,
    print_json,
    print_labelled,
    progress,
    run_async,
    size_text,
)
from meshnode.control import Control
from meshnode.errors import UsageError

if TYPE_CHECKING:
    from meshnode.core.identifiers import CatalogueId
    from meshnode.runtime.static_mirror.export import Report
    from meshnode.runtime.static_mirror.places import Place

app = typer.Typer(no_args_is_help=True, help="Catalogues as plain files, for any web server.")

CataloguesOption = Annotated[
    list[str] | None,
    typer.Option(
        "--catalogue", help="An id, or the name of your own; without it all that are followed."
    ),
]
GraceOption = Annotated[
    int,
    typer.Option(
        "--grace-hours", min=0, help="How long files stay that the mirror does not name any more."
    ),
]
DryRunOption = Annotated[
    bool, typer.Option("--dry-run", help="Write nothing, and say what would be written.")
]
GRACE_HOURS = 24  # a newcomer that is slow has fetched a large catalogue by then


@app.command()
def export(
    home: HomeOption,
    directory: Annotated[Path, typer.Argument(help="Where the web server finds the files.")],
    catalogue: CataloguesOption = None,
    grace_hours: GraceOption = GRACE_HOURS,
    dry_run: DryRunOption = False,
    as_json: JsonOption = False,
) -> None:
    """Write a static mirror, or bring one up to date: only what is new is written.

    Readers may be at it meanwhile: each sees the state before or the state after. What is withheld
    is not in it, and leaves it at once. Others follow it with: meshnode follow https://…

    Examples:

      meshnode static export /var/www/mesh

      meshnode static export /var/www/mesh --catalogue yukon --dry-run
    """
    from meshnode.runtime.static_mirror.directory import Directory

    place = Directory(directory)

    def write() -> Report:
        return bring_up_to_date(home, place, catalogue, grace_hours, dry_run=dry_run)

    if dry_run and not directory.exists():
        report = write()
    else:
        with place.opened():
            report = write()
    show(report, f"in {directory}", dry_run=dry_run, as_json=as_json)


@app.command()
def push(
    home: HomeOption,
    url: Annotated[str, typer.Argument(help="s3://bucket/prefix")],
    catalogue: CataloguesOption = None,
    endpoint: Annotated[
        str | None,
        typer.Option(envvar="AWS_ENDPOINT_URL", help="Of a store that is not AWS, as a URL."),
    ] = None,
    grace_hours: GraceOption = GRACE_HOURS,
    dry_run: DryRunOption = False,
    as_json: JsonOption = False,
) -> None:
    """Bring a static mirror in an object store up to date: only what is missing is uploaded.

    Any store that speaks S3 will do. Who may write there is said by AWS_ACCESS_KEY_ID,
    AWS_SECRET_ACCESS_KEY and AWS_REGION. Let one machine at a time push to one prefix.

    Examples:

      meshnode static push s3://open-data/mesh

      meshnode static push s3://open-data/mesh --endpoint https://s3.example.org --dry-run
    """
    from meshnode.runtime.static_mirror.object_store import open_object_store

    place = open_object_store(url, endpoint)
    report = bring_up_to_date(home, place, catalogue, grace_hours, dry_run=dry_run)
    show(report, f"in {url}", dry_run=dry_run, as_json=as_json)


def bring_up_to_date(
    home: Path, place: Place, names: list[str] | None, grace_hours: int, *, dry_run: bool
) -> Report:
    """Export the catalogues of these names, or all that are followed, with a line of progress."""
    from meshnode.core.identifiers import parse_catalogue
    from meshnode.runtime.clock import unix_now
    from meshnode.runtime.static_mirror.export import Export

    chosen = [parse_catalogue(identifier(home, name)) for name in names or ()]

    async def work() -> Report:
        async with reach(home) as control:
            catalogues = chosen or await _followed(control, place)
            with progress("{task.description}") as shown:
                task = shown.add_task("")
                work = Export(
                    control,
                    place,
                    grace_seconds=grace_hours * 3600,
                    dry_run=dry_run,
                    progress=lambda report: shown.update(task, description=_line(report)),
                )
                return await work.run(catalogues, unix_now())

    return run_async(work)


def show(report: Report, where: str, *, dry_run: bool, as_json: bool) -> None:
    """Print what an export did."""
    if as_json:
        print_json({**asdict(report), "dry_run": dry_run})
        return
    would = "would be " if dry_run else ""
    out.print(
        f"{counted(report.catalogues, 'catalogue')},"
        f" {counted(report.files, 'file')} ({size_text(report.size_bytes)}) {where}"
    )
    out.print(f"{would}written  {report.written} ({size_text(report.written_bytes)})")
    out.print(f"{would}removed  {report.removed}, {report.leaving} more leave after the grace")
    if report.withheld:
        out.print(f"withheld: {counted(report.withheld, 'object')}, served to nobody")
    if report.missing:
        out.print(f"{counted(report.missing, 'object')} not here yet: a running peer fetches them")
    for damaged in report.damaged:
        print_labelled("left out:", damaged, "yellow", out)


def _line(report: Report) -> str:
    return f"{counted(report.files, 'file')}, {size_text(report.written_bytes)} written"


async def _followed(control: Control, place: Place) -> list[CatalogueId]:
    """Return what is followed; nothing only if there is a mirror from which all of it leaves."""
    from meshnode.core.identifiers import parse_catalogue
    from meshnode.core.static_mirror import POINTER_NAME

    status = await control.ask("status")
    found = [parse_catalogue(each["id"]) for each in status["catalogues"] if each["root_version"]]
    if not found and await trio.to_thread.run_sync(place.read, POINTER_NAME) is None:
        raise UsageError(
            "this peer follows no catalogue whose root is here", hint="meshnode follow CATALOGUE"
        )
    return found
