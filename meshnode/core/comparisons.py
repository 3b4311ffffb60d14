"""Finding out what gossip lost: this peer compares what it holds with what another holds.

The asking side of protocol/05-sync.md, "Hello" and "Reconciliation". Owns whom it has met and the
comparison that is under way with each; what a record that comes so means is decided by `answers`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Final

from meshnode.core.effects import AskHeads, Blame, Effect
from meshnode.core.encoding import MalformedRecordError
from meshnode.core.exchange import (
    AskHello,
    AskRecon,
    AskRecords,
    HelloReceived,
    ReconReceived,
    RecordsReceived,
)
from meshnode.core.hello import WITHOUT_HELLO, Acquaintance, choose, meet
from meshnode.core.identifiers import CatalogueId, Digest, PeerId
from meshnode.core.limits import ADMITTED_MAX
from meshnode.core.newest import NewestRecords
from meshnode.core.peers import Peers
from meshnode.core.reconciliation import Reconciler
from meshnode.core.verdicts import Check

ROUNDS_MAX: Final = 64  # messages of one comparison; the next begins where what came has led
STRANGER: Final = Acquaintance(WITHOUT_HELLO)  # who does not say who it is
LACKED_MAX: Final = 65_536  # records after which one comparison asks for no more names

AskAbout = Callable[[PeerId, Sequence[CatalogueId]], Iterator[AskHeads]]


@dataclass(slots=True)
class _Comparison:
    """One comparison with one peer. `asked` are the names that it was asked for and owes."""

    attempt: int
    admitted: Digest
    chosen: bytes | None
    reconciler: Reconciler
    records_max: int
    rounds: int = 0
    is_second: bool = False  # begun since the peer's list had changed: not so a third time
    is_reconciling: bool = True
    named: int = 0  # that were lacking, whether they came or not
    lacked: dict[Digest, None] = field(default_factory=dict)
    asked: tuple[Digest, ...] = ()


@dataclass(slots=True)
class Comparisons:
    """Invariant: with a peer there is at most one comparison, and each question of it ends.

    Args:
        followed: returns the catalogues that this peer admits.
        ask_heads: asks a peer that speaks version 1 about all of some catalogues.
    """

    followed: Callable[[], tuple[CatalogueId, ...]]
    newest: NewestRecords
    peers: Peers
    ask_heads: AskAbout
    _met: dict[PeerId, Acquaintance] = field(default_factory=dict)
    _greeted: dict[PeerId, int] = field(default_factory=dict)  # whose hello is awaited
    _under_way: dict[PeerId, _Comparison] = field(default_factory=dict)
    _attempts: int = 0

    def start(self, peer: PeerId) -> Iterator[Effect]:
        """Compare with a peer, or first ask it who it is."""
        if peer in self._greeted or peer in self._under_way:
            return
        if not self.followed():
            return
        met = self._met.get(peer)
        if met is not None:
            yield from self._begin(peer, met)
        if met is None or self._has_nothing_in_common(met):
            self._greeted[peer] = self._attempts = self._attempts + 1
            yield AskHello(peer, met.name if met else None, self._attempts)

    def hello(self, event: HelloReceived) -> Iterator[Effect]:
        """Get to know a peer, or its new list of catalogues, and compare anew."""
        comparison = self._under_way.get(event.peer)
        is_changed = comparison is not None and comparison.attempt == event.attempt
        if not is_changed and self._greeted.get(event.peer) != event.attempt:
            return
        self._greeted.pop(event.peer, None)
        self._under_way.pop(event.peer, None)
        if event.greeting is None:
            self._met[event.peer] = STRANGER
        else:
            try:
                self._met[event.peer] = meet(event.greeting, self._met.get(event.peer))
            except MalformedRecordError as error:
                yield self.peers.blame(event.peer, Check.FRAME, str(error))
                return
        if comparison is None or not comparison.is_second:
            yield from self._begin(event.peer, self._met[event.peer])
        if is_changed and event.peer in self._under_way:
            self._under_way[event.peer].is_second = True

    def recon(self, event: ReconReceived) -> Iterator[Effect]:
        """Take an answer: ask on where it differs, and for what is lacking."""
        comparison = self._under_way.get(event.peer)
        if comparison is None or comparison.attempt != event.attempt:
            return
        try:
            step = comparison.reconciler.take(event.message)
        except MalformedRecordError as error:
            yield from self.end(event.peer, Check.FRAME, str(error))
            return
        new = [name for name in step.lacked if not self.newest.is_settled(name)]
        comparison.lacked |= dict.fromkeys(new)
        comparison.named += len(new)
        comparison.is_reconciling = (
            step.question is not None
            and comparison.rounds < ROUNDS_MAX
            and comparison.named <= LACKED_MAX
        )
        if comparison.is_reconciling and step.question is not None:
            yield self._recon(event.peer, comparison, step.question)
        yield from self._go_on(event.peer, comparison)

    def owed(self, event: RecordsReceived) -> tuple[Digest, ...]:
        """Return the names that this answer may bring: none, if it comes too late."""
        comparison = self._under_way.get(event.peer)
        if comparison is None or comparison.attempt != event.attempt:
            return ()
        return comparison.asked

    def received(self, peer: PeerId, names: Iterable[Digest]) -> Iterator[Effect]:
        """Ask for more, while each answer brings something."""
        comparison = self._under_way[peer]
        came = dict.fromkeys(names)
        missing = [name for name in comparison.asked if name not in came] if came else []
        comparison.asked = ()
        comparison.lacked = dict.fromkeys([*missing, *comparison.lacked])
        yield from self._go_on(peer, comparison)

    def end(self, peer: PeerId, check: Check, reason: str) -> Iterator[Blame]:
        """End the comparison with a peer that broke a rule."""
        self._under_way.pop(peer, None)
        yield self.peers.blame(peer, check, reason)

    def failed(self, request: AskHello | AskRecon | AskRecords) -> None:
        """Let it be: the next poll begins anew, and asks first who the peer is."""
        comparison = self._under_way.get(request.peer)
        if comparison is not None and comparison.attempt == request.attempt:
            del self._under_way[request.peer]
            self._met.pop(request.peer, None)
        if self._greeted.get(request.peer) == request.attempt:
            del self._greeted[request.peer]

    def left(self, peer: PeerId) -> None:
        self._met.pop(peer, None)
        self._greeted.pop(peer, None)
        self._under_way.pop(peer, None)

    def _begin(self, peer: PeerId, met: Acquaintance) -> Iterator[Effect]:
        """Compare with a peer that is known, as its version does."""
        followed = self.followed()
        if met.version == WITHOUT_HELLO:
            yield from self.ask_heads(peer, followed)
        elif met.version > WITHOUT_HELLO:
            yield from self._compare(peer, met, followed)

    def _has_nothing_in_common(self, met: Acquaintance) -> bool:
        """Say whether no message would show that the peer follows something else by now."""
        return met.version > WITHOUT_HELLO and not choose(met.admitted, self.followed())[0]

    def _compare(
        self, peer: PeerId, met: Acquaintance, followed: tuple[CatalogueId, ...]
    ) -> Iterator[Effect]:
        """Begin a comparison, over what both admit."""
        catalogues, chosen = choose(met.admitted, followed)
        if len(met.admitted) == ADMITTED_MAX:  # it may admit more than it could name
            named = frozenset(met.admitted)
            yield from self.ask_heads(peer, [c for c in followed if c not in named])
        if not catalogues:
            return
        self._attempts += 1
        reconciler = Reconciler(self.newest.items(catalogues), met.message_bytes_max)
        comparison = _Comparison(self._attempts, met.name, chosen, reconciler, met.records_max)
        self._under_way[peer] = comparison
        yield self._recon(peer, comparison, reconciler.first())

    def _recon(self, peer: PeerId, comparison: _Comparison, message: bytes) -> AskRecon:
        comparison.rounds += 1
        return AskRecon(peer, comparison.admitted, comparison.chosen, message, comparison.attempt)

    def _go_on(self, peer: PeerId, comparison: _Comparison) -> Iterator[Effect]:
        """Ask for records, one question at a time; end when nothing is left to ask."""
        if comparison.lacked and not comparison.asked:
            names = tuple(islice(comparison.lacked, comparison.records_max))
            for name in names:
                del comparison.lacked[name]
            comparison.asked = names
            yield AskRecords(peer, names, comparison.attempt)
        elif not comparison.asked and not comparison.is_reconciling:
            del self._under_way[peer]
