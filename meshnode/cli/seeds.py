"""`seeds`: the signed list of first contacts, for those who give one and those who keep one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from meshnode.cli.access import reach
from meshnode.cli.catalogue import identifier
from meshnode.cli.first_contact import SeedsArgument, day, read_list, said_of_list, show_list
from meshnode.cli.passphrase import PassphraseFileOption, asked
from meshnode.cli.seed_copies import compared
from meshnode.cli.signing import CatalogueOption
from meshnode.cli.terminal import (
    HomeOption,
    JsonOption,
    counted,
    err,
    out,
    print_json,
    print_labelled,
    run_async,
    visible,
)
from meshnode.control import Message

if TYPE_CHECKING:
    from meshnode.core.seed_files import SeedList
    from meshnode.runtime.maintainer.institutions import Institution

DAYS_LEFT = 14  # of a list that `check` still calls good
_DAY_SECONDS = 86_400

app = typer.Typer(
    help="Give newcomers a signed list of first contacts, and keep the lists of others.",
    no_args_is_help=True,
)


@app.command()
def create(
    home: HomeOption,
    to: Annotated[Path, typer.Option("--to", help="The draft to write, a TOML file.")],
    peer: Annotated[
        list[str] | None,
        typer.Option("--peer", help="Address of a first contact, with /p2p/… (repeatable)."),
    ] = None,
    mirror: Annotated[
        list[str] | None,
        typer.Option("--mirror", help="https address of a static mirror (repeatable)."),
    ] = None,
    days: Annotated[
        int | None, typer.Option(min=1, max=366, help="How long the signed list is good.")
    ] = None,
    catalogue: CatalogueOption = None,
    as_json: JsonOption = False,
) -> None:
    """Draft a seed list as a TOML file to edit; `seeds sign` makes a signed list of it.

    Without --peer it names this peer, if it runs, at the addresses that it tells others. It lists
    the catalogues that are followed here.

    Examples:

      meshnode seeds create --to first-contacts.toml

      meshnode seeds create --to first-contacts.toml --mirror https://static.example.org/mesh
        --peer /dns4/mesh.example.org/tcp/4001/p2p/12D3KooW…
    """
    from meshnode.runtime.joining.contact_addresses import binary_address
    from meshnode.runtime.maintainer.seed_lists import DAYS, Draft, Listed, write_draft

    institution = _institution(home, catalogue)
    stands = _status(home)
    peers = peer or [each for each in stands["addresses"] if "/ip4/127." not in each]
    for address in peers:
        binary_address(address)
    listed = [
        Listed(id=each["id"], title=each["title"]) for each in stands["catalogues"] if each["title"]
    ]
    draft = Draft(
        days=days or DAYS,
        peers=tuple(peers),
        mirrors=tuple(mirror or ()),
        catalogues=tuple(listed[:256]),
    )
    write_draft(to, draft, institution.title())
    if as_json:
        print_json({"draft": str(to), **draft.model_dump()})
        return
    out.print(f"draft  {to}")
    out.print(f"next: edit it, then [bold]meshnode seeds sign {to} --to mesh.seeds[/]")


@app.command()
def sign(
    home: HomeOption,
    draft: Annotated[Path, typer.Argument(help="The draft, as `seeds create` writes it.")],
    to: Annotated[Path, typer.Option("--to", help="The seed file to write, for a web server.")],
    catalogue: CatalogueOption = None,
    passphrase_file: PassphraseFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Sign a seed list with the writer key here, and pack it with the roots that verify it.

    The file can lie on any web server. Each list has a version above the last one. Sign anew, and
    replace the file, before the list ends: `seeds check` says how long it is good.

    Example:

      meshnode seeds sign first-contacts.toml --to mesh.seeds
    """
    from meshnode.runtime.clock import unix_now
    from meshnode.runtime.files import write_durably
    from meshnode.runtime.home import Home
    from meshnode.runtime.joining.seed_store import SeedStore
    from meshnode.runtime.maintainer.ceremony import chain_at
    from meshnode.runtime.maintainer.seed_lists import (
        keep_signed,
        last_signed,
        next_version,
        read_draft,
        sign_draft,
    )

    institution, content = _institution(home, catalogue), read_draft(draft)
    key = institution.writer_key(asked(passphrase_file))

    async def work() -> SeedList:
        async with reach(home) as control:
            chain = await chain_at(control, institution.catalogue)
        known = SeedStore(Home(home).seeds).held(institution.catalogue)
        version = next_version([last_signed(institution), known])
        return sign_draft(content, chain, key, version, unix_now())

    seeds = run_async(work)
    keep_signed(institution, seeds)
    write_durably(to, seeds.raw)
    if as_json:
        print_json({"file": str(to), "bytes": len(seeds.raw), **said_of_list(seeds)})
        return
    show_list(seeds)
    out.print(f"\nfile  {to} ({len(seeds.raw)} bytes): put it on a web server, then others run")
    out.print("  [bold]meshnode join https://…[/]")
    err.print("to bind your domain to it: meshnode catalogue well-known")


