"""As many peers of js-libp2p, linked as ours are: `tests/interop/js/peer.js`, each a process."""

from __future__ import annotations

import base64
import secrets
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import trio

from benchmarks.trials.fleet import (
    DEGREE,
    PEERS,
    READY_SECONDS_MAX,
    Arrivals,
    cpu_seconds_of,
    links,
)
from meshnode.runtime.network.gossipsub import HEADS_TOPIC
from tests.interop.js_peers import JsPeer, install, js_peer

# Of DEGREE neighbours: on a busy machine js-libp2p gives up identifying one or another for good.
_SUBSCRIBED_MIN: Final = DEGREE - 2


@dataclass(slots=True)
class JsFleet:
    """The peers by number, and when each heard each message."""

    peers: list[JsPeer]
    arrivals: Arrivals = field(default_factory=Arrivals)

    async def publish(self, number: int, size_bytes: int) -> object:
        """Publish random bytes at a peer; return their name among the arrivals."""
        text = base64.b64encode(secrets.token_bytes(size_bytes)).decode()
        self.arrivals.note(text, number)
        await self.peers[number].tell(publish=text, topic=HEADS_TOPIC)
        return text

    def cpu_seconds(self) -> float:
        return sum(cpu_seconds_of(peer.pid) for peer in self.peers)


@asynccontextmanager
async def running(folder: Path) -> AsyncIterator[JsFleet]:
    """Install js-libp2p in an empty folder, and run a fleet while the block runs.

    Its gossip meshes may still be forming.

    Raises:
        UsageError: Node or npm is not here.
    """
    await trio.to_thread.run_sync(install, folder)
    async with AsyncExitStack() as stack:
        fleet = JsFleet([await stack.enter_async_context(js_peer(folder)) for _ in range(PEERS)])
        with trio.fail_after(READY_SECONDS_MAX):
            await _link(fleet)
        async with trio.open_nursery() as nursery:
            for number, peer in enumerate(fleet.peers):
                nursery.start_soon(_note, fleet, number, peer)
            yield fleet
            nursery.cancel_scope.cancel()


async def _link(fleet: JsFleet) -> None:
    """Connect all, one after the other: a busy machine would give up handshakes."""
    addresses = [await peer.said("address") for peer in fleet.peers]
    for dialler, dialled in links():
        await fleet.peers[dialler].tell(dial=addresses[dialled])
        await fleet.peers[dialler].said("connected", addresses[dialled].rpartition("/")[2])
    for peer in fleet.peers:
        await peer.count("subscribed", _SUBSCRIBED_MIN)


async def _note(fleet: JsFleet, number: int, peer: JsPeer) -> None:
    async for text in peer.each("heard"):
        fleet.arrivals.note(text, number)
