"""What stands between a py-libp2p host and its peers, so that none of them can end it.

Owns stream handlers that survive their exceptions and are so many at most, and streams whose many
ways to fail are one error. `meshnode.runtime.network.doorkeeper` sees to connections.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Container
from typing import Final, NoReturn

import structlog
import trio
from libp2p.abc import INetStream, IRawConnection, ISecureConn
from libp2p.host.basic_host import BasicHost
from libp2p.network.auto_connector import AutoConnector
from libp2p.network.exceptions import SwarmException
from libp2p.network.stream.exceptions import StreamEOF
from libp2p.network.swarm import Swarm
from libp2p.peer.id import ID
from libp2p.transport.exceptions import SecurityUpgradeFailure

from meshnode.core.identifiers import PeerId
from meshnode.runtime.network.doorkeeper import Doorkeeper
from meshnode.runtime.network.inbound import Inbound
from meshnode.runtime.network.streams import StreamBrokenError

RESET_SECONDS_MAX: Final = 2.0
STREAMS_PER_PEER_MAX: Final = 128  # that it opened: 32 questions, gossip, and what is ending

_log = structlog.get_logger()

Handle = Callable[[INetStream], Awaitable[None]]


class MeshStream:
    """A libp2p stream as `meshnode.runtime.network.streams.Stream`."""

    def __init__(self, inner: INetStream) -> None:
        self._inner = inner

    async def read(self, bytes_max: int) -> bytes:
        try:
            return await self._inner.read(bytes_max)
        except StreamEOF:
            return b""
        except Exception as error:
            raise _broken(error) from error

    async def write(self, data: bytes) -> None:
        try:
            await self._inner.write(data)
        except Exception as error:
            raise _broken(error) from error

    async def close(self) -> None:
        try:
            await self._inner.close()
        except Exception as error:
            raise _broken(error) from error

    async def reset(self) -> None:
        try:
            await self._inner.reset()
        except Exception as error:
            raise _broken(error) from error


class _NoDials(AutoConnector):
    """Dials nobody; upstream's calls up anybody that it has heard of, until it has 150 of them."""

    async def maybe_connect(self) -> None:
        pass


def contain(host: BasicHost, swarm: Swarm, inbound: Inbound) -> None:
    """Put all of this in place, before the host listens.

    From then on it dials the addresses that `dial_addr` is told, and no others: peers fill the
    host's address book as they like (identify, signed records, peer exchange).
    """
    swarm.auto_connector = _NoDials(swarm)
    swarm.dial_peer = _refuse  # type: ignore[method-assign]
    swarm.dial_peer_replacement = _refuse  # type: ignore[method-assign]
    admit = Doorkeeper(swarm, inbound).admit
    swarm._handle_inbound_connection = admit  # type: ignore[method-assign, assignment]  # noqa: SLF001
    swarm.set_stream_handler(survive(limit(host._swarm_stream_handler)))  # noqa: SLF001


def limit(handler: Handle) -> Handle:
    """Return the handler for so many streams of one peer at a time; further ones are reset.

    They count before their protocol is agreed on, so that silent ones do.
    """
    open_streams: dict[ID, int] = {}

    async def limited(stream: INetStream) -> None:
        peer = stream.muxed_conn.peer_id
        if open_streams.get(peer, 0) >= STREAMS_PER_PEER_MAX:
            await stream.reset()
            return
        open_streams[peer] = open_streams.get(peer, 0) + 1
        try:
            await handler(stream)
        finally:
            open_streams[peer] -= 1
            if not open_streams[peer]:
                del open_streams[peer]

    return limited


def bar(swarm: Swarm, blocked: Container[PeerId]) -> None:
    """Have the swarm hang up on these peers once they have proved who they are, whoever called."""
    upgrade = swarm.upgrader.upgrade_security

    async def upgrade_unless_blocked(
        raw_conn: IRawConnection, is_initiator: bool, peer_id: ID | None = None
    ) -> ISecureConn:
        secured = await upgrade(raw_conn, is_initiator, peer_id)
        if PeerId(str(secured.get_remote_peer())) in blocked:
            await secured.close()
            raise SecurityUpgradeFailure(f"{secured.get_remote_peer()} is blocked")
        return secured

    swarm.upgrader.upgrade_security = upgrade_unless_blocked  # type: ignore[method-assign]


def survive(handler: Handle) -> Handle:
    """Return the handler with its exceptions contained: they cost the peer its stream."""

    async def contained(stream: INetStream) -> None:
        try:
            await handler(stream)
        except Exception as error:
            _log.info("a stream failed", peer=str(stream.muxed_conn.peer_id), reason=repr(error))
            with trio.move_on_after(RESET_SECONDS_MAX):
                await _reset(stream)

    return contained


async def _refuse(peer_id: ID) -> NoReturn:
    raise SwarmException(f"{peer_id} is not connected, and dialled by address only")


async def _reset(stream: INetStream) -> None:
    try:
        await stream.reset()
    except Exception as error:
        _log.debug("a stream is gone already", reason=repr(error))


def _broken(error: Exception) -> StreamBrokenError:
    return StreamBrokenError(f"the stream broke: {type(error).__name__}")
