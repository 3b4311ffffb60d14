"""`statements` and `report`: what peers and people claim, and a claim of one's own."""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from meshnode.cli.access import reach
from meshnode.cli.catalogue import identifier
from meshnode.cli.terminal import (
    HomeOption,
    JsonOption,
    counted,
    cut_line,
    out,
    print_json,
    run_async,
)
from meshnode.control import Message
from meshnode.errors import UsageError

SHORT_CHARACTERS = 12

app = typer.Typer()


class ProblemName(StrEnum):
    """As the protocol numbers them, from 0 (R-49)."""

    OTHER = "other"
    CONTENT = "content"
    PLACE = "place"
    TIME = "time"
    NOT_RETRIEVABLE = "not-retrievable"
    LICENCE = "licence"
    PERSONAL_DATA = "personal-data"


SubjectArgument = Annotated[
    str, typer.Argument(help="A catalogue (bafyrei…), a segment (bafkrei…), or payload:KEY.")
]


@app.command(rich_help_panel="Peer")
def statements(
    home: HomeOption,
    about: Annotated[
        str | None, typer.Argument(help="Only those about this: bafyrei…, bafkrei…, payload:KEY.")
    ] = None,
    kind: Annotated[str | None, typer.Option(help="Only those of this kind.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Show what peers and people say about what this peer follows: the latest first.

    A statement is a claim of whoever signed it. It changes no catalogue, and ends by itself.

    Examples:

      meshnode statements

      meshnode statements yukon --kind issue
    """
    subject = _subject(home, about) if about else None
    said = _ask(home, "statements", subject=subject, kind=kind)
    if as_json:
        print_json(said)
        return
    for each in said["statements"]:
        _print(each)
    if (more := said["count"] - len(said["statements"])) > 0:
        out.print(f"… and {more} earlier ones")
    if not said["count"]:
        out.print("nobody has stated anything")


@app.command(rich_help_panel="Peer")
def report(
    home: HomeOption,
    about: SubjectArgument,
    problem: Annotated[ProblemName, typer.Option(help="What is wrong.")],
    item: Annotated[
        str | None, typer.Option(help="About one item: COLLECTION/ITEM.", metavar="NAME")
    ] = None,
    note: Annotated[str, typer.Option(help="In words; at most 1,024 bytes.")] = "",
    days: Annotated[int, typer.Option(help="How long it stands.", min=1, max=366)] = 90,
    as_json: JsonOption = False,
) -> None:
    """Report that something is wrong with a catalogue, a segment or a payload that you follow.

    The report is signed by this peer, for everybody to read, and passed on to all who follow the
    catalogue. A later report about the same takes its place.

    Examples:

      meshnode report yukon --problem place --item ca-yt-orthoimagery/ca-yt_whitehorse-2019

      meshnode report yukon --problem licence --note "The source says CC-BY-4.0."
    """
    named = _item(item) if item else None
    number = list(ProblemName).index(problem)
    subject = _subject(home, about)
    arguments = {"problem": number, "about": named, "note": note, "days": days}
    said = _ask(home, "report", subject=subject, **arguments)
    if as_json:
        print_json(said)
    else:
        _print(said)


def _item(text: str) -> list[str]:
    collection, slash, item = text.partition("/")
    if not (collection and slash and item):
        raise UsageError(f"{text!r} is not COLLECTION/ITEM", hint="meshnode search --limit 5")
    return [collection, item]


def _subject(home: Path, text: str) -> str:
    """Return in hex what a person names."""
    from meshnode.cli.naming import PAYLOAD
    from meshnode.core.identifiers import parse_catalogue, parse_object

    if text.startswith(PAYLOAD):
        key = text.removeprefix(PAYLOAD)
        if len(key) != 64 or set(key) - set("0123456789abcdef"):
            raise UsageError(f"{key!r} is not the key of a payload", hint="meshnode payload list")
        return key
    if text.startswith("bafkrei"):
        return parse_object(text).hex()
    return parse_catalogue(identifier(home, text)).hex()


def _print(said: Message) -> None:
    """Print one statement in two lines."""
    until = datetime.fromtimestamp(said["expires"], UTC).date().isoformat()
    who = "this peer" if said["own"] else f"{said['issuer'][:SHORT_CHARACTERS]}…"
    out.print(cut_line(f"{said['kind']} by {who} until {until} about {said['about']}"))
    out.print(cut_line(f"  {_words(said['says'])}"))


def _words(says: dict[str, Any]) -> str:
    if "endpoints" in says:
        return f"served at {', '.join(says['endpoints'])}"
    if "mirrors" in says:
        failing = sum(bool(each["wrong"] or each["unreachable"]) for each in says["mirrors"])
        return f"{counted(len(says['mirrors']), 'mirror')}, {failing} of them failing"
    if "problem" not in says:
        return counted(len(says["hex"]) // 2, "byte")
    item = f" of {'/'.join(says['item'])}" if says["item"] else ""
    note = f": {says['note']}" if says["note"] else ""
    return f"{says['problem'].replace('_', ' ')}{item}{note}"


def _ask(home: Path, action: str, **arguments: Any) -> Message:  # noqa: ANN401 - JSON
    async def ask() -> Message:
        async with reach(home) as control:
            return await control.ask(action, **arguments)

    return run_async(ask)
