"""`payload scrub`: look for rot in what is held."""

from __future__ import annotations

from contextlib import aclosing
from typing import Annotated

import typer
from rich.progress import BarColumn, DownloadColumn

from meshnode.cli.access import reach
from meshnode.cli.naming import payload_named
from meshnode.cli.terminal import (
    HomeOption,
    JsonOption,
    counted,
    out,
    print_json,
    progress,
    run_async,
    short,
    size_text,
)
from meshnode.control import Message


def scrub(
    home: HomeOption,
    payload: Annotated[
        str | None, typer.Argument(help="The payload's key, or how it begins; else all.")
    ] = None,
    rate: Annotated[
        int | None,
        typer.Option(
            min=0, help="Bytes/s to read; 0: no limit. Else payload.scrub_bytes_per_second."
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Read what is held, compare it with its hashes, and mend what has rotted.

    A piece that is not right is given up at once, and fetched again if it is kept. A look that was
    cut off goes on where it was. The peer does this by itself every payload.scrub_days days.

    Examples:

      meshnode payload scrub

      meshnode payload scrub 1a9a0dac02abf7d4 --rate 0 --json
    """
    wanted: Message = {} if rate is None else {"bytes_per_second": rate}

    async def work() -> Message:
        async with reach(home) as control:
            if payload is not None:
                known = (await control.ask("payloads"))["payloads"]
                wanted["payload"] = payload_named(known, payload)["key"]
            result: Message = {}
            with progress("{task.description}", BarColumn(), DownloadColumn()) as bars:
                task = bars.add_task("scrubbing", total=None)
                async with aclosing(control.follow("payload_scrub", **wanted)) as messages:
                    async for message in messages:
                        result = message.get("result", result)
                        if "event" in message:
                            seen = message["event"]["progress"]
                            text = f"{short(seen['payload'])} ({seen['place'] + 1}/{seen['of']})"
                            done, total = seen["done_bytes"], seen["total_bytes"]
                            bars.update(task, description=text, completed=done, total=total)
            return result

    done = run_async(work)["payloads"]
    if as_json:
        print_json(done)
        return
    for each in done:
        _say(each)
    rotten = counted(sum(len(each["rotten_pieces"]) for each in done), "rotten piece")
    looked = size_text(sum(each["done_bytes"] for each in done))
    out.print(f"{looked} of {counted(len(done), 'payload')} looked at: {rotten}")


def _say(found: Message) -> None:
    if not found["rotten_pieces"]:
        return
    name = short(found["payload"])
    out.print(f"payload {name}: {counted(len(found['rotten_pieces']), 'piece')} had rotted")
    if found["missing_pieces"]:
        missing = counted(len(found["missing_pieces"]), "piece")
        why = f": {found['reason']}" if found["reason"] else ""
        out.print(f"  {missing} could not be fetched again{why}", markup=False)
