"""A publisher and a reader that run; the reader is attacked, and must go on as if nothing were."""

from __future__ import annotations

import itertools
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import trio

from meshnode.demo.processes import PeerProcess
from tests.cli.test_bad_input import town, write_items
from tests.e2e.pairs import Pair, publisher_and_reader

GROWTH_BYTES_MAX = 96 << 20  # of a process under attack; an unbounded queue grows past it at once
_PAGE_BYTES = 4096


@dataclass(slots=True)
class Victims:
    """`reader` is attacked; what the honest `publisher` signs must still reach it."""

    pair: Pair
    folder: Path
    _numbers: Iterator[int] = field(default_factory=itertools.count)
    _memory_bytes: int = 0
    _published: int = 0

    @property
    def reader(self) -> PeerProcess:
        return self.pair.reader

    @property
    def port(self) -> int:
        return int(self._listen.split("/")[4])

    @property
    def _listen(self) -> str:
        text = (self.reader.home / "config.toml").read_text()
        return next(line for line in text.splitlines() if line.startswith("listen")).split('"')[1]

    async def address(self) -> str:
        """Return the multiaddr of the reader, with its peer id."""
        status = await self.reader.control.ask("status")
        return str(status["addresses"][0])

    async def peers(self) -> dict[str, Any]:
        answer: dict[str, Any] = await self.reader.control.ask("peers")
        return answer

    async def begin(self) -> None:
        """Note how things stand before an attack."""
        await self.pair.start_again()
        await self.publish_and_find()
        self._memory_bytes = _resident_bytes(self.reader)

    def count_published(self, number: int) -> None:
        """Note that so many items more must be found from now on."""
        self._published += number

    async def publish_and_find(self) -> None:
        """Publish an item, and wait until the reader finds it and all before."""
        number = next(self._numbers)
        items = self.folder / f"{number}.ndjson"
        write_items(items, town(f"honest {number}"))
        await self.pair.publisher.command("publish", str(items))
        self.count_published(1)
        await self.pair.synchronised()
        found = await self.reader.command("search", "--count")
        assert found["count"] == self._published

    async def assert_unharmed(self, *, blamed: str | None = None) -> None:
        """The process lives, hears honest news, is not swollen, and blames at most the attacker."""
        assert self.reader.is_running
        await self.publish_and_find()
        assert _resident_bytes(self.reader) - self._memory_bytes < GROWTH_BYTES_MAX
        honest = (await self.pair.publisher.control.ask("status"))["peer"]

        async def is_connected() -> bool:
            return honest in [peer["peer"] for peer in (await self.peers())["peers"]]

        await until(is_connected)  # on a busy machine a ping may be late, and they meet again
        said = await self.peers()
        assert not [blame for blame in said["blames"] if blame["peer"] == honest]
        assert (await self.pair.publisher.control.ask("peers"))["blames"] == []
        if blamed is not None:
            assert blamed in [blame["peer"] for blame in said["blames"]]


@contextmanager
def victims_in(folder: Path) -> Iterator[Victims]:
    with publisher_and_reader(folder) as pair:
        yield Victims(pair, folder)


def _resident_bytes(peer: PeerProcess) -> int:
    statm = Path(f"/proc/{peer.pid}/statm").read_text()
    return int(statm.split()[1]) * _PAGE_BYTES


async def until(is_so: Callable[[], Awaitable[bool]], seconds_max: float = 30.0) -> None:
    """Ask again and again until it is so: other processes set no event of ours."""
    with trio.fail_after(seconds_max):
        while not await is_so():  # noqa: ASYNC110
            await trio.sleep(0.1)
