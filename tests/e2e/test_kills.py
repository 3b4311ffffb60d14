"""kill -9 of a process of the mesh, at every step of its work, and a start again.

Whatever was acknowledged is there afterwards, and the mesh converges. What was not acknowledged is
repeated by the person, as the sentence of the failed command says.

`MESHNODE_KILLS=2000` kills so often, at each moment in turn; once at each without it. Each pair of
peers lives through OF_ONE_PAIR; with `-n 2 --dist loadgroup` two pairs do it at the same time.
"""

import hashlib
import os
import random
import signal
import subprocess
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, aclosing, contextmanager, suppress
from pathlib import Path

import pytest
import trio

from meshnode.demo.processes import MESHNODE, PeerProcess
from meshnode.errors import MeshnodeError
from tests.cli.test_bad_input import town, write_items
from tests.e2e.pairs import Pair, publisher_and_reader

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

ITEMS = 2_000  # enough that fetching, checking and indexing are seen while they go on
POINT_SECONDS_MAX = 60.0  # for a moment to come at which something is killed
PAYLOAD_BYTES = 24 << 20
LARGE_BYTES = 50_000  # a segment of these tests is larger, any other object smaller

Moment = Callable[[Pair, Path], Awaitable[None]]


async def after_publish_was_acknowledged_the_publisher(pair: Pair, items: Path) -> None:
    await pair.publisher.command("publish", str(items))
    pair.publisher.kill()


async def after_publish_was_acknowledged_both(pair: Pair, items: Path) -> None:
    await pair.publisher.command("publish", str(items))
    pair.publisher.kill()
    pair.reader.kill()


async def after_a_segment_was_staged_the_publisher(pair: Pair, items: Path) -> None:
    came = large_file_in(pair.publisher.home / "incoming")
    with command(pair.publisher, "publish", str(items)):
        await until(came)
        pair.publisher.kill()


async def after_a_segment_was_staged_the_command(pair: Pair, items: Path) -> None:
    came = large_file_in(pair.publisher.home / "incoming")
    with command(pair.publisher, "publish", str(items)) as process:
        await until(came)
        process.kill()


async def after_the_head_was_journalled_the_command(pair: Pair, items: Path) -> None:
    with command(pair.publisher, "publish", str(items)) as process:
        await until(lambda: any((pair.publisher.home / "keys/pair").glob("journal.*")))
        process.kill()


async def after_the_head_was_journalled_the_publisher(pair: Pair, items: Path) -> None:
    with command(pair.publisher, "publish", str(items)):
        await until(lambda: any((pair.publisher.home / "keys/pair").glob("journal.*")))
        pair.publisher.kill()


async def after_the_segment_was_stored_the_publisher(pair: Pair, items: Path) -> None:
    came = large_file_in(pair.publisher.home / "objects")
    with command(pair.publisher, "publish", str(items)):
        await until(came)
        pair.publisher.kill()


async def while_the_reader_fetches_the_reader(pair: Pair, items: Path) -> None:
    came = fetched_by(pair.reader)
    with command(pair.publisher, "publish", str(items)):
        await until(came)
        pair.reader.kill()


async def while_the_reader_fetches_the_publisher(pair: Pair, items: Path) -> None:
    came = fetched_by(pair.reader)
    with command(pair.publisher, "publish", str(items)):
        await until(came)
        pair.publisher.kill()


async def while_the_reader_checks_or_indexes_the_reader(pair: Pair, items: Path) -> None:
    came = large_file_in(pair.reader.home / "objects")
    with command(pair.publisher, "publish", str(items)):
        await until(came)
        pair.reader.kill()


async def while_the_reader_checks_a_segment_its_checker(pair: Pair, items: Path) -> None:
    came = large_file_in(pair.reader.home / "objects")
    with command(pair.publisher, "publish", str(items)):
        await until(came)
        for child in children(pair.reader):
            os.kill(child, signal.SIGKILL)


async def after_the_reader_indexed_it_the_reader(pair: Pair, items: Path) -> None:
    await pair.publisher.command("publish", str(items))
    await pair.synchronised()
    pair.reader.kill()


MOMENTS = [
    after_publish_was_acknowledged_the_publisher,
    after_publish_was_acknowledged_both,
    after_a_segment_was_staged_the_publisher,
    after_a_segment_was_staged_the_command,
    after_the_head_was_journalled_the_command,
    after_the_head_was_journalled_the_publisher,
    after_the_segment_was_stored_the_publisher,
    while_the_reader_fetches_the_reader,
    while_the_reader_fetches_the_publisher,
    while_the_reader_checks_or_indexes_the_reader,
    while_the_reader_checks_a_segment_its_checker,
    after_the_reader_indexed_it_the_reader,
]


KILLS = int(os.environ.get("MESHNODE_KILLS", len(MOMENTS)))
OF_ONE_PAIR = 5 * len(MOMENTS)  # of more, the index of so many items costs more than the kills
NUMBERED = [
    pytest.param(
        number,
        MOMENTS[number % len(MOMENTS)],
        id=f"{number}-{MOMENTS[number % len(MOMENTS)].__name__}",
        marks=pytest.mark.xdist_group(f"pair-{number // OF_ONE_PAIR}"),
    )
    for number in range(KILLS)
]


