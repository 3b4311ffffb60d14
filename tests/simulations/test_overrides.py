"""`--set`: names, values, grids, and what is said of a slip."""

from __future__ import annotations

from pathlib import Path

import pytest

from meshnode.errors import ConfigError, UsageError
from simulations import overrides, scenario
from simulations.provenance import reproduction
from tests.simulations.worlds import TROUBLED


def test_values_are_toml_and_bare_words_are_strings() -> None:
    found = overrides.parse(["links.loss=0,0.05", "faults.1.who=any,others", "nodes=12"])

    assert found == {
        "links.loss": [0, 0.05],
        "faults.1.who": ["any", "others"],
        "nodes": [12],
    }


def test_a_grid_is_every_combination_the_last_name_fastest() -> None:
    assert overrides.grid({"a": [1, 2], "b": [3, 4]}) == [
        {"a": 1, "b": 3},
        {"a": 1, "b": 4},
        {"a": 2, "b": 3},
        {"a": 2, "b": 4},
    ]
    assert overrides.grid({}) == [{}]


def test_a_grid_of_a_slip_is_refused() -> None:
    with pytest.raises(UsageError, match="1,000,000 combinations"):
        overrides.grid({"a": range(1000), "b": range(1000)})


def test_settings_are_changed_deep_in_the_scenario_and_nowhere_else() -> None:
    changed = overrides.apply(TROUBLED, {"links.loss": 0.5, "faults.0.for_seconds": 7})

    assert overrides.differing(TROUBLED, changed) == {
        "links.loss": (0.02, 0.5),
        "faults.0.for_seconds": (30.0, 7.0),
    }


@pytest.mark.parametrize("name", ["links.lass", "faults.9.for_seconds", "nodes.3", "links"])
def test_a_setting_that_is_not_there_is_refused(name: str) -> None:
    with pytest.raises((UsageError, ConfigError)):
        overrides.apply(TROUBLED, {name: 1})


def test_a_value_out_of_bounds_names_its_setting() -> None:
    with pytest.raises(ConfigError, match=r"links\.loss"):
        overrides.apply(TROUBLED, {"links.loss": 2})


@pytest.mark.parametrize("word", ["links.loss", "=3", "links.loss="])
def test_a_word_of_another_form_is_refused(word: str) -> None:
    with pytest.raises(UsageError, match="is not name=value"):
        overrides.parse([word])


def test_a_name_is_given_once() -> None:
    with pytest.raises(UsageError, match="given twice"):
        overrides.parse(["nodes=3", "nodes=4"])


def test_one_run_takes_one_value() -> None:
    with pytest.raises(UsageError, match="has 2 values"):
        overrides.one("nodes", [3, 4])


def test_what_is_written_is_read_back() -> None:
    settings = overrides.flat(TROUBLED)
    del settings["title"]
    read = overrides.parse(overrides.written(settings))

    assert {name: overrides.one(name, values) for name, values in read.items()} == settings


def test_the_command_that_reproduces_names_what_differs_from_the_packaged_scenario() -> None:
    packaged = scenario.load("split-brain")
    changed = overrides.apply(packaged, {"seed": 7, "links.loss": 0.1, "faults.1.who": "any"})
    said = reproduction(changed, Path("runs/x"))

    assert said == (
        "meshsim run split-brain --seed 7 --set links.loss=0.1 --set 'faults.1.who=\"any\"'"
    )


def test_a_scenario_of_ones_own_is_reproduced_from_the_folder() -> None:
    assert reproduction(TROUBLED, Path("a b")) == "meshsim replay 'a b'"
