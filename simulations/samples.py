"""Runs that can be put side by side: of one setting with several seeds, of several settings.

A folder that holds `summary.json` is a run; a folder of runs is a sample; a folder of samples is a
study, as `meshsim sweep` leaves it. Nothing else is asked of the folders, so runs that were made by
hand in one folder compare as well.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from meshnode.errors import UsageError
from simulations import output, overrides
from simulations.figures import MACHINE, SHARES
from simulations.scenario import Scenario
from simulations.statistics import Interval, mean_interval, share_interval


@dataclass(frozen=True, slots=True)
class Run:
    """One run as it lies in its folder."""

    folder: Path
    scenario: Scenario
    summary: Mapping[str, Any]

    @property
    def seed(self) -> int:
        return int(self.summary["seed"])

    @property
    def passed(self) -> bool:
        return bool(self.summary["verdict"] == "pass")

    @property
    def figures(self) -> dict[str, float]:
        """Return every number of the run by name; the unit is the name's last word.

        `settled_seconds` is absent if the mesh did not settle within the scenario's bound.
        """
        said = self.summary
        found = {"passed_share": float(self.passed)}
        settled = said["settled_seconds"]
        found["settled_share"] = float(settled is not None)
        if settled is not None:
            found["settled_seconds"] = settled
        found |= said["metrics"]
        return found | {name: said[name] for name in MACHINE}


@dataclass(frozen=True, slots=True)
class Sample:
    """Runs that differ by nothing but their seed, in the order of seeds."""

    folder: Path
    runs: Sequence[Run]

    @property
    def name(self) -> str:
        return self.folder.name

    @property
    def scenario(self) -> Scenario:
        return self.runs[0].scenario

    @property
    def seeds(self) -> tuple[int, ...]:
        return tuple(run.seed for run in self.runs)

    def values(self, figure: str) -> list[float]:
        """Return a figure's value in every run that has it."""
        return [found[figure] for run in self.runs if figure in (found := run.figures)]

    def intervals(self) -> dict[str, Interval]:
        """Return the mean of every figure, in the order of the first run's."""
        names = dict.fromkeys(name for run in self.runs for name in run.figures)
        return {
            name: (share_interval if name in SHARES else mean_interval)(self.values(name))
            for name in names
        }


def read(folder: Path) -> list[Sample]:
    """Return the samples in a folder, by name.

    Raises:
        UsageError: there is no run in it, or a sample mixes scenarios.
    """
    if _holds_run(folder):
        return [Sample(folder, [read_run(folder)])]
    children = list(_folders(folder))
    samples = [_sample(child) for child in children if any(map(_holds_run, _folders(child)))]
    if any(map(_holds_run, children)):
        samples.append(_sample(folder))
    if not samples:
        raise UsageError(
            f"{folder} holds no run", hint="give a folder that `meshsim run` or `sweep` made"
        )
    return samples


def read_run(folder: Path) -> Run:
    return Run(folder, *output.read_run(folder))


def _sample(folder: Path) -> Sample:
    runs = sorted(
        (read_run(child) for child in _folders(folder) if _holds_run(child)),
        key=lambda run: run.seed,
    )
    sample = Sample(folder, runs)
    for run in runs:
        others = [n for n in overrides.differing(sample.scenario, run.scenario) if n != "seed"]
        if others:
            raise UsageError(
                f"{runs[0].folder} and {run.folder} differ in {others[0]}",
                hint="put runs of one setting into one folder, or compare two of them",
            )
    if len(set(sample.seeds)) < len(runs):
        raise UsageError(
            f"{folder} holds two runs with the same seed", hint="move one of them away"
        )
    return sample


def _holds_run(folder: Path) -> bool:
    return (folder / output.SUMMARY).is_file()


def _folders(folder: Path) -> Iterator[Path]:
    """Yield the folders in a folder; hidden ones are unfinished work."""
    if not folder.is_dir():
        return iter(())
    return (
        child
        for child in sorted(folder.iterdir())
        if child.is_dir() and not child.name.startswith(".")
    )
