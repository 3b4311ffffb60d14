"""`meshsim calibrate`: is the model honest? The same scenario with real peers and simulated."""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from simulations import scenario
from simulations.calibration.comparison import AGREES_WITHIN, Comparison
from simulations.calibration.comparison import calibrate as compared
from simulations.cli.terminal import (
    JsonOption,
    NodesOption,
    SeedOption,
    err,
    out,
    print_json,
    resolved,
)

SCENARIO = "calibration"

app = typer.Typer()


@app.command()
def calibrate(
    nodes: NodesOption = None,
    seed: SeedOption = None,
    keep: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Leave the peers' homes and logs in this new folder."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Run the scenario `calibration` with real peers on this machine, and simulate it.

    The peers are processes on loopback, linked through relays that are as slow as the links of the
    scenario. It takes four minutes once all have started.

    Exit 0 if every figure agrees within a factor of 1.5.

    Example: meshsim calibrate --nodes 24
    """
    chosen = resolved(scenario.load(SCENARIO), nodes, seed)
    with ExitStack() as stack:
        if keep is None:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="calibration-")))
        else:
            keep.mkdir(parents=True)
            folder = keep
        err.print(f"starting {chosen.nodes} peers; this takes some minutes")
        found = compared(chosen, folder)
    if as_json:
        print_json(_said(found))
    else:
        _print(found)
    raise typer.Exit(1 if found.disagreements() else 0)


def _said(found: Comparison) -> dict[str, Any]:
    return {
        "nodes": found.nodes,
        "seed": found.seed,
        "real": asdict(found.real),
        "simulated": asdict(found.simulated),
        "ratios": found.ratios(),
        "disagree": found.disagreements(),
    }


def _print(found: Comparison) -> None:
    out.print(f"[bold]{SCENARIO}[/], {found.nodes} nodes, seed {found.seed}")
    out.print(f"  {'figure':32} {'real':>12} {'simulated':>12} {'ratio':>7}")
    simulated, ratios = asdict(found.simulated), found.ratios()
    for name, value in asdict(found.real).items():
        colour = "red" if name in found.disagreements() else "green"
        out.print(
            f"  {name:32} {value:12,.2f} {simulated[name]:12,.2f} [{colour}]{ratios[name]:7.2f}[/]"
        )
    agrees = not found.disagreements()
    said = "agree" if agrees else "do not agree"
    out.print(f"  the worlds {said} within a factor of {AGREES_WITHIN:g}")
