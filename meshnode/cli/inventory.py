"""`inventory`: files that no STAC describes yet: their names, and the items made of them."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from meshnode.cli.publish import REFUSED_SHOWN_MAX
from meshnode.cli.terminal import (
    JsonOption,
    counted,
    err,
    out,
    print_json,
    print_labelled,
    run_async,
)
from meshnode.errors import UsageError

if TYPE_CHECKING:
    from meshnode.runtime.maintainer.sources import Reading
    from meshnode.runtime.segments.items import RefusedItem
    from meshnode.runtime.segments.validation import Problem

STANDARD_INPUT = "-"

app = typer.Typer(help="Make items of files that have no STAC yet.", no_args_is_help=True)


@app.callback()
def inventory() -> None:
    """Make items of files that have no STAC yet."""


@app.command()
def lint(
    names: Annotated[
        list[str] | None,
        typer.Argument(help="File names, or a folder for those below it, or - for lines."),
    ] = None,
    table: Annotated[
        Path | None, typer.Option(help="Check the names of a CSV or Parquet table, too.")
    ] = None,
    column: Annotated[str, typer.Option(help="The table's column of names or URLs.")] = "url",
    as_json: JsonOption = False,
) -> None:
    """Check file names by the convention of Data for Canada.

    A name is REGION_SOURCE-DGUID_PACKAGE_DATE_VARIANT_VERSION.EXTENSION; DGUID, variant and version
    may be missing. Names whose parts cannot be told apart are refused; small sins are warnings.

    Examples:

      meshnode inventory lint /data/processed

      meshnode inventory lint
        ca-yt_whitehorse-2019A00056001009_d4c-datapkg-orthoimagery_2019_200mm.tif

      ls /data | meshnode inventory lint - --json
    """
    from meshnode.runtime.maintainer.inventories.names import SYNTAX, lint
    from meshnode.runtime.segments.validation import is_refused

    if not names and table is None:
        raise UsageError("no names are given", hint="name files, a folder, - or --table")
    given = [*_names(names or []), *(_names_in(table, column) if table else ())]
    found = [(name, lint(name)) for name in given]
    refused = sum(is_refused(problems) for _, problems in found)
    doubtful = sum(bool(problems) for _, problems in found) - refused
    if as_json:
        checked = [_said(name, problems) for name, problems in found]
        print_json({"names": checked, "refused": refused, "doubtful": doubtful})
    else:
        for name, problems in found:
            _print_problems(name, problems)
        counts = f"{refused} refused, {doubtful} with warnings"
        out.print(f"{counted(len(found), 'name')}: {counts}")
    if refused:
        raise UsageError(
            f"{counted(refused, 'name does', 'names do')} not follow the convention",
            hint=f"rename to {SYNTAX}",
        )


@app.command()
def items(
    source: Annotated[
        str,
        typer.Argument(help="A CSV or Parquet table (file or URL), a folder of files, or -."),
    ],
    mapping: Annotated[Path, typer.Option(help="How a row or a file becomes an item (TOML).")],
    to: Annotated[Path, typer.Option("--to", help="The file to write, or - for standard output.")],
    as_json: JsonOption = False,
) -> None:
    """Write the items that an inventory gives, as NDJSON. Nothing is signed or published.

    `meshnode sync SOURCE --mapping FILE` makes the same items and publishes what changed.

    Examples:

      meshnode inventory items files.csv --mapping orthoimagery.toml --to items.ndjson

      meshnode inventory items /data/processed --mapping d4c.toml --to - | head -1
    """
    from meshnode.runtime.maintainer.inventories.mapping import read_mapping
    from meshnode.runtime.maintainer.sources.opening import opened
    from meshnode.runtime.segments.export import export_ndjson

    how = read_mapping(mapping)
    refused: list[RefusedItem] = []
    with (
        tempfile.TemporaryDirectory(prefix="meshnode-") as folder,
        opened(source, (), Path(folder) / "sources.db", how) as reading,
    ):
        number = run_async(lambda: export_ndjson(_good_items(reading, refused), to))
    if as_json and str(to) != "-":
        said = [{"where": r.where, "id": r.id, "reason": r.reason} for r in refused]
        print_json({"items": number, "to": str(to), "refused": said})
    else:
        for each in refused[:REFUSED_SHOWN_MAX]:
            print_labelled("refused", f"{each.where}: {each.reason}", "yellow", err)
        err.print(f"{counted(number, 'item')} written to {to}")
    if refused:
        raise UsageError(
            f"{counted(len(refused), 'row')} gave no item",
            hint="mend the files or the mapping; --json names them all",
        )


async def _good_items(reading: Reading, refused: list[RefusedItem]) -> AsyncIterator[bytes]:
    """Yield the items' bytes; the others are added to `refused`."""
    from meshnode.runtime.segments.items import ItemText

    for item in reading.items:
        if isinstance(item, ItemText):
            yield item.raw
        else:
            refused.append(item)


def _names(given: list[str]) -> Iterator[str]:
    for each in given:
        if each == STANDARD_INPUT:
            yield from (_last(line.strip()) for line in sys.stdin if line.strip())
        elif Path(each).is_dir():
            yield from (path.name for path in sorted(Path(each).rglob("*")) if path.is_file())
        else:
            yield _last(each)


def _names_in(table: Path, column: str) -> Iterator[str]:
    from meshnode.runtime.maintainer.inventories.rows import read_table

    for row in read_table(table).rows:
        if column not in row.values:
            known = ", ".join(row.values)
            raise UsageError(f"{table} has no column {column!r}", hint=f"it has {known}"[:300])
        yield _last(str(row.values[column]))


def _last(path: str) -> str:
    return path.rpartition("/")[2]


def _said(name: str, problems: list[Problem]) -> dict[str, Any]:
    from meshnode.runtime.maintainer.inventories.names import UnfitNameError, parse_name

    try:
        parts = parse_name(name).parts()
    except UnfitNameError:
        parts = {}
    said = [{"severity": each.severity.value, "reason": each.reason} for each in problems]
    return {"name": name, "parts": parts, "problems": said}


def _print_problems(name: str, problems: list[Problem]) -> None:
    from meshnode.runtime.segments.validation import Severity

    for each in problems:
        label = "refused" if each.severity is Severity.REFUSE else "warning"
        print_labelled(label, f"{name}: {each.reason}", "yellow", err)
