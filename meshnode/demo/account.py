"""The demo's account: what each step showed, for people and for programs."""

from __future__ import annotations

import textwrap
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import trio
from rich.console import Console

INDENT = "   "
LINE_WIDTH = 80  # columns: what every terminal has


@dataclass(frozen=True, slots=True)
class Seen:
    """What a step did and saw, in lines for people; `figures` are the same for programs."""

    lines: tuple[str, ...]
    figures: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Step:
    """A step that is done."""

    title: str
    seen: Seen
    seconds: float


@dataclass(slots=True)
class Account:
    """Steps in their order. `begin` hears of a step's number and title, `tell` of what it saw."""

    begin: Callable[[int, str], None] = lambda number, title: None
    tell: Callable[[Step], None] = lambda step: None
    steps: list[Step] = field(default_factory=list)
    at_work: str = ""  # the title of the step that is not done yet
    directory: str = ""
    is_kept: bool = False
    failure: str = ""

    async def record(self, title: str, work: Callable[[], Awaitable[Seen]]) -> None:
        self.at_work = title
        self.begin(len(self.steps) + 1, title)
        started = trio.current_time()
        seen = await work()
        step = Step(title, seen, round(trio.current_time() - started, 1))
        self.steps.append(step)
        self.at_work = ""
        self.tell(step)

    def as_json(self) -> dict[str, Any]:
        return {
            "done": not self.failure and bool(self.steps),
            "failure": self.failure,
            "failed_step": self.at_work,
            "directory": self.directory,
            "kept": self.is_kept,
            "steps": [
                {"title": step.title, "seconds": step.seconds, **step.seen.figures}
                for step in self.steps
            ],
        }


def show_beginning(number: int, title: str, console: Console) -> None:
    console.print(f"\n[bold]{number}. {title}[/]")


def show_step(step: Step, console: Console) -> None:
    for line in step.seen.lines:
        folded = textwrap.wrap(line, LINE_WIDTH - len(INDENT))
        console.print(textwrap.indent("\n".join(folded), INDENT), markup=False)
    console.print(f"{INDENT}[dim]{step.seconds:.1f} s[/]")


def show_end(account: Account, console: Console) -> None:
    """Say where everything is and what to try next."""
    seconds = sum(step.seconds for step in account.steps)
    console.print(f"\n[green bold]All of it worked[/], in {seconds:.0f} s.")
    if account.is_kept:
        _show_directories(account.directory, console)
        return
    console.print("The directories are removed; --keep or --home DIR keeps them.\n\nTry next:")
    console.print(f"{INDENT}meshnode demo --keep --items YOUR-ITEMS.ndjson")
    console.print(f"{INDENT}meshnode init && meshnode run", markup=False)


def _show_directories(directory: str, console: Console) -> None:
    library = f"--home {directory}/library"
    lines = (
        f"Everything is in {directory}:",
        f"{INDENT}imagery/ census/ library/   data directories of the three peers",
        f"{INDENT}*.log                       what each of them wrote",
        f"{INDENT}downloads/                  the file that was fetched",
        "\nTry next (the peers have ended; these read their disks):",
        f"{INDENT}meshnode status {library}",
        f"{INDENT}meshnode search {library} --bbox -135.3,60.6,-134.9,60.8",
        f"{INDENT}meshnode export {library} --to items.ndjson",
    )
    for line in lines:
        console.print(line, markup=False)
