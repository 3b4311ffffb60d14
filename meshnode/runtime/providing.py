"""Saying what others can get here: signed `provider` statements about catalogues and payloads.

Implements R-93 and R-95 (protocol/02-records.md): only where others see and reach this peer, only
while few others say the same, and taken back when it is true no longer.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Final

import structlog
import trio

from meshnode.core.holders import KIND, LASTING_SECONDS_MAX
from meshnode.core.identifiers import Digest, peer_id
from meshnode.core.statement_bodies import Endpoint, Provider, encode_body
from meshnode.core.statements import Statement
from meshnode.errors import MeshnodeError
from meshnode.runtime.clock import unix_now
from meshnode.runtime.network.addresses import ip_of, port_of
from meshnode.runtime.peer import Peer
from meshnode.runtime.statements import state

ROUND_SECONDS: Final = 60.0
ENOUGH: Final = 8  # of others who state the same: one that is away, or lies, is not missed
OWN_MAX: Final = 200  # that stand at a time; they share the room of one issuer
STATED_A_ROUND_MAX: Final = 16
ENDPOINTS_MAX: Final = 4
NOTHING: Final = b""  # the body of a statement that takes back the one before it

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Offered:
    """What this peer serves, and where.

    `is_whole` is False while some of it is still to come; `is_needed` is True where it is to be
    stated whatever others state: who has a payload is called as a holder of its catalogue.
    """

    subject: Digest
    endpoints: tuple[Endpoint, ...]
    is_whole: bool = True
    is_needed: bool = False


class Providing:
    """Keeps true what this peer states to serve.

    Args:
        addresses: multiaddrs, with an IP each, at which others reach this peer.
        torrent_port: the TCP port of the BitTorrent engine, 0 if it does not listen.
        holds: says whether a payload is here as a whole, verified and served.
    """

    def __init__(
        self,
        peer: Peer,
        addresses: Callable[[], Sequence[str]],
        torrent_port: Callable[[], int],
        holds: Callable[[Digest], bool],
        rng: random.Random,
    ) -> None:
        self._peer = peer
        self._addresses = addresses
        self._torrent_port = torrent_port
        self._holds = holds
        self._rng = rng

    async def run(self) -> None:
        """State what is due, until cancelled; at random times, so that peers see each other's."""
        while True:
            await trio.sleep(ROUND_SECONDS * self._rng.uniform(0.5, 1.5))
            await self.round()

    async def round(self) -> None:
        """State what is true and not said yet, and take back what is true no longer."""
        if not (here := self._here()):
            return  # what was stated ends by itself
        offered = {each.subject: each for each in self._offered(here)}
        own = self._own()
        due = [each for each in offered.values() if self._is_due(each, own.get(each.subject))]
        room = max(0, OWN_MAX - len(own))
        fresh = [each for each in due if each.subject not in own][:room]
        renewed = [each for each in due if each.subject in own]
        for each in [*renewed, *fresh][:STATED_A_ROUND_MAX]:
            await self._state(each.subject, encode_body(Provider(each.endpoints)))
        for subject, said in own.items():
            if subject not in offered and said.body != NOTHING:
                await self._state(subject, NOTHING, said.expires - unix_now())

    def _here(self) -> tuple[Endpoint, ...]:
        found = [(ip_of(address), port_of(address)) for address in self._addresses()]
        known = dict.fromkeys(each for each in found if each[0])
        return tuple(Endpoint(ip_address(ip).packed, port) for ip, port in known)[:ENDPOINTS_MAX]

    def _offered(self, here: tuple[Endpoint, ...]) -> Iterator[Offered]:
        node, port = self._peer.node, self._torrent_port()
        served = tuple(Endpoint(ip, port) for ip in dict.fromkeys(each.address for each in here))
        for catalogue in [node.catalogues[name] for name in node.followed()]:
            live = sorted({key for _, key in catalogue.contents.live_payloads()}) if port else []
            keys = [key for key in live if self._holds(key) and not node.withholds(key)]
            is_whole = node.replica.is_complete(catalogue.id)
            if catalogue.contents.segments or keys:
                yield Offered(Digest(catalogue.id), here, is_whole, is_needed=bool(keys))
            yield from (Offered(key, served) for key in keys)

    def _own(self) -> dict[Digest, Statement]:
        """Return what this peer has stated and what still stands."""
        claims, now = self._peer.node.claims, unix_now()
        said = (each.statement for each in claims if each.statement.kind == KIND)
        mine = (each for each in said if peer_id(each.issuer) == self._peer.id)
        return {each.subject: each for each in mine if each.expires > now}

    def _is_due(self, offered: Offered, said: Statement | None) -> bool:
        if said is not None and said.body != NOTHING:
            is_old = said.expires - unix_now() < LASTING_SECONDS_MAX // 2
            return is_old or said.body != encode_body(Provider(offered.endpoints))
        others = {each.peer for each in self._peer.node.holders.stated(offered.subject)}
        is_wanted = offered.is_needed or len(others - {self._peer.id}) < ENOUGH
        return offered.is_whole and is_wanted

    async def _state(
        self, subject: Digest, body: bytes, seconds: int = LASTING_SECONDS_MAX
    ) -> None:
        try:
            await state(self._peer, KIND, subject, body, max(seconds, 1))
        except MeshnodeError as error:
            _log.info("not stated", subject=subject.hex(), reason=str(error))
