"""How soon a newcomer can search a million items: 1,000 catalogues over a line of 100 Mbit/s.

One peer has all of it, an empty one follows it; between them is a relay that is as narrow as the
line. The time counts from when they may meet until the last segment can be searched.

    python -m benchmarks.trials.newcomer --catalogues 100
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from contextlib import aclosing, closing
from functools import partial
from pathlib import Path
from typing import Final

import trio

from benchmarks.trials.fleet import READY_SECONDS_MAX, cpu_seconds_of
from benchmarks.trials.stock import SEGMENTS, Stock, stock
from benchmarks.trials.trial import Figures, Trial, perform
from meshnode import config as configuration
from meshnode.cli.peer import make_home
from meshnode.config import OFF, Config, HttpSettings, NetworkSettings, PayloadSettings
from meshnode.core.durable import SetFollowed
from meshnode.demo.federation import free_ports
from meshnode.demo.processes import PeerProcess, all_stopped
from meshnode.demo.relay import Relay
from meshnode.runtime.home import Home
from meshnode.runtime.store import Store

CATALOGUES: Final = 1_000
LINE_BYTES_PER_SECOND: Final = 100_000_000 / 8
ALLOWED_TIMES: Final = 1.25  # of what the line alone would take
ALLOWED_SECONDS: Final = 10.0
SECONDS_MAX: Final = 1_200.0


def run(folder: Path, catalogues: int = CATALOGUES) -> Figures:
    return perform(partial(_run, held=stock(catalogues)), folder)


async def _run(folder: Path, held: Stock) -> Figures:
    holder = PeerProcess("holder", held.home)
    newcomer = PeerProcess("newcomer", folder / "newcomer")
    [port] = free_ports(1)
    relay = Relay(("127.0.0.1", port))
    for way in (relay.forth, relay.back):
        way.bytes_per_second = LINE_BYTES_PER_SECOND
    relay.cut()
    async with all_stopped([holder, newcomer]), trio.open_nursery() as nursery:
        await nursery.start(relay.run)
        _settle(holder, port)
        seed = f"/ip4/127.0.0.1/tcp/{relay.port}/p2p/{make_home(holder.home)}"
        make_home(newcomer.home)
        _settle(newcomer, 0, seed)
        _follow(newcomer, held)
        with trio.fail_after(READY_SECONDS_MAX):
            await holder.start()
            await _until_indexed(holder)
            await newcomer.start()
        figures = await _measured(newcomer, holder, relay, held)
        nursery.cancel_scope.cancel()
    return figures


async def _measured(
    newcomer: PeerProcess, holder: PeerProcess, relay: Relay, held: Stock
) -> Figures:
    assert newcomer.pid is not None
    assert holder.pid is not None
    before = cpu_seconds_of(newcomer.pid), cpu_seconds_of(holder.pid)
    began = trio.current_time()
    async with aclosing(newcomer.control.follow("events")) as messages:
        relay.heal()
        left = len(held.catalogues) * SEGMENTS
        with trio.fail_after(SECONDS_MAX):
            async for message in messages:
                left -= message["event"]["what"] == "segment indexed"
                if not left:
                    break
    seconds = trio.current_time() - began
    status = await newcomer.control.ask("status")
    searchable = sum(catalogue["items"] for catalogue in status["catalogues"])
    own = cpu_seconds_of(newcomer.pid) - before[0]
    line_seconds = held.object_bytes / LINE_BYTES_PER_SECOND
    return {
        "items that are not searchable": held.items - searchable,
        "seconds": seconds,
        "seconds that are allowed": ALLOWED_TIMES * line_seconds + ALLOWED_SECONDS,
        "of what is allowed, times": seconds / (ALLOWED_TIMES * line_seconds + ALLOWED_SECONDS),
        "the line alone, s": line_seconds,
        "bytes over the line, of those of objects, times": relay.back.sent_bytes
        / held.object_bytes,
        "CPU of the newcomer, s": own,
        "CPU of the holder, s": cpu_seconds_of(holder.pid) - before[1],
    }


async def _until_indexed(holder: PeerProcess) -> None:
    """Wait until the holder is at rest; the first time it makes its index."""
    while (await holder.control.ask("status"))["backlog"]:  # noqa: ASYNC110
        await trio.sleep(1.0)


def _follow(newcomer: PeerProcess, held: Stock) -> None:
    """Follow all catalogues, of which the newcomer knows nothing but the names."""
    with closing(Store(Home(newcomer.home))) as store:
        store.commit([SetFollowed(catalogue, True) for catalogue in held.catalogues])


def _settle(peer: PeerProcess, port: int, *seeds: str) -> None:
    settings = Config(
        network=NetworkSettings(
            listen=(f"/ip4/127.0.0.1/tcp/{port}",), seeds=seeds, discover=False
        ),
        payload=PayloadSettings(listen="127.0.0.1:0"),
        http=HttpSettings(listen=OFF),
    )
    (peer.home / configuration.FILE_NAME).write_text(configuration.to_toml(settings))


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.trials.newcomer")
    parser.add_argument("--catalogues", type=int, default=CATALOGUES)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="newcomer-") as folder:
        json.dump(run(Path(folder), asked.catalogues), sys.stdout, indent=2)
    sys.stdout.write("\n")


TRIALS: Final[Sequence[Trial]] = (
    Trial(
        "newcomer",
        f"{CATALOGUES:,} catalogues of {SEGMENTS} segments over a line of 100 Mbit/s",
        run,
        ("items that are not searchable", "of what is allowed, times"),
    ),
)

if __name__ == "__main__":
    main()
