"""`root`, `delegate`: the root of a catalogue, changed by one key or by several people's keys.

A change that too few keys at hand can sign becomes a file, the proposal. It goes from one holder to
the next (`root sign`), or each signs a copy (`root combine`), and anybody publishes it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from meshnode.cli.access import reach
from meshnode.cli.amend import (
    Ceremony,
    KeysOption,
    ToOption,
    WhichOption,
    YesOption,
    amend,
    confirm,
    say,
)
from meshnode.cli.passphrase import NoPassphraseOption, PassphraseFileOption, asked, chosen
from meshnode.cli.terminal import HomeOption, JsonOption, out, run_async
from meshnode.control import Control
from meshnode.errors import UsageError

if TYPE_CHECKING:
    from meshnode.core.amendments import Change
    from meshnode.core.identifiers import PublicKey
    from meshnode.core.roots import Root
    from meshnode.core.trust import RootChain

app = typer.Typer(help="Change the root of a catalogue of yours.", no_args_is_help=True)
delegates = typer.Typer()

FileArgument = Annotated[Path, typer.Argument(help="The proposal.")]


@app.command()
def propose(
    home: HomeOption,
    title: Annotated[str | None, typer.Option(help="The institution's title.")] = None,
    domain: Annotated[str | None, typer.Option(help="The institution's web domain.")] = None,
    contact: Annotated[str | None, typer.Option(help="Where to reach the maintainer.")] = None,
    catalogue: WhichOption = None,
    key: KeysOption = None,
    to: ToOption = None,
    yes: YesOption = False,
    passphrase_file: PassphraseFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Change what the root says of the institution; without options, renew its review date.

    Example:

      meshnode root propose --contact geodata@yukon.ca
    """
    from meshnode.core.amendments import set_meta

    given = {"title": title, "domain": domain, "contact": contact}
    fields = {name: text for name, text in given.items() if text is not None}

    async def changes(_: Control, __: RootChain) -> Sequence[Change]:
        return [set_meta(fields)]

    amend(Ceremony(home, catalogue, key, passphrase_file, to, yes, as_json), changes)


