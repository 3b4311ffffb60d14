"""What one `publish` takes: items of files, checked, grouped by collection, staged as segments.

Nothing is signed here. Memory is bounded: when the items at hand grow too many, the largest group
becomes a segment.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, MutableMapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from meshnode.core.entries import ItemName
from meshnode.core.identifiers import Digest, sha256
from meshnode.runtime.datasets.collection import minimal_collection
from meshnode.runtime.maintainer.difference import Difference, Standing
from meshnode.runtime.maintainer.publishing import Draft
from meshnode.runtime.maintainer.staging import (
    segment_draft,
    stage_collection,
    stage_segment,
    staged_in,
)
from meshnode.runtime.segments.items import ItemText, RefusedItem, read_items
from meshnode.runtime.segments.segment import (
    PLAN_ITEM_BYTES_MAX,
    PLAN_ROWS_MAX,
    SegmentFile,
)
from meshnode.runtime.segments.validation import Problem, Severity, check_item

GATHERED_BYTES_MAX = 256 << 20  # of item JSON held before the largest group is written
PROBLEMS_MAX = 1000  # reported one by one; the rest is counted

Pair = tuple[bytes, dict[str, object]]


@dataclass(frozen=True, slots=True)
class Finding:
    """A problem of one item; `where` and `id` as in `RefusedItem`."""

    severity: Severity
    where: str
    id: str | None
    reason: str


@dataclass(frozen=True, slots=True)
class StagedSegment:
    """A segment that waits for its entry."""

    collection: str
    file: SegmentFile


@dataclass(slots=True)
class Group:
    """Items of one collection that are not in a segment yet."""

    pairs: list[Pair] = field(default_factory=list)
    size_bytes: int = 0


@dataclass(slots=True)
class Batch:
    """Invariant: an item is refused, published already, gathered, or in one staged segment.

    Args:
        directory: where segments are staged, each under its digest in hexadecimal.
        collection: the collection of every item; None: as each item says.
        documents: Collection JSON by id, new ones and those in force; one that is missing gets
            a minimal one.
        difference: what is published already; such items are left out. Without it all is new.
        tell: told of every problem, refusals and warnings, in the order of the items.
        check: says what is wrong with an item of a collection.
    """

    directory: Path
    collection: str | None
    documents: MutableMapping[str, bytes]
    difference: Difference = field(default_factory=Difference)
    tell: Callable[[Finding], None] = lambda finding: None
    check: Callable[[dict[str, Any], str], list[Problem]] = check_item
    segments: list[StagedSegment] = field(default_factory=list)
    refused: list[RefusedItem] = field(default_factory=list)
    refused_count: int = 0
    warnings: int = 0
    taken: int = 0
    taken_bytes: int = 0
    unreadable: int = 0  # places that no item could be read from: what they held is not known
    standings: Counter[tuple[str, Standing]] = field(default_factory=Counter)  # by collection
    made_documents: list[str] = field(default_factory=list)
    _groups: dict[str, Group] = field(default_factory=dict)

    def read(self, paths: Iterable[Path], progress: Callable[[int], None]) -> None:
        """Take every item of the files; `progress` is told how many were read.

        Raises:
            UsageError: a file that cannot be read or holds no STAC items.
            StorageError: the disk refused a segment.
        """
        self.take((item for path in paths for item in read_items(path)), progress)

    def take(
        self, items: Iterable[ItemText | RefusedItem], progress: Callable[[int], None]
    ) -> None:
        """Take every item, and write what is gathered at the end.

        Raises:
            StorageError: the disk refused a segment.
        """
        for item in items:
            self._take(item)
            progress(1)
        for collection in list(self._groups):
            self._write(collection)

    def drafts(self, known: Mapping[str, str], given: Iterable[str] = ()) -> list[Draft]:
        """Return the entries to sign: new or changed collections, then all segments.

        A segment that is live already is signed again: newer rows may hide what it holds.

        Args:
            known: the collection documents in force, by id, digests in hexadecimal.
            given: collections whose document is signed if it changed, also without new items.
        """
        drafts: list[Draft] = []
        for collection in dict.fromkeys([*(s.collection for s in self.segments), *given]):
            document = self.documents[collection]
            is_made = collection in self.made_documents
            if known.get(collection) == sha256(document).hex() or (is_made and collection in known):
                continue
            drafts.append(stage_collection(self.directory, collection, document))
        return drafts + [segment_draft(each.collection, each.file) for each in self.segments]

    @property
    def same(self) -> int:
        """Count the items that are published as they are."""
        return sum(n for (_, standing), n in self.standings.items() if standing is Standing.SAME)

    @property
    def staged(self) -> list[Digest]:
        return staged_in(self.directory)

    def _take(self, item: ItemText | RefusedItem) -> None:
        if isinstance(item, RefusedItem):
            self.unreadable += 1
            self._refuse(item)
            return
        collection = self.collection or item.value.get("collection")
        item_id = item.value.get("id")
        if not isinstance(collection, str) or not isinstance(item_id, str):
            missing = "no id" if isinstance(collection, str) else "no collection: name --collection"
            self.unreadable += 1
            self._refuse(RefusedItem(item.where, None, missing))
            return
        standing = self.difference.look(ItemName(collection, item_id), sha256(item.raw))
        if standing in (Standing.SAME, Standing.REPEATED):
            self.standings[collection, standing] += 1
            return
        if standing is Standing.CONFLICTING:
            twice = "it is given twice, with different content: publish one at a time"
            self._refuse(RefusedItem(item.where, item_id, twice))
            return
        if self._is_refused(item, item_id, self.check(item.value, collection)):
            return
        self.standings[collection, standing] += 1
        self._gather(collection, item)

    def _is_refused(self, item: ItemText, item_id: str, problems: Iterable[Problem]) -> bool:
        """Tell of the problems of an item; several refusals are told as one."""
        reasons = []
        for problem in problems:
            if problem.severity is Severity.REFUSE:
                reasons.append(problem.reason)
            else:
                self.warnings += 1
                self.tell(Finding(problem.severity, item.where, item_id, problem.reason))
        if reasons:
            self._refuse(RefusedItem(item.where, item_id, "; ".join(reasons)))
        return bool(reasons)

    def _gather(self, collection: str, item: ItemText) -> None:
        group = self._groups.setdefault(collection, Group())
        if len(group.pairs) >= PLAN_ROWS_MAX or group.size_bytes > PLAN_ITEM_BYTES_MAX:
            self._write(collection)
            group = self._groups.setdefault(collection, Group())
        group.pairs.append((item.raw, item.value))
        group.size_bytes += len(item.raw)
        self.taken += 1
        self.taken_bytes += len(item.raw)
        if sum(each.size_bytes for each in self._groups.values()) > GATHERED_BYTES_MAX:
            self._write(max(self._groups, key=lambda name: self._groups[name].size_bytes))

    def _write(self, collection: str) -> None:
        group = self._groups.pop(collection)
        file = stage_segment(self.directory, collection, self._document(collection), group.pairs)
        self.segments.append(StagedSegment(collection, file))

    def _document(self, collection: str) -> bytes:
        if collection not in self.documents:
            self.made_documents.append(collection)
            self.documents[collection] = minimal_collection(collection)
        return self.documents[collection]

    def _refuse(self, item: RefusedItem) -> None:
        self.refused_count += 1
        self.tell(Finding(Severity.REFUSE, item.where, item.id, item.reason))
        if len(self.refused) < PROBLEMS_MAX:
            self.refused.append(item)
