"""`catalogue`, `follow`, `unfollow`: which institutions this peer holds, whose keys are here."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from meshnode.cli.access import reach
from meshnode.cli.amend import ToOption, say, write
from meshnode.cli.passphrase import NoPassphraseOption, PassphraseFileOption, chosen
from meshnode.cli.standing import notes, titled
from meshnode.cli.static_mirrors import follow_mirror, is_address, unfollow_mirror
from meshnode.cli.terminal import (
    HomeOption,
    JsonOption,
    err,
    out,
    print_json,
    print_labelled,
    run_async,
)
from meshnode.control import Control, Message
from meshnode.errors import UsageError

_UNITS = ("B", "KB", "MB", "GB", "TB")
_SIZE = re.compile(r"(?P<number>\d{1,12}(\.\d{1,3})?) ?(?P<unit>[kKMGT]?B)")

app = typer.Typer(
    help="Make a catalogue of your own, or list those known here.", no_args_is_help=True
)
follows = typer.Typer()

CatalogueArgument = Annotated[
    str, typer.Argument(help="Catalogue id (bafyrei…), or the name of a catalogue made here.")
]


@app.command()
def create(
    home: HomeOption,
    name: Annotated[str, typer.Argument(help="Short local name, for example 'yukon'.")],
    title: Annotated[str, typer.Option(help="The institution's title, as people know it.")],
    domain: Annotated[str, typer.Option(help="The institution's web domain.")] = "",
    contact: Annotated[str, typer.Option(help="Where to reach the maintainer.")] = "",
    root_key: Annotated[
        list[Path] | None,
        typer.Option(help="Public root key of one of several people (repeatable)."),
    ] = None,
    threshold: Annotated[
        int, typer.Option(min=1, max=16, help="How many of the root keys must sign.")
    ] = 1,
    to: ToOption = None,
    no_passphrase: NoPassphraseOption = False,
    passphrase_file: PassphraseFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a catalogue: a root key, a writer key and the signed root; this peer follows it.

    The keys are files of this data directory, encrypted with a passphrase and readable by you
    alone. Keep a copy of root.key off this machine.

    With --root-key the root keys are other people's (`meshnode key create`), and what they have to
    sign is written to a file: `meshnode root sign`, then `meshnode root publish`.

    Examples:

      meshnode catalogue create yukon --title "Government of Yukon" --domain yukon.ca

      meshnode catalogue create yukon --title "Government of Yukon" --threshold 2
        --root-key alice.key.pub --root-key bob.key.pub --root-key carol.key.pub
    """
    from meshnode.core.identifiers import catalogue_text
    from meshnode.runtime.home import Home
    from meshnode.runtime.keys import read_public_key
    from meshnode.runtime.maintainer.institutions import create as create_institution
    from meshnode.runtime.maintainer.institutions import propose

    layout = Home(home)
    layout.check()
    meta: dict[str, str | int] = {"title": title}
    meta |= {key: text for key, text in (("domain", domain), ("contact", contact)) if text}
    if threshold > 1 and not root_key:
        raise UsageError(
            f"{threshold} root keys are to sign and none is named", hint="--root-key FILE, repeated"
        )
    keys = [read_public_key(path) for path in root_key or []]
    secret = chosen(passphrase_file, none=no_passphrase)
    if keys:
        proposal = propose(layout, name, meta, secret, keys, threshold)
        say(proposal, write(proposal, to), is_published=False, as_json=as_json)
        return
    institution = create_institution(layout, name, meta, secret)
    text = catalogue_text(institution.catalogue)

    async def follow_it() -> None:
        async with reach(home) as control:
            await control.ask("follow", catalogue=text, roots=[institution.root.hex()])

    run_async(follow_it)
    if as_json:
        print_json({"name": name, "catalogue": text, "keys": str(institution.directory)})
        return
    out.print(f"catalogue  {text}\nkeys       {institution.directory}")
    out.print(f"\nnext: [bold]meshnode publish FILE --catalogue {name}[/]")
    out.print(f"\nothers follow it with:\n  [bold]meshnode follow {text}[/]")


@app.command("list")
def list_(home: HomeOption, as_json: JsonOption = False) -> None:
    """List the catalogues that this peer follows or can publish.

    Example:

      meshnode catalogue list
    """
    from meshnode.core.identifiers import catalogue_text
    from meshnode.runtime.home import Home
    from meshnode.runtime.maintainer.institutions import all_of

    async def ask() -> list[Message]:
        async with reach(home) as control:
            return list((await control.ask("status"))["catalogues"])

    known = run_async(ask)
    names = {catalogue_text(found.catalogue): found.name for found in all_of(Home(home))}
    if as_json:
        print_json([{**catalogue, "name": names.get(str(catalogue["id"]))} for catalogue in known])
        return
    for found in known:
        out.print(Text(titled(found, "(its root is not here yet)"), style="bold"))
        keys = (
            f", keys here under the name {names[name]}"
            if (name := str(found["id"])) in names
            else ""
        )
        out.print(Text(f"  {name}\n  {found['items']} items{keys}"))
        for label, text in notes(found):
            print_labelled(f"  {label}", text, "yellow", out)
    if not known:
        out.print("none yet")
        err.print('next: meshnode follow CATALOGUE, or meshnode catalogue create NAME --title "…"')


