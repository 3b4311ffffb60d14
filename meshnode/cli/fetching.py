"""Fetching payloads and showing how it goes: a bar for each, and a line for each of its sources."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import aclosing
from typing import Final
from urllib.parse import urlsplit

import trio
from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TransferSpeedColumn

from meshnode.cli.terminal import progress
from meshnode.control import Control, Message
from meshnode.errors import MeshnodeError

AT_ONCE: Final = 4  # of what one command asks for; the others wait
SOURCES_SHOWN_MAX: Final = 6  # of one payload, those that sent most


class Fetching:
    """Asks the peer for payloads; `deliver` is called in a thread as each is there.

    `action` is what the peer is asked: to fetch files, or to hold pieces.
    """

    def __init__(
        self, control: Control, deliver: Callable[[Message], None], action: str = "get"
    ) -> None:
        self._control = control
        self._action = action
        self._deliver = deliver
        self._limit = trio.CapacityLimiter(AT_ONCE)

    async def fetch(self, wanted: Sequence[Message]) -> tuple[list[Message], list[MeshnodeError]]:
        """Fetch all that can be had, in the order given; and what the others failed of."""
        results: dict[int, Message] = {}
        failures: dict[int, MeshnodeError] = {}
        columns = ("{task.description}", BarColumn(), DownloadColumn(), TransferSpeedColumn())
        with progress(*columns) as bars:

            async def work(place: int, arguments: Message) -> None:
                async with self._limit:
                    try:
                        results[place] = await self._fetch(arguments, Lines(bars, arguments))
                        await trio.to_thread.run_sync(self._deliver, results[place])
                    except MeshnodeError as error:
                        failures[place] = error
                        results.pop(place, None)

            async with trio.open_nursery() as nursery:
                for place, arguments in enumerate(wanted):
                    nursery.start_soon(work, place, arguments)
        return [results[place] for place in sorted(results)], [
            failures[place] for place in sorted(failures)
        ]

    async def _fetch(self, arguments: Message, lines: Lines) -> Message:
        async with aclosing(self._control.follow(self._action, **arguments)) as messages:
            async for message in messages:
                if "result" in message:
                    lines.end()
                    return dict(message["result"])
                lines.show(message["event"]["progress"])
        raise AssertionError("the control client ends with a result or an error")


class Lines:
    """The lines of one payload on the terminal: itself, and below it who sent how much."""

    def __init__(self, bars: Progress, arguments: Message) -> None:
        self._bars = bars
        self._name = str(arguments.get("item") or arguments["payload"][:16])
        self._whole = bars.add_task(f"{self._name}: asking peers", total=None)
        self._sources: dict[str, TaskID] = {}

    def show(self, seen: Message) -> None:
        total = seen["total_bytes"]
        text = f"{self._name}: verifying" if seen["state"] == "verifying" else self._name
        self._bars.update(self._whole, total=total, completed=seen["done_bytes"], description=text)
        for source, sent in seen["by_source"].items():
            if source not in self._sources and len(self._sources) < SOURCES_SHOWN_MAX:
                self._sources[source] = self._bars.add_task(f"  {source_text(source)}", total=None)
            if source in self._sources:
                self._bars.update(self._sources[source], total=total, completed=sent)

    def end(self) -> None:
        for task in (self._whole, *self._sources.values()):
            self._bars.remove_task(task)


def source_text(source: str) -> str:
    """Return a source as a short text: a mirror by its host, a peer by its address."""
    kind, _, where = source.partition(" ")
    return f"{kind} {urlsplit(where).netloc}" if kind == "mirror" else source
