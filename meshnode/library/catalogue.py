"""`Catalogue`: what programs and notebooks open a data directory with."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from meshnode.core.identifiers import catalogue_text, parse_catalogue
from meshnode.default_home import ENV_HOME, default_home
from meshnode.errors import UsageError
from meshnode.library.changes import ChangePage, pages
from meshnode.library.directory import Directory
from meshnode.library.search import Search
from meshnode.library.signed_items import Proof, SignedItem
from meshnode.runtime.index.changes import Wanted
from meshnode.runtime.index.query import Query
from meshnode.runtime.operator import search_arguments
from meshnode.runtime.operator.collections import described, followed, title_of
from meshnode.runtime.operator.joining import domain_said
from meshnode.runtime.operator.searching import by_ids, current_only
from meshnode.runtime.operator.standing import currency
from meshnode.runtime.verification.evidence import examine


class Catalogue:
    """All catalogues that a peer follows, read from its data directory while it runs or not.

    Nothing is written there, and between two calls nothing is open.

    >>> from meshnode import Catalogue
    >>> catalogue = Catalogue("me")
    >>> [item["id"] for item in catalogue.search("forêt", limit=5)]
    ['mayo']

    Args:
        home: the data directory; else that of MESHNODE_HOME, else the user's data folder.

    Raises:
        StorageError: it is no data directory, or one that this version cannot read.
    """

    def __init__(self, home: str | os.PathLike[str] | None = None) -> None:
        root = home or os.environ.get(ENV_HOME) or default_home()
        self._directory = Directory(Path(root))

    def search(
        self,
        text: str | None = None,
        *,
        ids: Sequence[str] = (),
        collections: Sequence[str] = (),
        catalogues: Sequence[str] = (),
        dguids: Sequence[str] = (),
        bbox: Sequence[float] | None = None,
        datetime: str | None = None,
        intersects: Mapping[str, Any] | None = None,
        filter: str | Mapping[str, Any] | None = None,  # noqa: A002 - the name STAC API gives it
        sort: str | None = None,
        fields: str | None = None,
        current: bool = False,
        old: bool = False,
        limit: int | None = None,
    ) -> Search:
        """Return the search for what matches all of these conditions, newest first.

        They are those of `meshnode search` (docs/search.md): `text` are words, `filter` is CQL2 as
        text or JSON, `intersects` a GeoJSON geometry, `datetime` an instant or an interval,
        `collections` are named by id or title, `sort` and `fields` are lists with commas.
        `limit` bounds what is read; without it all matches are.

        >>> found = catalogue.search(filter="eo:cloud_cover < 10", sort="-datetime")
        >>> [item["id"] for item in found]
        ['whitehorse', 'dawson']

        Raises:
            UsageError: a condition that cannot be read; the sentence says which.
        """
        arguments = _arguments(
            text=text,
            ids=tuple(ids),
            collections=tuple(collections),
            catalogues=tuple(catalogues),
            dguids=tuple(dguids),
            bbox=None if bbox is None else tuple(bbox),
            datetime=datetime,
            intersects=None if intersects is None else dict(intersects),
            filter=dict(filter) if isinstance(filter, Mapping) else filter,
            sort=sort,
            fields=fields,
            current=current,
            old=old,
            limit=limit,
        )
        query = arguments.query()
        if current:
            query = current_only(self._directory, query)
        if query.collections:
            query = by_ids(self._directory, query)
        return Search(self._directory, query, limit, arguments.wanted_fields())

    def get(
        self,
        id: str,  # noqa: A002 - the name STAC gives it
        collection: str | None = None,
        catalogue: str | None = None,
    ) -> SignedItem:
        """Return the visible item of this id.

        >>> catalogue.get("mayo").item["properties"]["title"]
        'Forêt de Mayo'

        Raises:
            UsageError: there is none, or several; the sentence says where.
        """
        found = list(
            self.search(
                ids=[id],
                collections=[collection] if collection else [],
                catalogues=[catalogue] if catalogue else [],
                limit=2,
            ).signed()
        )
        if not found:
            raise UsageError(f"no item {id!r} is visible here", hint="search(ids=[…], old=True)")
        if len(found) > 1:
            places = " and ".join(f"{each.collection} of {each.catalogue}" for each in found)
            raise UsageError(f"several items are called {id!r}: in {places}", hint="say in which")
        return found[0]

    def proof(self, item: SignedItem) -> Proof:
        """Check the way from an item to the id of its catalogue; signatures and hashes, no network.

        >>> catalogue.proof(catalogue.get("mayo")).is_valid
        True

        Raises:
            UsageError: the directory does not hold the way (a log begun with a snapshot, say), or
                the item has been replaced or withdrawn.
        """
        evidence = self._directory.evidence(item.found.catalogue, item.found)
        steps = examine(evidence, item.found.catalogue, item.collection, item.id)
        return Proof(evidence, tuple(steps))

    def changes(
        self,
        since: str = "beginning",
        *,
        collections: Sequence[str] = (),
        catalogues: Sequence[str] = (),
    ) -> Iterator[ChangePage]:
        """Yield what came to show here, took another's place, or was withdrawn, in that order.

        `since` is the `cursor` of a page or a change before, a time, a day, `beginning` or `now`.
        Whoever does what each change says ends with what a search finds (docs/changes.md).

        >>> for page in catalogue.changes():
        ...     print(sorted(change.id for change in page.changes), page.is_reset)
        ['dawson', 'mayo', 'whitehorse'] False
        >>> [page.changes for page in catalogue.changes(page.cursor)]
        [()]

        Raises:
            UsageError: `since` is nothing of it.
        """
        asked = Query(
            collections=tuple(collections), catalogues=tuple(map(parse_catalogue, catalogues))
        )
        query = by_ids(self._directory, asked) if asked.collections else asked
        return pages(self._directory, since, Wanted(query.catalogues, query.collections))

    def collections(self) -> list[dict[str, Any]]:
        """Return every collection with titles, licence, providers, extent, and how many items show.

        >>> [(each["collection"], each["items"]) for each in catalogue.collections()]
        [('towns', 3)]
        """
        counts = self._directory.index.counts()
        return [
            {**said, "items": counts.get(name, 0)} for name, said in described(self._directory, ())
        ]

    def catalogues(self) -> list[dict[str, Any]]:
        """Return every followed catalogue with its title, its domain and how current it is.

        >>> [(each["title"], each["freshness"]) for each in catalogue.catalogues()]
        [('Yukon', ['current'])]
        """
        return [
            {
                "id": catalogue_text(held.id),
                "title": title_of(held),
                "domain": domain_said(self._directory, held),
                **currency(held),
            }
            for held in followed(self._directory)
        ]

    def properties(self) -> list[str]:
        """Return the names of all properties that items have, for `filter`.

        >>> catalogue.properties()
        ['datetime', 'eo:cloud_cover', 'title']
        """
        return self._directory.index.properties()


def _arguments(**said: Any) -> search_arguments.Search:  # noqa: ANN401 - checked by the model
    try:
        return search_arguments.Search.model_validate(said)
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(map(str, each['loc']))}: {each['msg'].lower()}" for each in error.errors()
        )
        raise UsageError(f"search: {problems}") from error