@app.command()
def rotate(
    home: HomeOption,
    add: Annotated[
        list[Path] | None, typer.Option(help="Public key that becomes a root key (repeatable).")
    ] = None,
    remove: Annotated[
        list[str] | None, typer.Option(help="How the id of a root key to drop begins (repeatable).")
    ] = None,
    threshold: Annotated[
        int | None, typer.Option(min=1, max=16, help="How many root keys must sign from then on.")
    ] = None,
    take: Annotated[
        list[Path] | None,
        typer.Option(help="The committed public keys, which become the root keys (all of them)."),
    ] = None,
    commit: Annotated[
        list[Path] | None,
        typer.Option(help="Public key for the rotation after this one; only its hash is shown."),
    ] = None,
    commit_threshold: Annotated[
        int, typer.Option(min=1, max=16, help="How many of the committed keys must sign.")
    ] = 1,
    catalogue: WhichOption = None,
    key: KeysOption = None,
    to: ToOption = None,
    yes: YesOption = False,
    no_passphrase: NoPassphraseOption = False,
    passphrase_file: PassphraseFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Change the root keys. The catalogue and its id stay what they are.

    Without options a catalogue of one root key gets a new one, made here; the old file stays.

    Examples:

      meshnode root rotate

      meshnode root rotate --add dana.pub --remove 7f3a --threshold 2
    """
    from meshnode.core.amendments import commit_next
    from meshnode.runtime.keys import read_public_key

    options = Ceremony(home, catalogue, key, passphrase_file, to, yes, as_json)
    committed = [read_public_key(path) for path in commit or []]
    if not (add or remove or take or threshold or commit):
        _renew(options, chosen(passphrase_file, none=no_passphrase))
        return
    added = [read_public_key(path) for path in add or []]
    taken = [read_public_key(path) for path in take or []]

    async def changes(_: Control, chain: RootChain) -> Sequence[Change]:
        root = chain.current
        made = [_taking(root, taken)] if take else _role(root, added, remove or [], threshold)
        return [*made, commit_next(committed, commit_threshold)] if committed else made

    amend(options, changes, despite_rivals=bool(take))


@app.command()
def sign(
    file: FileArgument,
    key: Annotated[list[Path], typer.Option(help="A root key to sign with (repeatable).")],
    yes: YesOption = False,
    passphrase_file: PassphraseFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Look at a proposal and sign it; needs neither a peer nor a network.

    Example:

      meshnode root sign root-2-of-jzrobmqk.proposal --key alice.key
    """
    from meshnode.core.proposals import signed_by
    from meshnode.runtime.keys import load_key
    from meshnode.runtime.maintainer.ceremony import read_proposal, write_proposal

    proposal = read_proposal(file)
    confirm(proposal, yes=yes)
    for each in key:
        proposal = signed_by(proposal, load_key(each, asked(passphrase_file)))
    write_proposal(file, proposal)
    say(proposal, file, is_published=False, as_json=as_json)


@app.command()
def combine(
    files: Annotated[list[Path], typer.Argument(help="Copies of one proposal, each signed.")],
    to: Annotated[Path, typer.Option(help="Where the combined proposal goes.")],
    as_json: JsonOption = False,
) -> None:
    """Gather the signatures of several copies of a proposal.

    Example:

      meshnode root combine from-alice.proposal from-bob.proposal --to both.proposal
    """
    from meshnode.core.proposals import combined
    from meshnode.runtime.maintainer.ceremony import read_proposal, require_room, write_proposal

    proposal = combined([read_proposal(file) for file in files])
    require_room(to)
    write_proposal(to, proposal)
    say(proposal, to, is_published=False, as_json=as_json)


@app.command()
def show(file: FileArgument, as_json: JsonOption = False) -> None:
    """Say what a proposal is about and who has signed it.

    Example:

      meshnode root show root-2-of-jzrobmqk.proposal
    """
    from meshnode.core.proposals import summary
    from meshnode.runtime.maintainer.ceremony import read_proposal

    proposal = read_proposal(file)
    if not as_json:
        for line in summary(proposal):
            out.print(Text(line))
    say(proposal, file, is_published=False, as_json=as_json)


@app.command()
def publish(home: HomeOption, file: FileArgument, as_json: JsonOption = False) -> None:
    """Put a proposal that enough keys have signed in force, and tell the mesh.

    Example:

      meshnode root publish root-2-of-jzrobmqk.proposal
    """
    from meshnode.core.proposals import completed
    from meshnode.runtime.home import Home
    from meshnode.runtime.maintainer import ceremony, institutions

    proposal = ceremony.read_proposal(file)
    completed(proposal)  # says what is missing before a peer is started
    if not proposal.roots:
        institutions.finish(Home(home), completed(proposal))

    async def work() -> None:
        async with reach(home) as control:
            await ceremony.publish(control, proposal)

    run_async(work)
    say(proposal, None, is_published=True, as_json=as_json)


@delegates.command(rich_help_panel="Catalogues")
def delegate(
    home: HomeOption,
    prefix: Annotated[str, typer.Argument(help="How the names of the collections begin.")],
    to_catalogue: Annotated[
        str | None, typer.Argument(metavar="CATALOGUE", help="Whose they are, by id.")
    ] = None,
    end: Annotated[bool, typer.Option("--end", help="Take these collections back.")] = False,
    catalogue: WhichOption = None,
    key: KeysOption = None,
    to: ToOption = None,
    yes: YesOption = False,
    passphrase_file: PassphraseFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say that collections with a prefix are another institution's, in its own catalogue.

    Example:

      meshnode delegate ca-yt-parks- bafyreigh2akiscaildc3mqbqmvtqsdxkq2a7pyb4tjlmmuiwjzrobmqk3u
    """
    from meshnode.core.amendments import set_delegate
    from meshnode.core.identifiers import parse_catalogue

    if (to_catalogue is None) != end:
        raise UsageError("name the other catalogue, or give --end", hint="meshnode delegate --help")
    other = parse_catalogue(to_catalogue) if to_catalogue else None

    async def changes(_: Control, __: RootChain) -> Sequence[Change]:
        return [set_delegate(prefix, other)]

    amend(Ceremony(home, catalogue, key, passphrase_file, to, yes, as_json), changes)


def _renew(options: Ceremony, passphrase: str | None) -> None:
    """Give a catalogue of one root key a new one; it lies beside the old until it is in force."""
    from meshnode.core.amendments import role_keys, set_root_role
    from meshnode.runtime.home import Home
    from meshnode.runtime.maintainer.institutions import choose, new_root_key, take_new_root_key

    institution = choose(Home(options.home), options.catalogue)
    if not institution.root_key.exists():
        raise UsageError("the root key is not here", hint="name the keys: --add, --remove, --key")
    new, path = new_root_key(institution, passphrase, asked(options.passphrase_file))

    async def changes(_: Control, chain: RootChain) -> Sequence[Change]:
        if new in role_keys(chain.current):  # an earlier run ended before it said so
            take_new_root_key(institution)
            raise UsageError(f"the new root key was in force already; it is {institution.root_key}")
        if len(role_keys(chain.current)) != 1:
            raise UsageError("the root has several keys", hint="name them: --add and --remove")
        return [set_root_role([new], 1)]

    keys = options.keys or [institution.root_key]
    both = Ceremony(
        options.home, institution.name, [*keys, path], options.passphrase_file,
        options.to, options.yes, options.as_json,
    )  # fmt: skip
    if amend(both, changes):
        take_new_root_key(institution)


def _role(
    root: Root, added: Sequence[PublicKey], removed: Sequence[str], threshold: int | None
) -> list[Change]:
    from meshnode.core.amendments import role_keys, set_root_role
    from meshnode.core.identifiers import key_id

    keys = list(role_keys(root))
    for text in removed:
        found = [key for key in keys if key_id(key).hex().startswith(text)]
        if len(found) != 1:
            known = ", ".join(key_id(key).hex() for key in keys)
            raise UsageError(f"{text!r} is not one root key's id", hint=f"known: {known}")
        keys.remove(found[0])
    changed = [*keys, *(key for key in added if key not in keys)]
    if not (added or removed or threshold):
        return []
    return [set_root_role(changed, threshold or min(root.root_role.threshold, len(changed)))]


def _taking(root: Root, taken: Sequence[PublicKey]) -> Change:
    from meshnode.core.amendments import set_root_role

    if root.next is None:
        raise UsageError("the root has committed to no next keys", hint="use --add and --remove")
    return set_root_role(taken, root.next.threshold)
