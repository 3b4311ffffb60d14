"""`inventory`: files that no STAC describes yet: their names, and the items made of them."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from meshnode.cli.terminal import JsonOption, counted, err, out, print_json, print_labelled
from meshnode.errors import UsageError

if TYPE_CHECKING:
    from meshnode.runtime.segments.validation import Problem

STANDARD_INPUT = "-"

app = typer.Typer(help="Make items of files that have no STAC yet.", no_args_is_help=True)


@app.callback()
def inventory() -> None:
    """Make items of files that have no STAC yet."""


@app.command()
def lint(
    names: Annotated[
        list[str],
        typer.Argument(help="File names, or a folder for those below it, or - for lines."),
    ],
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

    found = [(name, lint(name)) for name in _names(names)]
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


def _names(given: list[str]) -> Iterator[str]:
    for each in given:
        if each == STANDARD_INPUT:
            yield from (line.strip().rpartition("/")[2] for line in sys.stdin if line.strip())
        elif Path(each).is_dir():
            yield from (path.name for path in sorted(Path(each).rglob("*")) if path.is_file())
        else:
            yield each.rpartition("/")[2]


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
