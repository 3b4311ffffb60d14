"""Shapes of partitions: which messages do not get through.

Sides are numbers dealt to the peers; who has no side is cut off from nobody.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from meshnode.core.identifiers import PeerId


class Cut(Protocol):
    """What a partition blocks. One that severs works both ways, and connections break on it."""

    @property
    def severs(self) -> bool: ...

    def blocks(self, source: PeerId, target: PeerId) -> bool: ...


@dataclass(frozen=True, slots=True)
class Apart:
    """Nothing crosses from side to side; a peer without a side is a bridge between all."""

    sides: Mapping[PeerId, int]
    severs: bool = True

    def blocks(self, source: PeerId, target: PeerId) -> bool:
        one, other = self.sides.get(source), self.sides.get(target)
        return one is not None and other is not None and one != other


@dataclass(frozen=True, slots=True)
class Ring:
    """Each side sees itself and the two beside it: all are connected, nobody sees all."""

    sides: Mapping[PeerId, int]
    count: int
    severs: bool = True

    def blocks(self, source: PeerId, target: PeerId) -> bool:
        distance = (self.sides[source] - self.sides[target]) % self.count
        return 1 < distance < self.count - 1


@dataclass(frozen=True, slots=True)
class OneWay:
    """What a later side sends to an earlier one is lost; keep-alives pass, connections stay up."""

    sides: Mapping[PeerId, int]
    severs: bool = False

    def blocks(self, source: PeerId, target: PeerId) -> bool:
        return self.sides[source] > self.sides[target]
