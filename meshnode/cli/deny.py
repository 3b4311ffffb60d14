"""`deny`: what this peer does not hold, whoever signed it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

import typer
from rich.text import Text

from meshnode.cli.access import reach
from meshnode.cli.catalogue import identifier
from meshnode.cli.terminal import (
    HomeOption,
    JsonOption,
    counted,
    cut_line,
    err,
    out,
    print_json,
    print_labelled,
    run_async,
)
from meshnode.control import Message
from meshnode.errors import UsageError

SKIPPED_SHOWN_MAX = 20

app = typer.Typer(
    help="Deny objects, payloads, catalogues and items: this peer does not hold them.",
    no_args_is_help=True,
)

NamesArgument = Annotated[
    list[str],
    typer.Argument(
        help="Ids (bafkrei…, bafyrei…), CATALOGUE/COLLECTION/ITEM, or rules of a deny list."
    ),
]
EraseOption = Annotated[
    bool, typer.Option("--erase", help="Also erase from this disk all that the lists deny.")
]


@app.command()
def add(
    home: HomeOption,
    names: NamesArgument,
    reason: Annotated[str, typer.Option(help="Why; kept beside the rule.")] = "",
    erase: EraseOption = False,
    as_json: JsonOption = False,
) -> None:
    """Deny something from now on, in the own list. A running peer obeys at once.

    A denied object is not fetched, served or indexed; of a denied catalogue nothing is followed or
    served; a denied payload is not served or downloaded; a denied item is in no search and no
    export, and no segment that holds it is served. A name after ! is allowed, whatever imported
    lists say.

    Examples:

      meshnode deny add bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku --erase

      meshnode deny add yukon/ca-yt-orthoimagery/ca-yt_whitehorse-2019 --reason "court order 12"
    """
    hint = f" reason={quote(reason, safe='')}" if reason else ""
    rules = [_rule(home, name) + hint for name in names]
    said = _ask(home, "deny_edit", add=rules, erase=erase)
    _say(said, f"{counted(len(rules), 'rule')} added", as_json=as_json)


@app.command()
def remove(
    home: HomeOption,
    names: Annotated[
        list[str] | None, typer.Argument(help="What the own list shall not name any more.")
    ] = None,
    list_: Annotated[
        str | None, typer.Option("--list", help="Remove a whole imported list, by its name.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Take rules out of the own list, or remove an imported list: what was denied comes back.

    What --erase has erased is fetched again from peers that have it.

    Examples:

      meshnode deny remove bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku

      meshnode deny remove --list badbits
    """
    if bool(names) == (list_ is not None):
        raise UsageError("name rules of the own list, or a list", hint="meshnode deny list")
    if list_ is not None:
        _say(_ask(home, "deny_drop", name=list_), f"list {list_} removed", as_json=as_json)
        return
    rules = [_rule(home, name) for name in names or []]
    said = _ask(home, "deny_edit", remove=rules)
    _say(said, f"{counted(len(rules), 'rule')} removed", as_json=as_json)


@app.command("import")
def import_(
    home: HomeOption,
    file: Annotated[Path, typer.Argument(help="A list in the compact denylist format (IPIP-383).")],
    name: Annotated[
        str | None, typer.Option(help="Under which name; the file's name if none is given.")
    ] = None,
    erase: EraseOption = False,
    as_json: JsonOption = False,
) -> None:
    """Obey somebody else's list too; the list of this name is replaced.

    Lines that name nothing of this mesh are skipped, and said. Hashed rules match objects, payloads
    and catalogues. What the own list allows (`meshnode deny add '!NAME'`) stays allowed.

    Example:

      meshnode deny import badbits.deny
    """
    try:
        text = file.read_bytes().decode()
    except OSError as error:
        raise UsageError(f"cannot read {file}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{file} is not UTF-8 text: {error.reason}") from error
    said = _ask(home, "deny_import", name=name or file.stem, text=text, erase=erase)
    if not as_json:
        for each in said["skipped"][:SKIPPED_SHOWN_MAX]:
            where = f"line {each['line']}: {each['text'][:60]}: {each['reason']}"
            print_labelled("skipped", where, "yellow", err)
        if (more := said["skipped_count"] - SKIPPED_SHOWN_MAX) > 0:
            err.print(f"… and {more} more; --json names 1,000")
    text = f"list {said['name']}: {counted(said['rules'], 'rule')}, {said['skipped_count']} skipped"
    _say(said, text, as_json=as_json)


@app.command("list")
def list_(home: HomeOption, as_json: JsonOption = False) -> None:
    """Show the rules of the own list, and how many each imported list has.

    Example:

      meshnode deny list
    """
    said = _ask(home, "deny_lists")
    if as_json:
        print_json(said)
        return
    for each in said["lists"]:
        skipped = f", {each['skipped_count']} lines skipped" if each["skipped_count"] else ""
        out.print(Text(f"{each['name']}: {counted(each['rules'], 'rule')}{skipped}", style="bold"))
        if each["name"] == "own":
            for rule in said["own"]:
                out.print(cut_line(f"  {rule}"))
    if not said["lists"]:
        out.print("nothing is denied")


@app.command()
def check(
    home: HomeOption,
    name: Annotated[str, typer.Argument(help="An id, CATALOGUE/COLLECTION/ITEM, or a rule.")],
    as_json: JsonOption = False,
) -> None:
    """Say whether something is denied here, and by which list.

    Example:

      meshnode deny check bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku
    """
    said = _ask(home, "deny_check", rule=_rule(home, name))
    lists = ", ".join(said["lists"])
    _say(said, f"denied by {lists}" if said["denied"] else "not denied", as_json=as_json)


def _rule(home: Path, name: str) -> str:
    """Return the rule that a person means; a catalogue made here has a short name."""
    from meshnode.core.denylist import rule_of

    mark = "!" if name.startswith("!") else ""
    first, slash, rest = name.removeprefix("!").partition("/")
    if first and slash:
        return rule_of(f"{mark}{identifier(home, first)}/{rest}")
    return rule_of(name)


def _ask(home: Path, action: str, **arguments: Any) -> Message:  # noqa: ANN401 - JSON
    async def ask() -> Message:
        async with reach(home) as control:
            return await control.ask(action, **arguments)

    return run_async(ask)


def _say(said: Message, text: str, *, as_json: bool) -> None:
    if as_json:
        print_json(said)
    else:
        out.print(Text(text))
