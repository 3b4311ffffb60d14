"""`meshsim run`, `replay` and `selfcheck`: one scenario with one seed."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from simulations import output, provenance, scenario
from simulations.cli.terminal import (
    INTERRUPTED,
    JsonOption,
    Line,
    NodesOption,
    ScenarioArgument,
    SeedOption,
    duration,
    err,
    load,
    out,
    print_json,
    resolved,
)
from simulations.run import Simulation

EVENTS_NODES_MAX = 200  # up to so many nodes each event is written unless asked otherwise
VIOLATIONS_SHOWN_MAX = 10

app = typer.Typer()


@app.command()
def run(
    name: ScenarioArgument,
    nodes: NodesOption = None,
    seed: SeedOption = None,
    words: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="A setting, instead of the scenario's."),
    ] = None,
    folder: Annotated[
        Path, typer.Option("--output", help="Where the run's folder is made.")
    ] = Path("runs"),
    events: Annotated[
        bool | None,
        typer.Option(help=f"Write each event; by default up to {EVENTS_NODES_MAX} nodes."),
    ] = None,
    report: Annotated[bool, typer.Option("--report", help="Write report.html as well.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Run a scenario; exit 0 if every invariant held and every fault was felt.

    Ctrl-C ends the run early: what was measured is written, and the exit status is 130.

    Example: meshsim run split-brain --seed 7 --set links.loss=0.05 --report
    """
    chosen = resolved(load(name, words or []), nodes, seed)
    began = datetime.now(UTC)  # noqa: TID251 - names the folder; no part of the simulated world
    made = output.make_folder(folder, output.folder_name(chosen, chosen.seed, began))
    wanted = chosen.nodes <= EVENTS_NODES_MAX if events is None else events
    started = time.process_time()
    with _sink(made, wanted=wanted) as sink:
        simulation = Simulation(chosen, chosen.seed, sink=sink)
        run_watched(simulation, quiet=as_json)
    said = output.write(made, simulation, began, time.process_time() - started)
    _print_run(simulation, said, as_json)
    if report:
        from simulations.report import write_report

        write_report([made], made / "report.html")
    if not as_json:
        out.print(f"written to {made}")
    raise typer.Exit(_status(simulation))


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
    run_watched(simulation, quiet=as_json)
    same = simulation.trace_hash == recorded["trace_sha256"]
    said = {"same": same, "recorded": recorded["trace_sha256"], "now": simulation.trace_hash}
    if as_json:
        print_json(said)
    elif same:
        out.print(f"the same {simulation.world.steps:,} steps: {simulation.trace_hash[:16]}")
    else:
        out.print(
            f"another history: recorded by {recorded['commit']}, this is {provenance.commit()}"
        )
    raise typer.Exit(0 if same else 1)


@app.command()
def selfcheck(seed: SeedOption = None, as_json: JsonOption = False) -> None:
    """Check that this machine's simulations are deterministic: one small run, twice.

    Example: PYTHONHASHSEED=random meshsim selfcheck
    """
    chosen = resolved(scenario.load("split-brain"), 12, seed)
    hashes = []
    for _ in range(2):
        simulation = Simulation(chosen, chosen.seed)
        simulation.run()
        hashes.append(simulation.trace_hash)
    if as_json:
        same = hashes[0] == hashes[1]
        print_json({"seed": chosen.seed, "same": same, "trace_sha256": hashes})
    else:
        out.print(f"seed {chosen.seed}: {hashes[0]}")
    if hashes[0] != hashes[1]:
        err.print(f"the second run went another way: {hashes[1]}")
        raise typer.Exit(1)


def run_watched(simulation: Simulation, *, quiet: bool) -> None:
    """Run it with a line of progress: virtual time, rate, and the time left at most."""
    line = Line(quiet=quiet)

    def told(now: float, end: float) -> None:
        line.say(lambda seconds: progress(now, end, simulation.world.steps, seconds))

    simulation.run(told)
    line.end()


def progress(now: float, end: float, steps: int, seconds: float) -> str:
    """Return the line; `now` and `end` are virtual seconds, `seconds` real ones."""
    left = duration((end - now) * seconds / now)
    rate = steps / seconds
    return f"virtual {now:,.0f} s of at most {end:,.0f}, {rate:,.0f} events/s, {left} left"


@contextlib.contextmanager
def _sink(folder: Path, *, wanted: bool) -> Iterator[Callable[..., None] | None]:
    if not wanted:
        yield None
        return
    with output.EventsFile(folder / "events.parquet") as file:
        yield file.add


def _status(simulation: Simulation) -> int:
    outcome = simulation.outcome
    if not outcome.finished and not outcome.raised:
        return INTERRUPTED
    return 1 if outcome.faults else 0


def _print_run(simulation: Simulation, said: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print_json(said)
        return
    outcome, measured = simulation.outcome, said["metrics"]
    settled = outcome.settled_seconds
    never = "not within the bound" if outcome.finished else "not before the run ended early"
    when = never if settled is None else f"{settled:.0f} s after the last heal"
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
    for found in outcome.verdicts.violations[:VIOLATIONS_SHOWN_MAX]:
        out.print(f"  [red]{found.invariant}[/] {found.second:.2f} s {found.peer}: {found.said}")
    for fault in outcome.faults:
        out.print(f"  [red]{fault}[/]")
    used = f"{said['cpu_seconds']:.1f} CPU-seconds, {said['memory_most_bytes'] >> 20} MiB at most"
    out.print(f"  cost         {used}")
    out.print(f"  verdict      {'[red]fail[/]' if outcome.faults else '[green]pass[/]'}")
    out.print(f"  reproduce    {said['reproduce']}", markup=False)
