"""The index: every row of every live segment, and which row of an item is the visible one.

Derived from the log and the segments; deleting the file loses nothing. Implements the order of
protocol decision 6: of the rows of one (catalogue, collection, id) the greatest (clock, writer,
SHA-256 of the item bytes) is visible, unless a withdrawal has a greater clock. Owns no decision on
which segments count.

All calls block and belong in a worker thread. Any number may run at once: writes wait for each
other, reads see the last finished write. `close` ends reads that nobody waits for any more.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import apsw

from meshnode.core.identifiers import CatalogueId, Digest
from meshnode.core.names import SegmentKey, SegmentRef, Withdrawal
from meshnode.runtime.index import checking
from meshnode.runtime.index import rows as index_rows
from meshnode.runtime.index.adding import Adding
from meshnode.runtime.index.checking import Stats
from meshnode.runtime.index.pace import Pace
from meshnode.runtime.index.query import LIMIT_MAX, Found, Query
from meshnode.runtime.index.reader import UNBOUNDED, Budget, Facets, Reader
from meshnode.runtime.index.readers import Readers
from meshnode.runtime.index.rows import number, select
from meshnode.runtime.index.schema import open_writer, storage_errors
from meshnode.runtime.sqlite import transaction

_INDEXED = """
SELECT catalogue, name, digest, clock FROM segment
JOIN collection ON collection.key = segment.collection WHERE live ORDER BY 1, 2, 3
"""
_LIVE_SEGMENT = "SELECT key FROM segment WHERE collection = ? AND digest = ? AND live"
_WITHDRAW = """
INSERT INTO tombstone VALUES (?1,?2,?3,?4)
ON CONFLICT DO UPDATE SET clock = max(clock, ?3), sealed = max(sealed, ?4)
"""
_IS_SEALED = """
SELECT EXISTS (
  SELECT 1 FROM tombstone
  JOIN item ON item.collection = tombstone.collection AND item.id = tombstone.id
  JOIN segment ON segment.key = item.segment
  WHERE sealed > 0 AND item.clock < sealed AND digest = ?)
"""
_HIDE = "UPDATE item SET visible = 0 WHERE collection = ? AND id = ? AND clock < ? AND visible"
_FORGET = """
CREATE TEMP TABLE forgotten AS SELECT key FROM collection WHERE catalogue = ?;
DELETE FROM item WHERE segment IN
  (SELECT key FROM segment WHERE live AND collection IN (SELECT key FROM forgotten));
DELETE FROM segment WHERE live AND collection IN (SELECT key FROM forgotten);
DELETE FROM tombstone WHERE collection IN (SELECT key FROM forgotten);
DELETE FROM collection WHERE key IN (SELECT key FROM forgotten)
  AND key NOT IN (SELECT collection FROM segment) AND key NOT IN (SELECT collection FROM gone);
