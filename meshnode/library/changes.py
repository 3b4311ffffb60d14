"""The feed of changes for programs: pages to do what they say, and a cursor to go on from."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from meshnode.core.identifiers import catalogue_text
from meshnode.library.directory import Directory
from meshnode.runtime.index import changes as feed
from meshnode.runtime.index.changes import Wanted

PAGE_CHANGES: Final = 1_000  # read in one snapshot


@dataclass(frozen=True, slots=True)
class Change:
    """One change: `kind` is `added`, `replaced` or `withdrawn`.

    `raw` is the item's JSON as published, None for what was withdrawn. `at` is when this peer came
    to show it, `cursor` goes on after this change.
    """

    kind: str
    at: datetime
    catalogue: str
    collection: str
    id: str
    raw: bytes | None
    cursor: str

    @property
    def item(self) -> dict[str, Any] | None:
        """The STAC item, None for what was withdrawn."""
        return None if self.raw is None else json.loads(self.raw)


@dataclass(frozen=True, slots=True)
class ChangePage:
    """Changes in order. `is_reset`: forget all that was taken from the feed before."""

    changes: tuple[Change, ...]
    cursor: str
    is_reset: bool


def pages(directory: Directory, since: str, wanted: Wanted) -> Iterator[ChangePage]:
    """Yield pages until all that has happened was told; the last one may be empty."""
    is_last = False
    while not is_last:
        place = since
        page = directory.index.read(lambda reader: feed.page(reader, place, wanted, PAGE_CHANGES))  # noqa: B023 - called at once
        since, is_last = str(page.cursor), page.is_last
        yield ChangePage(tuple(map(_change, page.changes)), since, page.is_reset)


def _change(change: feed.Change) -> Change:
    return Change(
        kind=change.kind.value,
        at=datetime.fromtimestamp(change.at, UTC),
        catalogue=catalogue_text(change.catalogue),
        collection=change.collection,
        id=change.id,
        raw=change.found.item if change.found else None,
        cursor=str(change.cursor),
    )
