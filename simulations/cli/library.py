"""`meshsim list` and `meshsim scenario`: the packaged scenarios and the form of a file."""

from __future__ import annotations

import typer
from rich.table import Table

from simulations import overrides, scenario
from simulations.cli.terminal import JsonOption, ScenarioArgument, out, print_json

app = typer.Typer()
scenario_app = typer.Typer(help="Scenario files.", no_args_is_help=True)


@app.command("list")
def list_scenarios(as_json: JsonOption = False) -> None:
    """List the packaged scenarios."""
    found = [scenario.load(name) for name in scenario.library()]
    if as_json:
        print_json([{"name": s.name, "nodes": s.nodes, "title": s.title} for s in found])
        return
    table = Table("scenario", "nodes", "what it shows", box=None, pad_edge=False)
    for chosen in found:
        table.add_row(chosen.name, str(chosen.nodes), chosen.title)
    out.print(table)


@scenario_app.command()
def check(name: ScenarioArgument, as_json: JsonOption = False) -> None:
    """Check a scenario file; errors name the line and the field."""
    chosen = scenario.load(name)
    if as_json:
        print_json({"name": chosen.name, "valid": True, "scenario_sha256": chosen.digest})
        return
    out.print(f"{chosen.name}: {chosen.nodes} nodes, {len(chosen.faults)} faults, valid")


@scenario_app.command()
def show(name: ScenarioArgument, as_json: JsonOption = False) -> None:
    """Print every setting with its value, as `--set` takes it.

    Example: meshsim scenario show split-brain
    """
    found = overrides.flat(scenario.load(name))
    if as_json:
        print_json(found)
        return
    for word in overrides.written(found):
        out.print(word, markup=False)


@scenario_app.command("schema")
def print_schema() -> None:
    """Print the JSON schema of a scenario file."""
    print_json(scenario.schema())
