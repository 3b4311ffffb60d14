"""`demo`: a small federation on this machine, doing its whole job."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Annotated

import typer

from meshnode.cli.terminal import JsonOption, out, print_json, run_async

app = typer.Typer()


@app.command(rich_help_panel="Start here")
def demo(
    items: Annotated[
        list[Path] | None, typer.Option("--items", help="Publish your own STAC items too.")
    ] = None,
    collection: Annotated[
        str | None, typer.Option(help="The collection of your items, if they do not say it.")
    ] = None,
    home: Annotated[
        Path | None, typer.Option("--home", help="Where to put everything; it is kept.")
    ] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Keep the directories at the end.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Watch two institutions and a library share a catalogue, lose a link, and refuse a forgery.

    Everything happens on this machine, between processes, on loopback addresses.

    Examples:

      meshnode demo

      meshnode demo --items my-items.ndjson --keep
    """
    from meshnode.demo.account import Account, show_beginning, show_end, show_step
    from meshnode.demo.story import Options, perform

    account = Account()
    if not as_json:
        out.print("A federation of three peers, on this machine. It takes about a minute.")
        account.begin = lambda number, title: show_beginning(number, title, out)
        account.tell = lambda step: show_step(step, out)
    options = Options(items=tuple(items or ()), collection=collection, home=home, keep=keep)
    # Asked to end by anybody, the demo stops its processes as after Ctrl-C.
    signal.signal(signal.SIGTERM, lambda *_: os.kill(os.getpid(), signal.SIGINT))
    try:
        run_async(lambda: perform(options, account))
    finally:
        if as_json:
            print_json(account.as_json())
    if not as_json:
        show_end(account, out)
