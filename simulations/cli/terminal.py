"""How `meshsim` speaks: results to stdout, progress and errors to stderr, JSON on request."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from typing import Annotated

import typer
from rich.console import Console

from simulations import overrides, scenario
from simulations.scenario import Scenario

INTERRUPTED = 130  # 128 + SIGINT, as shells say it
LINE_SECONDS = 0.5  # of real time between two lines of progress
CLEAR_LINE = "\r\x1b[K"

out = Console(highlight=False, soft_wrap=True)
err = Console(stderr=True, highlight=False, soft_wrap=True)

ScenarioArgument = Annotated[
    str, typer.Argument(metavar="SCENARIO", help="A packaged scenario's name, or a TOML file.")
]
NodesOption = Annotated[int | None, typer.Option(help="Peers, instead of the scenario's number.")]
SeedOption = Annotated[int | None, typer.Option(help="Instead of the scenario's seed.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]


class Line:
    """One line on the terminal that is written over; nothing where stderr is no terminal."""

    def __init__(self, *, quiet: bool) -> None:
        self._shown = not quiet and err.is_terminal
        self._last = time.perf_counter()
        self.began = self._last

    def say(self, text: Callable[[float], str]) -> None:
        """Show what `text` makes of the real seconds since the beginning, if it is time to."""
        now = time.perf_counter()
        if self._shown and now - self._last >= LINE_SECONDS:
            self._last = now
            err.file.write(CLEAR_LINE + text(now - self.began))
            err.file.flush()

    def end(self) -> None:
        if self._shown:
            err.file.write(CLEAR_LINE)
            err.file.flush()


def resolved(chosen: Scenario, nodes: int | None, seed: int | None) -> Scenario:
    """Return the scenario as the command's options want it.

    Raises:
        ConfigError: an option is out of bounds.
    """
    given = {"nodes": nodes, "seed": seed}
    return overrides.apply(chosen, {name: v for name, v in given.items() if v is not None})


def load(name: str, words: list[str]) -> Scenario:
    """Read a scenario and change the settings that `--set` names, one value each."""
    choices = overrides.parse(words)
    return overrides.apply(
        scenario.load(name), {n: overrides.one(n, v) for n, v in choices.items()}
    )


def duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def print_json(value: object) -> None:
    sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=False) + "\n")
