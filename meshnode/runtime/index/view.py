"""The index as somebody else's file: searched while its peer runs or not, and never written."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import apsw

from meshnode.core.identifiers import CatalogueId
from meshnode.errors import StorageError
from meshnode.runtime import read_only
from meshnode.runtime.index.query import Found, Query
from meshnode.runtime.index.reader import UNBOUNDED, Budget, Facets, Reader
from meshnode.runtime.index.rows import number, select
from meshnode.runtime.index.schema import FORMAT

Result = TypeVar("Result")

_COUNTS = "SELECT catalogue, name, items FROM collection WHERE items > 0 ORDER BY 1, 2"


class IndexView:
    """Searches the index at `path`. Between two calls nothing is open: no snapshot is held."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def counts(self) -> dict[tuple[CatalogueId, str], int]:
        """Return how many items of each (catalogue, collection) are visible, if any."""

        def work(reader: Reader) -> dict[tuple[CatalogueId, str], int]:
            rows = select(reader.database, _COUNTS)
            return {(CatalogueId(catalogue), name): items for catalogue, name, items in rows}

        return self.read(work)

    def search(self, query: Query, budget: Budget = UNBOUNDED) -> list[Found]:
        """Return one page, as `Index.search` does."""
        return self.read(lambda reader: reader.page(query), budget)

    def scan(self, query: Query) -> Iterator[Found]:
        """Return all matches, page by page; what is written meanwhile may be seen or missed."""
        while found := self.search(query):
            yield from found
            query = replace(query, after=found[-1].token)

    def count(self, query: Query, budget: Budget = UNBOUNDED) -> int:
        return self.read(lambda reader: reader.count(query), budget)

    def facets(self, query: Query, budget: Budget = UNBOUNDED) -> Facets:
        return self.read(lambda reader: reader.facets(query), budget)

    def properties(self) -> list[str]:
        return self.read(Reader.property_names)

    def read(self, work: Callable[[Reader], Result], budget: Budget = UNBOUNDED) -> Result:
        """Do `work` within one snapshot.

        Raises:
            StorageError: there is no index, or one of another format.
            UsageError: the budget is spent, or as `work` says.
        """

        def within(database: apsw.Connection) -> Result:
            _check_format(self._path, database)
            reader = Reader(database)
            with reader.within(budget):
                return work(reader)

        if not self._path.is_file():
            raise StorageError(f"there is no index {self._path}", hint=_started_once(self._path))
        return read_only.read(self._path, within)


def _check_format(path: Path, database: apsw.Connection) -> None:
    found = number(database, "PRAGMA user_version")
    if found > FORMAT:
        raise StorageError(
            f"{path} has format {found}, this version knows {FORMAT}",
            hint="install a newer meshnode",
        )
    if found < FORMAT:
        raise StorageError(
            f"{path} has format {found}, this version reads format {FORMAT}",
            hint=_started_once(path),
        )


def _started_once(path: Path) -> str:
    return f"start the peer once, it makes the index: meshnode run --home {path.parent}"
