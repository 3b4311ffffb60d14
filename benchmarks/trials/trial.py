"""One trial: figures by name, each with the greatest value that keeps the promise.

A trial is what no ratio of CPU-seconds can say: whether all arrived, and when, by the clock. So it
belongs on a machine with nothing else to do. The limits are promises, not regressions.
"""

from __future__ import annotations

import tempfile
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import trio

from benchmarks.limits import Limits
from meshnode.errors import first_of

Figures = Mapping[str, float]  # the unit is the last word of each name


@dataclass(frozen=True, slots=True)
class Trial:
    """What is tried. `run` is given an empty folder; `limited` are the figures with a limit."""

    name: str
    what: str
    run: Callable[[Path], Figures]
    limited: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Verdict:
    """One trial as measured, and what the limits say."""

    trial: Trial
    figures: Figures
    limits: Mapping[str, float] = field(default_factory=dict)

    def broken(self) -> list[str]:
        """Return in sentences which promises do not hold, or were not measured."""
        return [said for name in self.trial.limited if (said := self._broken(name))]

    def _broken(self, name: str) -> str:
        figure, limit = self.figures.get(name), self.limits.get(name)
        if limit is None:
            return f"{self.trial.name}: no limit is set for {name}"
        if figure is None:
            return f"{self.trial.name}: {name} was not measured"
        if figure > limit:
            return f"{self.trial.name}: {name} is {figure:.3g}, the limit is {limit:g}"
        return ""


def attempt(trial: Trial, limits: Limits) -> Verdict:
    """Run a trial once."""
    with tempfile.TemporaryDirectory(prefix=f"{trial.name}-") as folder:
        figures = trial.run(Path(folder))
    return Verdict(trial, figures, limits.of(trial.name))


def perform(run: Callable[[Path], Awaitable[Figures]], folder: Path) -> Figures:
    """Run the body of a trial under trio; of several errors the one that a person should see."""
    try:
        return trio.run(run, folder)
    except BaseExceptionGroup as group:
        raise first_of(group) from group