@app.command()
def show(source: SeedsArgument, as_json: JsonOption = False) -> None:
    """Show a seed list from a file or a web address. All of it is verified; nothing is kept.

    Example:

      meshnode seeds show https://example.org/mesh.seeds
    """
    seeds, _ = run_async(lambda: read_list(source))
    if as_json:
        print_json(said_of_list(seeds))
    else:
        show_list(seeds)


@app.command()
def check(
    sources: Annotated[
        list[str], typer.Argument(help="Files or web addresses of one institution's seed list.")
    ],
    days: Annotated[
        int, typer.Option(min=0, help="Fail if the list ends within so many days.")
    ] = DAYS_LEFT,
    as_json: JsonOption = False,
) -> None:
    """Check that every copy of a seed list is authentic, the same, and good for a while.

    The exit status is 1 if one is not, so that a nightly run can call for help.

    Example:

      meshnode seeds check mesh.seeds https://example.org/mesh.seeds --days 30
    """
    from meshnode.runtime.clock import unix_now

    found = run_async(lambda: compared(sources, unix_now() + days * _DAY_SECONDS))
    if as_json:
        print_json({"good": not any(each["problem"] for each in found), "sources": found})
    for each in () if as_json else found:
        label, style = ("not good", "red") if each["problem"] else ("good", "green")
        said = each["problem"] or f"version {each['version']}, until {day(each['expires'])}"
        print_labelled(label, f"{visible(each['source'])}: {said}", style, out)
    if any(each["problem"] for each in found):
        raise typer.Exit(1)


@app.command("list")
def list_(home: HomeOption, as_json: JsonOption = False) -> None:
    """List the seed lists that are kept here, and what their sources say.

    Example:

      meshnode seeds list
    """
    _print_lists(home, "seeds_list", as_json=as_json)


@app.command()
def refresh(home: HomeOption, as_json: JsonOption = False) -> None:
    """Ask the sources of all lists now; a running peer does so every six hours.

    Example:

      meshnode seeds refresh
    """
    _print_lists(home, "seeds_refresh", as_json=as_json)


@app.command()
def drop(
    home: HomeOption,
    catalogue: Annotated[str, typer.Argument(help="Id of the institution's catalogue.")],
    as_json: JsonOption = False,
) -> None:
    """Forget a seed list and where it comes from; the catalogue is followed as before.

    Example:

      meshnode seeds drop bafyreigh2akiscaildc3mqbqmvtqsdxkq2a7pyb4tjlmmuiwjzrobmqk3u
    """
    name = identifier(home, catalogue)

    async def tell() -> None:
        async with reach(home) as control:
            await control.ask("seeds_drop", catalogue=name)

    run_async(tell)
    print_json({"dropped": name}) if as_json else out.print(f"dropped: {name}")


def _print_lists(home: Path, action: str, *, as_json: bool) -> None:
    async def ask() -> Message:
        async with reach(home) as control:
            return await control.ask(action)

    said = run_async(ask)
    if as_json:
        print_json(said)
        return
    for each in said["lists"]:
        until = f"ended on {day(each['expires'])}" if each["expired"] else day(each["expires"])
        out.print(Text(each["title"] or each["catalogue"], style="bold"))
        out.print(Text(f"  {each['catalogue']}"))
        out.print(
            f"  version {each['version']}, until {until},"
            f" {counted(len(each['peers']), 'peer')}, {counted(len(each['mirrors']), 'mirror')}"
        )
        for source in each["sources"]:
            style = "red bold" if source["disagrees"] else ""
            label = "possible eclipse" if source["disagrees"] else source["state"]
            reason = f": {source['reason']}" if source["reason"] else ""
            print_labelled(f"  {label}", f"{source['url']}{reason}", style, out)
    if not said["lists"]:
        out.print("none yet")
        err.print("next: meshnode join URL, with an address that your institution gave you")


def _institution(home: Path, name: str | None) -> Institution:
    from meshnode.runtime.home import Home
    from meshnode.runtime.maintainer.institutions import choose

    layout = Home(home)
    layout.check()
    return choose(layout, name)


def _status(home: Path) -> Message:
    async def ask() -> Message:
        async with reach(home) as control:
            return await control.ask("status")

    return run_async(ask)
