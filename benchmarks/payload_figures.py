"""`python -m benchmarks.payload_figures [CASE…]`: what payloads cost, beside what is promised.

Wall-clock, on loopback: run it while nothing else is at work. Each line is a figure and its bound.
"""

from __future__ import annotations

import contextlib
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import libtorrent as lt
import trio

from benchmarks.payload_layouts import MIB, Layout, Manner, layout, mirror_of
from meshnode.runtime.payloads.payload_directory import HeldState, PayloadDirectory
from meshnode.runtime.payloads.torrent_session import TorrentSettings
from meshnode.runtime.payloads.torrents import Torrents
from meshnode.runtime.payloads.transfers import Transfer

PIECES: Final = 1728  # of 16 MiB: 27 GiB
LOCAL: Final = TorrentSettings(allow_local_addresses=True)
PAYLOADS: Final = 10_000
IDLE_SECONDS: Final = 30.0
LEECHERS: Final = 20
CYCLES: Final = 8
CYCLE_SECONDS: Final = 13.0  # 256 MiB, which are evicted at once, are read in so long at 20 MB/s
RATE: Final = 20_000_000
DELAY_SECONDS: Final = 0.08

Say = Callable[[str, float, str, float], None]


async def idle(folder: Path, say: Say) -> None:
    """Hold ten thousand payloads, and do nothing."""
    root = folder / "payloads"
    for number in range(PAYLOADS):
        made = layout(1, MIB >> 4, seed=number)
        directory = PayloadDirectory(root, made.torrent.key)
        directory.data.mkdir(parents=True)
        directory.create(made.torrent)
        (location,) = directory.locations(made.torrent, None)
        made.write(location, range(1))
        directory.save(HeldState((1,)))
    before = resident_bytes()
    async with running(root) as torrents:
        assert len(torrents.held()) == PAYLOADS
        say("memory for 10,000 held payloads", (resident_bytes() - before) / 1e6, "MB", 100)
        await trio.sleep(10)
        used, started = time.process_time(), time.perf_counter()
        await trio.sleep(IDLE_SECONDS)
        share = 100 * (time.process_time() - used) / (time.perf_counter() - started)
        say("a core, idle", share, "%", 2)


