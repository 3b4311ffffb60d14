"""What it costs two peers to find out that they hold the same, or what differs.

`python -m benchmarks.reconciling` prints the bytes of the frames, both ways, beside those of the
full question: 1,000 catalogues with a head each. The case `reconcile` measures the CPU-seconds.
"""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import msgpack

from benchmarks import samples
from benchmarks.measuring import Case, Work
from meshnode.core.effects import AskHeads, AskLog, Effect
from meshnode.core.events import Event, Followed, HeadsReceived, Now, PeerConnected, Submitted
from meshnode.core.exchange import (
    AskHello,
    AskRecon,
    AskRecords,
    HelloReceived,
    ReconReceived,
    RecordsReceived,
)
from meshnode.core.hello import Greeting
from meshnode.core.identifiers import CatalogueId, PeerId
from meshnode.core.names import Ticket
from meshnode.core.node import Node
from meshnode.runtime.network.comparing import write_greeting

CATALOGUES: Final = 1_000
ROUNDS: Final = 50
POLL_SECONDS_MAX: Final = 40.0  # after which the node has polled again
DIFFERENCES: Final = (0, 1, 10, 100, 1_000)
LENGTH_BYTES: Final = 4  # of a frame, before its body

OTHER: Final = PeerId("other")


@dataclass(slots=True)
class Pair:
    """A node, and another that answers it over frames whose bytes are counted."""

    asker: Node
    answerer: Node
    speaks_hello: bool = True
    seconds: float = 0.0
    hello_bytes: int = 0
    compared_bytes: int = 0  # to find what differs, or the full question
    record_bytes: int = 0
    found: dict[CatalogueId, None] = field(default_factory=dict)  # of which a log is asked for

    def meet(self) -> None:
        self._carry(self.asker.handle([PeerConnected(OTHER)], self._now()))

    def poll(self) -> None:
        self.seconds += POLL_SECONDS_MAX
        self._carry(self.asker.handle([], self._now()))

    def _now(self) -> Now:
        return Now(self.seconds, samples.ISSUED)

    def _carry(self, effects: Sequence[Effect]) -> None:
        waiting = list(effects)
        while waiting:
            effect = waiting.pop(0)
            answered = self._answered(effect)
            if answered is not None:
                waiting += self.asker.handle([answered], self._now())

    def _answered(self, effect: Effect) -> Event | None:
        match effect:
            case AskHello(peer, known, attempt):
                if not self.speaks_hello:
                    return HelloReceived(peer, attempt, None)
                greeting = self.answerer.disclosure.greet(known)
                self.hello_bytes += _frames(["hello", known], ["hello", *write_greeting(greeting)])
                return HelloReceived(peer, attempt, greeting)
            case AskRecon(peer, admitted, chosen, message, attempt):
                answer = self.answerer.disclosure.reconcile(admitted, chosen, message)
                assert not isinstance(answer, Greeting)
                question = ["recon", admitted, chosen, message]
                self.compared_bytes += _frames(question, ["recon", answer])
                return ReconReceived(peer, attempt, answer)
            case AskRecords(peer, names, attempt):
                raws = self.answerer.disclosure.records(names)
                self.record_bytes += _frames(["records", list(names)], ["records", list(raws)])
                return RecordsReceived(peer, attempt, raws)
            case AskHeads(peer, catalogues):
                raws = tuple(_newest(self.answerer, catalogues))
                named = self.answerer.newest_roots(catalogues)
                asked: list[object] = ["heads", list(catalogues)]
                self.compared_bytes += _frames(asked, ["heads", list(raws), list(named)])
                return HeadsReceived(peer, raws, named)
            case AskLog(_, log):
                self.found[log.catalogue] = None
            case _:
                pass
        return None


def _frames(*bodies: object) -> int:
    """Return the bytes of these frames, which are written and read as on a stream."""
    packed = [msgpack.packb(body) for body in bodies]
    for body in packed:
        msgpack.unpackb(body)
    return sum(LENGTH_BYTES + len(body) for body in packed)


def _newest(node: Node, catalogues: Sequence[CatalogueId]) -> list[bytes]:
    logs = [log for name in catalogues for log in node.catalogues[name].logs.values()]
    return [log.head.raw for log in logs if log.head is not None]


def _pair(differences: int) -> Pair:
    """Return two peers of which the asker holds nothing of so many logs."""
    asker, answerer = (Node(random.Random(1), _trusting) for _ in range(2))  # noqa: S311 - jitter
    for number in range(CATALOGUES):
        made = samples.catalogue(str(number), 0)
        for node in (asker, answerer):
            followed = Followed(Ticket(0), made.id, (made.root,))
            submitted = Submitted(Ticket(0), (made.heads[0],), 0, ())
            holds = node is answerer or number >= differences
            node.handle([followed, *[submitted] * holds], Now(0.0, samples.ISSUED))
    return Pair(asker, answerer)


def _trusting(*_: object) -> bool:
    """Signatures are another case's: both sides check the same heads."""
    return True


def _polls(change: Callable[[Node, CatalogueId], None], *, speaks_hello: bool) -> Work:
    """Return the work of polls between equal peers; before each, `change` touches a catalogue."""
    pair = _pair(0)
    pair.speaks_hello = speaks_hello
    pair.meet()
    names = list(pair.asker.catalogues)

    def work() -> int:
        for number in range(ROUNDS):
            for node in (pair.asker, pair.answerer):
                change(node, names[number])
            pair.poll()
        return ROUNDS

    return work


def _reconcile(_: Path) -> Work:
    """Something changed since the last poll, so that both sides make their set anew."""
    return _polls(lambda node, name: node.disclosure.newest.changed(name), speaks_hello=True)


def _ask_in_full(_: Path) -> Work:
    return _polls(lambda _node, _name: None, speaks_hello=False)


def measured_bytes() -> dict[str, dict[str, int]]:
    """Return bytes by the number of differences: what one poll says."""
    found = {}
    for differences in DIFFERENCES:
        pair, full = _pair(differences), _pair(differences)
        full.speaks_hello = False
        for each in (pair, full):
            each.meet()
            assert bool(each.found) == bool(differences), "what is lacking is asked for"
        found[str(differences)] = {
            "compared": pair.compared_bytes,
            "records": pair.record_bytes,
            "hello_once": pair.hello_bytes,
            "full_question": full.compared_bytes,
        }
    return found


CASES: Final = (
    Case(
        "reconcile",
        "polls between equal peers of 1,000 catalogues, one of which changed",
        "poll",
        _reconcile,
        {"the full question": _ask_in_full},
    ),
)


if __name__ == "__main__":
    json.dump(measured_bytes(), sys.stdout, indent=2)
    sys.stdout.write("\n")
