"""What a sweep found: one row a run as Parquet, one mean with its interval a point, a table.

A sweep's folder holds

- `sweep.json`: the scenario, the settings that vary, the seeds, the commit, the command, and for
  each point its settings, how many runs passed, and every figure's mean, interval and count.
- `results.parquet`: one row a run: point, every varied setting under its dotted name, seed,
  verdict, and every figure under its name (null if the run has none).
- `table.txt`: the same as the terminal shows.
- `<point>/seed-<seed>/`: the runs.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.table import Table

from meshnode import __version__
from meshnode.errors import UsageError
from simulations import overrides, provenance
from simulations.figures import KEY, short
from simulations.overrides import Value
from simulations.samples import Run, Sample, read_run
from simulations.scenario import Scenario
from simulations.statistics import CONFIDENCE, Interval
from simulations.sweep import Cell

TABLE_COLUMNS = 80
STUDY: Final = "sweep.json"


@dataclass(frozen=True, slots=True)
class Point:
    """One combination of settings; `sample` is None where no run has a result."""

    name: str
    settings: Mapping[str, Value]
    sample: Sample | None


def write(
    folder: Path,
    chosen: Scenario,
    choices: Mapping[str, Sequence[Value]],
    cells: Sequence[Cell],
    command: str,
) -> list[Point]:
    """Read what the sweep measured and write it down; return it point by point."""
    found = points(choices, cells)
    said = {
        "scenario": chosen.name,
        "settings": {name: list(values) for name, values in choices.items()},
        "seeds": list(dict.fromkeys(cell.scenario.seed for cell in cells)),
        "commit": provenance.commit(),
        "version": __version__,
        "command": command,
        "confidence": CONFIDENCE,
        "points": told(found),
    }
    text = json.dumps(said, indent=2, ensure_ascii=False) + "\n"
    (folder / STUDY).write_text(text, encoding="utf-8")
    (folder / "table.txt").write_text(table(found, KEY), encoding="utf-8")
    _write_results(folder / "results.parquet", found)
    return found


def points(choices: Mapping[str, Sequence[Value]], cells: Sequence[Cell]) -> list[Point]:
    """Return every point with the runs that are on disk."""
    runs: dict[str, list[Run]] = {}
    for cell in cells:
        here = runs.setdefault(cell.point, [])
        if cell.folder.exists():
            here.append(read_run(cell.folder))
    combinations = overrides.grid(choices)
    return [
        Point(name, point, Sample(here[0].folder.parent, here) if here else None)
        for point, (name, here) in zip(combinations, runs.items(), strict=True)
    ]


def told(found: Sequence[Point]) -> list[dict[str, Any]]:
    """Return the points for JSON."""
    return [_told(point) for point in found]


def table(found: Sequence[Point], patterns: Sequence[str]) -> str:
    """Return the figures that match a pattern, point by point, as text of 80 columns.

    Raises:
        UsageError: a pattern matches no figure.
    """
    shown = Table("setting", box=None, pad_edge=False, show_edge=False)
    shown.columns[0].overflow = "fold"
    shown.add_column("figure", overflow="fold")
    for title in ("mean", f"{CONFIDENCE:.0%} interval", "runs"):
        shown.add_column(title, justify="right", no_wrap=True)
    matched: set[str] = set()
    for point in found:
        name = point.name
        for figure, pattern, interval in _matching(point, patterns):
            matched.add(pattern)
            shown.add_row(name, figure, short(interval.mean), _span(interval), str(interval.count))
            name = ""
    unknown = [each for each in patterns if each not in matched]
    if unknown and patterns is not KEY:
        raise UsageError(
            f"no figure is named {unknown[0]}",
            hint="names are those of `metrics` in summary.json; * stands for any part",
        )
    text = io.StringIO()
    Console(file=text, width=TABLE_COLUMNS, highlight=False).print(shown)
    return "".join(f"{line.rstrip()}\n" for line in text.getvalue().splitlines())


def _matching(point: Point, patterns: Sequence[str]) -> Iterator[tuple[str, str, Interval]]:
    """Yield the figures in the order of the patterns that they match, each once."""
    found = _intervals(point)
    for pattern in patterns:
        for figure in [name for name in found if fnmatchcase(name, pattern)]:
            yield figure, pattern, found.pop(figure)


def _span(found: Interval) -> str:
    if found.low is None or found.high is None:
        return ""
    return f"{short(found.low)} … {short(found.high)}"


def _told(point: Point) -> dict[str, Any]:
    runs = point.sample.runs if point.sample else ()
    return {
        "point": point.name,
        "settings": dict(point.settings),
        "runs": len(runs),
        "passed": sum(run.passed for run in runs),
        "failed_seeds": [run.seed for run in runs if not run.passed],
        "figures": {name: asdict(interval) for name, interval in _intervals(point).items()},
    }


def _intervals(point: Point) -> dict[str, Interval]:
    return point.sample.intervals() if point.sample else {}


def _write_results(path: Path, found: Sequence[Point]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = [
        {
            "point": point.name,
            **{name: _column(value) for name, value in point.settings.items()},
            "seed": run.seed,
            "verdict": run.summary["verdict"],
            **{name: float(value) for name, value in run.figures.items()},
        }
        for point in found
        for run in (point.sample.runs if point.sample else ())
    ]
    names = dict.fromkeys(name for row in rows for name in row)
    columns = {name: [row.get(name) for row in rows] for name in names}
    pq.write_table(pa.table(columns), path)


def _column(value: object) -> int | float | str:
    """Return a value that Parquet has a type for; a list is written as JSON."""
    return value if isinstance(value, int | float | str) else json.dumps(value)
