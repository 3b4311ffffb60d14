"""The swarm's notices of connections that begin and end, as two callables."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from libp2p.abc import INetConn, INetStream, INetwork, INotifee
from multiaddr import Multiaddr

from meshnode.core.identifiers import PeerId

Notice = Callable[[PeerId], Awaitable[None]]


class Notifee(INotifee):
    """Passes on connections; streams and listeners are of no interest."""

    def __init__(self, connected: Notice, disconnected: Notice) -> None:
        self._connected = connected
        self._disconnected = disconnected

    async def connected(self, network: INetwork, conn: INetConn) -> None:
        await self._connected(PeerId(str(conn.muxed_conn.peer_id)))

    async def disconnected(self, network: INetwork, conn: INetConn) -> None:
        await self._disconnected(PeerId(str(conn.muxed_conn.peer_id)))

    async def opened_stream(self, network: INetwork, stream: INetStream) -> None:
        pass

    async def closed_stream(self, network: INetwork, stream: INetStream) -> None:
        pass

    async def listen(self, network: INetwork, multiaddr: Multiaddr) -> None:
        pass

    async def listen_close(self, network: INetwork, multiaddr: Multiaddr) -> None:
        pass
