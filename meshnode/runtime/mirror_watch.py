"""Looks after the mirrors that the operator requires: a verified range of each about once a day."""

from __future__ import annotations

import random
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final

import structlog
import trio

from meshnode.core.identifiers import Digest
from meshnode.errors import MeshnodeError
from meshnode.runtime.clock import unix_now
from meshnode.runtime.offers import Offer, offers, torrent_of
from meshnode.runtime.payloads.mirrors.requirements import DAY_SECONDS, Requirement, State
from meshnode.runtime.peer import Peer

if TYPE_CHECKING:
    from meshnode.runtime.network.network import Network
    from meshnode.runtime.payloads.mirrors.inspection import Found

LOOK_SECONDS: Final = 900.0  # between two looks at what is due
JITTER: Final = 0.25

_log = structlog.get_logger()


class MirrorWatch:
    """Checks what is due while `run` runs, one mirror after another."""

    def __init__(self, peer: Peer, network: Network, rng: random.Random) -> None:
        self._peer = peer
        self._network = network
        self._rng = rng

    async def run(self) -> None:
        while True:
            try:
                await self._check_due()
            except MeshnodeError as error:
                _log.warning("required mirrors could not be checked", reason=str(error))
            await trio.sleep(LOOK_SECONDS * (1 + JITTER * self._rng.random()))

    async def _check_due(self) -> None:
        wanted = self._peer.required.all()
        if not wanted:
            return
        known = await trio.to_thread.run_sync(offers_by_key, self._peer)
        record, now = self._network.torrents.mirrors, unix_now()
        for each in wanted:
            offer = known.get(each.digest)
            for url in each.matching(offer.mirrors) if offer else ():
                if now - record.of(url).proven > DAY_SECONDS and record.rests(url) is None:
                    assert offer is not None  # it has the mirror
                    await look(self._peer, self._network, offer, url)


async def look(peer: Peer, network: Network, offer: Offer, url: str) -> Found:
    """Ask a mirror of a payload for one range, and verify it; raises MeshnodeError."""
    torrent = await trio.to_thread.run_sync(torrent_of, peer, offer)
    return await network.torrents.inspect(torrent, url)


def offers_by_key(peer: Peer) -> dict[Digest, Offer]:
    """Return each payload that is described here, once. Blocks."""
    return {offer.payload.key: offer for offer in offers(peer)}


def judged(peer: Peer, known: dict[Digest, Offer]) -> list[dict[str, Any]]:
    """Return each requirement with its state, as commands show it."""
    said = []
    for each in peer.required.all():
        offer = known.get(each.digest)
        state, health = _state(peer, each, offer)
        said.append(
            {
                **asdict(each),
                "met": state is State.MET,
                "state": state.value,
                "reason": health.reason if health and state is State.FAILING else "",
                "checked": health.proven if health else 0,
                "url": health.url if health else None,
            }
        )
    return said


def _state(peer: Peer, each: Requirement, offer: Offer | None) -> tuple[State, Any]:
    assert peer.network is not None  # only a running peer judges
    record = peer.network.torrents.mirrors
    return each.state(offer.mirrors if offer else None, record.of, unix_now())
