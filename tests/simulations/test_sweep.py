"""`meshsim sweep`: what it leaves, and that neither Ctrl-C nor a kill loses a measured run."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from meshnode.errors import UsageError
from simulations import output, sweep
from tests.simulations.command_line import SMALL, meshsim, run_program
from tests.simulations.worlds import TROUBLED

# Sends the sweep a signal when its first run has ended.
STRUCK = """
import os, signal, sys
from simulations import cli
from simulations.cli import studies

def progress(there, done, total, seconds):
    os.kill(os.getpid(), signal.{name})
    return ""

class Eager(studies.Line):
    def say(self, text):
        text(1.0)

studies.Line, studies.progress = Eager, progress
cli.main()
"""
SWEEP = ("sweep", "small.toml", "--set", "links.loss=0,0.1", "--out", "loss")


@pytest.fixture
def small(tmp_path: Path) -> Path:
    (tmp_path / "small.toml").write_text(SMALL, encoding="utf-8")
    return tmp_path


def written(folder: Path) -> dict[str, bytes]:
    """Return the summaries of all runs that are there."""
    found = folder.glob(f"loss/*/seed-*/{output.SUMMARY}")
    return {str(path.relative_to(folder)): path.read_bytes() for path in found}


@pytest.mark.slow
def test_a_sweep_leaves_a_run_for_every_point_and_seed_with_tables(small: Path) -> None:
    done = meshsim(*SWEEP, "--seeds", "1..2", "--jobs", "2", folder=small)
    rows = pq.read_table(small / "loss/results.parquet").to_pylist()
    said = json.loads((small / "loss/sweep.json").read_text())

    assert (done.returncode, done.stderr) == (0, "")
    assert len(written(small)) == 4
    assert [(row["links.loss"], row["seed"], row["verdict"]) for row in rows] == [
        (0.0, 1, "pass"),
        (0.0, 2, "pass"),
        (0.1, 1, "pass"),
        (0.1, 2, "pass"),
    ]
    assert all(row["sent_mean_bytes"] > 0 for row in rows)
    assert [point["passed"] for point in said["points"]] == [2, 2]
    assert done.stdout == (small / "loss/table.txt").read_text()
    assert max(map(len, done.stdout.splitlines())) <= 80


@pytest.mark.slow
def test_a_run_of_a_sweep_can_be_replayed_from_its_folder(small: Path) -> None:
    meshsim(*SWEEP, "--seeds", "3", folder=small)
    said = json.loads((small / "loss/links.loss=0.1/seed-3/summary.json").read_text())
    replayed = meshsim(*said["reproduce"].split()[1:], folder=small)

    assert (replayed.returncode, replayed.stderr) == (0, "")
    assert said["trace_sha256"][:16] in replayed.stdout


@pytest.mark.slow
def test_a_killed_sweep_goes_on_with_what_is_missing(small: Path) -> None:
    killed = run_program(
        STRUCK.format(name="SIGKILL"), *SWEEP, "--seeds", "1..2", "--jobs", "1", folder=small
    )
    before = written(small)
    done = meshsim(*SWEEP, "--seeds", "1..2", "--jobs", "2", folder=small)
    after = written(small)

    assert killed.returncode == -9
    assert len(before) == 1
    assert "1 of 4 runs are there already" in done.stdout
    assert (done.returncode, len(after)) == (0, 4)
    assert before.items() <= after.items()
    assert not list(small.glob("loss/*/.seed-*"))


@pytest.mark.slow
def test_ctrl_c_keeps_what_was_measured_and_says_what_is_missing(small: Path) -> None:
    done = run_program(
        STRUCK.format(name="SIGINT"), *SWEEP, "--seeds", "1..2", "--jobs", "1", folder=small
    )
    said = json.loads((small / "loss/sweep.json").read_text())

    assert done.returncode == 130
    assert "3 of 4 runs are missing" in done.stdout
    assert "Traceback" not in done.stderr
    assert [point["runs"] for point in said["points"]] == [1, 0]


@pytest.mark.slow
def test_more_seeds_are_added_to_what_is_there(small: Path) -> None:
    meshsim(*SWEEP, "--seeds", "1", folder=small)
    before = written(small)
    done = meshsim(*SWEEP, "--seeds", "1..2", "--json", folder=small)

    assert before.items() <= written(small).items()
    assert [point["runs"] for point in json.loads(done.stdout)] == [2, 2]


@pytest.mark.slow
def test_runs_of_another_scenario_are_not_mixed_in(small: Path) -> None:
    meshsim(*SWEEP, "--seeds", "1", folder=small)
    (small / "small.toml").write_text(SMALL.replace("nodes = 6", "nodes = 7"), encoding="utf-8")
    done = meshsim(*SWEEP, "--seeds", "1", folder=small)

    assert done.returncode == 2
    assert "was measured with another scenario" in done.stderr
    assert "--out" in done.stderr


@pytest.mark.slow
def test_a_failed_run_is_named_and_fails_the_sweep(small: Path) -> None:
    unfelt = SMALL.replace("= 22", "= 0").replace("= 15", "= 0")
    (small / "small.toml").write_text(unfelt, encoding="utf-8")
    done = meshsim(*SWEEP, "--seeds", "5", "--json", folder=small)

    assert done.returncode == 1
    assert [point["failed_seeds"] for point in json.loads(done.stdout)] == [[5], [5]]


def test_two_sweeps_do_not_work_in_one_folder(tmp_path: Path) -> None:
    with (
        sweep.working_in(tmp_path),
        pytest.raises(UsageError, match="another sweep works"),
        sweep.working_in(tmp_path),
    ):
        pass


@pytest.mark.parametrize(
    ("text", "expected"), [("3", [3]), ("1..4", [1, 2, 3, 4]), ("7..8,2,7", [2, 7, 8])]
)
def test_seeds_are_numbers_and_ranges(text: str, expected: list[int]) -> None:
    assert sweep.seeds(text) == expected


@pytest.mark.parametrize("text", ["", "4..1", "a", "1..", "-1", "0..100000"])
def test_other_seeds_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match="names no seeds"):
        sweep.seeds(text)


def test_the_seed_is_no_setting_to_vary(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="varies the seed anyway"):
        sweep.plan(TROUBLED, {"seed": [1, 2]}, [1], tmp_path)


def test_points_that_differ_have_folders_that_differ(tmp_path: Path) -> None:
    choices = {"title": ["a b", "a/b", "a_b", "x" * 200, "x" * 199]}
    cells = sweep.plan(TROUBLED, choices, [1, 2], tmp_path)
    folders = {cell.folder for cell in cells}

    assert len(folders) == len(cells) == 10
    assert all(folder.parent.parent == tmp_path for folder in folders)
    assert max(len(folder.parent.name) for folder in folders) < 255
