"""`mirrors`: how the web servers do that payloads come from, and which of them are required."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import aclosing
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn

from meshnode.cli.access import reach
from meshnode.cli.naming import PAYLOAD, payload_named, release_name, release_named
from meshnode.cli.terminal import (
    HomeOption,
    JsonOption,
    counted,
    err,
    out,
    print_fields,
    print_json,
    print_labelled,
    print_table,
    progress,
    run_async,
    short,
    size_text,
)
from meshnode.control import Control, Message
from meshnode.errors import UsageError

UNMET = 3  # the exit status of monitoring: something is required and is not so

app = typer.Typer()

NamesArgument = Annotated[
    list[str] | None,
    typer.Argument(help="payload:KEY, doi:…, or release:COLLECTION@VERSION; without one, all."),
]


@app.callback(invoke_without_command=True)
def mirrors(context: typer.Context, home: HomeOption, as_json: JsonOption = False) -> None:
    """Show what this peer saw of each mirror, the best source first: speed, failures, rests.

    A mirror gives in bulk after a verified range. One that sent corrupt bytes is left alone for a
    minute, one that answers with errors after the third in a row; then twice as long each time, a
    day at the most.

    Examples:

      meshnode mirrors

      meshnode mirrors check

      meshnode mirrors require doi:10.5072/example https://data.example.org/
    """
    if context.invoked_subcommand is not None:
        return
    said = _ask(home, "mirrors")
    if as_json:
        print_json(said["mirrors"])
        return
    if not said["mirrors"]:
        out.print("nothing was fetched from a mirror yet")
        return
    print_table(
        ("mirror", "sent", "speed", "verified", "state"),
        (
            (
                each["url"],
                size_text(each["sent_bytes"]),
                f"{size_text(each['bytes_per_second'])}/s",
                _time(each["proven"]),
                _state(each, said["now"]),
            )
            for each in said["mirrors"]
        ),
    )


@app.command()
def show(
    home: HomeOption,
    mirror: Annotated[str, typer.Argument(help="Its URL, or how it begins.")],
    as_json: JsonOption = False,
) -> None:
    """Show all that is known of one mirror.

    Example:

      meshnode mirrors show https://data.example.org/
    """
    said = _ask(home, "mirrors")
    found = [each for each in said["mirrors"] if each["url"].startswith(mirror)]
    if not found:
        raise UsageError(
            f"no mirror is known whose URL begins with {mirror}", hint="meshnode mirrors lists them"
        )
    if as_json:
        print_json(found)
        return
    for each in found:
        out.print(each["url"], markup=False, style="bold")
        print_fields(
            state=_state(each, said["now"]),
            sent=f"{size_text(each['sent_bytes'])}, {size_text(each['bytes_per_second'])}/s,"
            f" first byte after {each['delay_ms']} ms",
            verified=f"{counted(each['proofs'], 'range')}, the last {_time(each['proven'])}",
            wrong=f"{counted(each['wrong'], 'time')}, {counted(each['owed'], 'proof')} owed"
            if each["wrong"]
            else "",
            quarantine=", ".join(f"{key[:8]}… piece {p}" for key, p in each["quarantine"]),
            ranges="" if each["gives_ranges"] else "none: it gives whole files only",
            kind=each["tier"],
            others=_others(each["others"]),
        )


@app.command()
def check(home: HomeOption, names: NamesArgument = None, as_json: JsonOption = False) -> None:
    """Ask mirrors for one random range each, verify it, and judge the required ones.

    Where the payload is held here 64 kB are compared with it; else a whole piece is fetched. At
    most 200 mirrors in one go. The exit status is 0; 3 if a required mirror is not as it should be.

    Examples:

      meshnode mirrors check

      meshnode mirrors check payload:1a9a0dac02abf7d4

      meshnode mirrors check --json || mail -s "a mirror fails" me
    """

    async def ask() -> tuple[list[Message], Message]:
        async with reach(home) as control:
            keys = await _keys(control, names or ())
            checked: list[Message] = []
            columns = ("{task.description}", BarColumn(), MofNCompleteColumn())
            with progress(*columns) as bar:
                task = bar.add_task("checking mirrors", total=None)
                async with aclosing(control.follow("mirrors_check", payloads=keys)) as messages:
                    async for message in messages:
                        if "result" in message:
                            return checked, message["result"]
                        event = message["event"]
                        checked.append(event["checked"])
                        bar.update(task, completed=event["done"], total=event["total"])
        raise AssertionError("the control client ends with a result or an error")

    checked, result = run_async(ask)
    unmet = [each for each in result["required"] if not each["met"]]
    if as_json:
        print_json({**result, "mirrors": checked})
    else:
        _print_checked(checked, result)
    if unmet:
        raise typer.Exit(UNMET)


@app.command()
def require(
    home: HomeOption,
    name: Annotated[
        str | None, typer.Argument(help="payload:KEY, doi:…, or release:COLLECTION@VERSION.")
    ] = None,
    mirror: Annotated[str | None, typer.Argument(help="How the URL of the mirror begins.")] = None,
    days: Annotated[
        int, typer.Option(min=1, max=366, help="A verified range came from it within so many.")
    ] = 7,
    drop: Annotated[bool, typer.Option("--drop", help="It is required no more.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Require that a release or a payload is at a mirror; without arguments, list what is required.

    The running peer checks each required mirror about once a day. `status` warns while one is not
    as it should be, and `mirrors check` ends with status 3.

    Examples:

      meshnode mirrors require doi:10.5072/example https://data.example.org/ --days 2

      meshnode mirrors require payload:1a9a0dac02abf7d4 https://old.example.org/ --drop

      meshnode mirrors require
    """
    if name is None:
        _list_required(home, as_json=as_json)
        return
    if mirror is None or not mirror.startswith(("http://", "https://")):
        raise UsageError(
            "name the mirror by how its URL begins",
            hint=f"meshnode mirrors require {name} https://data.example.org/",
        )

    async def ask() -> Message:
        async with reach(home) as control:
            keys = await _keys(control, [name])
            return await control.ask(
                "mirrors_require", payloads=keys, label=name, mirror=mirror, days=days, drop=drop
            )

    said = run_async(ask)
    if as_json:
        print_json(said)
    elif drop:
        out.print(f"{counted(said['changed'], 'requirement')} dropped")
    else:
        out.print(f"required: {counted(said['changed'], 'payload')} at {mirror}", markup=False)
        out.print("checked within the hour: meshnode mirrors check does so now")


