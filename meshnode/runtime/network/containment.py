"""What stands between a py-libp2p host and its peers, so that none of them can end it.

Owns the inbound side of connections (a limit before any handshake), stream handlers that survive
their exceptions, and streams whose many ways to fail are one error.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final, NoReturn

import structlog
import trio
from libp2p.abc import INetStream
from libp2p.host.basic_host import BasicHost
from libp2p.io.abc import ReadWriteCloser
from libp2p.network.auto_connector import AutoConnector
from libp2p.network.connection.raw_connection import RawConnection
from libp2p.network.exceptions import SwarmException
from libp2p.network.stream.exceptions import StreamEOF
from libp2p.network.swarm import Swarm
from libp2p.peer.id import ID
from libp2p.stream_muxer.yamux.yamux import Yamux
from multiaddr import Multiaddr

from meshnode.runtime.network.streams import StreamBrokenError

HANDSHAKES_PER_ADDRESS_MAX: Final = 16  # unfinished; a mesh behind one router may all come at once
HANDSHAKES_MAX: Final = 128  # unfinished, from everywhere
RESET_SECONDS_MAX: Final = 2.0

_log = structlog.get_logger()


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


class Doorkeeper:
    """Admits inbound connections in place of the swarm's own handler.

    That one lets anybody fill all places with unfinished handshakes, and never gives back the
    place of a connection that has ended.
    """

    def __init__(self, swarm: Swarm) -> None:
        self._swarm = swarm
        self._handshakes: dict[str, int] = {}

    async def admit(self, stream: ReadWriteCloser, listener: Multiaddr) -> None:
        """Upgrade a connection and stay until it ends; the listener closes it afterwards."""
        remote = stream.get_remote_address()
        address = remote[0] if remote is not None else ""
        if not self._has_room(address):
            return
        self._handshakes[address] = self._handshakes.get(address, 0) + 1
        try:
            muxed = await self._swarm.upgrade_inbound_raw_conn(
                RawConnection(stream, initiator=False), listener
            )
        except Exception as error:
            _log.debug("no connection", address=address, reason=repr(error))
            return
        finally:
            self._forget(address)
        assert isinstance(muxed, Yamux)
        await muxed.event_closed.wait()

    def _has_room(self, address: str) -> bool:
        here = self._handshakes.get(address, 0)
        return here < HANDSHAKES_PER_ADDRESS_MAX and self._total() < HANDSHAKES_MAX

    def _total(self) -> int:
        return sum(self._handshakes.values())

    def _forget(self, address: str) -> None:
        self._handshakes[address] -= 1
        if not self._handshakes[address]:
            del self._handshakes[address]


class _NoDials(AutoConnector):
    """Dials nobody; upstream's calls up anybody that it has heard of, until it has 150 of them."""

    async def maybe_connect(self) -> None:
        pass


def contain(host: BasicHost, swarm: Swarm) -> None:
    """Put all of this in place, before the host listens.

    From then on it dials the addresses that `dial_addr` is told, and no others: peers fill the
    host's address book as they like (identify, signed records, peer exchange).
    """
    swarm.auto_connector = _NoDials(swarm)
    swarm.dial_peer = _refuse  # type: ignore[method-assign]
    swarm.dial_peer_replacement = _refuse  # type: ignore[method-assign]
    admit = Doorkeeper(swarm).admit
    swarm._handle_inbound_connection = admit  # type: ignore[method-assign, assignment]  # noqa: SLF001
    swarm.set_stream_handler(survive(host._swarm_stream_handler))  # noqa: SLF001


def survive(
    handler: Callable[[INetStream], Awaitable[None]],
) -> Callable[[INetStream], Awaitable[None]]:
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
