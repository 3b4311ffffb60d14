"""`meshsim sweep`, `compare` and `report`: what many runs say together."""

from __future__ import annotations

import os
import shlex
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from meshnode.errors import StorageError
from simulations import compare as comparing
from simulations import overrides, samples, scenario, study
from simulations import sweep as sweeping
from simulations.cli.terminal import (
    INTERRUPTED,
    JsonOption,
    Line,
    ScenarioArgument,
    duration,
    out,
    print_json,
)
from simulations.compare import Change, Comparison, Difference
from simulations.figures import KEY, SHARES, short
from simulations.overrides import Value
from simulations.samples import Sample

app = typer.Typer()

MetricOption = Annotated[
    list[str] | None,
    typer.Option("--metric", metavar="NAME", help="A figure to show; * stands for any part."),
]
COLOURS = {Change.BETTER: "green", Change.WORSE: "red"}


@app.command()
def sweep(
    name: ScenarioArgument,
    folder: Annotated[Path, typer.Option("--out", help="The sweep's folder.")],
    words: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=A,B,…", help="A setting and the values to try."),
    ] = None,
    seeds: Annotated[str, typer.Option(help="For every combination: 1..20, or 1,3,8.")] = "1..10",
    jobs: Annotated[
        int, typer.Option(min=1, max=256, help="Runs at the same time.", show_default="processors")
    ] = os.cpu_count() or 1,
    metric: MetricOption = None,
    as_json: JsonOption = False,
) -> None:
    """Run every combination of settings with many seeds; exit 0 if every run passed.

    What is there already is not run again, so a sweep that was stopped goes on with the same
    command, and one with more seeds or values does only those. Intervals: Student's t, 95 %.

    Example: meshsim sweep split-brain --set links.loss=0,0.05,0.1 --seeds 1..20 --out loss
    """
    chosen, choices = scenario.load(name), overrides.parse(words or [])
    cells = sweeping.plan(chosen, choices, sweeping.seeds(seeds), folder)
    with sweeping.working_in(folder):
        interrupted = _run(cells, jobs, as_json)
        command = shlex.join(["meshsim", *sys.argv[1:]])
        found = study.write(folder, chosen, choices, cells, command)
    if as_json:
        print_json(study.told(found))
    else:
        _print_study(found, metric or KEY)
    _end_sweep(folder, cells, found, interrupted=interrupted)


@app.command()
def compare(
    baseline: Annotated[Path, typer.Argument(help="A run, a folder of runs, or a sweep.")],
    candidate: Annotated[Path, typer.Argument(help="The same, to be judged.")],
    metric: MetricOption = None,
    tolerance: Annotated[
        float, typer.Option(min=0, help="Share of the baseline's mean that does not matter.")
    ] = comparing.TOLERANCE,
    as_json: JsonOption = False,
) -> None:
    """Say what became better or worse, and whether chance explains it; exit 1 on a regression.

    A figure is worse if it moved by more than the tolerance and the 95 % interval of the
    difference (Student's t; seed by seed where both sides have the same seeds) excludes zero.

    Example: meshsim compare loss/links.loss=0 loss/links.loss=0.05 --metric '*_seconds'
    """
    found = [
        comparing.compare(before, after, metric or (), tolerance)
        for before, after in comparing.pairs(samples.read(baseline), samples.read(candidate))
    ]
    if as_json:
        print_json([_told(each) for each in found])
    else:
        for each in found:
            _print_comparison(each)
    raise typer.Exit(1 if any(each.regressions for each in found) else 0)