async def first_bytes(folder: Path, say: Say) -> None:
    """Read 64 KiB in the middle of a file of 27 GiB, of which nothing is here."""
    for piece_mib in (4, 16):
        made = layout(PIECES * 16 // piece_mib, piece_mib * MIB)
        async with (
            mirror_of(made, Manner()) as url,
            running(folder / f"cold-{piece_mib}") as torrents,
            seeding(folder / f"peer-{piece_mib}", made, range(100, 140)) as peer,
        ):
            await torrents.open(made.torrent, cached=True)
            seconds = await read_64_kib(torrents, made, 1000, mirrors=[url])
            say(f"first 64 KiB from a mirror, pieces of {piece_mib} MiB", seconds, "s", 0.3)
            torrents.introduce(made.torrent.key, [("127.0.0.1", peer.port)])
            seconds = await read_64_kib(torrents, made, 120)
            say(f"first 64 KiB from a peer, pieces of {piece_mib} MiB", seconds, "s", 1.0)


async def evict(folder: Path, say: Say) -> None:
    """Give up pieces of a sparse file of 27 GiB while twenty others fetch from it."""
    made = layout(PIECES, 16 * MIB)
    async with seeding(folder / "seed", made, range(64)) as torrents:
        transfer = transfer_of(torrents, made)
        sessions = [leech(folder / f"leech-{i}", made, torrents.port) for i in range(LEECHERS)]
        await trio.sleep(5)
        offline = watched(transfer)
        dark, started = 0.0, trio.current_time()
        for cycle in range(CYCLES):
            await torrents.release(made.torrent.key, [63 - cycle])
            again = trio.current_time()
            with trio.fail_after(60):
                # The counter begins anew with the torrent.
                while not await sampled(transfer):  # noqa: ASYNC110 - of another thread
                    await trio.sleep(0.02)
            dark += trio.current_time() - again
            await trio.sleep(CYCLE_SECONDS)
        ran = trio.current_time() - started
        say("eviction, offline, median", 1e3 * statistics.median(offline), "ms", 100)
        say("eviction, offline, worst", 1e3 * max(offline), "ms", float("inf"))
        say("eviction, until the next byte left, mean", 1e3 * dark / CYCLES, "ms", float("inf"))
        say("time without upload, of the run", 100 * (dark + sum(offline)) / ran, "%", 5)
        del sessions


async def mirrors(folder: Path, say: Say) -> None:
    """Four mirrors of 20 MB/s, each 80 ms away: one stalls, one gives false bytes."""
    made = layout(600, MIB)
    manners = [
        Manner(RATE, DELAY_SECONDS),
        Manner(RATE, DELAY_SECONDS),
        Manner(RATE, DELAY_SECONDS, stalls_after_bytes=8 * MIB),
        Manner(RATE, DELAY_SECONDS, is_rotten=True),
    ]
    async with contextlib.AsyncExitStack() as stack:
        urls = [await stack.enter_async_context(mirror_of(made, each)) for each in manners]
        torrents = await stack.enter_async_context(running(folder / "home"))
        started = trio.current_time()
        steps = torrents.download(made.torrent, mirrors=urls)
        async with contextlib.aclosing(steps):
            async for _ in steps:
                pass
        seconds = trio.current_time() - started
    # A mirror gives its rate to each connection: two that are well are the ideal.
    say(
        "two sound mirrors of four, beside their rate",
        seconds / (made.size_bytes / (2 * RATE)),
        "x",
        1.15,
    )


CASES: Final[dict[str, Callable[[Path, Say], Awaitable[None]]]] = {
    "idle": idle,
    "first-bytes": first_bytes,
    "evict": evict,
    "mirrors": mirrors,
}


# --- What the cases are made of -------------------------------------------------------------------
@asynccontextmanager
async def running(root: Path) -> AsyncIterator[Torrents]:
    torrents = Torrents(LOCAL, root)
    async with trio.open_nursery() as nursery:
        await nursery.start(torrents.run)
        yield torrents
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def seeding(root: Path, made: Layout, pieces: range) -> AsyncIterator[Torrents]:
    """Run an engine that holds these pieces of a layout."""
    directory = PayloadDirectory(root, made.torrent.key)
    directory.create(made.torrent)
    (location,) = directory.locations(made.torrent, None)
    made.write(location, pieces)
    directory.save(HeldState(tuple(i in pieces for i in range(made.torrent.piece_count))))
    async with running(root) as torrents:
        yield torrents


async def read_64_kib(
    torrents: Torrents, made: Layout, piece: int, mirrors: tuple[str, ...] | list[str] = ()
) -> float:
    """Return the seconds until the bytes are there."""
    start = piece * len(made.block) + 12_345
    began = trio.current_time()
    parts = torrents.read(made.torrent, 0, range(start, start + (64 << 10)), mirrors=mirrors)
    async with contextlib.aclosing(parts):
        found = b"".join([part async for part in parts])
    seconds = trio.current_time() - began
    assert found == made.bytes_at(start, 64 << 10)
    return seconds


def leech(folder: Path, made: Layout, port: int) -> tuple[lt.session, lt.torrent_handle]:
    """Have a bare engine fetch the layout slowly, without end, from one peer."""
    session = lt.session(
        {"listen_interfaces": "127.0.0.1:0", "enable_dht": False, "enable_lsd": False,
         "enable_upnp": False, "enable_natpmp": False, "min_reconnect_time": 1,
         "allow_multiple_connections_per_ip": True}
    )  # fmt: skip
    folder.mkdir(parents=True)
    parameters = lt.load_torrent_buffer(made.torrent.raw)
    parameters.save_path = str(folder)
    parameters.download_limit = 500_000
    handle = session.add_torrent(parameters)
    handle.connect_peer(("127.0.0.1", port))
    return session, handle


def transfer_of(torrents: Torrents, made: Layout) -> Transfer:
    transfer = torrents._roster.find(made.torrent.key)  # noqa: SLF001 - what is measured
    assert transfer is not None
    return transfer


def watched(transfer: Transfer) -> list[float]:
    """Return a list that gets the seconds of each absence from the engine."""
    handle, seconds = transfer.handle, list[float]()
    detach, attach, left = handle.detach, handle.attach, [0.0]

    def leaving() -> lt.torrent_handle:
        left[0] = time.perf_counter()
        return detach()

    def back(found: lt.torrent_handle) -> None:
        attach(found)
        seconds.append(time.perf_counter() - left[0])

    handle.detach, handle.attach = leaving, back  # type: ignore[method-assign,assignment]
    return seconds


async def sampled(transfer: Transfer) -> int:
    """Return the bytes that the engine's connections have sent since it has the torrent."""
    status = await trio.to_thread.run_sync(transfer.handle.current.status, 0)
    return int(status.total_payload_upload)


def resident_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * resource.getpagesize()


def main() -> None:
    failed = []

    def say(what: str, value: float, unit: str, most: float) -> None:
        bound = f"at most {most:g}" if most != float("inf") else ""
        sys.stdout.write(f"{what:52} {value:9.2f} {unit:3} {bound}\n")
        sys.stdout.flush()
        failed.extend([what] if value > most else [])

    for name in sys.argv[1:] or CASES:
        with tempfile.TemporaryDirectory() as folder:
            trio.run(CASES[name], Path(folder), say)
    sys.exit(f"above its bound: {', '.join(failed)}" if failed else 0)


if __name__ == "__main__":
    main()
