"""Finding more peers than the seeds: ask those who are connected whom they saw, and where.

What is told goes into the peer book; whom of it to dial is decided there.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol

import structlog
import trio

from meshnode.core.identifiers import PeerId
from meshnode.core.peer_book import PeerBook
from meshnode.errors import MeshnodeError
from meshnode.runtime.network.contacts import Contacts
from meshnode.runtime.network.outreach import CONNECTIONS_WANTED, Connection

ROUND_SECONDS: Final = 5.0  # 24 peers that knew one of three seeds found all others in three rounds

_log = structlog.get_logger()


class Connected(Protocol):
    """What this loop needs of the mesh."""

    def connections(self) -> Sequence[Connection]: ...


class Asking(Protocol):
    """What this loop needs of the requests."""

    async def ask_contacts(self, peer: PeerId) -> tuple[Sequence[bytes], Sequence[bytes]]:
        """Return a peer's own records, and those of others; raises PeerError, TooSlowError."""
        ...


class Discovery:
    """Asks one connected peer a round while there are fewer connections than wanted."""

    def __init__(
        self, mesh: Connected, requests: Asking, contacts: Contacts, book: PeerBook
    ) -> None:
        self._mesh = mesh
        self._requests = requests
        self._contacts = contacts
        self._book = book

    async def run(self) -> None:
        """Ask until cancelled."""
        while True:
            await trio.sleep(ROUND_SECONDS * self._book.rng.uniform(0.75, 1.25))
            connected = [connection.peer for connection in self._mesh.connections()]
            if connected and len(connected) < CONNECTIONS_WANTED:
                await self._ask(self._book.rng.choice(connected))

    async def _ask(self, teller: PeerId) -> None:
        try:
            own, others = await self._requests.ask_contacts(teller)
        except (MeshnodeError, trio.TooSlowError) as error:
            _log.debug("no contacts", reason=str(error))
            return
        for record in self._contacts.told(teller, own, others):
            self._book.learn(record.peer, record.address)