@app.command("well-known")
def well_known(
    home: HomeOption,
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[CATALOGUE]...", help="Ids or names; without any, the catalogues made here."
        ),
    ] = None,
    to: Annotated[Path | None, typer.Option("--to", help="Write it into this file.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Print the file by which a web site vouches for catalogues.

    It goes to /.well-known/meshnode.json of the site that the root names as its domain, over HTTPS.
    A site and a root that name each other are one institution's: `join`, `status` and `catalogue
    list` say so. Name all catalogues of the domain in one file.

    Examples:

      meshnode catalogue well-known

      meshnode catalogue well-known yukon --to /srv/www/.well-known/meshnode.json
    """
    from meshnode.core.domains import site_text
    from meshnode.core.identifiers import parse_catalogue
    from meshnode.runtime.files import write_durably
    from meshnode.runtime.home import Home
    from meshnode.runtime.maintainer.institutions import all_of

    named = names or [institution.name for institution in all_of(Home(home))]
    if not named:
        raise UsageError("no catalogue was made here", hint="name one by its id")
    text = site_text([parse_catalogue(identifier(home, name)) for name in dict.fromkeys(named)])
    if to is None:
        sys.stdout.write(text)
        return
    write_durably(to, text.encode())
    print_json({"file": str(to)}) if as_json else out.print(f"written to {to}")


@follows.command(rich_help_panel="Catalogues")
def follow(
    home: HomeOption,
    catalogue: Annotated[
        str, typer.Argument(help="Catalogue id, name, or the address of a static mirror.")
    ],
    root: Annotated[
        Path | None, typer.Option(help="File with the signed root, if no peer has it yet.")
    ] = None,
    only: Annotated[
        list[str] | None, typer.Option("--only", help="Of a mirror: this catalogue, by its id.")
    ] = None,
    yes: Annotated[
        bool, typer.Option("--yes", help="Of a mirror: follow all that it has, unasked.")
    ] = False,
    budget: Annotated[
        str | None,
        typer.Option(
            metavar="SIZE",
            help="Most bytes of it to hold: 500MB, 20GB, …; 0: what the settings say.",
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Follow a catalogue: fetch, verify and index it from now on.

    The id is the hash of the catalogue's first root, so an id that you trust is all you need. What
    is over the budget is not fetched, and `status` says how much that is. The same command sets
    another budget for a catalogue that is followed already. With the address of a static mirror,
    this peer reads that from now on, too.

    Examples:

      meshnode follow bafyreigh2akiscaildc3mqbqmvtqsdxkq2a7pyb4tjlmmuiwjzrobmqk3u

      meshnode follow bafyreigh2akiscaildc3mqbqmvtqsdxkq2a7pyb4tjlmmuiwjzrobmqk3u --budget 20GB

      meshnode follow https://data.example.org/mesh/
    """
    if is_address(catalogue):
        if budget is not None:
            raise UsageError(
                "--budget is of one catalogue, and a mirror may have many",
                hint="follow the mirror, then: meshnode follow CATALOGUE --budget SIZE",
            )
        follow_mirror(home, catalogue, only, yes=yes, as_json=as_json)
        return
    said: dict[str, object] = {"roots": [_read_root(root)] if root else []}
    said |= {} if budget is None else {"budget_bytes": size_of(budget)}
    _tell(home, "follow", as_json=as_json, catalogue=identifier(home, catalogue), **said)


@follows.command(rich_help_panel="Catalogues")
def unfollow(home: HomeOption, catalogue: CatalogueArgument, as_json: JsonOption = False) -> None:
    """Stop following a catalogue: its items leave the search, its log stays on disk.

    With the address of a static mirror: read it no longer.

    Example:

      meshnode unfollow bafyreigh2akiscaildc3mqbqmvtqsdxkq2a7pyb4tjlmmuiwjzrobmqk3u
    """
    if is_address(catalogue):
        unfollow_mirror(home, catalogue, as_json=as_json)
        return
    _tell(home, "unfollow", as_json=as_json, catalogue=identifier(home, catalogue))


def _tell(home: Path, action: str, *, as_json: bool, **arguments: object) -> None:
    async def tell() -> None:
        async with reach(home) as control:
            await control.ask(action, **arguments)

    run_async(tell)
    if as_json:
        print_json({"done": action, **arguments})
    else:
        out.print(f"done: {action} {arguments['catalogue']}")


def size_of(text: str) -> int:
    """Read a size in bytes, in decimal units: 0, 500MB, 1.5 GB.

    Raises:
        UsageError: it is none.
    """
    found = _SIZE.fullmatch(text.strip())
    if text.strip() == "0":
        return 0
    if found is None:
        raise UsageError(f"{text!r} is not a size", hint="write it like 500MB, 20GB or 1TB")
    return int(float(found["number"]) * 1000 ** _UNITS.index(found["unit"].upper()))


def identifier(home: Path, text: str) -> str:
    from meshnode.core.identifiers import catalogue_text, parse_catalogue
    from meshnode.runtime.home import Home
    from meshnode.runtime.maintainer.institutions import all_of

    for institution in all_of(Home(home)):
        if institution.name == text:
            return catalogue_text(institution.catalogue)
    return catalogue_text(parse_catalogue(text))


async def only_followed(control: Control) -> str:
    """Return the id of the one catalogue that this peer follows.

    Raises:
        UsageError: it follows none, or several.
    """
    found = (await control.ask("status"))["catalogues"]
    if len(found) != 1:
        how_many = f"follows {len(found)} catalogues" if found else "follows no catalogue"
        raise UsageError(
            f"this peer {how_many}: name the one you mean",
            hint="meshnode catalogue list shows those that it follows",
        )
    return str(found[0]["id"])


def _read_root(path: Path) -> str:
    try:
        return path.read_bytes().hex()
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from error
