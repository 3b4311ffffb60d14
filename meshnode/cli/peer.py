"""`init`, `run`: the life of one peer."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from meshnode import config as configuration
from meshnode.cli.terminal import HomeOption, JsonOption, out, print_json, run_async
from meshnode.default_home import ENV_HOME, default_home

if TYPE_CHECKING:
    from meshnode.core.identifiers import PeerId

app = typer.Typer()

SeedOption = Annotated[
    list[str] | None,
    typer.Option("--seed", help="First contact, a multiaddr that ends in /p2p/<peer id>."),
]
ListenOption = Annotated[
    list[str] | None,
    typer.Option("--listen", help="Multiaddr to listen on, instead of the file's."),
]


@app.command(rich_help_panel="Peer")
def init(
    home: HomeOption,
    seed: SeedOption = None,
    listen: ListenOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a data directory: the peer's identity and a commented configuration file.

    Examples:

      meshnode init

      meshnode init --home /srv/mesh --seed /dns4/seed.example.org/tcp/4001/p2p/12D3KooW…
    """
    peer = make_home(home, seed, listen)
    file = home / configuration.FILE_NAME
    if as_json:
        print_json({"home": str(home), "peer": peer, "config": str(file)})
        return
    out.print(f"data directory  {home}\npeer id         {peer}\nconfiguration   {file}")
    out.print(f"\nnext: [bold]meshnode run{home_option(home)}[/]")


@app.command(rich_help_panel="Peer")
def run(
    home: HomeOption,
    seed: SeedOption = None,
    listen: ListenOption = None,
    https_only: Annotated[
        bool,
        typer.Option(
            "--https-only",
            help="Open no port to peers: read static mirrors, and payloads' HTTP mirrors.",
        ),
    ] = False,
    api: Annotated[
        bool,
        typer.Option("--api", help="Serve the STAC API also where others can call http.listen."),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Run the peer until it is stopped (Ctrl-C or SIGTERM).

    Examples:

      meshnode run

      meshnode run --https-only

      meshnode run --seed /ip4/192.0.2.7/tcp/4001/p2p/12D3KooW…
    """
    from meshnode.runtime.service import serve

    settings = configuration.load(home / configuration.FILE_NAME)
    given = ("seeds", seed), ("listen", listen)
    update: dict[str, object] = {key: tuple(value) for key, value in given if value}
    if https_only:
        update["https_only"] = True
    settings = settings.model_copy(update={"network": settings.network.model_copy(update=update)})
    if api:
        opened = settings.api.model_copy(update={"serve": "always"})
        settings = settings.model_copy(update={"api": opened})
    if as_json:
        settings = settings.model_copy(
            update={"log": settings.log.model_copy(update={"json_lines": True})}
        )
    run_async(lambda: serve(home, settings))


def make_home(home: Path, seed: list[str] | None = None, listen: list[str] | None = None) -> PeerId:
    """Make a data directory, or complete one; return the id of its peer.

    Raises:
        StorageError: it is somebody else's, or cannot be written.
        ConfigError: its settings, or these, are none.
    """
    from meshnode.core.identifiers import peer_id
    from meshnode.core.signing import public_key
    from meshnode.runtime.files import write_durably
    from meshnode.runtime.home import Home
    from meshnode.runtime.keys import load_or_create_key

    layout = Home(home)
    layout.make()
    settings = configuration.load(layout.config)
    network = settings.network.model_copy(
        update={key: tuple(value) for key, value in (("seeds", seed), ("listen", listen)) if value}
    )
    changed = configuration.parse(
        configuration.to_toml(settings.model_copy(update={"network": network})), "the options"
    )
    if not layout.config.exists() or changed != settings:
        write_durably(layout.config, configuration.to_toml(changed).encode())
    return peer_id(public_key(load_or_create_key(layout.identity)))


def home_option(home: Path) -> str:
    """Return what names this directory on a command line; nothing if it is the usual one."""
    is_known = home == default_home() or str(home) == os.environ.get(ENV_HOME)
    return "" if is_known else f" --home {home}"