DROP TABLE forgotten;
"""


Result = TypeVar("Result")


class Index:
    """Invariant: of an item the row that counts is visible, and no other."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._mutex = threading.Lock()
        self._writer = open_writer(path)
        self._readers = Readers(path)
        with self._writing() as database:
            for (unfinished,) in select(database, "SELECT key FROM segment WHERE NOT live"):
                index_rows.remove(database, unfinished)

    @classmethod
    def open(cls, path: Path) -> Index:
        """Open the index, made if it is not there; a segment that was half added is gone.

        Raises:
            StorageError: a newer format, a damaged file, or the disk refused.
        """
        return cls(path)

    def close(self) -> None:
        """Close it: reads that still run are interrupted, a write is waited for."""
        self._readers.close()
        with self._mutex:
            self._writer.close()

    # --- What it holds ----------------------------------------------------------------------------
    def indexed(self) -> tuple[tuple[SegmentKey, int], ...]:
        """Return every live segment with the clock it was indexed at."""
        with self._reading() as reader:
            return tuple(
                (SegmentKey(CatalogueId(catalogue), name, Digest(digest)), clock)
                for catalogue, name, digest, clock in select(reader.database, _INDEXED)
            )

    def counts(self) -> dict[tuple[CatalogueId, str], int]:
        """Return how many items of each (catalogue, collection) are visible, if any."""
        sql = "SELECT catalogue, name, items FROM collection WHERE items > 0 ORDER BY 1, 2"
        with self._reading() as reader:
            return {
                (CatalogueId(c), name): items for c, name, items in select(reader.database, sql)
            }

    # --- What the node asks for -------------------------------------------------------------------
    @contextmanager
    def adding(self, ref: SegmentRef) -> Iterator[Adding]:
        """Add a segment: all its rows are visible when the block ends, none if it raises.

        Raises:
            StorageError: the disk refused.
        """
        adding = self.begin(ref)
        try:
            yield adding
            adding.publish()
        except BaseException:
            adding.abandon()
            raise

    def begin(self, ref: SegmentRef) -> Adding:
        """Begin what `adding` does, for callers whose steps run in different threads."""
        with self._writing() as database:
            segment = index_rows.begin(database, ref)
        return Adding(self._writing, segment, Pace(self._readers.seconds))

    def drop(self, key: SegmentKey) -> None:
        """Take a live segment out; rows it had beaten come back. An unknown one: no effect."""
        with self._writing() as database:
            collection = index_rows.collection_key(database, key.catalogue, key.collection)
            for (segment,) in select(database, _LIVE_SEGMENT, collection, key.digest):
                index_rows.remove(database, segment)

    def hide(
        self,
        catalogue: CatalogueId,
        collection: str,
        ids: Sequence[str],
        clock: int,
        erases: bool = False,
    ) -> None:
        """Hide rows of these items whose clock is smaller, also those added later.

        `erases`: no segment that holds one of them is served (see `is_sealed`).
        """
        with self._writing() as database:
            key = index_rows.collection_key(database, catalogue, collection)
            sealed = clock if erases else 0
            database.executemany(_WITHDRAW, [(key, id_, clock, sealed) for id_ in ids])
            database.executemany(_HIDE, [(key, id_, clock) for id_ in ids])

    def set_hidden(self, catalogue: CatalogueId, withdrawals: Sequence[Withdrawal]) -> None:
        """Make exactly these the withdrawals of a catalogue; what none hides any more shows."""
        with self._writing() as database:
            index_rows.set_hidden(database, catalogue, withdrawals)

    def is_sealed(self, digest: Digest) -> bool:
        """Say whether an indexed segment holds a row that nobody may be served any more."""
        with self._reading() as reader:
            return bool(number(reader.database, _IS_SEALED, digest))

    def segments_with(
        self, catalogue: CatalogueId, collection: str, ids: Sequence[str], clock: int
    ) -> tuple[Digest, ...]:
        """Return the segments that hold a row of these items with a smaller clock."""
        with self._writing() as database:
            key = index_rows.collection_key(database, catalogue, collection)
            return index_rows.segments_with(database, key, ids, clock)

    def erase(
        self, catalogue: CatalogueId, collection: str, ids: Sequence[str], clock: int
    ) -> None:
        """Erase rows of these items with a smaller clock: no byte of them stays in the file."""
        with self._writing() as database:
            key = index_rows.collection_key(database, catalogue, collection)
            index_rows.erase(database, key, ids, clock)
        self.forget_deleted()

    def forget_deleted(self) -> None:
        """Empty the journal, in which rows that were deleted may still stand."""
        with self._mutex, storage_errors(f"cannot write {self._path}"):
            self._writer.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def forget(self, catalogue: CatalogueId) -> None:
        """Take out all that is live of a catalogue, and its withdrawals."""
        with self._writing() as database:
            database.execute(_FORGET, (catalogue,))

    # --- Searching --------------------------------------------------------------------------------
    def search(self, query: Query, budget: Budget = UNBOUNDED) -> list[Found]:
        """Return one page: up to `limit` items and PAGE_BYTES_MAX, one at least.

        The results are at an end when a page is empty.

        Raises:
            UsageError: `query.after` is no token of this order, the filter names a property that
                no item has, or the budget is spent.
            StorageError: the file is damaged or unreadable.
        """
        with self._reading(budget) as reader:
            return reader.page(query)

    def scan(self, query: Query) -> Iterator[Found]:
        """Return all matches, page by page; what is written meanwhile may be seen or missed."""
        while found := self.search(query):
            yield from found
            query = replace(query, after=found[-1].token)

    def count(self, query: Query, budget: Budget = UNBOUNDED) -> int:
        """Count all matches, whatever `limit` and `after` say. Raises what `search` raises."""
        with self._reading(budget) as reader:
            return reader.count(query)

    def facets(self, query: Query, budget: Budget = UNBOUNDED) -> Facets:
        """Count all matches by collection and by year. Raises what `search` raises."""
        with self._reading(budget) as reader:
            return reader.facets(query)

    def read(self, work: Callable[[Reader], Result], budget: Budget = UNBOUNDED) -> Result:
        """Do `work` within one snapshot and a budget. Raises what `search` raises."""
        with self._reading(budget) as reader:
            return work(reader)

    def properties(self, collection: tuple[CatalogueId, str] | None = None) -> list[str]:
        """Return the names of the properties that items have, of one collection or of all."""
        with self._reading() as reader:
            return reader.property_names(collection)

    # --- Looking after it -------------------------------------------------------------------------
    def stats(self) -> Stats:
        """Count what it holds."""
        with self._reading() as reader:
            return checking.stats(reader.database)

    def live_segments(self) -> list[int]:
        """Return the keys of the segments, for `check_segment`."""
        with self._reading() as reader:
            return checking.live_segments(reader.database)

    def check_file(self) -> list[str]:
        """Return in sentences what is wrong with the file and its tables."""
        with self._reading() as reader:
            return checking.check_file(reader.database)

    def check_segment(self, key: int) -> list[str]:
        """Return in sentences what is wrong with the rows of a segment."""
        with self._reading() as reader:
            return checking.check_segment(reader.database, key)

    # --- One item, and all of a collection --------------------------------------------------------
    def item(self, catalogue: CatalogueId | None, collection: str | None, id_: str) -> list[Found]:
        """Return the visible items of this id, one a catalogue and collection; None is any."""
        catalogues = () if catalogue is None else (catalogue,)
        collections = () if collection is None else (collection,)
        return list(self.scan(Query((id_,), collections, catalogues, limit=LIMIT_MAX)))

    def walk(self, catalogue: CatalogueId, collection: str, after: str, limit: int) -> list[Found]:
        """Return visible items of a collection in the order of their ids, beyond the id `after`.

        Up to `limit` items and PAGE_BYTES_MAX, one at least; the walk ends with an empty list.
        """
        with self._reading() as reader:
            return reader.walk(catalogue, collection, after, limit)

    # --- Connections ------------------------------------------------------------------------------
    @contextmanager
    def _writing(self) -> Iterator[apsw.Connection]:
        """One transaction: all of the block or nothing."""
        failing = storage_errors(f"cannot write {self._path}")
        with self._mutex, failing, transaction(self._writer) as database:
            yield database

    @contextmanager
    def _reading(self, budget: Budget = UNBOUNDED) -> Iterator[Reader]:
        """One snapshot, on a connection that nobody else uses meanwhile."""
        failing = storage_errors(f"cannot read {self._path}")
        with failing, self._readers.one(budget) as reader, transaction(reader.database):
            yield reader
