"""What `compare` calls better, worse and no difference."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from meshnode.errors import UsageError
from simulations import compare, figures, overrides, samples
from simulations.compare import Change
from simulations.samples import Run, Sample
from tests.simulations.command_line import SMALL, meshsim
from tests.simulations.worlds import TROUBLED

SETTLED = "settled_seconds"


def run_of(seed: int, settled: float | None, metrics: Mapping[str, float]) -> Run:
    summary = {
        "seed": seed,
        "verdict": "fail" if settled is None else "pass",
        "settled_seconds": settled,
        "metrics": dict(metrics),
        "cpu_seconds": 1.0 + seed,
        "memory_most_bytes": 1 << 20,
        "commit": "0123456789",
    }
    return Run(Path(f"seed-{seed}"), overrides.apply(TROUBLED, {"seed": seed}), summary)


def sample_of(
    settled: Sequence[float | None], first_seed: int = 1, name: str = "as-it-is", **metrics: float
) -> Sample:
    runs = [run_of(first_seed + place, value, metrics) for place, value in enumerate(settled)]
    return Sample(Path(name), runs)


def change_of(baseline: Sample, candidate: Sample, figure: str = SETTLED, **more: float) -> Change:
    (found,) = compare.compare(baseline, candidate, [figure], **more).differences
    return found.change


def test_a_shift_beyond_chance_is_worse_or_better() -> None:
    slow, fast = sample_of([10, 11, 12, 11]), sample_of([5, 6, 5, 6], first_seed=9)

    assert change_of(fast, slow) is Change.WORSE
    assert change_of(slow, fast) is Change.BETTER


def test_a_shift_within_chance_is_no_difference() -> None:
    assert change_of(sample_of([5, 15, 10]), sample_of([16, 4, 14], first_seed=9)) is Change.SAME


def test_equal_seeds_are_compared_one_by_one() -> None:
    before, after = [10.0, 50.0, 90.0, 130.0], [12.0, 52.2, 92.1, 132.1]

    assert change_of(sample_of(before), sample_of(after)) is Change.WORSE
    assert change_of(sample_of(before), sample_of(after, first_seed=9)) is Change.SAME


def test_a_certain_change_within_the_tolerance_is_no_difference() -> None:
    before, after = sample_of([100, 101, 102]), sample_of([101, 102, 103])

    assert change_of(before, after) is Change.SAME
    assert change_of(before, after, tolerance=0.001) is Change.WORSE


def test_one_run_on_a_side_is_judged_by_the_tolerance_alone() -> None:
    (found,) = compare.compare(sample_of([10]), sample_of([11]), [SETTLED]).differences

    assert (found.change, found.by.low) == (Change.WORSE, None)


def test_a_run_that_no_longer_passes_is_a_regression_without_statistics() -> None:
    found = compare.compare(sample_of([10, 11, 12]), sample_of([10, None, 12]))

    assert {each.figure for each in found.regressions} == {"passed_share", "settled_share"}


def test_more_of_a_count_is_neither_good_nor_bad() -> None:
    before, after = sample_of([1, 2], Answer_count=10), sample_of([1, 2], Answer_count=20)

    assert change_of(before, after, "Answer_count") is Change.HIGHER
    assert compare.compare(before, after, ["Answer_count"]).regressions == []


def test_figures_of_the_machine_are_compared_only_when_named() -> None:
    before, after = sample_of([1, 2]), sample_of([1, 2], first_seed=40)
    named = compare.compare(before, after, ["cpu_seconds"]).regressions

    assert compare.compare(before, after).regressions == []
    assert [each.figure for each in named] == ["cpu_seconds"]


def test_a_figure_that_is_not_there_is_refused() -> None:
    with pytest.raises(UsageError, match="no figure is named speed"):
        compare.compare(sample_of([1]), sample_of([1]), ["speed"])


def test_points_of_two_sweeps_are_paired_by_name() -> None:
    one, two, three = (sample_of([1], name=name) for name in ("a", "b", "c"))

    assert compare.pairs([one, two], [two, three]) == [(two, two)]
    assert compare.pairs([one], [three]) == [(one, three)]
    with pytest.raises(UsageError, match="no setting was measured on both sides"):
        compare.pairs([one, two], [three])


@pytest.mark.parametrize(
    ("value", "said"),
    [(0, "0"), (0.01234, "0.0123"), (7, "7"), (999.6, "1k"), (-1234567, "-1.23M")],
)  # fmt: skip
def test_numbers_are_short(value: float, said: str) -> None:
    assert figures.short(value) == said


@pytest.mark.slow
def test_the_command_fails_on_a_regression_and_only_then(tmp_path: Path) -> None:
    (tmp_path / "small.toml").write_text(SMALL, encoding="utf-8")
    meshsim("run", "small.toml", "--output", "before", "--no-events", folder=tmp_path)
    meshsim("run", "small.toml", "--output", "after", "--no-events", folder=tmp_path)
    same = meshsim("compare", "before", "after", folder=tmp_path)
    (summary,) = (tmp_path / "after").glob("*/summary.json")
    said = json.loads(summary.read_text())
    said["metrics"]["sent_mean_bytes"] *= 2
    summary.write_text(json.dumps(said))
    worse = meshsim("compare", "before", "after", "--json", folder=tmp_path)
    (found,) = json.loads(worse.stdout)

    assert (same.returncode, same.stderr) == (0, "")
    assert "no intervals" in same.stdout
    assert max(map(len, same.stdout.splitlines()[2:])) <= 80
    assert worse.returncode == 1
    assert [f["figure"] for f in found["figures"] if f["change"] == "worse"] == ["sent_mean_bytes"]


@pytest.mark.slow
def test_folders_that_mix_settings_or_hold_nothing_are_refused(tmp_path: Path) -> None:
    (tmp_path / "small.toml").write_text(SMALL, encoding="utf-8")
    for nodes in ("6", "7"):
        meshsim("run", "small.toml", "--nodes", nodes, "--no-events", folder=tmp_path)
    mixed = meshsim("compare", "runs", "runs", folder=tmp_path)

    assert mixed.returncode == 2
    assert "differ in nodes" in mixed.stderr
    with pytest.raises(UsageError, match="holds no run"):
        samples.read(tmp_path / "nowhere")