@app.command()
def report(
    folders: Annotated[
        list[Path], typer.Argument(metavar="RUN…", help="Folders of runs, or of sweeps.")
    ],
    output: Annotated[
        Path | None,
        typer.Option(help="The file; by default report.html in the folder, if it is one."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Write one HTML page that needs nothing else: verdict, figures, pictures, how to run it again.

    Example: meshsim report runs/split-brain-50-1-20260101T000000Z-0123456789
    """
    from simulations.report import write_report

    alone = folders[0] if len(folders) == 1 else Path()
    path = output or alone / "report.html"
    write_report(folders, path)
    if as_json:
        print_json({"report": str(path)})
    else:
        out.print(f"written to {path}")


# --- sweep ----------------------------------------------------------------------------------------
def _run(cells: list[sweeping.Cell], jobs: int, quiet: bool) -> bool:
    """Do what is missing; return whether it was interrupted."""
    line, missing = Line(quiet=quiet), sweeping.missing(cells)
    before, done = len(cells) - len(missing), 0
    if before and not quiet:
        out.print(f"{before} of {len(cells)} runs are there already")

    def ended(_: sweeping.Cell) -> None:
        nonlocal done
        done += 1
        line.say(lambda seconds: progress(before + done, done, len(cells), seconds))

    try:
        sweeping.run(missing, jobs, ended)
    except KeyboardInterrupt:
        return True
    finally:
        line.end()
    return False


def progress(there: int, done: int, total: int, seconds: float) -> str:
    """Return the line; `there` of the runs are on disk, `done` of them in these real seconds."""
    left = duration((total - there) * seconds / done)
    return f"{there} of {total} runs, {done * 60 / seconds:.1f} a minute, {left} left"


def _end_sweep(
    folder: Path, cells: list[sweeping.Cell], found: list[study.Point], *, interrupted: bool
) -> None:
    runs = [run for point in found if point.sample for run in point.sample.runs]
    absent = len(cells) - len(runs)
    if interrupted:
        out.print(f"interrupted: {absent} of {len(cells)} runs are missing")
        raise typer.Exit(INTERRUPTED)
    if absent:
        raise StorageError(
            f"{absent} of {len(cells)} runs left no result in {folder}",
            hint="run the same command again; with fewer --jobs if memory was short",
        )
    raise typer.Exit(0 if all(run.passed for run in runs) else 1)


def _print_study(found: list[study.Point], patterns: list[str] | tuple[str, ...]) -> None:
    out.print(study.table(found, patterns), end="", markup=False)


# --- compare --------------------------------------------------------------------------------------
def _told(found: Comparison) -> dict[str, Any]:
    return {
        "baseline": found.baseline.name,
        "candidate": found.candidate.name,
        "settings": {
            name: {"baseline": before, "candidate": after}
            for name, (before, after) in _differing(found.baseline, found.candidate).items()
        },
        "figures": [asdict(each) for each in found.differences],
    }


def _differing(baseline: Sample, candidate: Sample) -> dict[str, tuple[Value, Value]]:
    found = overrides.differing(baseline.scenario, candidate.scenario)
    return {name: values for name, values in found.items() if name != "seed"}


def _print_comparison(found: Comparison) -> None:
    for title, sample in (("before", found.baseline), ("after", found.candidate)):
        commits = ", ".join(dict.fromkeys(str(run.summary["commit"]) for run in sample.runs))
        out.print(f"{title:<7} {sample.folder}: seeds {_seeds(sample)}, commit {commits}")
    for name, (before, after) in _differing(found.baseline, found.candidate).items():
        out.print(f"setting {name}: {before} → {after}")
    table = Table("figure", box=None, pad_edge=False, padding=(0, 1, 0, 0))
    table.columns[0].overflow = "fold"
    for title in ("before", "after", "difference"):
        table.add_column(title, justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    for each in found.differences:
        table.add_row(*_row(each))
    out.print(table)
    if any(each.by.low is None for each in found.differences if each.figure not in SHARES):
        out.print("one run on a side: no intervals, true of these seeds only")


def _seeds(sample: Sample) -> str:
    """Write seeds in order; the middle of many is left out."""
    numbers = [str(seed) for seed in sample.seeds]
    return ", ".join(numbers if len(numbers) <= 3 else [numbers[0], "…", numbers[-1]])


def _row(found: Difference) -> tuple[str, ...]:
    colour = COLOURS.get(found.change)
    said = f"[{colour}]{found.change}[/]" if colour else str(found.change)
    sign = "+" if found.by.mean > 0 else ""
    by = f"{sign}{short(found.by.mean)}"
    if found.by.high is not None:
        by += f" ± {short(found.by.high - found.by.mean)}"
    return found.figure, short(found.baseline.mean), short(found.candidate.mean), by, said
