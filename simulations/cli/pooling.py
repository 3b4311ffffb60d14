"""`meshsim pool`: what every peer showed, in all runs of a setting together."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from simulations import pooling, samples
from simulations.cli.terminal import JsonOption, out, print_json
from simulations.figures import short
from simulations.pooling import Pool

app = typer.Typer()
BOUND = "Exit 1 if {} is above it."


@app.command()
def pool(
    folder: Annotated[Path, typer.Argument(help="A run, a folder of runs, or a sweep.")],
    metric: Annotated[str, typer.Option(metavar="NAME", help="A figure that single peers have.")],
    median_max: Annotated[
        float | None, typer.Option(metavar="NUMBER", help=BOUND.format("the median"))
    ] = None,
    longest_max: Annotated[
        float | None, typer.Option(metavar="NUMBER", help=BOUND.format("the greatest value"))
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Show a figure of all peers in all runs together; exit 1 if a bound is broken or a run failed.

    A mean over runs says nothing of the slowest peer. Where a run failed its slowest peers may
    have no value at all, so that no bound is kept.

    Example: meshsim pool heal --metric heal_seconds --median-max 8 --longest-max 25
    """
    found = [pooling.pool(sample, metric) for sample in samples.read(folder)]
    broken = [each for each in found if each.exceeds(median_max, longest_max)]
    if as_json:
        print_json([_told(each) | {"passed": each not in broken} for each in found])
    else:
        out.print(_table(found, broken))
    raise typer.Exit(1 if broken else 0)


def _told(found: Pool) -> dict[str, Any]:
    runs = len(found.sample.runs)
    values = asdict(found.values)
    return {"sample": found.sample.name, "runs": runs, "failed_seeds": found.failed, **values}


def _table(found: list[Pool], broken: list[Pool]) -> Table:
    table = Table("setting", box=None, pad_edge=False, padding=(0, 1, 0, 0))
    table.columns[0].overflow = "fold"
    for title in ("runs", "failed", "values", "median", "90 %", "99 %", "greatest", "bounds"):
        table.add_column(title, justify="right", no_wrap=True)
    for each in found:
        values = each.values
        figures = (values.median, values.p90, values.p99, values.longest)
        counts = (len(each.sample.runs), len(each.failed), values.count)
        verdict = "[red]broken[/]" if each in broken else "[green]kept[/]"
        table.add_row(each.sample.name, *map(str, counts), *map(short, figures), verdict)
    return table
