"""An inventory as a source of items: its rows, made items as a mapping says.

Rows that follow each other and have the same id are the files of one item, an asset each.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import groupby, islice
from urllib.parse import unquote, urljoin, urlsplit

from meshnode.errors import UsageError
from meshnode.runtime.maintainer.inventories.footprints import FootprintError
from meshnode.runtime.maintainer.inventories.items import (
    ASSETS_MAX,
    D4C_PARTS,
    File,
    UnfitRowError,
    stac_item,
)
from meshnode.runtime.maintainer.inventories.mapping import Mapping, filled
from meshnode.runtime.maintainer.inventories.names import UnfitNameError, parse_name, split_name
from meshnode.runtime.maintainer.inventories.places import Headers, Place, column_place
from meshnode.runtime.maintainer.inventories.rows import Row, Table
from meshnode.runtime.maintainer.sources import Given
from meshnode.runtime.maintainer.sources.ahead import AT_ONCE, ahead
from meshnode.runtime.segments.items import ItemText, RefusedItem
from meshnode.runtime.segments.json_text import written


@dataclass(frozen=True, slots=True)
class Inventory:
    """A table whose rows are files, or things that have files; read once."""

    table: Table
    mapping: Mapping
    headers: Headers

    def items(self) -> Iterator[Given]:
        """Yield an item for each run of rows with one id, or why there is none.

        Raises:
            UsageError: the mapping does not fit the table, or a library is missing.
        """
        pool = ThreadPoolExecutor(AT_ONCE)
        try:
            placed = ahead(pool, self._place, self._files())
            for _, found in groupby(placed, key=_id_of):
                yield self._item(list(islice(found, ASSETS_MAX + 1)))
        finally:
            pool.shutdown(wait=False, cancel_futures=True)

    def _files(self) -> Iterator[File | RefusedItem]:
        for row in self.table.rows:
            try:
                yield self._file(row)
            except (UnfitRowError, UnfitNameError) as error:
                yield RefusedItem(row.where, None, str(error))

    def _file(self, row: Row) -> File:
        url = self._url(row)
        values = dict(row.values)
        if url is not None:
            values |= {self.mapping.columns.url: url, **_named(url)}
            if self.mapping.names == "d4c":
                parts = parse_name(values["file.name"]).parts()
                values |= {f"d4c.{part}": parts.get(part) for part in D4C_PARTS}
        item_id = filled(self.mapping.item.id, values)
        if item_id is None:
            raise UnfitRowError("what its id is made of is missing")
        return File(str(item_id), values, row, url)

    def _url(self, row: Row) -> str | None:
        """Return the absolute URL of a row; None if the mapping names place and assets itself."""
        column = self.mapping.columns.url
        if column not in row.values:
            if self.mapping.assets and self.mapping.item.geometry:
                return None
            raise UsageError(
                f"the inventory has no column {column!r}",
                hint=f"name it under [columns]; there is {', '.join(row.values)}"[:300],
            )
        url = row.values[column]
        if not url:
            raise UnfitRowError("it has no URL")
        absolute = urljoin(self.mapping.base or "", str(url))
        if not absolute.startswith(("http://", "https://")):
            raise UsageError(
                f"{str(url)[:100]!r} is no http or https address",
                hint='say in the mapping what comes before it: base = "https://…/"',
            )
        return absolute

    def _place(self, file: File | RefusedItem) -> Place | str:
        """Return where a file's data lies, or why that is not known."""
        if isinstance(file, RefusedItem):
            return file.reason
        item, etag = self.mapping.item, file.values.get(self.mapping.columns.etag)
        try:
            if item.geometry:
                value = filled(f"{{{item.geometry}}}", file.values)
                return column_place(value, item.crs or self.table.systems.get(item.geometry))
            assert file.url is not None  # else the mapping names a geometry
            return self.headers.place(file.url, file.row.path, etag)
        except FootprintError as error:
            return str(error)

    def _item(self, found: list[tuple[File | RefusedItem, Place | str]]) -> Given:
        first, reason = found[0]
        if isinstance(first, RefusedItem):
            return first
        files = [file for file, _ in found if isinstance(file, File)]
        place = next((each for _, each in found if isinstance(each, Place)), None)
        if place is None:
            return RefusedItem(first.row.where, first.id, str(reason))
        try:
            if len(files) > ASSETS_MAX:
                raise UnfitRowError(f"more than {ASSETS_MAX} rows have its id")
            value = stac_item(files, place, self.mapping)
            return ItemText.of(written(value), value, first.row.where)
        except (UnfitRowError, ValueError, TypeError) as error:
            return RefusedItem(first.row.where, first.id, str(error))


def _id_of(placed: tuple[File | RefusedItem, object]) -> str:
    file, _ = placed
    return file.id if isinstance(file, File) else f"refused {file.where}"


def _named(url: str) -> dict[str, str]:
    name = unquote(urlsplit(url).path.rpartition("/")[2])
    stem, extension = split_name(name)
    return {"file.name": name, "file.stem": stem, "file.extension": extension.lower()}
