"""The scenario file: one TOML document that says who takes part, how bad the world is, and when.

Every field has a unit, bounds and a default; `schema()` is the published JSON schema. An error
names the file, the line and the field.
"""

from __future__ import annotations

import hashlib
import re
import tomllib
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from meshnode.errors import ConfigError

LIBRARY = "simulations.scenarios"

Seconds = Annotated[float, Field(ge=0, le=10**8)]
Share = Annotated[float, Field(ge=0, le=1)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class LinkModel(_Section):
    """How messages travel."""

    degree: int = Field(
        default=8, ge=2, le=64, description="Links a peer has on average: a ring and random chords."
    )
    latency_seconds_median: float = Field(
        default=0.04, gt=0, le=10, description="One way; each link has its own, log-normal."
    )
    latency_sigma: float = Field(
        default=0.5, ge=0, le=3, description="Spread of the link latencies (log-normal sigma)."
    )
    jitter: float = Field(
        default=0.2, ge=0, le=10, description="Up to this share of the latency on top, a message."
    )
    loss: float = Field(
        default=0.0, ge=0, lt=1, description="Share of messages that are lost and not sent again."
    )
    uplink_bytes_per_second: float = Field(
        default=2.5e6, gt=0, le=1e12, description="For log and object answers of one peer."
    )
    detect_seconds: Seconds = Field(
        default=10.0, description="From a cut until both ends know that the connection is gone."
    )
    redial_seconds_max: Seconds = Field(
        default=5.0, description="Within which two peers find each other once they can."
    )


class DiskModel(_Section):
    """How fast peers write."""

    fsync_seconds: float = Field(default=0.005, ge=0, le=60, description="For one batch.")
    index_seconds_per_row: float = Field(
        default=0.0002, ge=0, le=10, description="To check and index one row of a segment."
    )


class Workload(_Section):
    """What institutions publish. Writers live on the first peers, one each."""

    institutions: int = Field(default=2, ge=1, le=1000, description="Catalogues.")
    writers_each: int = Field(default=1, ge=1, le=64, description="Keys of one institution.")
    start_seconds: Seconds = Field(default=20.0, description="Of the first publication.")
    interval_seconds: float = Field(
        default=5.0, gt=0, le=10**7, description="Between two publications of one writer."
    )
    segments_each: int = Field(default=5, ge=1, le=10**5, description="Publications a writer.")
    segment_bytes: int = Field(default=200_000, ge=1, le=64 << 20, description="Of one file.")
    segment_rows: int = Field(default=100, ge=1, le=10**6, description="Items in one segment.")
    withdraw_every: int = Field(
        default=0, ge=0, le=10**5, description="Each so-many-th publication withdraws an item."
    )


class Split(_Section):
    """A partition into sides; nothing crosses it. Peers are dealt to the sides in turn."""

    kind: Literal["split"]
    at_seconds: Seconds
    for_seconds: Seconds
    sides: int = Field(default=2, ge=2, le=64)


class Crash(_Section):
    """Some peers lose power and boot again from what was synced."""

    kind: Literal["crash"]
    at_seconds: Seconds
    for_seconds: Seconds
    who: Literal["any", "publishers", "others"] = Field(
        default="any", description="Among whom the peers are drawn; publishers have a writer."
    )
    share: Share = Field(default=0.1, description="Of them, drawn at random; at least one.")


class Skew(_Section):
    """The clocks of some peers are wrong."""

    kind: Literal["skew"]
    at_seconds: Seconds
    for_seconds: Seconds
    who: Literal["any", "publishers", "others"] = Field(
        default="others", description="Among whom the peers are drawn; publishers have a writer."
    )
    share: Share = Field(default=0.1, description="Of them, drawn at random; at least one.")
    offset_seconds: int = Field(ge=-(10**8), le=10**8)


FAULT_KINDS = ("split", "crash", "skew")
Fault = Annotated[Split | Crash | Skew, Field(discriminator="kind")]


class Scenario(_Section):
    """One experiment; together with a seed it determines everything that happens."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,63}$", description="In file names.")
    title: str = Field(max_length=200, description="What it shows, in one sentence.")
    nodes: int = Field(ge=2, le=100_000, description="Peers that run the node's code.")
    seed: int = Field(default=1, ge=0, lt=2**64, description="Used when the command names none.")
    settle_seconds_max: Seconds = Field(
        default=300.0,
        description="From the last heal and publication until all must be equal (I14).",
    )
    links: LinkModel = LinkModel()
    disk: DiskModel = DiskModel()
    workload: Workload = Workload()
    faults: tuple[Fault, ...] = Field(default=(), max_length=1000)

    @model_validator(mode="after")
    def _writers_have_peers(self) -> Scenario:
        writers = self.workload.institutions * self.workload.writers_each
        if writers > self.nodes:
            raise ValueError(f"{writers} writers need a peer each, and there are {self.nodes}")
        return self

    @property
    def quiet_from_seconds(self) -> float:
        """When the last fault has ended and the last publication was due."""
        work = self.workload
        published = work.start_seconds + work.interval_seconds * work.segments_each
        return max(published, *(f.at_seconds + f.for_seconds for f in self.faults), 0.0)

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
    return tuple(part for part in problem["loc"] if part not in FAULT_KINDS)


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
