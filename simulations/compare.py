"""What became better or worse between two samples, and whether chance alone explains it.

A figure is worse if it moved in its bad direction by more than the tolerance and the confidence
interval of the difference lies wholly on that side. One run on either side has no interval; then
the tolerance alone decides, for these seeds only. The shares of runs that passed and that settled
are no matter of statistics: any loss of them is a regression.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from fnmatch import fnmatchcase

from meshnode.errors import UsageError
from simulations.figures import MACHINE, SHARES, direction
from simulations.samples import Sample
from simulations.statistics import Interval, mean_interval, paired_difference, welch_difference

TOLERANCE = 0.02  # of the baseline's mean; a smaller change interests nobody


class Change(StrEnum):
    """What happened to one figure."""

    BETTER = "better"
    WORSE = "worse"
    HIGHER = "higher"
    LOWER = "lower"
    SAME = "no difference"


@dataclass(frozen=True, slots=True)
class Difference:
    """One figure in two samples; `by` is candidate minus baseline."""

    figure: str
    baseline: Interval
    candidate: Interval
    by: Interval
    change: Change


@dataclass(frozen=True, slots=True)
class Comparison:
    """All figures of two samples that both measured."""

    baseline: Sample
    candidate: Sample
    differences: Sequence[Difference]

    @property
    def regressions(self) -> list[Difference]:
        return [each for each in self.differences if each.change is Change.WORSE]


def pairs(baseline: Sequence[Sample], candidate: Sequence[Sample]) -> list[tuple[Sample, Sample]]:
    """Return what to compare with what: two lone samples, or those of equal name.

    Raises:
        UsageError: no name is on both sides.
    """
    if len(baseline) == len(candidate) == 1:
        return [(baseline[0], candidate[0])]
    named = {sample.name: sample for sample in candidate}
    found = [(sample, named[sample.name]) for sample in baseline if sample.name in named]
    if not found:
        names = ", ".join(sample.name for sample in baseline)
        raise UsageError(
            f"no setting was measured on both sides; the baseline has {names}",
            hint="sweep the same settings twice, or name one setting's folder on each side",
        )
    return found


def compare(
    baseline: Sample,
    candidate: Sample,
    patterns: Sequence[str] = (),
    tolerance: float = TOLERANCE,
) -> Comparison:
    """Compare the figures that match a pattern; without one, those that have a direction.

    Raises:
        UsageError: a pattern matches no figure.
    """
    before, after = baseline.intervals(), candidate.intervals()
    common = [name for name in before if name in after]
    chosen = _chosen(common, patterns)
    return Comparison(
        baseline,
        candidate,
        [
            _difference(name, before[name], after[name], _by(baseline, candidate, name), tolerance)
            for name in chosen
        ],
    )


def _chosen(names: Sequence[str], patterns: Sequence[str]) -> list[str]:
    if not patterns:
        return [name for name in names if direction(name) and name not in MACHINE]
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in names):
            raise UsageError(
                f"no figure is named {pattern}",
                hint="names are those of `metrics` in summary.json; * stands for any part",
            )
    return [name for name in names if any(fnmatchcase(name, each) for each in patterns)]


def _by(baseline: Sample, candidate: Sample, figure: str) -> Interval:
    before, after = baseline.values(figure), candidate.values(figure)
    whole = len(before) == len(baseline.runs) and len(after) == len(candidate.runs)
    if whole and baseline.seeds == candidate.seeds:
        return paired_difference(before, after)
    return welch_difference(before, after)


def _difference(
    figure: str, before: Interval, after: Interval, by: Interval, tolerance: float
) -> Difference:
    if figure in SHARES:
        by = mean_interval([after.mean - before.mean])
        return Difference(figure, before, after, by, _change(figure, by.mean))
    certain = by.low is None or by.excludes_zero
    large = abs(by.mean) > tolerance * abs(before.mean)
    moved = by.mean if certain and large else 0.0
    return Difference(figure, before, after, by, _change(figure, moved))


def _change(figure: str, moved: float) -> Change:
    if moved == 0:
        return Change.SAME
    match direction(figure):
        case 0:
            return Change.HIGHER if moved > 0 else Change.LOWER
        case sign:
            return Change.BETTER if moved * sign > 0 else Change.WORSE
