"""I8: where there are snapshots, a peer holds for live and hidden what the whole log says: also one
that began with a snapshot, or keeps in memory only what it lists.

What the whole log says is read from the ledger, decoded and counted here, after L-52 and L-53.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache

import cbor2

from meshnode.core.durable import Durable, ExtendLog
from meshnode.core.effects import Effect
from meshnode.core.events import Event, SnapshotChecked
from meshnode.core.identifiers import CatalogueId
from simulations.invariants.verdicts import Verdicts
from simulations.ledger import Ledger, size_of
from simulations.machine import Machine

DECODED_MAX = 4096  # entries that are counted again and again
State = tuple[dict[tuple[str, bytes], int], dict[tuple[str, str], int]]


class Snapshots:
    """Watches what counts, and what peers with the history say of the snapshots."""

    def __init__(self, ledger: Ledger, verdicts: Verdicts) -> None:
        self._ledger = ledger
        self._verdicts = verdicts

    def handled(self, machine: Machine, batch: Sequence[Event], effects: Sequence[Effect]) -> None:
        for event in batch:
            if isinstance(event, SnapshotChecked):
                said = f"calls the snapshot at {event.ref.index} a lie"
                self._verdicts.hold("I8", machine, event.is_true, said)

    def synced(self, machine: Machine, durable: Sequence[Durable]) -> None:
        """What is on disk now is what the node has decided: it is not asked before."""
        if not self._ledger.snapshots:
            return
        extended = [effect for effect in durable if isinstance(effect, ExtendLog)]
        for catalogue in {effect.log.catalogue: None for effect in extended}:
            self._check(machine, catalogue)

    def restored(self, machine: Machine) -> None:
        for catalogue in machine.disk.followed:
            self._check(machine, catalogue)

    def _check(self, machine: Machine, catalogue: CatalogueId) -> None:
        logs = [log for log in machine.disk.logs if log.catalogue == catalogue]
        if not any(log in self._ledger.snapshots for log in logs):
            return
        if any(log in self._ledger.stolen for log in logs):
            return  # which histories count is the business of I5, I6 and I14
        sizes = {log: size_of(machine.disk.logs[log].heads[-1][1]) for log in logs}
        published = (self._ledger.logs[log].entries[:size] for log, size in sizes.items())
        expected = _state_of(raw for entries in published for raw in entries)
        contents = machine.node.catalogues[catalogue].contents
        live = {n: found[1].clock for n in contents.segments if (found := contents.live_segment(n))}
        hidden: dict[tuple[str, str], int] = {}
        for entry in contents.removals():
            for item in entry.ids:
                name = (entry.collection, item)
                hidden[name] = max(entry.clock, hidden.get(name, 0))
        said = "counts other segments or withdrawals than the whole log"
        self._verdicts.hold("I8", machine, (live, hidden) == expected, said)


_decoded = lru_cache(DECODED_MAX)(cbor2.loads)


def _state_of(raws: Iterable[bytes]) -> State:
    """Return the live segments with their clocks, and the hidden items with those up to which."""
    added: dict[tuple[str, bytes], int] = {}
    removed: dict[tuple[str, bytes], int] = {}
    hidden: dict[tuple[str, str], int] = {}
    for raw in raws:
        kind, _, clock, collection, *rest = _decoded(raw)
        if kind == "segment+":
            name = (collection, rest[0][0])
            added[name] = max(clock, added.get(name, 0))
            for old in rest[3]:
                removed[collection, old] = max(clock, removed.get((collection, old), 0))
        elif kind == "segment-":
            removed[collection, rest[0]] = max(clock, removed.get((collection, rest[0]), 0))
        elif kind == "item-":
            for item in rest[0]:
                hidden[collection, item] = max(clock, hidden.get((collection, item), 0))
    live = {name: clock for name, clock in added.items() if clock >= removed.get(name, 0)}
    return live, hidden
