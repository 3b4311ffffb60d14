"""`meshsim` as a person meets it: what it prints, what it leaves, what its exit status says."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from simulations import output, scenario
from simulations.run import Simulation
from tests.simulations.command_line import SMALL, meshsim, run_program
from tests.simulations.worlds import TROUBLED

UNFELT = SMALL.replace("= 22", "= 0").replace("= 15", "= 0")
INTERRUPTED = """
import signal
from simulations import cli
from simulations.cli import running

def interrupting(now, end, steps, seconds):
    if now >= 25:
        signal.raise_signal(signal.SIGINT)
    return ""

class Eager(running.Line):
    def say(self, text):
        text(1.0)

running.Line, running.progress = Eager, interrupting
cli.main()
"""


@pytest.fixture
def small(tmp_path: Path) -> Path:
    (tmp_path / "small.toml").write_text(SMALL, encoding="utf-8")
    return tmp_path


@pytest.mark.slow
def test_a_run_leaves_its_folder_and_can_be_replayed(small: Path) -> None:
    done = meshsim("run", "small.toml", "--seed", "3", "--json", folder=small)
    said = json.loads(done.stdout)
    (folder,) = (small / "runs").iterdir()
    replayed = meshsim("replay", str(folder), folder=small)

    assert (done.returncode, said["verdict"], done.stderr) == (0, "pass", "")
    assert folder.name.startswith("small-6-3-")
    assert sorted(path.name for path in folder.iterdir()) == [
        "events.parquet",
        "invariants.json",
        "metrics.parquet",
        "network.json",
        "scenario.json",
        "summary.json",
    ]
    assert json.loads((folder / "summary.json").read_text())["trace_sha256"] == said["trace_sha256"]
    assert replayed.returncode == 0
    assert said["trace_sha256"][:16] in replayed.stdout


@pytest.mark.slow
def test_the_events_file_holds_every_event_in_order(small: Path) -> None:
    meshsim("run", "small.toml", folder=small)
    (folder,) = (small / "runs").iterdir()
    table = pq.read_table(folder / "events.parquet")
    seconds = table["t"].to_pylist()
    rows = pq.read_table(folder / "metrics.parquet").to_pylist()
    metrics = {row["name"]: row["value"] for row in rows if row["node"] == ""}

    assert table.column_names == ["t", "node", "kind", "ids"]
    assert seconds == sorted(seconds)
    assert table["kind"].to_pylist().count("ExtendLog") == metrics["ExtendLog_count"] > 0


@pytest.mark.slow
def test_a_replay_that_goes_another_way_says_so(small: Path) -> None:
    meshsim("run", "small.toml", folder=small)
    (folder,) = (small / "runs").iterdir()
    summary = json.loads((folder / "summary.json").read_text())
    (folder / "summary.json").write_text(json.dumps({**summary, "seed": 99}))
    replayed = meshsim("replay", str(folder), folder=small)

    assert replayed.returncode == 1
    assert "another history" in replayed.stdout


@pytest.mark.slow
def test_a_fault_that_nobody_felt_fails_the_run(tmp_path: Path) -> None:
    (tmp_path / "small.toml").write_text(UNFELT, encoding="utf-8")
    done = meshsim("run", "small.toml", folder=tmp_path)

    assert done.returncode == 1
    assert "the split at 0 s was not felt" in done.stdout


@pytest.mark.slow
def test_a_broken_scenario_file_is_refused_with_its_line_and_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "bad.toml").write_text(SMALL + "[links]\nloss = 2\n", encoding="utf-8")
    done = meshsim("run", "bad.toml", folder=tmp_path)

    assert done.returncode == 2
    assert "bad.toml, line 12: links.loss" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "runs").exists()


@pytest.mark.slow
def test_a_folder_that_holds_no_run_cannot_be_replayed(tmp_path: Path) -> None:
    done = meshsim("replay", str(tmp_path), folder=tmp_path)

    assert done.returncode == 2
    assert "does not hold a run" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_the_packaged_scenarios_are_listed(tmp_path: Path) -> None:
    done = meshsim("list", "--json", folder=tmp_path)

    assert [entry["name"] for entry in json.loads(done.stdout)] == list(scenario.library())


@pytest.mark.slow
def test_the_selfcheck_finds_two_runs_equal(tmp_path: Path) -> None:
    done = meshsim("selfcheck", folder=tmp_path)

    assert (done.returncode, done.stderr) == (0, "")


def test_an_interrupted_run_keeps_what_was_measured_and_is_no_pass() -> None:
    simulation = Simulation(TROUBLED, 1)

    def interrupt(now: float, end: float) -> None:
        if now >= 10:
            signal.raise_signal(signal.SIGINT)

    outcome = simulation.run(interrupt)

    assert outcome.faults[-1] == "the run was interrupted"
    assert simulation.world.now == 10
    assert output.metrics(simulation)["Followed_count"] == 24


@pytest.mark.slow
def test_ctrl_c_leaves_a_folder_with_the_figures_so_far(small: Path) -> None:
    done = run_program(INTERRUPTED, "run", "small.toml", folder=small)
    (summary,) = (small / "runs").glob("*/summary.json")
    said = json.loads(summary.read_text())

    assert done.returncode == 130
    assert "the run was interrupted" in done.stdout
    assert (said["verdict"], said["virtual_seconds"]) == ("fail", 25)
    assert pq.read_table(summary.parent / "events.parquet").num_rows > 0
