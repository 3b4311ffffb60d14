"""`payload drop`: free the disk of a payload's files."""

from __future__ import annotations

from meshnode.cli.access import reach
from meshnode.cli.naming import PayloadArgument, payload_named
from meshnode.cli.terminal import HomeOption, JsonOption, out, print_json, run_async


def drop(home: HomeOption, payload: PayloadArgument, as_json: JsonOption = False) -> None:
    """Erase what this peer holds of a payload, and serve it no more.

    Files that you put somewhere with `get`, and a publisher's own files, stay. The payload can be
    fetched again as long as somebody has it.

    Example:

      meshnode payload drop 1a9a0dac02abf7d4
    """

    async def work() -> str:
        async with reach(home) as control:
            known = (await control.ask("payloads"))["payloads"]
            key = str(payload_named(known, payload)["key"])
            await control.ask("payload_drop", payload=key)
            return key

    key = run_async(work)
    if as_json:
        print_json({"payload": key})
    else:
        out.print(f"dropped: payload {key}")
