"""One real node, told by hand: what it asks, blames and answers is kept for the test to look at."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import TypeVar

from meshnode.core.durable import Restored
from meshnode.core.effects import Answer, Blame, Effect
from meshnode.core.events import Event, Followed, LogReceived, Now, PeerConnected, Submitted
from meshnode.core.identifiers import PeerId
from meshnode.core.names import LogId, Ticket
from meshnode.core.node import Node
from meshnode.core.verdicts import Check
from tests.core.federation import VERIFY
from tests.core.institutions import ISSUED, Institution, LogCopy, segment

A, B = PeerId("a"), PeerId("b")
DEADLINES_MAX = 20  # of the node; what it wants again comes within a few
Kind = TypeVar("Kind")


@dataclass(slots=True)
class Solo:
    """`effects` are those of the newest event, `seconds` the time since ISSUED."""

    node: Node = field(default_factory=lambda: Node(random.Random(1), VERIFY))
    seconds: float = 0.0
    effects: list[Effect] = field(default_factory=list)

    def tell(self, *events: Event) -> list[Effect]:
        self.effects = self.node.handle(events, self.now())
        return self.effects

    def restore(self, restored: Restored) -> list[Effect]:
        self.effects = self.node.restore(restored, self.now())
        return self.effects

    def wait(self, seconds: float = 0.0) -> list[Effect]:
        """Let time pass, by default until the node's own deadline."""
        self.seconds = self.seconds + seconds if seconds else self.node.next_deadline()
        return self.tell()

    def now(self) -> Now:
        return Now(self.seconds, ISSUED + int(self.seconds))

    def of(self, kind: type[Kind]) -> list[Kind]:
        return [effect for effect in self.effects if isinstance(effect, kind)]

    def the(self, kind: type[Kind]) -> Kind:
        [found] = self.of(kind)
        return found

    def next(self, kind: type[Kind]) -> Kind:
        """Let time pass until the node does this; return it."""
        for _ in range(DEADLINES_MAX):
            self.wait()
            if found := self.of(kind):
                return found[0]
        raise AssertionError(f"no {kind.__name__} within {DEADLINES_MAX} deadlines")

    def blames(self) -> list[tuple[PeerId, Check]]:
        return [(blame.peer, blame.check) for blame in self.of(Blame)]

    def refusal(self) -> str:
        return self.the(Answer).refusal


def institution(heads: int = 3, name: str = "Ville") -> Institution:
    """Return an institution whose log has this many heads, each with a segment of its own."""
    made = Institution(name)
    for number in range(1, heads + 1):
        made.log.publish(segment(number))
    return made


def log_of(made: Institution, copy: LogCopy | None = None) -> LogId:
    return LogId(made.catalogue, (copy or made.log).writer)


def following(made: Institution, *peers: PeerId, with_root: bool = True) -> Solo:
    """Return a node that follows the catalogue, with these peers."""
    solo = Solo()
    solo.tell(Followed(Ticket(0), made.catalogue, (made.raw_root,) * with_root))
    for peer in peers:
        solo.tell(PeerConnected(peer))
    return solo


def holding(made: Institution, *peers: PeerId) -> Solo:
    """Return such a node that holds the whole log besides."""
    solo = following(made, *peers)
    solo.tell(submitted(made.log))
    assert solo.refusal() == ""
    return solo


def submitted(copy: LogCopy) -> Submitted:
    return Submitted(Ticket(1), tuple(copy.heads), 0, tuple(copy.entries))


def answer(peer: PeerId, log: LogId, copy: LogCopy, heads: int = 99) -> LogReceived:
    """Return what an honest peer says that holds these heads of the log."""
    return LogReceived(peer, log, tuple(copy.heads[:heads]), 0, tuple(copy.entries))
