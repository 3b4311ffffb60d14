"""Payloads in pieces: from HTTP mirrors and from connected peers at once, each piece checked.

A model of what the runtime leaves to its engine: rarest piece first, a few requests at each source,
a source that sent a bad piece is not asked again. The node has no part in it.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial

from meshnode.core.addresses import is_forbidden
from meshnode.core.identifiers import PeerId
from simulations.machine import Machine
from simulations.network import Network
from simulations.settings import Payloads
from simulations.swarm.mirrors import Mirror, mirrors_of
from simulations.world import World

ASK_SECONDS = 10.0  # between two looks at who has what
QUESTION_BYTES = 100
TIMEOUT_SECONDS = 30.0
AT_ONCE_MAX = 8  # pieces under way of one download
AT_ONE_SOURCE_MAX = 2
MIRROR_LATENCY_SECONDS = 0.05


Source = PeerId | Mirror


@dataclass(slots=True)
class Share:
    """What one peer holds of one payload. Invariant: a piece is held or under way, not both."""

    machine: Machine
    payload: int
    held: dict[int, None] = field(default_factory=dict)
    under_way: dict[int, Source] = field(default_factory=dict)
    banned: dict[Source, None] = field(default_factory=dict)  # sent a bad piece, or is a bait
    mirrors: tuple[Mirror, ...] = ()  # that may be connected to, by their names
    life: int = 0  # of the machine that `under_way` is from
    began: float = 0.0
    ended: float | None = None


@dataclass(slots=True)
class Swarm:
    """All shares of all payloads.

    Args:
        spoils: says whether what a peer sends of its pieces is not what it should be.
        ended: told of each download when it is whole.
        connects: told of each connection to a mirror, with its IP address.
    """

    world: World
    network: Network
    model: Payloads
    spoils: Callable[[PeerId], bool]
    ended: Callable[[Share], None]
    connects: Callable[[Machine, str], None]
    shares: dict[tuple[PeerId, int], Share] = field(default_factory=dict)
    mirrors_up: bool = True
    mirror_failures: int = 0
    pieces_refused: int = 0
    baits_refused: int = 0
    mirror_bytes: int = 0
    peer_bytes: int = 0
    _rng: random.Random = field(init=False)
    _mirror_free_at: dict[Mirror, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._rng = self.world.fork_rng()

    @property
    def pieces(self) -> int:
        return -(-self.model.size_bytes // self.model.piece_bytes)

    def seed(self, machine: Machine, payload: int) -> None:
        """Let a peer hold all of a payload from the beginning."""
        share = Share(machine, payload, dict.fromkeys(range(self.pieces)), ended=0.0)
        self.shares[machine.name, payload] = share

    def download(self, machine: Machine, payload: int) -> None:
        """Begin a download now; it goes on across crashes until it is whole."""
        if (machine.name, payload) not in self.shares:
            signed = mirrors_of(payload, self.model)
            vetted = tuple(m for m in signed if not is_forbidden(m.looked_up))
            self.baits_refused += len(signed) - len(vetted)
            share = Share(machine, payload, began=self.world.now, mirrors=vetted)
            self.shares[machine.name, payload] = share
            self._look(share)

    def downloads(self) -> Iterator[Share]:
        """Yield the shares that were not there from the beginning."""
        return (share for share in self.shares.values() if share.began or share.ended is None)

    def has_source(self, share: Share) -> bool:
        """Say whether every missing piece is to be had from a mirror or a connected peer."""
        if self.mirrors_up and self.model.mirrors:
            return True
        missing = [piece for piece in range(self.pieces) if piece not in share.held]
        others = [other for other in self._holders(share) if not self.spoils(other.machine.name)]
        return all(any(piece in other.held for other in others) for piece in missing)

    # --- Choosing ---------------------------------------------------------------------------------
    def _look(self, share: Share) -> None:
        """Ask on, now and again, until all is there."""
        if share.ended is None:
            self._ask_on(share)
            self.world.after(ASK_SECONDS, partial(self._look, share))

    def _ask_on(self, share: Share) -> None:
        machine = share.machine
        if machine.life != share.life:
            share.life, share.under_way = machine.life, {}
        if not machine.running or machine.paused or len(share.under_way) >= AT_ONCE_MAX:
            return
        holders = {other.machine.name: other for other in self._holders(share)}
        for piece in self._by_rarity(share, list(holders.values())):
            source = self._choose(share, piece, holders)
            if source is not None:
                share.under_way[piece] = source
                self._request(share, piece, source)
            if len(share.under_way) >= AT_ONCE_MAX:
                return

    def _holders(self, share: Share) -> Iterator[Share]:
        """Yield what connected peers hold; each tells of every piece that it gets."""
        if self.model.mirrors_only:
            return
        for peer in self.network.peers_of(share.machine.name):
            other = self.shares.get((peer, share.payload))
            if other is not None and other.held and peer not in share.banned:
                yield other

    def _by_rarity(self, share: Share, holders: list[Share]) -> list[int]:
        missing = [
            piece
            for piece in range(self.pieces)
            if piece not in share.held and piece not in share.under_way
        ]
        self._rng.shuffle(missing)
        return sorted(missing, key=lambda piece: sum(piece in other.held for other in holders))

    def _choose(self, share: Share, piece: int, holders: dict[PeerId, Share]) -> Source | None:
        peers: list[Source] = [name for name, other in holders.items() if piece in other.held]
        mirrors: list[Source] = [m for m in share.mirrors if m not in share.banned]
        asked = list(share.under_way.values())
        free = [source for source in peers + mirrors if asked.count(source) < AT_ONE_SOURCE_MAX]
        return self._rng.choice(free) if free else None

    # --- Asking -----------------------------------------------------------------------------------
    def _request(self, share: Share, piece: int, source: Source) -> None:
        failed = partial(self._failed, share, share.life, piece)
        if isinstance(source, Mirror):
            self._request_mirror(share, piece, source, failed)
            return
        wait = partial(self.world.after, TIMEOUT_SECONDS, failed)
        asked = partial(self._serve, share, piece, source, wait)
        self.network.send(share.machine.name, source, QUESTION_BYTES, asked, wait)

    def _serve(self, share: Share, piece: int, source: PeerId, wait: Callable[[], None]) -> None:
        """The question is at the holder."""
        name, size = share.machine.name, self.model.piece_bytes
        self.peer_bytes += size
        good = not self.spoils(source)
        arrived = partial(self._arrived, share, share.life, piece, source, good=good)
        self.network.send_bulk(source, name, size, arrived, wait)

    def _request_mirror(
        self, share: Share, piece: int, mirror: Mirror, failed: Callable[[], None]
    ) -> None:
        if not self.mirrors_up:
            self.mirror_failures += 1
            self.world.after(TIMEOUT_SECONDS, failed)
            return
        if is_forbidden(mirror.connected):  # the engine's filter looks again
            self.baits_refused += 1
            share.banned[mirror] = None
            self.world.after(0.0, failed)
            return
        self.connects(share.machine, mirror.connected)
        if mirror.is_bait:  # whatever answers there, it has no pieces
            self.world.after(TIMEOUT_SECONDS, failed)
            return
        size = self.model.piece_bytes
        self.mirror_bytes += size
        free_at = max(self.world.now, self._mirror_free_at.get(mirror, 0.0))
        free_at += size / self.model.mirror_bytes_per_second
        self._mirror_free_at[mirror] = free_at
        arrived = partial(self._arrived, share, share.life, piece, mirror, good=True)
        self.world.at(free_at + MIRROR_LATENCY_SECONDS, arrived)

    def _failed(self, share: Share, life: int, piece: int) -> None:
        if life == share.machine.life:
            share.under_way.pop(piece, None)

    def _arrived(self, share: Share, life: int, piece: int, source: Source, *, good: bool) -> None:
        if life != share.machine.life:
            return
        share.under_way.pop(piece, None)
        if good:
            share.held[piece] = None
        else:
            self.pieces_refused += 1
            share.banned[source] = None
        if len(share.held) < self.pieces:
            self._ask_on(share)
        elif share.ended is None:
            share.ended = self.world.now
            self.ended(share)
