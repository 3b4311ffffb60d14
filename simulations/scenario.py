"""The scenario file: one TOML document that says who takes part, how bad the world is, and when.

Every field has a unit, bounds and a default; `schema()` is the published JSON schema. An error
names the file, the line and the field.
"""

from __future__ import annotations

import hashlib
import re
import tomllib
from importlib import resources
from itertools import pairwise
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError, model_validator

from meshnode.errors import ConfigError
from simulations.settings import (
    DiskModel,
    Habits,
    LinkModel,
    Payloads,
    Seconds,
    Section,
    Share,
    Workload,
)
from simulations.timeline import KINDS, Adversary, Fault, Join

LIBRARY = "simulations.scenarios"


class Scenario(Section):
    """One experiment; together with a seed it determines everything that happens."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,63}$", description="In file names.")
    title: str = Field(max_length=200, description="What it shows, in one sentence.")
    nodes: int = Field(ge=2, le=100_000, description="Peers that run the node's code.")
    seed: int = Field(default=1, ge=0, lt=2**64, description="Used when the command names none.")
    settle_seconds_max: Seconds = Field(
        default=300.0,
        description="From the last heal and publication until all must be equal (I14).",
    )
    propagation_seconds_max: Seconds = Field(
        default=120.0,
        description="In which a confirmed head is everywhere while no fault is at work (I16).",
    )
    idle_seconds: Seconds = Field(
        default=60.0,
        description="For which the settled mesh is watched, whether it is quiet (I18); 0: not.",
    )
    former_share: Share = Field(
        default=0.0,
        description="Share of peers, drawn at random, that speak version 1 of the protocol: they "
        "are asked for all heads, and ask so.",
    )
    links: LinkModel = LinkModel()
    disk: DiskModel = DiskModel()
    habits: Habits = Habits()
    workload: Workload = Workload()
    payloads: Payloads = Payloads()
    faults: tuple[Fault, ...] = Field(default=(), max_length=1000)
    adversaries: tuple[Adversary, ...] = Field(default=(), max_length=100)

    @model_validator(mode="after")
    def _one_split_at_a_time(self) -> Scenario:
        splits = sorted((f.at_seconds, f.until_seconds) for f in self.faults if f.kind == "split")
        for (_, end), (begin, _) in pairwise(splits):
            if begin < end:
                raise ValueError(f"a split begins at {begin:g} s, and one lasts until {end:g} s")
        return self

    @model_validator(mode="after")
    def _writers_have_peers(self) -> Scenario:
        there = self.nodes - self.joining - self.adversarial
        if self.writers > there:
            raise ValueError(f"{self.writers} writers need a peer each, and there are {there}")
        return self

    @property
    def writers(self) -> int:
        return self.workload.institutions * self.workload.writers_each

    @property
    def joining(self) -> int:
        """Return how many of the last peers are not there from the beginning."""
        return sum(fault.count for fault in self.faults if isinstance(fault, Join))

    @property
    def adversarial(self) -> int:
        """Return how many peers, before those that join, are adversaries."""
        return sum(adversary.count for adversary in self.adversaries)

    @property
    def quiet_from_seconds(self) -> float:
        """When the last fault has ended and the last publication was due."""
        work = self.workload
        published = work.start_seconds + work.interval_seconds * work.segments_each
        began = [f.at_seconds if isinstance(f, Join) else f.until_seconds for f in self.faults]
        downloads = self.payloads.start_seconds + self.payloads.spread_seconds
        return max(published, *began, downloads if self.payloads.count else 0.0)

    @property
    def digest(self) -> str:
        """Return the name of the experiment: SHA-256 over all its settings, in hex."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()


def schema() -> dict[str, Any]:
    """Return the JSON schema (draft 2020-12) of a scenario file."""
    return Scenario.model_json_schema()


def library() -> tuple[str, ...]:
    """Return the names of the packaged scenarios."""
    files = resources.files(LIBRARY).iterdir()
    return tuple(sorted(f.name.removesuffix(".toml") for f in files if f.name.endswith(".toml")))


def load(name: str) -> Scenario:
    """Read a packaged scenario by name, or a file by path.

    Raises:
        ConfigError: there is none, it is not TOML, or a field is wrong.
    """
    if name in library():
        text = (resources.files(LIBRARY) / f"{name}.toml").read_text(encoding="utf-8")
        return parse(text, f"{name}.toml")
    try:
        return parse(Path(name).read_text(encoding="utf-8"), name)
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"cannot read scenario {name}: {error}",
            hint="`meshsim list` shows the packaged scenarios; else give the path of a TOML file",
        ) from error


def parse(text: str, where: str) -> Scenario:
    """Read a scenario from TOML text; `where` names it in errors.

    Raises:
        ConfigError: with the line and the field of each problem.
    """
    try:
        return Scenario.model_validate(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{where} is not TOML: {error}") from error
    except ValidationError as error:
        problems = [_problem(text, where, dict(problem)) for problem in error.errors()]
        raise ConfigError(
            "\n".join(problems), hint="`meshsim scenario schema` lists every field with its bounds"
        ) from error


def validate(settings: dict[str, Any]) -> Scenario:
    """Check settings that do not come from a file.

    Raises:
        ConfigError: with the field of each problem.
    """
    try:
        return Scenario.model_validate(settings)
    except ValidationError as error:
        problems = [_said(dict(problem)) for problem in error.errors()]
        raise ConfigError("; ".join(problems)) from error


def _problem(text: str, where: str, problem: dict[str, Any]) -> str:
    return f"{where}, line {_line_of(text, _path_of(problem))}: {_said(problem)}"


def _said(problem: dict[str, Any]) -> str:
    field = ".".join(str(part) for part in _path_of(problem)) or "the scenario"
    if problem["type"] == "extra_forbidden":
        return f"there is no field {field}"
    if problem["type"] == "missing":
        return f"{field} is missing"
    return f"{field}: {problem['msg'].removeprefix('Value error, ')}"


def _path_of(problem: dict[str, Any]) -> tuple[str | int, ...]:
    """Return the field's place; pydantic also names the kind of a fault within it."""
    return tuple(part for part in problem["loc"] if part not in KINDS)


def _line_of(text: str, path: tuple[str | int, ...]) -> int:
    """Return the line of a field, or of the nearest table around it (1 if there is none)."""
    lines = _lines_of_fields(text)
    while path and path not in lines:
        path = path[:-1]
    return lines.get(path, 1)


def _lines_of_fields(text: str) -> dict[tuple[str | int, ...], int]:
    found: dict[tuple[str | int, ...], int] = {}
    table: tuple[str | int, ...] = ()
    counts: dict[str, int] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if array := re.match(r"\s*\[\[\s*([\w-]+)\s*\]\]", line):
            name = array[1]
            table = (name, counts.get(name, 0))
            counts[name] = table[1] + 1
            found[table] = number
        elif section := re.match(r"\s*\[\s*([\w.-]+)\s*\]", line):
            table = tuple(section[1].split("."))
            found[table] = number
        elif key := re.match(r"\s*([\w-]+)\s*=", line):
            found[(*table, key[1])] = number
    return found
