"""Peers that follow the rules as far as it serves them, and how often they did what they came for.

An adversary runs the same node as everybody; what differs is what it tells others. Owns the false
answers and messages, and nothing of how honest peers take them.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial

from meshnode.core.effects import Request
from meshnode.core.events import (
    Event,
    HeadsReceived,
    LogReceived,
    ObjectStored,
    RequestFailed,
    RootsReceived,
)
from meshnode.core.exchange import ReconReceived
from meshnode.core.gossip import announce
from meshnode.core.heads import decode_signed_head
from meshnode.core.identifiers import PeerId
from meshnode.core.names import LogId
from meshnode.core.ranges import VERSION
from meshnode.core.signed import Signature
from meshnode.core.verdicts import Check
from simulations.machine import Machine
from simulations.swarm.gossip import Gossip
from simulations.timeline import Adversary
from simulations.world import World

NOTHING_DIFFERS = bytes([VERSION])  # a message of reconciliation
FULL_QUESTION_ONLY = ("freezer", "equivocator")  # lie about heads: they have to be asked for them

Reply = tuple[Event, int]  # what the asker gets, and its size in bytes


@dataclass(slots=True)
class Deeds:
    """What the adversaries of one kind did."""

    kind: str
    peers: tuple[PeerId, ...]
    what: str
    count: int = 0


@dataclass(slots=True)
class Adversaries:
    """Invariant: who is not in `kinds` is honest."""

    world: World
    deeds: list[Deeds] = field(default_factory=list)
    kinds: dict[PeerId, Deeds] = field(default_factory=dict)
    _rng: random.Random = field(init=False)
    _frozen: dict[PeerId, dict[LogId, int]] = field(default_factory=dict)  # seq it tells of

    def __post_init__(self) -> None:
        self._rng = self.world.fork_rng()

    def enlist(self, adversary: Adversary, peers: tuple[PeerId, ...]) -> None:
        deeds = Deeds(adversary.kind, peers, _WHAT[adversary.kind])
        self.deeds.append(deeds)
        self.kinds |= dict.fromkeys(peers, deeds)

    def schedule(
        self, adversary: Adversary, machines: Mapping[PeerId, Machine], gossip: Gossip
    ) -> None:
        """Let spammers begin to talk."""
        for name, deeds in self.kinds.items():
            if deeds.kind == adversary.kind == "spammer":
                act = partial(self._spam, machines[name], gossip, adversary.interval_seconds)
                self.world.after(adversary.interval_seconds, act)

    def is_honest(self, peer: PeerId) -> bool:
        return peer not in self.kinds

    def spoils(self, peer: PeerId) -> bool:
        """Say whether this peer sends other bytes than it was asked for."""
        deeds = self.kinds.get(peer)
        return deeds is not None and deeds.kind == "liar"

    def version(self, peer: PeerId) -> int:
        """Return the version of the protocol that a peer says it speaks."""
        deeds = self.kinds.get(peer)
        return 1 if deeds is not None and deeds.kind in FULL_QUESTION_ONLY else 2

    def passes_on(self, peer: PeerId) -> bool:
        """Say whether this peer takes part in gossip with what it just received."""
        deeds = self.kinds.get(peer)
        if deeds is None or deeds.kind != "censor":
            return True
        deeds.count += 1
        return False

    def reply(self, holder: Machine, request: Request, honest: Reply) -> Reply | None:
        """Return what this peer answers instead of the honest answer; None for nothing at all."""
        deeds = self.kinds.get(holder.name)
        if deeds is None:
            return honest
        reply = self._reply(deeds.kind, holder, request, honest)
        deeds.count += reply is not honest
        return reply

    def _reply(  # noqa: PLR0911 - one branch a deed
        self, kind: str, holder: Machine, request: Request, honest: Reply
    ) -> Reply | None:
        event, _ = honest
        match kind, event:
            case "sloth", _:
                return None
            case "withholder", ObjectStored() | LogReceived():
                return RequestFailed(request, "not held"), 0
            case "censor", HeadsReceived():
                return replace(event, raws=(), roots=()), 0
            case "censor", ReconReceived():
                return replace(event, message=NOTHING_DIFFERS), len(NOTHING_DIFFERS)
            case "liar", ObjectStored():
                reason = "the object has another hash"
                return RequestFailed(request, reason, Check.CONTENT_HASH), honest[1]
            case "forger", LogReceived(entries=[*before, last]):
                return replace(event, entries=(*before, _flipped(last, len(last) // 2))), honest[1]
            case "forger", RootsReceived(raws=[*before, last]):
                return replace(event, raws=(*before, _flipped(last, len(last) - 1))), honest[1]
            case (("freezer" | "equivocator"), HeadsReceived()):
                tell = self._old_heads if kind == "freezer" else self._one_side
                told = tell(holder, event)
                return honest if told[0] == event else told
            case _:
                return honest

    def _old_heads(self, holder: Machine, event: HeadsReceived) -> Reply:
        """Tell of each log's head at the time when it was first asked for."""
        frozen = self._frozen.setdefault(holder.name, {})
        raws = []
        for log, file in holder.disk.logs.items():
            seq = frozen.setdefault(log, file.seq)
            if seq and file.heads[-1][1] in event.raws:
                raws.append(file.heads[seq - 1][1])
        return replace(event, raws=tuple(raws)), sum(map(len, raws))

    def _one_side(self, holder: Machine, event: HeadsReceived) -> Reply:
        """Tell of one branch of each log, of any."""
        sides = [
            [file.heads[-1][1] for file in branches if file.heads[-1][1] in event.raws]
            for branches in holder.disk.branches.values()
        ]
        raws = tuple(self._rng.choice(side) for side in sides if side)
        return replace(event, raws=raws), sum(map(len, raws))

    def _spam(self, machine: Machine, gossip: Gossip, interval_seconds: float) -> None:
        """Gossip the newest head of some log with a signature that nobody made."""
        heads = [file.heads[-1][1] for file in machine.disk.logs.values() if file.heads]
        if heads and machine.running:
            head = decode_signed_head(self._rng.choice(heads))
            kid = head.signed.signatures[0].kid
            forged = replace(head.signed, signatures=(Signature(kid, self._rng.randbytes(64)),))
            gossip.publish(machine.name, announce(replace(head, signed=forged), 0, ()))
            self.kinds[machine.name].count += 1
        act = partial(self._spam, machine, gossip, interval_seconds)
        self.world.after(interval_seconds, act)


def _flipped(raw: bytes, place: int) -> bytes:
    """Return the record with one bit changed: within a hash or a signature, it still decodes."""
    return raw[:place] + bytes([raw[place] ^ 1]) + raw[place + 1 :]


_WHAT = {
    "withholder": "objects and logs withheld",
    "censor": "messages and heads kept back",
    "liar": "objects sent with other bytes",
    "forger": "logs and roots sent with an altered bit",
    "freezer": "old heads told",
    "sloth": "questions never answered",
    "equivocator": "branches kept quiet about",
    "spammer": "forged heads gossiped",
}
