"""`mirrors`: how the web servers do that payloads come from."""

from __future__ import annotations

from datetime import UTC, datetime

import typer

from meshnode.cli.access import reach
from meshnode.cli.terminal import (
    HomeOption,
    JsonOption,
    out,
    print_json,
    print_table,
    run_async,
    size_text,
)
from meshnode.control import Message

app = typer.Typer()


@app.command(rich_help_panel="Use")
def mirrors(home: HomeOption, as_json: JsonOption = False) -> None:
    """Show what this peer saw of each mirror: bytes, speed, failures, and until when it rests.

    A mirror that sent corrupt bytes is left alone for a minute, one that answers with errors after
    the third in a row; then twice as long each time, a day at the most.

    Example:

      meshnode mirrors
    """

    async def ask() -> Message:
        async with reach(home) as control:
            return await control.ask("mirrors")

    said = run_async(ask)
    if as_json:
        print_json(said["mirrors"])
        return
    if not said["mirrors"]:
        out.print("nothing was fetched from a mirror yet")
        return
    print_table(
        ("mirror", "sent", "speed", "last byte", "state"),
        (
            (
                each["url"],
                size_text(each["sent_bytes"]),
                f"{size_text(each['bytes_per_second'])}/s",
                _time(each["last_success"]),
                _state(each, said["now"]),
            )
            for each in said["mirrors"]
        ),
    )


def _state(health: Message, now: int) -> str:
    if not health["failures"]:
        return "good"
    said = f"{health['reason']} {_time(health['last_failure'])}"
    if health["rests_until"] > now:
        said += f", rests until {_time(health['rests_until'])}"
    return said


def _time(unix: int) -> str:
    return datetime.fromtimestamp(unix, UTC).strftime("%Y-%m-%d %H:%M:%SZ") if unix else "never"
