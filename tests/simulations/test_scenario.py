"""Scenario files: what is accepted, and how an error names its line and field."""

from __future__ import annotations

import pytest

from meshnode.errors import ConfigError
from simulations import scenario

HEAD = 'name = "one"\ntitle = "A test."\nnodes = 4\n'


def error_of(text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        scenario.parse(text, "one.toml")
    return str(caught.value)


def test_every_packaged_scenario_is_valid_and_named_like_its_file() -> None:
    names = scenario.library()

    assert {"baseline-50", "split-brain"} <= set(names)
    assert [scenario.load(name).name for name in names] == list(names)


def test_a_wrong_value_names_its_line_and_field() -> None:
    said = error_of(HEAD + "\n[links]\ndegree = 8\nloss = 1.5\n")

    assert said.startswith("one.toml, line 7: links.loss: ")


def test_an_unknown_field_names_its_line() -> None:
    assert error_of(HEAD + "speed = 3\n") == "one.toml, line 4: there is no field speed"


def test_a_missing_field_names_the_table_that_lacks_it() -> None:
    fault = '[[faults]]\nkind = "split"\nat_seconds = 1\nfor_seconds = 1\n'
    said = error_of(HEAD + fault + '[[faults]]\nkind = "crash"\nat_seconds = 1\n')

    assert said == "one.toml, line 8: faults.1.for_seconds is missing"


def test_an_unknown_kind_of_fault_is_refused() -> None:
    said = error_of(HEAD + '[[faults]]\nkind = "flood"\nat_seconds = 1\n')

    assert said.startswith("one.toml, line 4: faults.0: ")
    assert "flood" in said


def test_every_problem_is_said_at_once() -> None:
    said = error_of(HEAD + "seed = -1\nspeed = 3\n")

    assert [line.split(":")[0] for line in said.splitlines()] == [
        "one.toml, line 4",
        "one.toml, line 5",
    ]


def test_more_writers_than_peers_are_refused() -> None:
    said = error_of(HEAD + "[workload]\ninstitutions = 5\n")

    assert "5 writers need a peer each, and there are 4" in said


def test_text_that_is_not_toml_names_the_line() -> None:
    assert "line 2" in error_of("name = 'x'\nnodes = = 3\n")


def test_a_scenario_that_is_not_there_is_said_so() -> None:
    with pytest.raises(ConfigError, match="cannot read scenario nowhere"):
        scenario.load("nowhere.toml")


def test_quiet_begins_after_the_last_fault_and_the_last_publication() -> None:
    calm = scenario.parse(HEAD, "one.toml")
    split = '[[faults]]\nkind = "split"\nat_seconds = 100\nfor_seconds = 50\n'

    assert calm.quiet_from_seconds == 20 + 5 * 5
    assert scenario.parse(HEAD + split, "one.toml").quiet_from_seconds == 150


def test_the_schema_describes_every_field() -> None:
    schema = scenario.schema()

    assert set(schema["properties"]) == set(scenario.Scenario.model_fields)
    assert schema["$defs"]["LinkModel"]["properties"]["loss"]["exclusiveMaximum"] == 1


def test_two_splits_at_once_are_refused() -> None:
    split = '[[faults]]\nkind = "split"\nat_seconds = {}\nfor_seconds = 50\n'
    said = error_of(HEAD + split.format(10) + split.format(40))

    assert "a split begins at 40 s, and one lasts until 60 s" in said


def test_adversaries_and_newcomers_leave_room_for_the_writers() -> None:
    others = '[[adversaries]]\nkind = "sloth"\ncount = 2\n'
    join = '[[faults]]\nkind = "join"\nat_seconds = 1\nfor_seconds = 1\n'
    said = error_of(HEAD + join + others)

    assert "2 writers need a peer each, and there are 1" in said


def test_an_unknown_field_of_a_fault_names_its_line_without_the_kind() -> None:
    said = error_of(
        HEAD + '[[faults]]\nkind = "pause"\nat_seconds = 1\nfor_seconds = 2\nsides = 3\n'
    )

    assert said == "one.toml, line 8: there is no field faults.0.sides"
