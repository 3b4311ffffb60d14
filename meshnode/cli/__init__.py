"""The command line: the tree of commands, and how errors are shown. Each command is one call."""

from __future__ import annotations

import os
import signal
import sys

import typer
from typer.main import get_command

from meshnode import __version__
from meshnode.cli import (
    block,
    blueprint,
    bundle,
    catalogue,
    changes,
    cite,
    collection,
    compact,
    config,
    demo,
    deny,
    export,
    get,
    index,
    inventory,
    join,
    key,
    log,
    mirror,
    mirrors,
    payload,
    peer,
    publish,
    purge,
    release,
    replace,
    root,
    search,
    seeds,
    show,
    snapshot,
    statement,
    static,
    status,
    sync,
    withdraw,
    writer,
)
from meshnode.cli.terminal import JsonOption, out, print_error, print_json
from meshnode.errors import MeshnodeError, UsageError
from meshnode.help_texts import reflow_help

INTERRUPTED = 130  # 128 + SIGINT, as shells say it
NO_READER = 141  # 128 + SIGPIPE

app = typer.Typer(
    name="meshnode",
    help="A peer of a federation of open geospatial data: signed STAC catalogues, no centre.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
)
for commands in (
    join.app,
    peer.app,
    status.app,
    block.app,
    catalogue.follows,
    publish.app,
    sync.app,
    replace.app,
    mirror.risks,
    search.app,
    changes.app,
    export.app,
    show.app,
    get.app,
    release.listing,
    cite.app,
    log.app,
    withdraw.app,
    compact.app,
    snapshot.app,
    statement.app,
    demo.app,
):
    app.add_typer(commands)
app.add_typer(catalogue.app, name="catalogue", rich_help_panel="Catalogues")
app.add_typer(purge.app, name="purge", rich_help_panel="Catalogues")
app.add_typer(root.app, name="root", rich_help_panel="Catalogues")
app.add_typer(writer.app, name="writer", rich_help_panel="Catalogues")
app.add_typer(root.delegates)
app.add_typer(key.app, name="key", rich_help_panel="Catalogues")
app.add_typer(collection.app, name="collection", rich_help_panel="Publish")
app.add_typer(payload.app, name="payload", rich_help_panel="Publish")
app.add_typer(blueprint.app, name="blueprint", rich_help_panel="Publish")
app.add_typer(inventory.app, name="inventory", rich_help_panel="Publish")
app.add_typer(release.app, name="release", rich_help_panel="Publish")
app.add_typer(mirror.app, name="mirror", rich_help_panel="Publish")
app.add_typer(mirrors.app, name="mirrors", rich_help_panel="Use")
app.add_typer(bundle.app, name="bundle", rich_help_panel="Peer")
app.add_typer(static.app, name="static", rich_help_panel="Peer")
app.add_typer(config.app, name="config", rich_help_panel="Peer")
app.add_typer(deny.app, name="deny", rich_help_panel="Peer")
app.add_typer(index.app, name="index", rich_help_panel="Peer")
app.add_typer(seeds.app, name="seeds", rich_help_panel="Catalogues")


@app.command(rich_help_panel="Start here")
def version(as_json: JsonOption = False) -> None:
    """Print the versions of meshnode and of what its behaviour depends on.

    Example:

      meshnode version
    """
    from importlib.metadata import version as installed

    names = ("libp2p", "libtorrent", "pyarrow", "cryptography", "cbor2", "apsw")
    versions = {"meshnode": __version__, "python": sys.version.split()[0]}
    versions |= {name: installed(name) for name in names}
    if as_json:
        print_json(versions)
        return
    for name, text in versions.items():
        out.print(f"{name:<14}{text}")


reflow_help(app)


def main() -> None:
    """Run a command; every expected failure is one message and a next step, never a traceback."""
    try:
        status = _status()
    except KeyboardInterrupt:
        status = INTERRUPTED
    if status == INTERRUPTED:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # once is enough
        sys.stderr.write("interrupted\n")
    sys.exit(status)


def _status() -> int:
    """Run the command of `sys.argv`; return the exit status of the process."""
    try:
        status = get_command(app).main(prog_name="meshnode", standalone_mode=False)
        sys.stdout.flush()
    except MeshnodeError as error:
        print_error(error)
        return 1
    except typer.TyperException as error:
        return _misused(error)
    except BrokenPipeError:
        return _unread()
    except SystemExit as end:
        if isinstance(end.__context__, BrokenPipeError):  # click makes a 1 of it
            return _unread()
        raise
    except OSError as error:
        from meshnode.runtime.files import refused_by_disk

        where = str(error.filename or "the system refused")
        print_error(refused_by_disk(where, error))
        return 1
    return status if isinstance(status, int) else 0


def _misused(error: typer.TyperException) -> int:
    """Say what is wrong with the options, as every other error is said."""
    context = getattr(error, "ctx", None)
    command = context.command_path if context else "meshnode"
    if type(error).__name__ == "NoArgsIsHelpError":
        return error.exit_code  # the help is printed already
    print_error(UsageError(error.format_message(), hint=f"{command} --help"))
    return error.exit_code


def _unread() -> int:
    """The reader of our output went away: nobody is left to tell, not even at the end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return NO_READER
