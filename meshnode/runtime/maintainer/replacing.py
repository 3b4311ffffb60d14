"""Segments without the rows of withdrawn items, for their writer to put in place of the old ones.

Implements the writer's half of protocol/04-log-and-trust.md, L-63: who withdraws so that bytes are
erased appends the other rows at once, with their clocks, so that nobody loses them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic_core import from_json

from meshnode.control import Control, Message
from meshnode.core.entries import Reason, SegmentRemoved
from meshnode.core.identifiers import Digest
from meshnode.core.limits import CLOCK_MAX
from meshnode.runtime.datasets.collection import minimal_collection
from meshnode.runtime.maintainer.publishing import Draft, Publisher
from meshnode.runtime.maintainer.staging import segment_draft, stage_segment, staged_in
from meshnode.runtime.segments.segment import (
    ItemPair,
    read_segment_rows,
)


@dataclass(frozen=True, slots=True)
class Held:
    """A segment that counts: its file, and the clock of its entry."""

    digest: Digest
    path: Path
    clock: int


@dataclass(frozen=True, slots=True)
class Replacing:
    """What replaces segments of one collection.

    `withdrawn` gives each item that nobody gets any more the clock below which its rows go;
    `document` is the Collection in force; `staging` is where new segments wait for their entry.
    """

    collection: str
    document: bytes
    withdrawn: Mapping[str, int]
    reason: Reason
    staging: Path

    def draft(self, old: Held) -> Draft:
        """Stage the segment of the other rows and return its entry.

        If there are no other rows, the entry takes the old segment away.

        Raises:
            StorageError: the old segment cannot be read, or the disk refused the new one.
        """
        pairs, clocks = list[ItemPair](), list[int | None]()
        for pair, clock in self._kept(old):
            pairs.append(pair)
            clocks.append(clock)
        if not pairs:
            return lambda clock: SegmentRemoved(clock, self.collection, old.digest, self.reason)
        file = stage_segment(self.staging, self.collection, self.document, pairs, clocks=clocks)
        return segment_draft(self.collection, file, [old.digest])

    def _kept(self, old: Held) -> Iterator[tuple[ItemPair, int]]:
        for raw, own_clock in read_segment_rows(old.path):
            value, clock = from_json(raw), own_clock or old.clock
            if clock >= self.withdrawn.get(value["id"], 0):
                yield (raw, value), clock


async def replacements(
    control: Control,
    publisher: Publisher,
    catalogue: str,
    state: Message,
    collection: str,
    ids: Sequence[str],
    reason: Reason,
) -> tuple[list[Draft], list[Digest]]:
    """Return the entries that follow a withdrawal of these items, and the objects staged for them.

    `catalogue` is its id as text, `state` that of the log, as the publisher has it.

    Raises:
        StorageError: a segment cannot be read, or the disk refused a new one.
    """
    if not reason.erases:
        return [], []
    said = await control.ask("holding", catalogue=catalogue, collection=collection, items=ids)
    replacing = Replacing(
        collection,
        publisher.documents(state).get(collection) or minimal_collection(collection),
        said["withdrawn"] | dict.fromkeys(ids, CLOCK_MAX + 1),
        reason,
        publisher.staging,
    )
    held = [
        Held(Digest(bytes.fromhex(each["segment"])), Path(each["path"]), each["clock"])
        for each in said["segments"]
    ]
    drafts = [replacing.draft(old) for old in held]
    return drafts, staged_in(publisher.staging)
