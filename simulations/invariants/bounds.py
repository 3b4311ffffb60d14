"""I11 and I12: nothing grows past what the design promises, and honest peers blame nobody.

The bounds are written here again, on purpose, and not imported from the code under test.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from meshnode.core import events as ev
from meshnode.core.identifiers import Digest, PeerId
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


@dataclass(slots=True)
class _Open:
    """What one peer began and what has not ended."""

    requests: dict[type, dict[object, PeerId]] = field(default_factory=dict)  # goal -> asked
    sizes: dict[object, int] = field(default_factory=dict)  # of objects that were asked for, bytes
    indexing: int = 0


class Bounds:
    """Watches requests, queues, sizes and blame."""

    def __init__(self, verdicts: Verdicts, is_sound: Callable[[PeerId], bool]) -> None:
        """`is_sound` says of a peer that it is honest and that its disk is what it was."""
        self._verdicts = verdicts
        self._is_sound = is_sound
        self._peers: dict[PeerId, _Open] = {}

    def handled(
        self, machine: Machine, batch: Sequence[ev.Event], effects: Sequence[ev.Effect]
    ) -> None:
        waiting = len(machine.inbox)
        fits = waiting <= INBOX_EVENTS_MAX
        self._verdicts.hold("I11", machine, fits, "" if fits else f"{waiting} events wait")
        self._check_blame(machine, effects)
        opened = self._of(machine)
        for event in batch:
            _end(opened, event)

    def synced(self, machine: Machine, durable: Sequence[ev.Durable]) -> None:
        for effect in durable:
            if isinstance(effect, ev.ExtendLog):
                heads = all(len(raw) <= SIGNED_HEAD_BYTES_MAX for _, raw in effect.heads)
                fits = heads and all(len(raw) <= ENTRY_BYTES_MAX for raw in effect.entries)
                self._verdicts.hold("I11", machine, fits, "a record is too long")

    def started(self, machine: Machine, effect: ev.Started) -> None:
        match effect:
            case ev.AskRoots(peer, goal) | ev.AskLog(peer, goal) | ev.AskSnapshot(peer, goal):
                asked = self._of(machine).requests.setdefault(type(effect), {})
                asked[goal] = peer
                fits = len(asked) <= IN_FLIGHT_MAX
                said = f"{len(asked)} requests of one kind"
                self._verdicts.hold("I11", machine, fits, said)
            case ev.FetchObject(peer, goal, size_bytes):
                self._begin_fetching(machine, peer, goal, size_bytes)
            case ev.IndexSegment():
                self._begin_indexing(machine)
            case ev.Announce(raw):
                fits = len(raw) <= ANNOUNCEMENT_BYTES_MAX
                said = f"an announcement of {len(raw)} bytes"
                self._verdicts.hold("I11", machine, fits, said)
            case _:
                pass

    def index_changed(self, machine: Machine, work: ev.IndexWork) -> None:
        if isinstance(work, ev.IndexSegment):
            self._of(machine).indexing -= 1

    def restored(self, machine: Machine) -> None:
        """What an earlier life began never ends."""
        self._peers[machine.name] = _Open()

    def _check_blame(self, machine: Machine, effects: Sequence[ev.Effect]) -> None:
        """A sound peer runs the node's own code and deserves no blame."""
        blames = [e for e in effects if type(e) is ev.Blame and self._is_sound(e.peer)]
        said = ""
        if blames:
            said = "; ".join(f"blames {b.peer}: {b.check.value}: {b.reason}" for b in blames)
        self._verdicts.hold("I12", machine, not blames, said)

    def _begin_fetching(
        self, machine: Machine, peer: PeerId, digest: Digest, size_bytes: int
    ) -> None:
        opened = self._of(machine)
        asked = opened.requests.setdefault(ev.FetchObject, {})
        asked[digest] = peer
        opened.sizes[digest] = size_bytes
        units = sum(min(1 + opened.sizes[each] // OBJECT_UNIT_BYTES, 4) for each in asked)
        said = f"{len(asked)} objects in flight, {units} by their size"
        self._verdicts.hold("I11", machine, units <= OBJECT_UNITS_MAX, said)

    def _begin_indexing(self, machine: Machine) -> None:
        opened = self._of(machine)
        opened.indexing += 1
        fits = opened.indexing <= INDEXING_MAX
        said = f"{opened.indexing} segments are indexed at once"
        self._verdicts.hold("I11", machine, fits, said)

    def _of(self, machine: Machine) -> _Open:
        return self._peers.setdefault(machine.name, _Open())


def _end(opened: _Open, event: ev.Event) -> None:
    """Forget requests that an event ended; a lost connection ends all that were open on it."""
    match event:
        case ev.RootsReceived(_, goal):
            opened.requests.get(ev.AskRoots, {}).pop(goal, None)
        case ev.LogReceived(_, goal):
            opened.requests.get(ev.AskLog, {}).pop(goal, None)
        case ev.SnapshotReceived(_, goal):
            opened.requests.get(ev.AskSnapshot, {}).pop(goal, None)
        case ev.ObjectStored(goal):
            opened.requests.get(ev.FetchObject, {}).pop(goal, None)
        case ev.RequestFailed(request):
            if not isinstance(request, ev.AskHeads | ev.Comparing):
                opened.requests.get(type(request), {}).pop(_goal(request), None)
        case ev.PeerDisconnected(peer):
            for kind, asked in opened.requests.items():
                opened.requests[kind] = {g: p for g, p in asked.items() if p != peer}
        case _:
            pass


def _goal(request: ev.AskRoots | ev.AskLog | ev.AskSnapshot | ev.FetchObject) -> object:
    match request:
        case (
            ev.AskRoots(_, goal)
            | ev.AskLog(_, goal)
            | ev.AskSnapshot(_, goal)
            | ev.FetchObject(_, goal)
        ):
            return goal
