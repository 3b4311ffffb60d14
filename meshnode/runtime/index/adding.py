"""A segment on its way into the index, batch by batch, at a pace that lets searches go first."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, suppress

import apsw

from meshnode.core.rows import CheckedRow
from meshnode.errors import StorageError
from meshnode.runtime.index import rows as index_rows
from meshnode.runtime.index.bodies import Bodies
from meshnode.runtime.index.pace import Pace

Writing = Callable[[], AbstractContextManager[apsw.Connection]]


class Adding:
    """A segment on its way in: batches, then `publish` or `abandon`, one call at a time.

    The rows added so far are on disk but unseen, and no lock is held between the calls. When it is
    published it takes the place of the same segment indexed at another clock.
    """

    def __init__(self, writing: Writing, segment: int, pace: Pace) -> None:
        self._writing = writing
        self._segment = segment
        self._pace = pace
        self._bodies = Bodies()

    def add(self, rows: Sequence[CheckedRow]) -> None:
        """Add rows; their ids are new to the segment. Searches go first.

        Raises:
            StorageError: the disk refused.
        """
        with self._pace.step():
            self._write(rows)

    def _write(self, rows: Sequence[CheckedRow]) -> None:
        compressed = [(row, self._bodies.compress(row.item)) for row in rows]
        with self._writing() as database:
            index_rows.insert(database, self._segment, self._bodies.sample, compressed)

    def publish(self) -> None:
        """Make the rows that count visible.

        Raises:
            StorageError: the disk refused; nothing is visible.
        """
        with self._writing() as database:
            index_rows.publish(database, self._segment)

    def abandon(self) -> None:
        """Take back what was added; what a full disk keeps goes at the next start."""
        with suppress(StorageError), self._writing() as database:
            index_rows.remove(database, self._segment)
