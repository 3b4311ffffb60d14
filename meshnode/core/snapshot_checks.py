"""Which snapshots are true, as far as this peer holds the entries before them (L-103).

Making a snapshot anew takes time, so it is an effect; a log has one in work at a time. Owns which
is due; what one lists is in `snapshots`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from meshnode.core.branches import BEFORE_FIRST, Begun, Branch
from meshnode.core.catalogue import Catalogue
from meshnode.core.effects import CheckSnapshot
from meshnode.core.events import SnapshotChecked
from meshnode.core.identifiers import CatalogueId
from meshnode.core.log import Log
from meshnode.core.names import LogId


@dataclass(slots=True)
class SnapshotChecks:
    """Invariant: the newest snapshot of each branch is checked, in work, due, or not to be told."""

    catalogues: Mapping[CatalogueId, Catalogue]
    _in_work: dict[LogId, None] = field(default_factory=dict)

    def follow(self, name: LogId) -> Iterator[CheckSnapshot]:
        """Yield what to check of a log, if anything is due."""
        if name in self._in_work:
            return
        log = self.catalogues[name.catalogue].log(name.writer)
        for branch in log.branches:
            begun = newest_of(branch)
            before = begun.seq - 1 if begun else 0
            if begun and begun.ref not in log.snapshots and branch.remembers(before):
                self._in_work[name] = None
                way = tuple(branch.stretches(BEFORE_FIRST, before))
                yield CheckSnapshot(name, begun.ref, branch.frontier_at(before), way)
                return

    def checked(self, event: SnapshotChecked) -> Iterator[CheckSnapshot]:
        self._in_work.pop(event.log, None)
        log = self.catalogues[event.log.catalogue].log(event.log.writer)
        log.judge(event.ref, is_true=event.is_true)
        yield from self.follow(event.log)


def newest_of(branch: Branch) -> Begun | None:
    """Return the newest snapshot of a branch, but for one that the branch begins with."""
    part: Branch | None = branch
    while part is not None and not part.snapshots:
        part = part.base
    if part is None or part.snapshots[-1].seq <= part.begin_seq + 1:
        return None
    return part.snapshots[-1]


def lying_since(log: Log) -> int | None:
    """Return the seq of the first head that began a snapshot which lies, of those remembered."""
    begun = (each for branch in log.branches for each in branch.snapshots)
    return min((each.seq for each in begun if log.snapshots.get(each.ref) is False), default=None)
