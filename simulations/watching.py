"""Who watches simulated peers: each says by its methods what it wants to see, and pays for no more.

A watcher has one or several of the methods below, and changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from meshnode.core.durable import Durable
from meshnode.core.effects import Effect, IndexWork, Started
from meshnode.core.events import Event

if TYPE_CHECKING:
    from simulations.machine import Machine


@runtime_checkable
class SeesTurns(Protocol):
    """Sees what a node was told, and what it decided."""

    def handled(
        self, machine: Machine, batch: Sequence[Event], effects: Sequence[Effect]
    ) -> None: ...


@runtime_checkable
class SeesDisks(Protocol):
    """Sees what of a batch is on disk from now on."""

    def synced(self, machine: Machine, durable: Sequence[Durable]) -> None: ...


@runtime_checkable
class SeesStarts(Protocol):
    """Sees each effect that starts."""

    def started(self, machine: Machine, effect: Started) -> None: ...


@runtime_checkable
class SeesIndexes(Protocol):
    """Sees each operation of an index that has ended."""

    def index_changed(self, machine: Machine, work: IndexWork) -> None: ...


@runtime_checkable
class SeesRestarts(Protocol):
    """Sees a node that has just booted from its disk."""

    def restored(self, machine: Machine) -> None: ...


Watcher = SeesTurns | SeesDisks | SeesStarts | SeesIndexes | SeesRestarts


@dataclass(frozen=True, slots=True)
class Watchers:
    """The methods of all watchers by what they see, in the order of the watchers."""

    handled: tuple[Callable[[Machine, Sequence[Event], Sequence[Effect]], None], ...]
    synced: tuple[Callable[[Machine, Sequence[Durable]], None], ...]
    started: tuple[Callable[[Machine, Started], None], ...]
    index_changed: tuple[Callable[[Machine, IndexWork], None], ...]
    restored: tuple[Callable[[Machine], None], ...]

    @staticmethod
    def of(watchers: Sequence[Watcher]) -> Watchers:
        return Watchers(
            tuple(each.handled for each in watchers if isinstance(each, SeesTurns)),
            tuple(each.synced for each in watchers if isinstance(each, SeesDisks)),
            tuple(each.started for each in watchers if isinstance(each, SeesStarts)),
            tuple(each.index_changed for each in watchers if isinstance(each, SeesIndexes)),
            tuple(each.restored for each in watchers if isinstance(each, SeesRestarts)),
        )
