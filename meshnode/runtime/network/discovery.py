"""Finding more peers than the seeds: ask those who are connected, dial those they reached."""

from __future__ import annotations

import random
from collections.abc import Sequence

import structlog
import trio

from meshnode.core.identifiers import PeerId
from meshnode.errors import MeshnodeError
from meshnode.runtime.network.mesh import Mesh
from meshnode.runtime.network.requests import Requests

ROUND_SECONDS = 5.0  # 24 peers that knew one of three seeds found all others in three rounds
CONNECTIONS_WANTED = 12  # the gossip mesh's degree and some to spare
DIALS_A_ROUND_MAX = 4

_log = structlog.get_logger()


async def discover(mesh: Mesh, requests: Requests, rng: random.Random) -> None:
    """Exchange addresses with one connected peer a round, until cancelled."""
    while True:
        await trio.sleep(ROUND_SECONDS * rng.uniform(0.75, 1.25))
        connected = [connection.peer for connection in mesh.connections()]
        if connected and len(connected) < CONNECTIONS_WANTED:
            await _round(mesh, requests, rng, connected)


async def _round(
    mesh: Mesh, requests: Requests, rng: random.Random, connected: Sequence[PeerId]
) -> None:
    try:
        teller = rng.choice(connected)
        told = await requests.ask_peers(teller)
    except (MeshnodeError, trio.TooSlowError) as error:
        _log.debug("no addresses", reason=str(error))
        return
    addresses = [address for address in told if mesh.believes(teller, address)]
    rng.shuffle(addresses)
    for address in addresses[:DIALS_A_ROUND_MAX]:
        try:
            await mesh.dial(address)
        except MeshnodeError as error:
            _log.debug("cannot dial", address=address, reason=str(error))
