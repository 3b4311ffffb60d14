"""Settings of a scenario by dotted name, as `--set links.loss=0.02` gives them.

A name is the path through the scenario file; a number in it counts from 0 through a list, so
`faults.0.for_seconds` is the first fault's length. Owns no meaning of any setting: that is
`simulations/scenario.py`.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping, Sequence
from itertools import product
from typing import TypeAlias

from meshnode.errors import UsageError
from simulations import scenario
from simulations.scenario import Scenario

POINTS_MAX = 10_000  # of one grid; more is a slip of the keyboard, and years of runs

Value: TypeAlias = "bool | int | float | str | list[Value] | dict[str, Value] | None"
Settings = dict[str, Value]  # by dotted name


def flat(chosen: Scenario) -> Settings:
    """Return every setting of a scenario by its dotted name, in the file's order."""
    found: Settings = {}
    _flatten(found, "", chosen.model_dump(mode="json"))
    return found


def differing(before: Scenario, after: Scenario) -> dict[str, tuple[Value, Value]]:
    """Return the settings that are not the same, with both values; None where one has none."""
    old, new = flat(before), flat(after)
    names = dict.fromkeys([*old, *new])
    return {n: (old.get(n), new.get(n)) for n in names if old.get(n) != new.get(n)}


def apply(chosen: Scenario, settings: Mapping[str, Value]) -> Scenario:
    """Return the scenario with some settings changed.

    Raises:
        UsageError: there is no setting of that name.
        ConfigError: a value is out of bounds.
    """
    changed = chosen.model_dump(mode="json")
    for name, value in settings.items():
        _put(changed, name, value)
    return scenario.validate(changed)


def parse(words: Sequence[str]) -> dict[str, list[Value]]:
    """Read `name=value,value` words; values are TOML, and bare words are strings.

    Raises:
        UsageError: a word has no such form, or a name is given twice.
    """
    found: dict[str, list[Value]] = {}
    for word in words:
        name, _, text = word.partition("=")
        values = _values(text)
        if not name or not values:
            raise UsageError(f"--set {word} is not name=value", hint="for example links.loss=0.02")
        if name in found:
            raise UsageError(
                f"--set {name} is given twice", hint="give all its values at once, with commas"
            )
        found[name] = values
    return found


def one(name: str, values: Sequence[Value]) -> Value:
    """Return the only value.

    Raises:
        UsageError: there are several.
    """
    if len(values) > 1:
        raise UsageError(
            f"--set {name} has {len(values)} values",
            hint="one run takes one; `meshsim sweep` takes several",
        )
    return values[0]


def grid(choices: Mapping[str, Sequence[Value]]) -> list[Settings]:
    """Return every combination of values, the last name varying fastest; one of nothing is {}.

    Raises:
        UsageError: there are too many.
    """
    count = 1
    for values in choices.values():
        count *= len(values)
    if count > POINTS_MAX:
        raise UsageError(
            f"{count:,} combinations of settings, and {POINTS_MAX:,} is the most",
            hint="vary fewer settings at once",
        )
    return [dict(zip(choices, point, strict=True)) for point in product(*choices.values())]


def written(settings: Mapping[str, Value]) -> list[str]:
    """Return settings as `name=value` words, which `parse` reads back."""
    return [f"{name}={json.dumps(value)}" for name, value in settings.items()]


def _flatten(found: Settings, prefix: str, value: Value) -> None:
    if isinstance(value, dict):
        for name, inner in value.items():
            _flatten(found, f"{prefix}{name}.", inner)
    elif isinstance(value, list) and any(isinstance(inner, dict) for inner in value):
        for place, inner in enumerate(value):
            _flatten(found, f"{prefix}{place}.", inner)
    else:
        found[prefix.removesuffix(".")] = value


def _put(table: Value, name: str, value: Value) -> None:
    *path, last = name.split(".")
    for part in path:
        table = _child(table, part, name)
    _child(table, last, name)
    if isinstance(table, list):
        table[int(last)] = value
    elif isinstance(table, dict):
        table[last] = value


def _child(table: Value, part: str, name: str) -> Value:
    if isinstance(table, dict) and part in table:
        return table[part]
    if isinstance(table, list) and part.isdecimal() and int(part) < len(table):
        return table[int(part)]
    raise UsageError(
        f"the scenario has no setting {name}",
        hint="`meshsim scenario show SCENARIO` lists its settings with their values",
    )


def _values(text: str) -> list[Value]:
    try:
        return list(tomllib.loads(f"values = [{text}]")["values"])
    except tomllib.TOMLDecodeError:
        return [_value(part) for part in text.split(",") if part]


def _value(text: str) -> Value:
    try:
        found: Value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text
    return found
