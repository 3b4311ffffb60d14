"""What all commands that change a root share: show, sign, publish or write a proposal."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from meshnode.cli.access import reach
from meshnode.cli.passphrase import asked, is_terminal
from meshnode.cli.terminal import err, out, print_json, run_async
from meshnode.control import Control
from meshnode.errors import UsageError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    from meshnode.core.amendments import Change
    from meshnode.core.identifiers import CatalogueId
    from meshnode.core.proposals import Proposal
    from meshnode.core.roots import Root, Writer
    from meshnode.core.trust import RootChain

Changes = Callable[[Control, "RootChain"], Awaitable[Sequence["Change"]]]
Proposing = Callable[[Control], Awaitable["Proposal"]]

WhichOption = Annotated[
    str | None,
    typer.Option("--catalogue", help="Name or id of the catalogue; needed if several."),
]
KeysOption = Annotated[
    list[Path] | None,
    typer.Option("--key", help="A root key to sign with, instead of the one here (repeatable)."),
]
ToOption = Annotated[
    Path | None,
    typer.Option("--to", help="Where the proposal goes while signatures are missing."),
]
YesOption = Annotated[bool, typer.Option("--yes", help="Sign without asking.")]


@dataclass(frozen=True, slots=True)
class Ceremony:
    """How a change is to be signed: the options of the command."""

    home: Path
    catalogue: str | None
    keys: list[Path] | None
    passphrase_file: Path | None
    to: Path | None
    yes: bool
    as_json: bool


def amend(ceremony: Ceremony, changes: Changes, *, despite_rivals: bool = False) -> bool:
    """Change a root, as far as the keys at hand allow; return whether it is in force."""
    from meshnode.core.identifiers import catalogue_text
    from meshnode.runtime.maintainer.ceremony import amendment, chain_at

    async def make(control: Control) -> Proposal:
        identifier = catalogue_of(ceremony)
        await control.ask("catch_up", catalogue=catalogue_text(identifier))
        chain = await chain_at(control, identifier, despite_rivals=despite_rivals)
        return amendment(chain, await changes(control, chain))

    return propose(ceremony, make)


def propose(ceremony: Ceremony, make: Proposing) -> bool:
    """Show a proposal, sign it with the keys at hand, and put it in force if that is enough, else
    write it to a file; return whether it is in force.
    """
    from meshnode.runtime.maintainer.ceremony import publish, signed_by_those_asked

    async def work() -> tuple[Proposal, bool]:
        async with reach(ceremony.home) as control:
            proposal = await make(control)
            confirm(proposal, yes=ceremony.yes)
            proposal = signed_by_those_asked(proposal, keys_of(ceremony))
            if is_complete(proposal):
                await publish(control, proposal)
                return proposal, True
            return proposal, False

    proposal, is_published = run_async(work)
    file = None if is_published else write(proposal, ceremony.to)
    say(proposal, file, is_published=is_published, as_json=ceremony.as_json)
    return is_published


def write(proposal: Proposal, to: Path | None) -> Path:
    """Write a proposal to a new file, named after what it proposes."""
    from meshnode.core.identifiers import catalogue_text
    from meshnode.core.proposals import ROOT, catalogue_of
    from meshnode.core.roots import decode_root
    from meshnode.runtime.maintainer.ceremony import require_room, write_proposal

    version = f"-{decode_root(proposal.payload).version}" if proposal.kind == ROOT else ""
    name = catalogue_text(catalogue_of(proposal))[-8:]
    file = to or Path(f"{proposal.kind}{version}-of-{name}.proposal")
    require_room(file)
    write_proposal(file, proposal)
    return file


def confirm(proposal: Proposal, *, yes: bool) -> None:
    """Show what is about to be signed, and ask.

    Raises:
        UsageError: the person does not want it, or cannot be asked.
    """
    from meshnode.core.proposals import summary

    title, *lines = summary(proposal)
    err.print(Text(f"to be signed: {title}", "bold"))
    for line in lines:
        err.print(Text(f"  {line}"))
    if yes:
        return
    if not is_terminal():
        raise UsageError("nobody can be asked whether to sign this", hint="--yes signs it")
    if not typer.confirm("sign it?", err=True):
        raise UsageError("nothing is signed")


def is_complete(proposal: Proposal) -> bool:
    from meshnode.core.proposals import tallies

    return all(tally.is_met for tally in tallies(proposal))


def say(proposal: Proposal, file: Path | None, *, is_published: bool, as_json: bool) -> None:
    """Tell how far a proposal is, and what comes next."""
    from meshnode.core.identifiers import catalogue_text
    from meshnode.core.proposals import catalogue_of, summary, tallies

    counted = tallies(proposal)
    if as_json:
        roles = [
            {
                "role": tally.role,
                "threshold": tally.threshold,
                "signed": [kid.hex() for kid in tally.signed],
                "missing": [kid.hex() for kid in tally.missing],
            }
            for tally in counted
        ]
        about = {"catalogue": catalogue_text(catalogue_of(proposal)), "summary": summary(proposal)}
        print_json(
            {
                **about,
                "roles": roles,
                "published": is_published,
                "file": str(file) if file else None,
            }
        )
        return
    if is_published:
        out.print(f"in force: {summary(proposal)[0]}")
        return
    for tally in counted:
        out.print(f"{tally.role} asks for {tally.threshold} signatures, {len(tally.signed)} there")
        for kid in () if tally.is_met else tally.missing:
            out.print(f"  may sign: {kid.hex()}")
    out.print(f"proposal in {file}")
    verb = "publish" if is_complete(proposal) else "sign"
    key = " --key KEY" if verb == "sign" else ""
    out.print(f"next: [bold]meshnode {proposal.kind} {verb} {file}[/]{key}")


def catalogue_of(ceremony: Ceremony) -> CatalogueId:
    from meshnode.cli.catalogue import identifier
    from meshnode.core.identifiers import parse_catalogue
    from meshnode.runtime.home import Home
    from meshnode.runtime.maintainer.institutions import choose

    if ceremony.catalogue is None:
        return choose(Home(ceremony.home), None).catalogue
    return parse_catalogue(identifier(ceremony.home, ceremony.catalogue))


def keys_of(ceremony: Ceremony) -> list[Ed25519PrivateKey]:
    """Open the keys that were named, else the root key of the catalogue if it is here."""
    from meshnode.runtime.home import Home
    from meshnode.runtime.keys import load_key
    from meshnode.runtime.maintainer.institutions import all_of

    files = ceremony.keys
    if files is None:
        identifier = catalogue_of(ceremony)
        here = [each for each in all_of(Home(ceremony.home)) if each.catalogue == identifier]
        files = [each.root_key for each in here if each.root_key.exists()]
    return [load_key(file, asked(ceremony.passphrase_file)) for file in files]


def writer_named(root: Root, text: str) -> Writer:
    """Return the writer with this label, or whose key id begins like this.

    Raises:
        UsageError: none, or several.
    """
    found = [each for each in root.writers if text == each.label or each.kid.hex().startswith(text)]
    if len(found) == 1:
        return found[0]
    known = ", ".join(f"{writer.kid.hex()} ({writer.label})" for writer in root.writers)
    number = "several writers are" if found else "no writer is"
    raise UsageError(f"{number} called {text!r}", hint=f"known: {known}")
