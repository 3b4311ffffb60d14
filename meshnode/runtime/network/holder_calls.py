"""Calling peers that state to hold what nobody connected has, at the addresses that they state.

Implements N-100 of protocol/05-sync.md. Anybody can sign any address, so a call proves with Noise
who is there before anything else is said, and few calls go to one address, whoever names it.
"""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import ip_address
from typing import Final, Protocol

import structlog
import trio

from meshnode.core.addresses import is_forbidden
from meshnode.core.effects import CallHolder
from meshnode.core.events import HolderCalled
from meshnode.core.identifiers import PeerId
from meshnode.core.statement_bodies import Endpoint
from meshnode.errors import MeshnodeError
from meshnode.runtime.network.addresses import ip_of, reaches_no_further_in
from meshnode.runtime.network.budget import Budgets
from meshnode.runtime.network.outreach import Connection

CALLED_KEPT_MAX: Final = 8  # connections to holders; of more, the one that was called first ends
CALLS_OF_ADDRESS: Final = 4.0  # at once to one IP, whatever peers and ports are stated there
CALLS_PER_SECOND: Final = CALLS_OF_ADDRESS / 600.0
CALLS_MAX: Final = 4  # at a time

_log = structlog.get_logger()


class Dialler(Protocol):
    """What this needs of the mesh."""

    def connections(self) -> Sequence[Connection]: ...

    def seen_at(self, peer: PeerId) -> list[str]: ...

    async def dial(self, address: str) -> None:
        """Connect to a peer; raises PeerError, UsageError."""
        ...

    async def hang_up(self, peer: PeerId) -> None: ...


class HolderCalls:
    """Invariant: at most CALLED_KEPT_MAX of the peers that were called stay connected for it."""

    def __init__(self, mesh: Dialler) -> None:
        self._mesh = mesh
        self._calls = trio.CapacityLimiter(CALLS_MAX)
        self._budgets = Budgets[str](CALLS_PER_SECOND, CALLS_OF_ADDRESS)
        self._kept: dict[PeerId, None] = {}

    async def call(self, call: CallHolder) -> HolderCalled:
        """Try the endpoints one after the other, until the peer itself answers."""
        async with self._calls:
            for endpoint in call.endpoints:
                if not self._mesh.seen_at(call.peer) and self._may_call(endpoint):
                    await self._dial(_multiaddr(endpoint, call.peer))
        is_there = bool(self._mesh.seen_at(call.peer))
        if is_there:
            await self._keep(call.peer)
        return HolderCalled(call.peer, kept_word=is_there)

    def _may_call(self, endpoint: Endpoint) -> bool:
        """Say whether an address may be called: it lies no further inside than all that this peer
        is connected to, and was not called too often.
        """
        address = _multiaddr(endpoint)
        tellers = [connection.address for connection in self._mesh.connections()]
        ip = str(ip_address(endpoint.address))
        if is_forbidden(ip) and not all(is_forbidden(ip_of(teller)) for teller in tellers):
            return False
        is_outside = all(reaches_no_further_in(address, teller) for teller in tellers)
        return bool(tellers) and is_outside and self._budgets.spend(ip, 1, trio.current_time())

    async def _dial(self, address: str) -> None:
        try:
            await self._mesh.dial(address)
        except MeshnodeError as error:
            _log.debug("a holder is not where it states to be", address=address, reason=str(error))

    async def _keep(self, peer: PeerId) -> None:
        self._kept.pop(peer, None)
        self._kept[peer] = None
        if len(self._kept) > CALLED_KEPT_MAX:
            oldest = next(iter(self._kept))
            del self._kept[oldest]
            await self._mesh.hang_up(oldest)


def _multiaddr(endpoint: Endpoint, peer: PeerId | None = None) -> str:
    ip = ip_address(endpoint.address)
    address = f"/ip{ip.version}/{ip}/tcp/{endpoint.port}"
    return f"{address}/p2p/{peer}" if peer else address