class Pairs:
    """One pair after the other: what was acknowledged in one test must survive the next ones."""

    def __init__(self, folders: pytest.TempPathFactory) -> None:
        self._folders = folders
        self._number = -1
        self._living = ExitStack()

    def take(self, number: int) -> Pair:
        """Return the pair of this number; the one before it ends."""
        if number != self._number:
            self.end()
            self._number = number
            self._pair = self._living.enter_context(
                publisher_and_reader(self._folders.mktemp("kills"))
            )
        return self._pair

    def end(self) -> None:
        self._living.close()


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pairs]:
    pairs = Pairs(tmp_path_factory)
    yield pairs
    pairs.end()


@pytest.fixture
def pair(pairs: Pairs, request: pytest.FixtureRequest) -> Pair:
    return pairs.take(request.node.callspec.params.get("number", KILLS) // OF_ONE_PAIR)


@pytest.mark.parametrize(("number", "kill"), NUMBERED)
async def test_nothing_acknowledged_is_lost_by_a_kill(
    tmp_path: Path, pair: Pair, number: int, kill: Moment
) -> None:
    first, second = tmp_path / "first.ndjson", tmp_path / "second.ndjson"
    write_items(first, town(f"acknowledged {number}"))
    write_items(second, *(town(f"{number} {n}", note=hashed(n)) for n in range(ITEMS)))
    await pair.start_again()
    before = await count(pair.publisher)
    await pair.publisher.command("publish", str(first))
    await kill(pair, second)
    await pair.start_again()
    await pair.publisher.command("publish", str(second))  # repeated: harmless if it was done
    await pair.synchronised()
    for peer in (pair.publisher, pair.reader):
        assert await count(peer) == before + 1 + ITEMS
    status = await pair.publisher.control.ask("status")
    assert status["refused"] == []
    assert not any(log["disputed"] for each in status["catalogues"] for log in each["logs"])


@pytest.mark.parametrize("victim", ["reader", "publisher"])
async def test_a_download_goes_on_after_a_kill(tmp_path: Path, pair: Pair, victim: str) -> None:
    content = random.Random(victim).randbytes(PAYLOAD_BYTES)
    item, file, items = f"whole-{victim}", tmp_path / "data.bin", tmp_path / "items.ndjson"
    downloads = tmp_path / "downloads"
    downloads.mkdir()
    asset = {"href": "https://data.example.org/data.bin"}
    write_items(items, town(item, assets={"data": asset}))
    await trio.Path(file).write_bytes(content)
    await pair.start_again()
    await pair.publisher.command("publish", str(items))
    await pair.publisher.command(
        "payload", "add", str(file), "--collection", "towns", "--bind", f"{item}:data"
    )
    await pair.synchronised()
    await pair.reader.until(lambda status: status["connections"] > 0, POINT_SECONDS_MAX)
    await kill_during_download(pair, item, getattr(pair, victim))
    await pair.start_again()
    await pair.reader.until(lambda status: status["connections"] > 0, POINT_SECONDS_MAX)
    got = await pair.reader.command("get", item, "--to", str(downloads))
    (delivered,) = got["files"]
    assert delivered["sha256"] == hashlib.sha256(content).hexdigest()
    assert await trio.Path(delivered["to"]).read_bytes() == content
    assert 0 < sum(got["by_source"].values()) <= PAYLOAD_BYTES * 2


async def kill_during_download(pair: Pair, item: str, victim: PeerProcess) -> None:
    """Kill at the first progress that has bytes; a killed reader ends the request."""
    try:
        async with aclosing(pair.reader.control.follow("get", item=item)) as messages:
            async for message in messages:
                if message.get("event", {}).get("progress", {}).get("done_bytes"):
                    victim.kill()
                    return
    except MeshnodeError:
        assert victim is pair.reader
    raise AssertionError("the download ended before the kill")


@contextmanager
def command(peer: PeerProcess, *arguments: str) -> Iterator["subprocess.Popen[bytes]"]:
    """Run a command beside the test; after the block it has ended, one way or another."""
    process = subprocess.Popen(
        [*MESHNODE, *arguments, "--json"],
        env=os.environ | {"MESHNODE_HOME": str(peer.home)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield process
    finally:
        process.wait(POINT_SECONDS_MAX)


async def until(is_so: Callable[[], bool]) -> None:
    with trio.fail_after(POINT_SECONDS_MAX):
        while not is_so():  # noqa: ASYNC110 - other processes set no event of ours
            await trio.sleep(0.001)


def large_file_in(directory: Path) -> Callable[[], bool]:
    """Return what says whether a large file came there since this call."""
    before = large_files(directory)
    return lambda: bool(large_files(directory) - before)


def fetched_by(peer: PeerProcess) -> Callable[[], bool]:
    """Return what says whether a segment is on its way, or came since this call: both are short."""
    on_its_way, came = (large_file_in(peer.home / folder) for folder in ("incoming", "objects"))
    return lambda: on_its_way() or came()


def large_files(directory: Path) -> set[Path]:
    found = set()
    for path in directory.rglob("*"):
        with suppress(FileNotFoundError):  # it was moved while we looked
            if path.stat().st_size > LARGE_BYTES:
                found.add(path)
    return found


async def count(peer: PeerProcess) -> int:
    return int((await peer.command("search", "--count"))["count"])


def children(peer: PeerProcess) -> list[int]:
    tasks = Path(f"/proc/{peer.pid}/task").glob("*/children")
    return [int(number) for task in tasks for number in task.read_text().split()]


def hashed(number: int) -> str:
    return hashlib.sha256(str(number).encode()).hexdigest() * 2
