"""`meshsim`: run scenarios, replay runs, study many of them. The exit status is the verdict."""

from __future__ import annotations

import os
import sys
from typing import NoReturn

import typer

from meshnode.errors import MeshnodeError
from meshnode.help_texts import reflow_help
from simulations.cli import calibrating, library, pooling, running, studies
from simulations.cli.terminal import err

NO_READER = 141  # 128 + SIGPIPE

app = typer.Typer(
    name="meshsim",
    help="What happens if: a mesh of real nodes in virtual time, from one scenario file.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
for commands in (running.app, studies.app, pooling.app, library.app, calibrating.app):
    app.add_typer(commands)
app.add_typer(library.scenario_app, name="scenario")
reflow_help(app)


def main() -> None:
    """Run the command line; an expected error is printed with what to do next."""
    try:
        app()
    except MeshnodeError as error:
        _fail(str(error), error.hint)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # nobody reads on
        sys.exit(NO_READER)
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        _fail(f"{where}{error.strerror or error}", "")


def _fail(said: str, hint: str) -> NoReturn:
    err.print("[red bold]error:[/]", end=" ")
    err.print(said, markup=False)
    if hint:
        err.print("[bold]next:[/]", end="  ")
        err.print(hint, markup=False)
    sys.exit(2)
