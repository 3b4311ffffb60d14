"""Gossip as gossipsub does it: a sparse mesh, seen and message caches, IHAVE and IWANT, back-off.

The rules are those of the gossipsub v1.0 and v1.1 specifications, as py-libp2p 0.8.1 keeps them
with the settings of the runtime's mesh; scores are not modelled. A heartbeat that would change
nothing is not simulated, which lets quiet peers cost nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

from meshnode.core.identifiers import PeerId
from meshnode.core.verdicts import Verdict
from simulations.network import Network
from simulations.world import World

DEGREE, DEGREE_MIN, DEGREE_MAX, DEGREE_LAZY = 6, 4, 10, 6
# py-libp2p takes so many more at each heartbeat, also into a full mesh, whose score is not bad: who
# has no more than DEGREE_MAX connections soon has all of them in the mesh.
OPPORTUNISTIC_GRAFTS = 2
LAZY_SHARE = 0.25  # of those beside the mesh are told what is here, if that is more
HEARTBEAT_SECONDS = 1.0
WINDOWS_KEPT, WINDOWS_GOSSIPED = 5, 3  # heartbeats: messages answered to IWANT, told in IHAVE
BACKOFF_SECONDS = 60.0
SEEN_SECONDS = 120.0
CONTROL_BYTES = 60
MESSAGE_ID_BYTES = 66  # as text
MESSAGE_OVERHEAD_BYTES = 430  # author, topic, signature, signed addresses: `benchmarks.wire`
HANDLING_SECONDS = 0.014  # of processor time that a message costs a peer, with all its copies


@dataclass(slots=True)
class Member:
    """One peer's gossip state. A message is named by its bytes, which never change."""

    phase: float  # of its heartbeat, seconds
    mesh: dict[PeerId, None] = field(default_factory=dict)
    backoff: dict[PeerId, float] = field(default_factory=dict)
    seen: dict[bytes, float] = field(default_factory=dict)
    windows: list[dict[bytes, None]] = field(default_factory=lambda: [{}])
    beating: bool = False
    life: int = 0
    duplicates: int = 0
    delivered: int = 0
    rejected: dict[PeerId, int] = field(default_factory=dict)  # by the peer that passed it on

    def cached(self, raw: bytes) -> bool:
        return any(raw in window for window in self.windows)


