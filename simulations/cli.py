"""`meshsim`: run scenarios, replay runs, check scenario files. The exit status is the verdict."""

from __future__ import annotations

import contextlib
import json
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from meshnode.errors import MeshnodeError
from simulations import output, scenario
from simulations.run import Simulation
from simulations.scenario import Scenario

EVENTS_NODES_MAX = 200  # up to so many nodes each event is written unless asked otherwise
PROGRESS_SECONDS = 0.5  # of real time between two lines of progress

app = typer.Typer(
    name="meshsim",
    help="What happens if: a mesh of real nodes in virtual time, from one scenario file.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
scenario_app = typer.Typer(help="Scenario files.", no_args_is_help=True)
app.add_typer(scenario_app, name="scenario")

out = Console(highlight=False, soft_wrap=True)
err = Console(stderr=True, highlight=False, soft_wrap=True)

ScenarioArgument = Annotated[
    str, typer.Argument(metavar="SCENARIO", help="A packaged scenario's name, or a TOML file.")
]
NodesOption = Annotated[int | None, typer.Option(help="Peers, instead of the scenario's number.")]
SeedOption = Annotated[int | None, typer.Option(help="Instead of the scenario's seed.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")]


def main() -> None:
    """Run the command line; an expected error is printed with what to do next."""
    try:
        app()
    except MeshnodeError as error:
        err.print(f"[red bold]error:[/] {str(error).replace('[', chr(92) + '[')}")
        if error.hint:
            err.print(f"[bold]next:[/]  {error.hint}")
        sys.exit(2)


@app.command()
def run(
    name: ScenarioArgument,
    nodes: NodesOption = None,
    seed: SeedOption = None,
    folder: Annotated[
        Path, typer.Option("--output", help="Where the run's folder is made.")
    ] = Path("runs"),
    events: Annotated[
        bool | None,
        typer.Option(help=f"Write each event; by default up to {EVENTS_NODES_MAX} nodes."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Run a scenario; exit 0 if every invariant held and every fault was felt.

    Example: meshsim run split-brain --seed 7
    """
    chosen = _resolved(scenario.load(name), nodes, seed)
    began = datetime.now(UTC)  # noqa: TID251 - names the folder; no part of the simulated world
    made = output.make_folder(folder, output.folder_name(chosen, chosen.seed, began))
    wanted = chosen.nodes <= EVENTS_NODES_MAX if events is None else events
    started = time.process_time()
    with _sink(made, wanted=wanted) as sink:
        simulation = Simulation(chosen, chosen.seed, sink=sink)
        simulation.run(_Progress(quiet=as_json))
    said = output.write(made, simulation, began, time.process_time() - started)
    _report(simulation, said, as_json)
    if not as_json:
        out.print(f"written to {made}")
    raise typer.Exit(1 if simulation.outcome.faults else 0)


@app.command()
def replay(
    folder: Annotated[Path, typer.Argument(help="A folder that `meshsim run` made.")],
    as_json: JsonOption = False,
) -> None:
    """Run a recorded run again; exit 0 if it went the same way, step by step.

    Example: meshsim replay runs/split-brain-50-1-20260101T000000Z-0123456789
    """
    chosen, recorded = output.read_run(folder)
    simulation = Simulation(chosen, recorded["seed"])
    simulation.run(_Progress(quiet=as_json))
    same = simulation.trace_hash == recorded["trace_sha256"]
    said = {"same": same, "recorded": recorded["trace_sha256"], "now": simulation.trace_hash}
    if as_json:
        _print_json(said)
    elif same:
        out.print(f"the same {simulation.world.steps:,} steps: {simulation.trace_hash[:16]}")
    else:
        out.print(f"another history: recorded by {recorded['commit']}, this is {output.commit()}")
    raise typer.Exit(0 if same else 1)


@app.command("list")
def list_scenarios(as_json: JsonOption = False) -> None:
    """List the packaged scenarios."""
    found = [scenario.load(name) for name in scenario.library()]
    if as_json:
        _print_json([{"name": s.name, "nodes": s.nodes, "title": s.title} for s in found])
        return
    table = Table("scenario", "nodes", "what it shows", box=None, pad_edge=False)
    for chosen in found:
        table.add_row(chosen.name, str(chosen.nodes), chosen.title)
    out.print(table)


@app.command()
def selfcheck(seed: SeedOption = None) -> None:
    """Check that this machine's simulations are deterministic: one small run, twice.

    Example: PYTHONHASHSEED=random meshsim selfcheck
    """
    chosen = _resolved(scenario.load("split-brain"), 12, seed)
    hashes = []
    for _ in range(2):
        simulation = Simulation(chosen, chosen.seed)
        simulation.run()
        hashes.append(simulation.trace_hash)
    out.print(f"seed {chosen.seed}: {hashes[0]}")
    if hashes[0] != hashes[1]:
        err.print(f"the second run went another way: {hashes[1]}")
        raise typer.Exit(1)


@scenario_app.command()
def check(name: ScenarioArgument) -> None:
    """Check a scenario file; errors name the line and the field."""
    chosen = scenario.load(name)
    out.print(f"{chosen.name}: {chosen.nodes} nodes, {len(chosen.faults)} faults, valid")


@scenario_app.command("schema")
def print_schema() -> None:
    """Print the JSON schema of a scenario file."""
    _print_json(scenario.schema())


class _Progress:
    """One line on the terminal: virtual time, rate, and what is left at most."""

    def __init__(self, *, quiet: bool) -> None:
        self._shown = not quiet and err.is_terminal
        self._began = self._last = time.perf_counter()

    def __call__(self, now: float, end: float) -> None:
        moment = time.perf_counter()
        if not self._shown or moment - self._last < PROGRESS_SECONDS:
            return
        self._last = moment
        rate = now / (moment - self._began)
        left = (end - now) / rate
        line = f"virtual {now:6.0f} s of at most {end:.0f}   {rate:7.1f} x   {left:5.0f} s left"
        err.print(f"\r{line}", end="")


def _resolved(chosen: Scenario, nodes: int | None, seed: int | None) -> Scenario:
    changed = chosen.model_dump()
    changed["nodes"] = chosen.nodes if nodes is None else nodes
    changed["seed"] = chosen.seed if seed is None else seed
    return scenario.validate(changed)


@contextlib.contextmanager
def _sink(folder: Path, *, wanted: bool) -> Iterator[Callable[..., None] | None]:
    if not wanted:
        yield None
        return
    with output.EventsFile(folder / "events.parquet") as file:
        yield file.add


def _report(simulation: Simulation, said: dict[str, Any], as_json: bool) -> None:
    if as_json:
        _print_json(said)
        return
    outcome, measured = simulation.outcome, said["metrics"]
    settled = outcome.settled_seconds
    when = "not within the bound" if settled is None else f"{settled:.0f} s after the last heal"
    out.print(f"\n[bold]{said['scenario']}[/], {said['nodes']} nodes, seed {said['seed']}")
    out.print(f"  settled      {when}")
    out.print(
        f"  heads        median {measured['head_propagation_median_seconds']:.2f} s, "
        f"99 % {measured['head_propagation_p99_seconds']:.2f} s"
    )
    for felt in outcome.felt:
        out.print(f"  fault        {felt.kind} at {felt.at_seconds:g} s: {felt.count} {felt.what}")
    held = sum(outcome.verdicts.checked.values())
    out.print(f"  checked      {held:,} times, {len(outcome.verdicts.checked)} invariants")
    out.print(f"  trace        {simulation.trace_hash}")
    for found in outcome.verdicts.violations[:10]:
        out.print(f"  [red]{found.invariant}[/] {found.second:.2f} s {found.peer}: {found.said}")
    for fault in outcome.faults:
        out.print(f"  [red]{fault}[/]")
    used = f"{said['cpu_seconds']:.1f} CPU-seconds, {said['memory_most_bytes'] >> 20} MiB at most"
    out.print(f"  cost         {used}")
    out.print(f"  verdict      {'[red]fail[/]' if outcome.faults else '[green]pass[/]'}")
    out.print(f"  reproduce    {said['reproduce']}")


def _print_json(value: object) -> None:
    sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=False) + "\n")
