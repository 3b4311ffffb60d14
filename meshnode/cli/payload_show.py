"""`payload show`: one payload, and which of its pieces are here."""

from __future__ import annotations

from rich.text import Text

from meshnode.cli.access import reach
from meshnode.cli.naming import PayloadArgument, payload_named
from meshnode.cli.payload_text import bar, print_payload, runs_text
from meshnode.cli.terminal import HomeOption, JsonOption, out, print_json, run_async
from meshnode.control import Message


def show(home: HomeOption, payload: PayloadArgument, as_json: JsonOption = False) -> None:
    """Show one payload: its files, its mirrors, and which of its pieces are here.

    Example:

      meshnode payload show 1a9a0dac02abf7d4
    """

    async def ask() -> Message:
        async with reach(home) as control:
            return payload_named((await control.ask("payloads"))["payloads"], payload)

    found = run_async(ask)
    if as_json:
        print_json(found)
        return
    out.print(Text(found["collection"], "bold"))
    print_payload(found)
    if (held := found["held"]) is not None:
        out.print(Text(f"    [{bar(held['runs'], held['piece_count'])}]"))
        out.print(Text(f"    pieces here: {runs_text(held['runs'])}"))
