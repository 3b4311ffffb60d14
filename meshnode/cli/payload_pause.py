"""`payload pause` and `resume`: stop every transfer of payloads, and let them go on."""

from __future__ import annotations

from pathlib import Path

from meshnode.cli.access import reach
from meshnode.cli.terminal import HomeOption, JsonOption, out, print_json, run_async, size_text
from meshnode.control import Message


def pause(home: HomeOption, as_json: JsonOption = False) -> None:
    """Stop every transfer of payloads, also over restarts, until `payload resume`.

    Nothing is fetched, and nothing served to other peers. What is here can still be read on this
    machine. Catalogues go on.

    Example:

      meshnode payload pause
    """
    done = _ask(home, is_paused=True)
    if as_json:
        print_json(done)
    else:
        out.print("paused: no payload is fetched or served until: meshnode payload resume")
        _say(done)


def resume(home: HomeOption, as_json: JsonOption = False) -> None:
    """Let transfers of payloads go on after `payload pause`.

    Example:

      meshnode payload resume
    """
    done = _ask(home, is_paused=False)
    if as_json:
        print_json(done)
    else:
        out.print("transfers go on" if done["stopped"] is None else "not paused any more")
        _say(done)


def _ask(home: Path, *, is_paused: bool) -> Message:
    async def work() -> Message:
        async with reach(home) as control:
            return await control.ask("payload_pause", is_paused=is_paused)

    return run_async(work)


def _say(done: Message) -> None:
    received, sent = size_text(done["received_bytes"]), size_text(done["sent_bytes"])
    out.print(f"  {done['month']}: {received} received, {sent} sent")
    if done["stopped"] == "month":
        out.print("  nothing moves: payload.monthly_bytes_max is reached")
