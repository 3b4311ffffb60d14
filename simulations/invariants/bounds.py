"""I11 and I12: nothing grows past what the design promises, and honest peers blame nobody.

The bounds are written here again, on purpose, and not imported from the code under test.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any, Final

from meshnode.core.durable import Durable, ExtendLog
from meshnode.core.effects import (
    Announce,
    AskLog,
    AskRoots,
    AskSnapshot,
    Blame,
    Effect,
    FetchObject,
    IndexSegment,
    IndexWork,
    Started,
)
from meshnode.core.events import (
    Event,
    LogReceived,
    ObjectStored,
    PeerDisconnected,
    RequestFailed,
    RootsReceived,
    SnapshotReceived,
)
from meshnode.core.identifiers import PeerId
from simulations.invariants.verdicts import Verdicts
from simulations.machine import Machine

IN_FLIGHT_MAX: Final = 8  # requests of one kind
OBJECT_UNITS_MAX: Final = 32 + 3  # in flight: started while there are less than 32
OBJECT_UNIT_BYTES: Final = 256 << 10  # an object counts once for each it has begun, at most 4 times
INDEXING_MAX: Final = 2
INBOX_EVENTS_MAX: Final = 4096
ANNOUNCEMENT_BYTES_MAX: Final = 16 << 10
SIGNED_HEAD_BYTES_MAX: Final = 4 << 10
ENTRY_BYTES_MAX: Final = 16 << 10

Goal = Callable[[Any], object]  # reads what a request or an answer is about
# The requests that are bounded, and the answers that end them.
_ASKED: Final[dict[type, Goal]] = {
    AskRoots: attrgetter("catalogue"),
    AskLog: attrgetter("log"),
    AskSnapshot: attrgetter("log"),
    FetchObject: attrgetter("digest"),
}
_ANSWERED: Final[dict[type, tuple[type, Goal]]] = {
    RootsReceived: (AskRoots, attrgetter("catalogue")),
    LogReceived: (AskLog, attrgetter("log")),
    SnapshotReceived: (AskSnapshot, attrgetter("log")),
    ObjectStored: (FetchObject, attrgetter("digest")),
}


@dataclass(slots=True)
class _Open:
    """What one peer began and what has not ended."""

    requests: dict[type, dict[object, PeerId]] = field(default_factory=dict)  # goal -> asked
    sizes: dict[object, int] = field(default_factory=dict)  # of objects that are asked for, bytes
    indexing: int = 0


class Bounds:
    """Watches requests, queues, sizes and blame."""

    def __init__(self, verdicts: Verdicts, is_sound: Callable[[PeerId], bool]) -> None:
        """`is_sound` says of a peer that it is honest and that its disk is what it was."""
        self._verdicts = verdicts
        self._is_sound = is_sound
        self._peers: dict[PeerId, _Open] = {}

    def handled(self, machine: Machine, batch: Sequence[Event], effects: Sequence[Effect]) -> None:
        waiting = len(machine.inbox)
        fits = waiting <= INBOX_EVENTS_MAX
        self._verdicts.hold("I11", machine, fits, "" if fits else f"{waiting} events wait")
        self._check_blame(machine, effects)
        opened = self._of(machine)
        for event in batch:
            _end(opened, event)

    def synced(self, machine: Machine, durable: Sequence[Durable]) -> None:
        for effect in durable:
            if isinstance(effect, ExtendLog):
                heads = all(len(raw) <= SIGNED_HEAD_BYTES_MAX for _, raw in effect.heads)
                fits = heads and all(len(raw) <= ENTRY_BYTES_MAX for raw in effect.entries)
                self._verdicts.hold("I11", machine, fits, "a record is too long")

    def started(self, machine: Machine, effect: Started) -> None:
        kind = type(effect)
        if isinstance(effect, FetchObject):
            self._begin_fetching(machine, effect)
        elif kind in _ASKED:
            self._begin_request(machine, kind, effect)
        elif isinstance(effect, IndexSegment):
            self._begin_indexing(machine)
        elif isinstance(effect, Announce):
            size = len(effect.raw)
            fits = size <= ANNOUNCEMENT_BYTES_MAX
            self._verdicts.hold("I11", machine, fits, f"an announcement of {size} bytes")

    def index_changed(self, machine: Machine, work: IndexWork) -> None:
        if isinstance(work, IndexSegment):
            self._of(machine).indexing -= 1

    def restored(self, machine: Machine) -> None:
        """What an earlier life began never ends."""
        self._peers[machine.name] = _Open()

    def _check_blame(self, machine: Machine, effects: Sequence[Effect]) -> None:
        """A sound peer runs the node's own code and deserves no blame."""
        blames = [e for e in effects if type(e) is Blame and self._is_sound(e.peer)]
        said = ""
        if blames:
            said = "; ".join(f"blames {b.peer}: {b.check.value}: {b.reason}" for b in blames)
        self._verdicts.hold("I12", machine, not blames, said)

    def _begin_fetching(self, machine: Machine, request: FetchObject) -> None:
        opened = self._of(machine)
        asked = opened.requests.setdefault(FetchObject, {})
        asked[request.digest] = request.peer
        opened.sizes[request.digest] = request.size_bytes
        units = sum(min(1 + opened.sizes[each] // OBJECT_UNIT_BYTES, 4) for each in asked)
        said = f"{len(asked)} objects in flight, {units} by their size"
        self._verdicts.hold("I11", machine, units <= OBJECT_UNITS_MAX, said)

    def _begin_request(self, machine: Machine, kind: type, request: Any) -> None:  # noqa: ANN401
        asked = self._of(machine).requests.setdefault(kind, {})
        asked[_ASKED[kind](request)] = request.peer
        fits = len(asked) <= IN_FLIGHT_MAX
        said = "" if fits else f"{len(asked)} requests of one kind"
        self._verdicts.hold("I11", machine, fits, said)

    def _begin_indexing(self, machine: Machine) -> None:
        opened = self._of(machine)
        opened.indexing += 1
        fits = opened.indexing <= INDEXING_MAX
        said = f"{opened.indexing} segments are indexed at once"
        self._verdicts.hold("I11", machine, fits, said)

    def _of(self, machine: Machine) -> _Open:
        opened = self._peers.get(machine.name)
        if opened is None:
            opened = self._peers[machine.name] = _Open()
        return opened


def _end(opened: _Open, event: Event) -> None:
    """Forget requests that an event ended; a lost connection ends all that were open on it."""
    kind = type(event)
    if kind in _ANSWERED:
        request, goal = _ANSWERED[kind]
        _close(opened, request, goal(event))
    elif isinstance(event, RequestFailed):
        if type(event.request) in _ASKED:
            request = type(event.request)
            _close(opened, request, _ASKED[request](event.request))
    elif isinstance(event, PeerDisconnected):
        for request, asked in opened.requests.items():
            opened.requests[request] = {g: p for g, p in asked.items() if p != event.peer}


def _close(opened: _Open, request: type, goal: object) -> None:
    asked = opened.requests.get(request, {})
    if asked.pop(goal, None) is not None and not asked:
        del opened.requests[request]  # thousands of peers would each keep some empty ones
        if request is FetchObject:
            opened.sizes.clear()