class Gossip:
    """All members of one topic.

    Args:
        judge: a member's verdict on a message.
        deliver: gives a member a message, with the peer that passed it on.
    """

    def __init__(
        self,
        world: World,
        network: Network,
        judge: Callable[[PeerId, bytes], Verdict],
        deliver: Callable[[PeerId, PeerId, bytes], None],
    ) -> None:
        self.members: dict[PeerId, Member] = {}
        self._world = world
        self._network = network
        self._judge = judge
        self._deliver = deliver
        self._rng = world.fork_rng()

    def join(self, name: PeerId) -> None:
        self.members[name] = Member(self._rng.random() * HEARTBEAT_SECONDS)

    def peer_joined(self, name: PeerId) -> None:
        self._wake(name)

    def peer_left(self, name: PeerId, other: PeerId) -> None:
        self.members[name].mesh.pop(other, None)
        self._wake(name)

    def restarted(self, name: PeerId) -> None:
        """Forget what a process forgets when it ends."""
        member = self.members[name]
        member.mesh, member.backoff, member.seen, member.windows = {}, {}, {}, [{}]
        member.beating = False
        member.life += 1

    def publish(self, name: PeerId, raw: bytes) -> None:
        member = self.members[name]
        if raw not in member.seen:
            self._remember(name, member, raw)
            self._forward(name, tuple(member.mesh), raw)

    # --- Messages ---------------------------------------------------------------------------------
    def _arrived(self, source: PeerId, target: PeerId, raw: bytes) -> None:
        member = self.members[target]
        if raw in member.seen:
            member.duplicates += 1
            return
        self._forget_old(member)
        verdict = self._judge(target, raw)
        if verdict is Verdict.REJECT:
            member.rejected[source] = member.rejected.get(source, 0) + 1
            self._deliver(target, source, raw)  # so that the node blames who passed it on
        if verdict is not Verdict.ACCEPT:
            return  # neither is remembered: it is judged anew when it comes again
        self._remember(target, member, raw)
        member.delivered += 1
        self._forward(target, tuple(peer for peer in member.mesh if peer != source), raw)
        self._deliver(target, source, raw)

    def _remember(self, name: PeerId, member: Member, raw: bytes) -> None:
        member.seen[raw] = self._world.now
        member.windows[0][raw] = None
        self._wake(name)

    def _forget_old(self, member: Member) -> None:
        while member.seen:
            oldest = next(iter(member.seen))
            if member.seen[oldest] > self._world.now - SEEN_SECONDS:
                return
            del member.seen[oldest]

    def _forward(self, source: PeerId, targets: Sequence[PeerId], raw: bytes) -> None:
        size = len(raw) + MESSAGE_OVERHEAD_BYTES
        for target in targets:
            arrive = partial(self._arrived, source, target, raw)
            self._network.send(source, target, size, arrive, _nothing, HANDLING_SECONDS)

    def _control(self, source: PeerId, target: PeerId, ids: int, arrive: partial[None]) -> None:
        size = CONTROL_BYTES + ids * MESSAGE_ID_BYTES
        self._network.send(source, target, size, arrive, _nothing)

    def _offered(self, source: PeerId, target: PeerId, raws: Sequence[bytes]) -> None:
        """IHAVE: ask for what was not seen."""
        seen = self.members[target].seen
        if missing := [raw for raw in raws if raw not in seen]:
            arrive = partial(self._wanted, target, source, missing)
            self._control(target, source, len(missing), arrive)

    def _wanted(self, source: PeerId, target: PeerId, raws: Sequence[bytes]) -> None:
        """IWANT: send what is still cached."""
        for raw in raws:
            if self.members[target].cached(raw):
                self._forward(target, (source,), raw)

    # --- The mesh ---------------------------------------------------------------------------------
    def _wake(self, name: PeerId) -> None:
        member = self.members[name]
        if not member.beating:
            member.beating = True
            elapsed = (self._world.now - member.phase) % HEARTBEAT_SECONDS
            beat = partial(self._beat, name, member.life)
            self._world.after(HEARTBEAT_SECONDS - elapsed, beat)

    def _beat(self, name: PeerId, life: int) -> None:
        member = self.members[name]
        if life != member.life:
            return
        grafted = self._balance(name, member)
        self._tell_what_is_here(name, member)
        member.beating = False
        if any(member.windows[: WINDOWS_KEPT - 1]):
            member.windows = [{}, *member.windows[: WINDOWS_KEPT - 1]]
            self._wake(name)
        else:
            member.windows = [{}]  # what a peer keeps that hears nothing
            if grafted:
                self._wake(name)

    def _balance(self, name: PeerId, member: Member) -> bool:
        """Graft or prune towards the degree; return whether anything was done."""
        size = len(member.mesh)
        grafted = self._graft(
            name, member, DEGREE - size if size < DEGREE_MIN else OPPORTUNISTIC_GRAFTS
        )
        if size <= DEGREE_MAX:
            return grafted
        for peer in self._rng.sample(tuple(member.mesh), size - DEGREE):
            self._drop(name, peer)
            self._control(name, peer, 0, partial(self._pruned, name, peer))
        return True

    def _graft(self, name: PeerId, member: Member, most: int) -> bool:
        now = self._world.now
        free = [
            peer
            for peer in self._network.peers_of(name)
            if peer not in member.mesh and member.backoff.get(peer, 0.0) <= now
        ]
        chosen = self._rng.sample(free, min(len(free), most))
        for peer in chosen:
            member.mesh[peer] = None
            self._control(name, peer, 0, partial(self._grafted, name, peer))
        return bool(chosen)

    def _grafted(self, source: PeerId, target: PeerId) -> None:
        member = self.members[target]
        backing_off = member.backoff.get(source, 0.0) > self._world.now
        if source in member.mesh:
            return
        if backing_off:  # of too many the next heartbeat sends some away
            self._control(target, source, 0, partial(self._pruned, target, source))
        else:
            member.mesh[source] = None
            self._wake(target)

    def _pruned(self, source: PeerId, target: PeerId) -> None:
        self._drop(target, source)
        self._wake(target)

    def _drop(self, name: PeerId, peer: PeerId) -> None:
        member = self.members[name]
        member.mesh.pop(peer, None)
        member.backoff[peer] = self._world.now + BACKOFF_SECONDS
        self._world.after(BACKOFF_SECONDS, partial(self._fill_up, name))

    def _fill_up(self, name: PeerId) -> None:
        """Look again for peers, if there are too few, once one may be asked again."""
        if len(self.members[name].mesh) < DEGREE_MIN:
            self._wake(name)

    def _tell_what_is_here(self, name: PeerId, member: Member) -> None:
        raws = [raw for window in member.windows[:WINDOWS_GOSSIPED] for raw in window]
        if not raws:
            return
        others = [peer for peer in self._network.peers_of(name) if peer not in member.mesh]
        if not others:
            return
        told = max(DEGREE_LAZY, int(len(others) * LAZY_SHARE))
        for peer in self._rng.sample(others, min(len(others), told)):
            self._control(name, peer, len(raws), partial(self._offered, name, peer, raws))


def _nothing() -> None:
    """Gossip that a cut takes away is missed by nobody: IHAVE and anti-entropy repair it."""