def _others(word: Message) -> str:
    doubt, vouch = word["doubters"], word["vouchers"]
    return f"{vouch} vouch for it, {doubt} doubt it" if doubt or vouch else ""


def _list_required(home: Path, *, as_json: bool) -> None:
    said = _ask(home, "mirrors_required")
    if as_json:
        print_json(said["required"])
    elif said["required"]:
        _print_required(said["required"])
    else:
        out.print("no mirror is required")


def _print_checked(checked: Sequence[Message], result: Message) -> None:
    if checked:
        print_table(
            ("mirror", "payload", "found"),
            ((each["url"], short(each["payload"], 12), _found(each)) for each in checked),
        )
    else:
        out.print("no mirror is known: payloads without mirrors come from peers")
    if result["left_out"]:
        err.print(f"{counted(result['left_out'], 'mirror')} left out: name a payload")
    if result["required"]:
        _print_required(result["required"])


def _found(each: Message) -> str:
    if not each["right"]:
        return str(each["reason"])
    return f"right: {size_text(each['bytes'])} after {each['delay_ms']} ms"


def _print_required(required: Sequence[Message]) -> None:
    for each in required:
        text = f"{each['label']} at {each['mirror']}: {required_text(each)}"
        label, style = ("required", "green") if each["met"] else ("ALARM", "red bold")
        print_labelled(label, text, style, out)


def required_text(each: Message) -> str:
    """Say in words whether a requirement is met."""
    checked = f", verified {_time(each['checked'])}" if each["checked"] else ""
    reason = f" ({each['reason']})" if each["reason"] else ""
    return f"{each['state']}{reason}{checked}"


async def _keys(control: Control, names: Sequence[str]) -> list[str]:
    """Return the keys of the payloads that are named, in hex."""
    known = (await control.ask("payloads"))["payloads"] if names else []
    found: list[str] = []
    for text in names:
        release = release_name(text)
        if release is not None:
            named = await release_named(control, release)
            found += [each["key"] for each in named["payloads"]]
        elif text.startswith(PAYLOAD):
            found.append(payload_named(known, text)["key"])
        else:
            raise UsageError(
                f"{text!r} names no payload",
                hint="payload:KEY, doi:…, or release:COLLECTION@VERSION",
            )
    return list(dict.fromkeys(found))


def _ask(home: Path, action: str) -> Message:
    async def ask() -> Message:
        async with reach(home) as control:
            return await control.ask(action)

    return run_async(ask)


def _state(health: Message, now: int) -> str:
    if not health["failures"]:
        return "good" if health["proofs"] or health["sent_bytes"] else "not known"
    said = f"{health['reason']} {_time(health['last_failure'])}"
    if health["rests_until"] > now:
        said += f", rests until {_time(health['rests_until'])}"
    return said


def _time(unix: int) -> str:
    return datetime.fromtimestamp(unix, UTC).strftime("%Y-%m-%d %H:%M:%SZ") if unix else "never"
