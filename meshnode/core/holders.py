"""Whom to call for bytes that no connected peer gives: peers that state to hold them.

Implements R-93 to R-95 (protocol/02-records.md) and N-100, N-101 (protocol/05-sync.md). A statement
is a claim of whoever signs it, so a call is cheap, seldom, and ends in time; whoever does not keep
its word is called later than others, and less and less often.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Final

from meshnode.core.claims import Claims
from meshnode.core.effects import CallHolder
from meshnode.core.events import HolderCalled
from meshnode.core.identifiers import CatalogueId, Digest, PeerId, peer_id
from meshnode.core.peers import FAULTS_MAX, Peers
from meshnode.core.statement_bodies import DAY_SECONDS, Endpoint, Provider, decode_body

KIND: Final = "provider"
LASTING_SECONDS_MAX: Final = 2 * DAY_SECONDS  # of a statement: a holder that left is soon forgotten
CALLS_AT_ONCE_MAX: Final = 2
EXAMINED_MAX: Final = 256  # statements about one thing; honest peers make about eight
PAUSE_SECONDS: Final = 600.0  # between two calls of one peer, doubled by each word that it broke
PAUSE_SECONDS_MAX: Final = 86_400.0
REMEMBERED_MAX: Final = 4096  # peers that were called


@dataclass(frozen=True, slots=True)
class Holder:
    """A peer that states to hold something, with where it says that it serves it."""

    peer: PeerId
    endpoints: tuple[Endpoint, ...]


@dataclass(slots=True)
class Standing:
    """How a peer kept its word; `rests_until` is a monotonic second."""

    broken: int = 0  # in a row
    rests_until: float = 0.0
    is_on_trial: bool = False  # it answered, and gave nothing yet


@dataclass(slots=True)
class Holders:
    """Invariant: at most CALLS_AT_ONCE_MAX calls are under way, none to a peer that rests."""

    claims: Claims
    peers: Peers
    rng: random.Random
    _calling: dict[PeerId, None] = field(default_factory=dict)
    _standing: dict[PeerId, Standing] = field(default_factory=dict)  # oldest call first

    def stated(self, subject: Digest) -> Iterator[Holder]:
        """Yield who states to hold a catalogue or a payload, connected or not."""
        for said in islice(self.claims.of_kind(KIND, subject), EXAMINED_MAX):
            body = decode_body(said.kind, said.body)
            if isinstance(body, Provider) and said.expires - said.issued <= LASTING_SECONDS_MAX:
                yield Holder(peer_id(said.issuer), body.endpoints)

    def to_call(self, subject: Digest, now: float) -> list[Holder]:
        """Return who may be called for it, those first that broke their word least often."""
        found = [each for each in self.stated(subject) if self._may_be_called(each.peer, now)]
        self.rng.shuffle(found)
        return sorted(found, key=lambda each: self.broken(each.peer))

    def account(self) -> list[tuple[PeerId, int]]:
        """Return who did not keep its word, and how often in a row, the last one first."""
        found = [(peer, standing.broken) for peer, standing in self._standing.items()]
        return [(peer, broken) for peer, broken in reversed(found) if broken]

    def broken(self, peer: PeerId) -> int:
        """Return how often in a row a peer did not keep its word."""
        standing = self._standing.get(peer)
        return standing.broken if standing else 0

    def call(self, catalogues: Iterable[CatalogueId], now: float) -> Iterator[CallHolder]:
        """Yield one call for each catalogue of which bytes are lacking, if there is a hand free."""
        for catalogue in catalogues:
            if len(self._calling) >= CALLS_AT_ONCE_MAX:
                return
            for holder in self.to_call(Digest(catalogue), now)[:1]:
                self._calling[holder.peer] = None
                self.note_call(holder.peer, now)
                yield CallHolder(holder.peer, holder.endpoints)

    def note_call(self, peer: PeerId, now: float) -> None:
        """Let a peer rest that is being called."""
        standing = self._standing.pop(peer, None) or Standing()
        standing.rests_until = now + min(PAUSE_SECONDS * 2.0**standing.broken, PAUSE_SECONDS_MAX)
        self._standing[peer] = standing
        if len(self._standing) > REMEMBERED_MAX:
            del self._standing[next(iter(self._standing))]

    def called(self, event: HolderCalled, now: float) -> None:
        """Take note of how a call ended."""
        self._calling.pop(event.peer, None)
        standing = self._standing.setdefault(event.peer, Standing())
        standing.is_on_trial = event.kept_word
        if not event.kept_word:
            self._broke_word(event.peer, standing, now)

    def gave(self, peer: PeerId) -> None:
        """A peer gave what was asked for: if it was called, it kept its word."""
        if (standing := self._standing.get(peer)) is not None:
            standing.broken, standing.is_on_trial = 0, False

    def gave_nothing(self, peer: PeerId, now: float) -> None:
        """A peer did not give what was asked for: if it was called for it, it broke its word."""
        standing = self._standing.get(peer)
        if standing is not None and standing.is_on_trial:
            standing.is_on_trial = False
            self._broke_word(peer, standing, now)

    def _broke_word(self, peer: PeerId, standing: Standing, now: float) -> None:
        standing.broken += 1
        self.note_call(peer, now)

    def _may_be_called(self, peer: PeerId, now: float) -> bool:
        if peer in self.peers.connected or peer in self._calling:
            return False
        standing = self._standing.get(peer)
        is_rested = standing is None or standing.rests_until <= now
        return is_rested and self.peers.faults.get(peer, 0) < FAULTS_MAX
