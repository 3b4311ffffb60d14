"""Staying connected: dials the peers of signed seed lists and those that were reached before.

Whom to dial is decided by the peer book (`meshnode.core.peer_book`); this is the loop around it.
Seeds of the configuration are the mesh's own: it keeps each of them.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Protocol

import structlog
import trio

from meshnode.core.identifiers import PeerId
from meshnode.core.peer_book import PeerBook
from meshnode.errors import MeshnodeError, StorageError
from meshnode.runtime.network.addresses import parse_peer_address
from meshnode.runtime.network.peer_file import Reached
from meshnode.runtime.pump import now

CONNECTIONS_WANTED: Final = 12  # the gossip mesh's degree and some to spare
DIALS_A_ROUND_MAX: Final = 4
ROUND_SECONDS: Final = 5.0  # 24 peers that knew one of three seeds found all others in three rounds
STALE_SECONDS: Final = 6 * 3600  # a last success on disk is no older; far below what is kept
ALONE_SECONDS: Final = 1.5  # between rounds while nobody is connected

_log = structlog.get_logger()


class Connection(Protocol):
    """A connected peer, as the mesh describes it."""

    @property
    def peer(self) -> PeerId: ...

    @property
    def address(self) -> str: ...

    @property
    def outbound(self) -> bool: ...


class Dialler(Protocol):
    """What this loop needs of the mesh."""

    def connections(self) -> Sequence[Connection]: ...

    async def dial(self, address: str) -> None:
        """Connect to a peer; raises PeerError, UsageError."""
        ...


class Outreach:
    """Keeps up to CONNECTIONS_WANTED connections.

    Args:
        pinned: the addresses of the signed seed lists that are in force.
        keep: makes durable whom the book has reached; raises StorageError.
    """

    def __init__(
        self,
        mesh: Dialler,
        book: PeerBook,
        pinned: Callable[[], Sequence[str]],
        keep: Callable[[Sequence[Reached]], Awaitable[None]],
    ) -> None:
        self._mesh = mesh
        self._book = book
        self._pinned = pinned
        self._keep = keep
        self._kept: dict[str, int] = {}  # addresses as they were kept last, and when each was new

    async def run(self) -> None:
        """Dial whom the book names, until cancelled."""
        while True:
            await self._round()
            await self._keep_reached()
            alone = not self._mesh.connections()
            seconds = ALONE_SECONDS if alone else ROUND_SECONDS
            await trio.sleep(seconds * self._book.rng.uniform(0.75, 1.25))

    async def _round(self) -> None:
        self._take_pinned()
        connections = self._mesh.connections()
        for each in connections:
            if each.outbound and (address := _dialled_address(each)):
                self._book.was_reached(each.peer, address, now().unix)
        missing = CONNECTIONS_WANTED - len(connections)
        if missing <= 0:
            return
        connected = {each.peer: each.address if each.outbound else "" for each in connections}
        chosen = self._book.choose(connected, min(missing, DIALS_A_ROUND_MAX), now())
        async with trio.open_nursery() as nursery:
            for peer, address in chosen:
                nursery.start_soon(self._dial, peer, address)

    async def _dial(self, peer: PeerId, address: str) -> None:
        try:
            await self._mesh.dial(address)
        except MeshnodeError as error:
            self._book.has_failed(address, now())
            _log.debug("cannot dial", address=address, reason=str(error))
        else:
            self._book.was_reached(peer, address, now().unix)

    async def _keep_reached(self) -> None:
        """Keep the book where its addresses changed, or what was kept is some hours old."""
        reached = list(self._book.kept())
        is_known = len(reached) == len(self._kept) and all(
            abs(unix - self._kept.get(address, 0)) < STALE_SECONDS for _, address, unix in reached
        )
        if is_known:
            return
        try:
            await self._keep(reached)
        except StorageError as error:
            _log.warning("the peer book could not be kept", reason=str(error))
        else:
            self._kept = {address: unix for _, address, unix in reached}

    def _take_pinned(self) -> None:
        pinned = self._pinned()
        self._book.unpin(pinned)
        for address in pinned:
            try:
                peer = parse_peer_address(address).peer
            except MeshnodeError:
                continue  # an institution may sign what no peer is called
            self._book.learn(peer, address, is_pinned=True)


def _dialled_address(connection: Connection) -> str:
    """Return where an outbound connection leads, with its peer; "" if the mesh does not know."""
    bare = connection.address.split("/p2p/")[0]
    return f"{bare}/p2p/{connection.peer}" if bare else ""
