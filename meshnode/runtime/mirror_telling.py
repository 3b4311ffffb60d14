"""Tells others how mirrors do: of payloads that this peer offers itself, and of no others.

Who fetches what is nobody's business; a payload that is offered is known to be here anyway.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Final

import structlog
import trio

from meshnode.core import mirror_health
from meshnode.core.identifiers import Digest, PublicKey
from meshnode.core.limits import MIRRORS_MAX
from meshnode.core.mirror_health import HEALTH_SECONDS_MAX, KIND
from meshnode.core.signing import public_key
from meshnode.core.statement_bodies import SeenMirror, encode_body
from meshnode.core.statements import SignedStatement
from meshnode.errors import MeshnodeError
from meshnode.runtime.clock import unix_now
from meshnode.runtime.keys import load_or_create_key
from meshnode.runtime.mirror_watch import offers_by_key
from meshnode.runtime.offers import Offer
from meshnode.runtime.peer import Peer
from meshnode.runtime.statements import state

if TYPE_CHECKING:
    from meshnode.runtime.network.network import Network

LOOK_SECONDS: Final = 3600.0  # between two looks at what is to be told
JITTER: Final = 0.25
TOLD_SECONDS_MIN: Final = 6 * 3600  # of one payload, whatever happens
REPEATED_SECONDS: Final = HEALTH_SECONDS_MAX // 2  # what did not change is said again
TOLD_MAX: Final = 32  # payloads: half of what peers keep of one issuer, at the most

_log = structlog.get_logger()


class MirrorTelling:
    """Tells while `run` runs."""

    def __init__(self, peer: Peer, network: Network, rng: random.Random) -> None:
        self._peer = peer
        self._network = network
        self._rng = rng

    async def run(self) -> None:
        while True:
            await trio.sleep(LOOK_SECONDS * (1 + JITTER * self._rng.random()))
            try:
                await self.tell()
            except MeshnodeError as error:
                _log.warning("the health of mirrors could not be told", reason=str(error))

    async def tell(self) -> int:
        """State what is due; return how many statements were made. Raises MeshnodeError."""
        key = await trio.to_thread.run_sync(load_or_create_key, self._peer.home.identity)
        last = self._said_before(public_key(key))
        known = await trio.to_thread.run_sync(offers_by_key, self._peer)
        offered = [
            offer for offer in known.values() if self._network.torrents.holds(offer.payload.key)
        ]
        count = 0
        for offer in sorted(offered, key=self._heard_of, reverse=True)[:TOLD_MAX]:
            seen, subject = self._seen(offer), offer.payload.key
            if seen and _is_due(last.get(subject), encode_body(seen)):
                await state(self._peer, KIND, subject, encode_body(seen), HEALTH_SECONDS_MAX)
                count += 1
        return count

    def _said_before(self, own: PublicKey) -> dict[Digest, SignedStatement]:
        return {
            each.statement.subject: each
            for each in self._peer.node.claims
            if each.statement.issuer == own and each.statement.kind == KIND
        }

    def _heard_of(self, offer: Offer) -> tuple[int, bytes]:
        record = self._network.torrents.mirrors
        known = [record.of(url) for url in offer.mirrors]
        latest = max((max(each.proven, each.last_failure) for each in known), default=0)
        return latest, offer.payload.key

    def _seen(self, offer: Offer) -> tuple[SeenMirror, ...]:
        """Return what this peer saw itself of the mirrors that the catalogue names."""
        known = [self._network.torrents.mirrors.of(url) for url in offer.mirrors[:MIRRORS_MAX]]
        return tuple(
            mirror_health.seen(each.url, each.proven, each.owed if each.wrong else 0, each.failures)
            for each in known
            if each.proven or each.last_failure
        )


def _is_due(last: SignedStatement | None, body: bytes) -> bool:
    if last is None:
        return True
    age = unix_now() - last.statement.issued
    return age >= (TOLD_SECONDS_MIN if body != last.statement.body else REPEATED_SECONDS)
