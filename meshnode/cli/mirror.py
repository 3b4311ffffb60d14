"""`mirror` and `risk`: what changes about a payload that is published already."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from meshnode.cli.naming import PayloadArgument, payload_named
from meshnode.cli.passphrase import PassphraseFileOption
from meshnode.cli.signing import (
    CatalogueOption,
    DryRunOption,
    OfflineOption,
    RestoredOption,
    Signing,
)
from meshnode.cli.terminal import (
    HomeOption,
    JsonOption,
    counted,
    out,
    print_json,
    run_async,
    short,
)
from meshnode.control import Message
from meshnode.errors import UsageError

if TYPE_CHECKING:
    from meshnode.core.identifiers import Digest
    from meshnode.runtime.maintainer.publishing import Draft

app = typer.Typer(help="Say on which web servers a payload lies, too.", no_args_is_help=True)
risks = typer.Typer()

UrlsArgument = Annotated[
    list[str], typer.Argument(help="URL of the same file, or of its folder, ending in /.")
]

Change = Callable[[Message], "Draft"]  # from what `payloads` says of the payload


@app.command()
def add(
    home: HomeOption,
    payload: PayloadArgument,
    urls: UrlsArgument,
    catalogue: CatalogueOption = None,
    dry_run: DryRunOption = False,
    offline: OfflineOption = False,
    restored: RestoredOption = False,
    passphrase_file: PassphraseFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Name more web servers that have a payload; each piece from them is checked.

    Example:

      meshnode mirror add 1a9a0dac02abf7d4 https://mirror.example.org/yukon.tif
    """
    from meshnode.runtime.maintainer.drafts import mirrors

    def change(found: Message) -> Draft:
        if known := [url for url in urls if url in found["mirrors"]]:
            raise UsageError(f"{known[0]} is a mirror of this payload already")
        return mirrors(found["collection"], _digest(found), urls, ())

    how = Signing(
        home, catalogue, passphrase_file, offline=offline, restored=restored, dry_run=dry_run
    )
    _say(_sign(how, payload, change), f"{counted(len(urls), 'mirror')} added", as_json=as_json)


@app.command()
def drop(
    home: HomeOption,
    payload: PayloadArgument,
    urls: UrlsArgument,
    catalogue: CatalogueOption = None,
    dry_run: DryRunOption = False,
    offline: OfflineOption = False,
    restored: RestoredOption = False,
    passphrase_file: PassphraseFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Take web servers back that do not have a payload any more.

    Example:

      meshnode mirror drop 1a9a0dac02abf7d4 https://old.example.org/yukon.tif
    """
    from meshnode.runtime.maintainer.drafts import mirrors

    def change(found: Message) -> Draft:
        if unknown := [url for url in urls if url not in found["mirrors"]]:
            known = ", ".join(found["mirrors"]) or "none"
            raise UsageError(f"{unknown[0]} is no mirror of this payload", hint=f"known: {known}")
        return mirrors(found["collection"], _digest(found), (), urls)

    how = Signing(
        home, catalogue, passphrase_file, offline=offline, restored=restored, dry_run=dry_run
    )
    _say(_sign(how, payload, change), f"{counted(len(urls), 'mirror')} dropped", as_json=as_json)


@risks.command(rich_help_panel="Publish")
def risk(
    home: HomeOption,
    payload: PayloadArgument,
    level: Annotated[int, typer.Argument(min=0, max=4, help="0 is safe, 4 is about to vanish.")],
    days: Annotated[int, typer.Option(min=1, max=3650, help="For how long this holds.")] = 365,
    catalogue: CatalogueOption = None,
    dry_run: DryRunOption = False,
    offline: OfflineOption = False,
    restored: RestoredOption = False,
    passphrase_file: PassphraseFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say how threatened a payload is, so that others copy the most endangered first.

    Example:

      meshnode risk 1a9a0dac02abf7d4 3 --days 90
    """
    from meshnode.runtime.clock import unix_now
    from meshnode.runtime.maintainer.drafts import risk as risk_draft

    until_s = unix_now() + int(timedelta(days=days).total_seconds())

    def change(found: Message) -> Draft:
        return risk_draft(found["collection"], _digest(found), level, until_s)

    how = Signing(
        home, catalogue, passphrase_file, offline=offline, restored=restored, dry_run=dry_run
    )
    until = datetime.fromtimestamp(until_s, UTC).date()
    _say(_sign(how, payload, change), f"risk {level} until {until}", as_json=as_json)


def _sign(how: Signing, payload: str, change: Change) -> Message:
    """Sign one entry about a payload of the catalogue."""

    async def work() -> Message:
        async with how.session() as session:
            answer = await session.control.ask("payloads", catalogues=[how.institution.text])
            found = payload_named(answer["payloads"], payload)
            draft = change(found)
            state = await session.state()
            if not how.dry_run:
                await session.publish(state, [draft])
            return {"payload": found["key"], "published": not how.dry_run}

    return run_async(work)


def _digest(found: Message) -> Digest:
    from meshnode.core.identifiers import Digest

    return Digest(bytes.fromhex(found["key"]))


def _say(done: Message, what: str, *, as_json: bool) -> None:
    if as_json:
        print_json(done)
    elif done["published"]:
        out.print(f"{what}: payload {short(done['payload'])}")
    else:
        out.print(f"not signed: {what}, payload {short(done['payload'])}; 1 entry would be signed")
