"""What every peer showed in all runs together: the slowest of them is what a promise is held to."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from simulations import cli
from tests.simulations.command_line import SMALL, meshsim

HEAL = ("--metric", "heal_seconds")


@pytest.fixture
def healed(tmp_path: Path) -> Path:
    """Six peers and a cut, with two seeds: a folder beside the sweep."""
    (tmp_path / "small.toml").write_text(SMALL, encoding="utf-8")
    done = meshsim("sweep", "small.toml", "--seeds", "1,2", "--out", "heal", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    return tmp_path


@pytest.mark.slow
def test_the_values_of_all_peers_and_runs_are_ranked_together(healed: Path) -> None:
    runs = sorted(str(found.parent) for found in healed.glob("heal/**/summary.json"))
    told = [meshsim("pool", run, *HEAL, "--json", folder=healed).stdout for run in runs]
    alone = [json.loads(text)[0] for text in told]
    [both] = json.loads(meshsim("pool", "heal", *HEAL, "--json", folder=healed).stdout)

    assert both["runs"] == len(alone) == 2
    assert both["count"] == sum(each["count"] for each in alone) > 0
    assert both["longest"] == max(each["longest"] for each in alone) > 0
    assert min(each["median"] for each in alone) <= both["median"] <= both["longest"]
    assert both["passed"] is True


@pytest.mark.slow
def test_a_bound_that_one_peer_breaks_fails(healed: Path) -> None:
    [both] = json.loads(meshsim("pool", "heal", *HEAL, "--json", folder=healed).stdout)
    kept, broken = str(both["longest"]), str(both["longest"] - 0.001)

    assert meshsim("pool", "heal", *HEAL, "--longest-max", kept, folder=healed).returncode == 0
    assert meshsim("pool", "heal", *HEAL, "--longest-max", broken, folder=healed).returncode == 1
    assert meshsim("pool", "heal", *HEAL, "--median-max", "0", folder=healed).returncode == 1


@pytest.mark.slow
def test_a_failed_run_keeps_no_bound(healed: Path) -> None:
    summary = next(healed.glob("heal/**/seed-2/summary.json"))
    said = json.loads(summary.read_text(encoding="utf-8")) | {"verdict": "fail"}
    summary.write_text(json.dumps(said), encoding="utf-8")

    [both] = json.loads(meshsim("pool", "heal", *HEAL, "--json", folder=healed).stdout)

    assert both["failed_seeds"] == [2]
    assert both["passed"] is False


@pytest.mark.slow
def test_a_figure_that_no_peer_has_is_named(healed: Path) -> None:
    done = meshsim("pool", "heal", "--metric", "settled_seconds", folder=healed)

    assert done.returncode == 2
    assert "settled_seconds" in done.stderr
    assert "heal_seconds" in done.stderr


def test_no_line_of_help_ends_where_the_source_does() -> None:
    groups = [group.typer_instance for group in cli.app.registered_groups]
    commands = [command for group in groups if group for command in group.registered_commands]
    texts = [command.help or "" for command in commands]
    paragraphs = [each for text in texts for each in text.split("\n\n")]

    assert len(commands) > 8
    assert [text for text in texts if not text] == []
    assert [each for each in paragraphs if "\n" in each and "\n  " not in each] == []
