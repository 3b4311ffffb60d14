"""Fetching again what is kept and is not here: a hold that was cut off, a piece that rotted."""

from __future__ import annotations

import contextlib
from typing import Final

import structlog
import trio

from meshnode.core.identifiers import Digest
from meshnode.errors import MeshnodeError, UsageError
from meshnode.runtime.http.library import Library, RefusedError
from meshnode.runtime.network.network import Network
from meshnode.runtime.offers import providers
from meshnode.runtime.peer import Peer

ROUND_SECONDS: Final = 60.0  # between two looks at what is missing
REST_SECONDS: Final = 3600.0  # a payload that nobody had is tried again after so long

_log = structlog.get_logger()


class Mending:
    """Works while `run` runs; one payload at a time, since nobody waits for it."""

    def __init__(self, peer: Peer, network: Network) -> None:
        self._peer = peer
        self._library = Library(peer)
        self._network = network
        self._tried: dict[Digest, float] = {}

    async def run(self) -> None:
        """Mend what is missing, until cancelled."""
        while True:
            await trio.sleep(ROUND_SECONDS)
            missing = self._network.torrents.missing()
            self._tried = {key: at for key, at in self._tried.items() if key in missing}
            for key in missing:
                if trio.current_time() < self._tried.get(key, -REST_SECONDS) + REST_SECONDS:
                    continue
                self._tried[key] = trio.current_time()
                try:
                    await self.mend(key)
                except MeshnodeError as error:
                    _log.warning("what is kept is not whole", payload=key.hex(), reason=str(error))

    async def mend(self, key: Digest) -> None:
        """Fetch the pieces of a payload that are kept and not here.

        Raises:
            MeshnodeError: nobody has them, or the payload may not be had.
        """
        pieces = self._network.torrents.missing().get(key)
        if not pieces:
            return
        try:
            found = await self._library.find(key)
        except RefusedError as error:
            raise UsageError(str(error)) from error
        peers = await providers(self._peer, self._network, key)
        steps = self._network.torrents.hold(
            found.torrent, pieces, mirrors=found.mirrors, peers=peers
        )
        async with contextlib.aclosing(steps):
            async for _ in steps:
                pass
