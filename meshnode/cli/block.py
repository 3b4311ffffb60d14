"""`block` and `unblock`: peers and catalogues that this peer has nothing to do with."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated
from urllib.parse import quote

import typer

from meshnode.cli.access import reach
from meshnode.cli.catalogue import identifier
from meshnode.cli.terminal import HomeOption, JsonOption, out, print_json, run_async

PEER_ID = "12D3Koo"  # how the ids of Ed25519 keys begin

app = typer.Typer()

NamesArgument = Annotated[
    list[str], typer.Argument(help="Peer ids (12D3Koo…) and catalogues, by id or name.")
]


@app.command(rich_help_panel="Peer")
def block(
    home: HomeOption,
    names: NamesArgument,
    reason: Annotated[str, typer.Option(help="Why; kept beside the catalogue's rule.")] = "",
    as_json: JsonOption = False,
) -> None:
    """Have nothing to do with a peer or a catalogue.

    A blocked peer is not called, and hung up on when it calls. A catalogue goes on the own deny
    list (`meshnode deny`): it is not followed, served, nor told to anybody, and comes back when it
    is unblocked. Nothing is erased.

    Examples:

      meshnode block 12D3KooWQQNiGWbiiDLYSpeMHqVXhNFpAwxrYhYAYYkvTYMSCGpz

      meshnode block bafyreigh2akiscaildc3mqbqmvtqsdxkq2a7pyb4tjlmmuiwjzrobmqk3u
    """
    hint = f" reason={quote(reason, safe='')}" if reason else ""
    rules = [rule + hint for rule in _rules(home, names)]
    _change(home, names, "block", as_json=as_json, add=rules)


@app.command(rich_help_panel="Peer")
def unblock(home: HomeOption, names: NamesArgument, as_json: JsonOption = False) -> None:
    """Take back a `block`; a catalogue that was followed is followed again.

    Example:

      meshnode unblock 12D3KooWQQNiGWbiiDLYSpeMHqVXhNFpAwxrYhYAYYkvTYMSCGpz
    """
    _change(home, names, "unblock", as_json=as_json, remove=_rules(home, names))


def _change(
    home: Path, names: list[str], action: str, *, as_json: bool, **rules: list[str]
) -> None:
    peers = [name for name in names if name.startswith(PEER_ID)]

    async def tell() -> None:
        async with reach(home) as control:
            if peers:
                await control.ask(action, peers=peers)
            if any(rules.values()):
                await control.ask("deny_edit", **rules)

    run_async(tell)
    if as_json:
        print_json({"done": action, "names": names})
    else:
        out.print("\n".join(f"done: {action} {name}" for name in names))


def _rules(home: Path, names: list[str]) -> list[str]:
    """Return the deny rules of the catalogues among these names."""
    from meshnode.core.denylist import rule_of

    catalogues = [name for name in names if not name.startswith(PEER_ID)]
    return [rule_of(identifier(home, name)) for name in catalogues]
