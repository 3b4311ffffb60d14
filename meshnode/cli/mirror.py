"""`mirror` and `risk`: what changes about a payload that is published already."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from meshnode.cli.access import reach
from meshnode.cli.passphrase import PassphraseFileOption, asked
from meshnode.cli.publish import OfflineOption, RestoredOption, follow_messages, own_state
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
    from meshnode.runtime.maintainer.publishing import Draft, Publisher

KEY_CHARS_MIN = 8  # of the beginning of a key: fewer could be anybody's

app = typer.Typer(help="Say on which web servers a payload lies, too.", no_args_is_help=True)
risks = typer.Typer()

PayloadArgument = Annotated[
    str, typer.Argument(help="The payload's key, as `payload add` printed it, or how it begins.")
]
UrlsArgument = Annotated[
    list[str], typer.Argument(help="URL of the same file, or of its folder, ending in /.")
]
CatalogueOption = Annotated[
    str | None,
    typer.Option("--catalogue", help="Which of the catalogues made here; needed if several."),
]
DryRunOption = Annotated[
    bool, typer.Option("--dry-run", help="Show what would be signed, sign nothing.")
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

    how = _Signing(home, catalogue, passphrase_file, offline, restored, dry_run)
    _say(how.sign(payload, change), f"{counted(len(urls), 'mirror')} added", as_json=as_json)


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

    how = _Signing(home, catalogue, passphrase_file, offline, restored, dry_run)
    _say(how.sign(payload, change), f"{counted(len(urls), 'mirror')} dropped", as_json=as_json)


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

    how = _Signing(home, catalogue, passphrase_file, offline, restored, dry_run)
    until = datetime.fromtimestamp(until_s, UTC).date()
    _say(how.sign(payload, change), f"risk {level} until {until}", as_json=as_json)


class _Signing:
    """Signs one entry about a payload of a catalogue made here."""

    def __init__(
        self,
        home: Path,
        catalogue: str | None,
        passphrase_file: Path | None,
        offline: bool,
        restored: bool,
        dry_run: bool,
    ) -> None:
        from meshnode.runtime.home import Home
        from meshnode.runtime.maintainer.institutions import choose

        self._layout = Home(home)
        self._layout.check()
        self._institution = choose(self._layout, catalogue)
        self._key = self._institution.writer_key(asked(passphrase_file))
        self._offline, self._restored, self._dry_run = offline, restored, dry_run

    def sign(self, payload: str, change: Change) -> Message:
        from meshnode.runtime.maintainer.publishing import Publisher

        async def work() -> Message:
            async with reach(self._layout.root) as control:
                publisher = Publisher(self._layout, self._institution, self._key, control)
                with publisher.session():
                    answer = await control.ask("payloads", catalogue=self._institution.text)
                    found = _one_of(answer["payloads"], payload)
                    draft = change(found)
                    await self._publish(publisher, draft)
                    return {"payload": found["key"], "published": not self._dry_run}

        return run_async(work)

    async def _publish(self, publisher: Publisher, draft: Draft) -> None:
        state = await own_state(
            publisher, offline=self._offline, restored=self._restored, signs=not self._dry_run
        )
        if not self._dry_run:
            await follow_messages(publisher.publish(state, [draft], []))


def _one_of(payloads: list[Message], text: str) -> Message:
    begins = [each for each in payloads if each["key"].startswith(text.lower())]
    if len(text) < KEY_CHARS_MIN or len(begins) != 1:
        how_many = "several payloads begin" if len(begins) > 1 else "no payload begins"
        raise UsageError(
            f"{how_many} with {text!r} in this catalogue" if len(text) >= KEY_CHARS_MIN
            else f"{text!r} is too short for the key of a payload",
            hint="give the key that `meshnode payload add` printed",
        )  # fmt: skip
    return begins[0]


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
