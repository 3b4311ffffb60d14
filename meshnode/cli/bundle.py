"""`bundle`: catalogues as one file, carried on a disk."""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from meshnode.cli.access import reach
from meshnode.cli.static import CataloguesOption, bring_up_to_date
from meshnode.cli.static_mirrors import confirm, nonempty, show_catalogues
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
from meshnode.control import Message
from meshnode.errors import PeerError, UsageError

if TYPE_CHECKING:
    from meshnode.runtime.static_mirror.bundle import BundleWriter

app = typer.Typer(no_args_is_help=True, help="Catalogues as one file, carried on a disk.")
STDOUT = Path("-")


@app.command()
def write(
    home: HomeOption,
    to: Annotated[Path, typer.Argument(help="The file to write; - for standard output.")],
    catalogue: CataloguesOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write catalogues into one file: all that was signed, with every object that is here.

    It is a tar; the same state gives the same bytes. The file is there as a whole or not at all.

    Examples:

      meshnode bundle write /srv/disk/yukon.tar --catalogue yukon

      meshnode bundle write - | ssh station 'cat > yukon.tar'
    """
    if to == STDOUT and sys.stdout.isatty():
        raise UsageError("a bundle is not for a terminal", hint="name a file, or pipe it on")
    with _opened(to) as writer:
        report = bring_up_to_date(home, writer, catalogue, 0, dry_run=False)
    said = {
        "catalogues": report.catalogues,
        "files": report.files,
        "size_bytes": report.size_bytes,
        "missing": report.missing,
        "withheld": report.withheld,
        "damaged": report.damaged,
    }
    if to == STDOUT:
        return  # nothing but the bundle belongs there
    if as_json:
        print_json({"to": str(to), **said})
        return
    out.print(
        f"{counted(report.catalogues, 'catalogue')}, {counted(report.files, 'file')}"
        f" ({size_text(report.size_bytes)}) in {to}"
    )
    if report.missing:
        out.print(f"{counted(report.missing, 'object')} not here yet, and not in it")
    for damaged in report.damaged:
        print_labelled("left out:", damaged, "yellow", out)


@app.command()
def read(
    home: HomeOption,
    path: Annotated[Path, typer.Argument(help="A bundle, or the folder of a static mirror.")],
    only: Annotated[
        list[str] | None, typer.Option("--only", help="Follow only this catalogue, by its id.")
    ] = None,
    yes: Annotated[
        bool, typer.Option("--yes", help="Follow all catalogues that are in it, unasked.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Take what is missing here from a bundle: checked as what any peer sends, while it is read.

    Catalogues that are not followed yet are, once you confirm their ids. It can be broken off and
    repeated: what came stays. The peer may run meanwhile, or not.

    Examples:

      meshnode bundle read /srv/disk/yukon.tar

      meshnode bundle read /srv/disk/mesh --yes
    """
    where = str(path.absolute())
    found, followed = run_async(lambda: _look(home, where, only))
    wanted = nonempty(found)
    unknown = [each for each in wanted if each["id"] not in followed]
    if unknown and not as_json:
        show_catalogues(f"bundle {path}", unknown)
    if unknown and not (yes or only):
        confirm(len(unknown))
    result = run_async(lambda: _read(home, where, unknown))
    if as_json:
        print_json(result)
    else:
        _show(result)
    if result["faults"]:
        raise PeerError(
            f"{counted(len(result['faults']), 'file')} of {path} failed a check",
            hint="copy it again; what came is whole, and what failed was not taken",
        )


def _opened(to: Path) -> AbstractContextManager[BundleWriter]:
    from meshnode.runtime.static_mirror.bundle import streamed_bundle, written_bundle

    return streamed_bundle(sys.stdout.buffer) if to == STDOUT else written_bundle(to)


async def _look(home: Path, path: str, only: list[str] | None) -> tuple[Message, set[str]]:
    async with reach(home) as control:
        status = await control.ask("status")
        found = await control.ask("bundle_look", path=path, only=only or [])
    return found, {each["id"] for each in status["catalogues"]}


async def _read(home: Path, path: str, unknown: list[Message]) -> Message:
    result: Message = {}
    async with reach(home) as control:
        for each in unknown:
            await control.ask("follow", catalogue=each["id"], roots=each["roots"])
        with progress("{task.description}") as shown:
            task = shown.add_task("reading")
            async for message in control.follow("bundle_read", path=path):
                if "event" in message:
                    event = message["event"]
                    said = f"{event['stored']} objects taken, {event['left']} to go"
                    shown.update(task, description=said)
                result = message.get("result", result)
    return result


def _show(result: Message) -> None:
    number = len(result["catalogues"])
    out.print(f"{counted(number, 'catalogue')}, {counted(result['stored'], 'new object')}")
    for fault in result["faults"]:
        print_labelled("refused:", fault, "yellow", out)
    if result["left"]:
        out.print(f"{counted(result['left'], 'thing')} could not be had from it")
