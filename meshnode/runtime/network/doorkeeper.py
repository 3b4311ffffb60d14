"""Admits inbound connections in place of the swarm's own handler.

That one lets anybody fill all places with unfinished handshakes, and never gives back the place of
a connection that has ended. Who has a place is decided by `meshnode.runtime.network.inbound`.
"""

from __future__ import annotations

import structlog
import trio
from libp2p.io.abc import ReadWriteCloser
from libp2p.io.trio import TrioTCPStream
from libp2p.network.swarm import Swarm
from libp2p.stream_muxer.yamux.yamux import Yamux
from multiaddr import Multiaddr

from meshnode.runtime.network.inbound import Handshake, Inbound
from meshnode.runtime.network.sockets import BufferedConnection

_log = structlog.get_logger()


class Doorkeeper:
    """Gives each inbound connection its place, and frees it when the connection ends."""

    def __init__(self, swarm: Swarm, inbound: Inbound) -> None:
        self._swarm = swarm
        self._inbound = inbound

    async def admit(self, stream: ReadWriteCloser, listener: Multiaddr) -> None:
        """Upgrade a connection and stay until it ends; the listener closes it afterwards."""
        assert isinstance(stream, TrioTCPStream)
        remote = stream.get_remote_address()
        ip = remote[0] if remote is not None else ""
        # Closed and not cancelled: then the library's own clean-up runs to its end.
        give_up = stream.stream.socket.close
        handshake = self._inbound.begin(ip, trio.current_time(), give_up)
        if handshake is None:
            return
        muxed = await self._upgrade(stream, listener, handshake)
        if muxed is None:
            return
        self._inbound.connected(handshake)
        try:
            await muxed.event_closed.wait()
        finally:
            self._inbound.ended(handshake)

    async def _upgrade(
        self, stream: TrioTCPStream, listener: Multiaddr, handshake: Handshake
    ) -> Yamux | None:
        muxed = None
        try:
            raw = _Listened(stream, handshake)
            muxed = await self._swarm.upgrade_inbound_raw_conn(raw, listener)
        except Exception as error:
            _log.debug("no connection", network=handshake.network, reason=repr(error))
            return None
        finally:
            if muxed is None:
                self._inbound.failed(handshake)
        assert isinstance(muxed, Yamux)
        return muxed


class _Listened(BufferedConnection):
    """Notes when the caller last said something."""

    def __init__(self, stream: TrioTCPStream, handshake: Handshake) -> None:
        super().__init__(stream, initiator=False)
        self._handshake = handshake

    async def _receive(self) -> bytes:
        data = await super()._receive()
        self._handshake.heard_at = trio.current_time()
        return data
