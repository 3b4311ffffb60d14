"""`join`: a newcomer's way in, from the address of an institution's seed list."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from meshnode import config as configuration
from meshnode.cli.access import reach
from meshnode.cli.first_contact import SeedsArgument, read_list, said_of_list, show_list
from meshnode.cli.passphrase import is_terminal
from meshnode.cli.peer import home_option, make_home
from meshnode.cli.terminal import HomeOption, JsonOption, err, out, print_json, run_async
from meshnode.control import Message
from meshnode.errors import UsageError

if TYPE_CHECKING:
    from meshnode.core.seed_files import SeedList
    from meshnode.runtime.joining.domain_book import Domain

app = typer.Typer()


@app.command(rich_help_panel="Start here")
def join(
    home: HomeOption,
    source: SeedsArgument,
    fingerprint: Annotated[
        str | None,
        typer.Option(help="Join only if the institution's fingerprint is this one (bafyrei…)."),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask; needs --fingerprint.")] = False,
    follow_all: Annotated[
        bool, typer.Option("--all", help="Follow every catalogue of the list, not only its own.")
    ] = False,
    run: Annotated[
        bool, typer.Option("--run", help="Run the peer afterwards, until it is stopped.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Join a federation: verify an institution's seed list, pin the institution, follow it.

    The fingerprint is the id of the institution's catalogue. Compare it with one that you got in
    another way: a letter, a colleague, a page that you trust. From then on every list from this
    address must be signed by the same institution. The data directory is made if there is none.

    Examples:

      meshnode join https://example.org/mesh.seeds

      meshnode join mesh.seeds --all --run

      meshnode join https://example.org/mesh.seeds --yes
        --fingerprint bafyreigh2akiscaildc3mqbqmvtqsdxkq2a7pyb4tjlmmuiwjzrobmqk3u
    """
    if yes and fingerprint is None:
        raise UsageError("--yes needs --fingerprint", hint="ask the institution for it")
    seeds, url, domain = run_async(lambda: _looked_up(home, source))
    if not as_json:
        show_list(seeds, domain)
    _confirm(seeds, fingerprint, yes=yes)
    make_home(home)
    said = run_async(lambda: _join(home, seeds, url, domain, follow_all=follow_all))
    if as_json:
        print_json({**said, "domain": _domain_said(domain)})
    else:
        followed = len(said["catalogues"]) if follow_all else 1
        out.print(f"joined, and following {followed} of its catalogues" if follow_all else "joined")
        err.print(f"next: {_next(home, online=said['online'], runs=run)}")
    if run and not said["online"]:
        from meshnode.runtime.service import serve

        run_async(lambda: serve(home, configuration.load(home / configuration.FILE_NAME)))


async def _looked_up(home: Path, source: str) -> tuple[SeedList, str | None, Domain]:
    """Return the list of a source, its address, and what its domain says of the institution."""
    from meshnode.runtime.clock import unix_now
    from meshnode.runtime.joining.documents import is_local
    from meshnode.runtime.joining.domain_book import ask_site

    seeds, url = await read_list(source)
    settings = configuration.load(home / configuration.FILE_NAME)
    # Whoever joins at an address of his own network may be sent to others there.
    allow_local = settings.payload.allow_local_addresses or (
        url is not None and await is_local(url)
    )
    domain = await ask_site(
        seeds.catalogue, seeds.chain.current, unix_now(), allow_local=allow_local
    )
    return seeds, url, domain


def _confirm(seeds: SeedList, fingerprint: str | None, *, yes: bool) -> None:
    """Have the person compare the fingerprint, or compare it with the one that was given.

    Raises:
        UsageError: it is another one, or nobody can be asked.
        Exit: the person does not want it.
    """
    from meshnode.core.identifiers import catalogue_text, parse_catalogue

    own = catalogue_text(seeds.catalogue)
    if fingerprint is not None and parse_catalogue(fingerprint) != seeds.catalogue:
        raise UsageError(
            f"the fingerprint is {own}, and not {fingerprint}",
            hint="somebody else may answer at this address: ask the institution",
        )
    if yes:
        return
    if not is_terminal():
        raise UsageError(
            "nobody can be asked here whether to pin this institution",
            hint="compare the fingerprint with one that you got in another way, then give it:"
            " --yes --fingerprint bafyrei…",
        )
    if not typer.confirm("\nIs the fingerprint right? Pin and follow this institution?"):
        raise typer.Exit(1)


async def _join(
    home: Path, seeds: SeedList, url: str | None, domain: Domain, *, follow_all: bool
) -> Message:
    listed = [each["id"] for each in said_of_list(seeds)["catalogues"]] if follow_all else []
    async with reach(home) as control:
        return await control.ask(
            "join", file=seeds.raw.hex(), url=url, domain=_domain_said(domain), follow=listed
        )


def _domain_said(domain: Domain) -> dict[str, Any]:
    return {"name": domain.name, "binding": domain.binding.value, "reason": domain.reason}


def _next(home: Path, *, online: bool, runs: bool) -> str:
    if online:
        return f"meshnode status --watch{home_option(home)}"
    return "the peer runs until Ctrl-C" if runs else f"meshnode run{home_option(home)}"
