"""What one `publish` takes: items of files, checked, grouped by collection, staged as segments.

Nothing is signed here. Memory is bounded: when the items at hand grow too many, the largest group
becomes a segment. Of a large source other processes make the segments (`makers`).
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping, MutableMapping
from dataclasses import dataclass, field
from pathlib import Path

from meshnode.core.entries import ItemName
from meshnode.core.identifiers import Digest, sha256
from meshnode.runtime.collector import seldom_collected
from meshnode.runtime.datasets.collection import minimal_collection
from meshnode.runtime.maintainer.difference import Difference, Standing
from meshnode.runtime.maintainer.makers import Maker, Makers
from meshnode.runtime.maintainer.publishing import Draft
from meshnode.runtime.maintainer.staging import segment_draft, stage_collection, staged_in
from meshnode.runtime.segments.extension_schemas import ExtensionSchemas
from meshnode.runtime.segments.items import ItemText, RefusedItem, read_items
from meshnode.runtime.segments.making import Made
from meshnode.runtime.segments.segment import (
    PLAN_ITEM_BYTES_MAX,
    PLAN_ROWS_MAX,
    SegmentFile,
)
from meshnode.runtime.segments.validation import Problem, Severity

WAITING_ITEMS = 2_048  # of a group, before its maker gets them; fewer are no work for a process
WAITING_BYTES = 8 << 20  # of their JSON
PROGRESS_ITEMS = 256
GATHERED_BYTES_MAX = 256 << 20  # of item JSON held before the largest group is written
PROBLEMS_MAX = 1000  # reported one by one; the rest is counted


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
    """Items of one collection on their way into one segment; `size_bytes` is that of their JSON."""

    collection: str
    document: bytes = b""
    maker: Maker | None = None
    waiting: list[ItemText] = field(default_factory=list)  # not given to the maker yet
    waiting_bytes: int = 0
    items: list[tuple[int, str, str, Standing, int]] = field(default_factory=list)
    size_bytes: int = 0

    def give(self, maker: Maker) -> None:
        """Give the maker what waits."""
        self.maker = maker
        maker.add([item.raw for item in self.waiting], [item.parsed for item in self.waiting])
        self.waiting, self.waiting_bytes = [], 0


@dataclass(slots=True)
class Batch:
    """Invariant: an item is refused, published already, gathered, or in one staged segment.

    Args:
        directory: where segments are staged, each under its digest in hexadecimal.
        collection: the collection of every item; None: as each item says.
        documents: Collection JSON by id, new ones and those in force; one that is missing gets
            a minimal one.
        difference: what is published already; such items are left out. Without it all is new.
        tell: told of every problem, refusals and warnings.
        schemas: extension schemas to check items by, too.
        lint: says more about a new or changed item; nothing that refuses it.
    """

    directory: Path
    collection: str | None
    documents: MutableMapping[str, bytes]
    difference: Difference = field(default_factory=Difference)
    tell: Callable[[Finding], None] = lambda finding: None
    schemas: ExtensionSchemas | None = None
    lint: Callable[[ItemText], Iterable[Problem]] | None = None
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
    _gathered_bytes: int = 0  # of all groups
    _finished: deque[Group] = field(default_factory=deque)  # their segments are being written
    _places: dict[RefusedItem, int] = field(default_factory=dict)  # in the order of the source
    _number: int = 0

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
        with seldom_collected(), Makers(self.directory, self.schemas) as makers:
            for item in items:
                self._number += 1
                self._take(item, makers)
                if self._number % PROGRESS_ITEMS == 0:
                    progress(PROGRESS_ITEMS)
            for group in list(self._groups.values()):
                self._finish(group, makers)
            self._settle(wait=True)
        progress(self._number % PROGRESS_ITEMS)
        self.refused.sort(key=self._places.__getitem__)

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

    def _take(self, item: ItemText | RefusedItem, makers: Makers) -> None:
        if isinstance(item, RefusedItem):
            self.unreadable += 1
            self._refuse(self._number, item)
            return
        collection, item_id = self.collection or item.collection, item.id
        if not isinstance(collection, str) or not isinstance(item_id, str):
            missing = "no id" if isinstance(collection, str) else "no collection: name --collection"
            self.unreadable += 1
            self._refuse(self._number, RefusedItem(item.where, None, missing))
            return
        standing = self.difference.look(ItemName(collection, item_id), sha256(item.raw))
        if standing in (Standing.SAME, Standing.REPEATED):
            self.standings[collection, standing] += 1
        elif standing is Standing.CONFLICTING:
            twice = "it is given twice, with different content: publish one at a time"
            self._refuse(self._number, RefusedItem(item.where, item_id, twice))
        else:
            for doubt in self.lint(item) if self.lint else ():
                self._warn(item.where, item_id, doubt)
            self._gather(collection, item_id, item, standing, makers)

    def _gather(
        self, collection: str, item_id: str, item: ItemText, standing: Standing, makers: Makers
    ) -> None:
        group = self._groups.get(collection)
        if group and (len(group.items) >= PLAN_ROWS_MAX or group.size_bytes > PLAN_ITEM_BYTES_MAX):
            self._finish(group, makers)
            group = None
        if group is None:
            group = self._groups[collection] = Group(collection)
        size_bytes = len(item.raw)
        group.waiting.append(item)
        group.items.append((self._number, item.where, item_id, standing, size_bytes))
        group.waiting_bytes += size_bytes
        group.size_bytes += size_bytes
        self._gathered_bytes += size_bytes
        if len(group.waiting) >= WAITING_ITEMS or group.waiting_bytes > WAITING_BYTES:
            group.give(group.maker or makers.maker(collection, is_large=True))
        if self._gathered_bytes > GATHERED_BYTES_MAX:
            self._finish(max(self._groups.values(), key=lambda each: each.size_bytes), makers)

    def _finish(self, group: Group, makers: Makers) -> None:
        """Let the segment of a group be written."""
        maker = group.maker or makers.maker(group.collection, is_large=False)
        group.give(maker)
        group.document = self.documents.get(group.collection) or minimal_collection(
            group.collection
        )
        maker.finish(group.document)
        self._finished.append(group)
        del self._groups[group.collection]
        self._gathered_bytes -= group.size_bytes
        self._settle(wait=False)

    def _settle(self, *, wait: bool) -> None:
        """Take over what was made, in the order in which the segments were finished."""
        while self._finished:
            maker = self._finished[0].maker
            assert maker is not None
            made = maker.made(wait=wait)
            if made is None:
                return
            self._take_over(self._finished.popleft(), made)

    def _take_over(self, group: Group, made: Made) -> None:
        for position, (number, where, item_id, standing, size_bytes) in enumerate(group.items):
            problems = made.problems.get(position, ())
            if not self._is_refused(number, where, item_id, problems):
                self.standings[group.collection, standing] += 1
                self.taken += 1
                self.taken_bytes += size_bytes
        if made.file is not None:
            if group.collection not in self.documents:
                self.made_documents.append(group.collection)
                self.documents[group.collection] = group.document
            self.segments.append(StagedSegment(group.collection, made.file))

    def _is_refused(
        self, number: int, where: str, item_id: str, problems: Iterable[Problem]
    ) -> bool:
        """Tell of the problems of an item; several refusals are told as one."""
        reasons = []
        for problem in problems:
            if problem.severity is Severity.REFUSE:
                reasons.append(problem.reason)
            else:
                self._warn(where, item_id, problem)
        if reasons:
            self._refuse(number, RefusedItem(where, item_id, "; ".join(reasons)))
        return bool(reasons)

    def _warn(self, where: str, item_id: str, problem: Problem) -> None:
        self.warnings += 1
        self.tell(Finding(problem.severity, where, item_id, problem.reason))

    def _refuse(self, number: int, item: RefusedItem) -> None:
        self.refused_count += 1
        self.tell(Finding(Severity.REFUSE, item.where, item.id, item.reason))
        if len(self.refused) < PROBLEMS_MAX:
            self.refused.append(item)
            self._places[item] = number
