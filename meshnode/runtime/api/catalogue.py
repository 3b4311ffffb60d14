"""What the landing page and the list of collections say: all that the peer follows, as one API."""

from __future__ import annotations

from typing import Any, Final

from meshnode import __version__
from meshnode.runtime.api.addresses import Addresses
from meshnode.runtime.api.conformance import CLASSES
from meshnode.runtime.api.documents import QUERYABLES_REL, SCHEMA, Documents
from meshnode.runtime.api.features import GEOJSON, JSON
from meshnode.runtime.api.naming import Names
from meshnode.runtime.api.refusals import RefusedError
from meshnode.runtime.operator.collections import CollectionName, followed
from meshnode.runtime.peer import Peer

TITLE: Final = "What this meshnode peer holds"
DESCRIPTION: Final = (
    "Signed catalogues of institutions, searched on this peer's own disk. Each item can show who "
    "signed it."
)
OPENAPI_TYPE: Final = "application/vnd.oai.openapi+json;version=3.1"
STAC_VERSION: Final = "1.1.0"


def landing(addresses: Addresses) -> dict[str, Any]:
    """Return the landing page."""
    home = addresses.landing
    return {
        "type": "Catalog",
        "id": "meshnode",
        "title": TITLE,
        "description": DESCRIPTION,
        "stac_version": STAC_VERSION,
        "stac_extensions": [],
        "conformsTo": list(CLASSES),
        "meshnode:version": __version__,
        "links": [
            {"rel": "self", "type": JSON, "href": home},
            {"rel": "root", "type": JSON, "href": home},
            {"rel": "data", "type": JSON, "href": addresses.at("collections")},
            {"rel": "conformance", "type": JSON, "href": addresses.at("conformance")},
            {"rel": "search", "type": GEOJSON, "href": addresses.search, "method": "GET"},
            {"rel": "search", "type": GEOJSON, "href": addresses.search, "method": "POST"},
            {"rel": QUERYABLES_REL, "type": SCHEMA, "href": addresses.at("queryables")},
            {"rel": "service-desc", "type": OPENAPI_TYPE, "href": addresses.at("api")},
            {"rel": "service-doc", "type": "text/html", "href": addresses.at("api.html")},
        ],
    }


class Catalogue:
    """The collections of all that is followed. Used in worker threads."""

    def __init__(self, peer: Peer, documents: Documents) -> None:
        self._peer = peer
        self._documents = documents

    def page(
        self, names: Names, addresses: Addresses, limit: int, token: str | None
    ) -> dict[str, Any]:
        """Return a page of collections, ordered by their names; `token` is the last one before."""
        counts = self._peer.index.counts()
        named = sorted((names.of(*each), each) for each in self._known(counts))
        first = next(
            (n for n, (name, _) in enumerate(named) if token is None or name > token), None
        )
        shown = [] if first is None else named[first : first + limit]
        own = addresses.at("collections")
        links: list[dict[str, Any]] = [
            {"rel": "self", "type": JSON, "href": own},
            {"rel": "root", "type": JSON, "href": addresses.landing},
            {"rel": "parent", "type": JSON, "href": addresses.landing},
        ]
        if shown and shown[-1] != named[-1]:
            href = addresses.page_of_collections(limit, shown[-1][0])
            links.append({"rel": "next", "type": JSON, "href": href})
        return {
            "collections": [
                self._documents.collection(each, names, addresses, counts.get(each, 0))
                for _, each in shown
            ],
            "links": links,
            "numberMatched": len(named),
            "numberReturned": len(shown),
        }

    def collection(self, asked: str, names: Names, addresses: Addresses) -> dict[str, Any]:
        """Return one collection.

        Raises:
            RefusedError: there is none of that name, or several.
        """
        counts = self._peer.index.counts()
        found = self.one(asked, names, counts)
        return self._documents.collection(found, names, addresses, counts.get(found, 0))

    def one(
        self, asked: str, names: Names, counts: dict[CollectionName, int] | None = None
    ) -> CollectionName:
        """Return the collection of a name.

        Raises:
            RefusedError: there is none of that name, or several.
        """
        known = self._known(self._peer.index.counts() if counts is None else counts)
        found = [each for each in names.find(asked) if each in known]
        if not found:
            raise RefusedError(404, f"there is no collection {asked[:100]!r} here")
        if len(found) > 1:
            which = ", ".join(names.of(*each) for each in found)
            raise RefusedError(404, f"several catalogues have a collection {asked!r}: {which}")
        return found[0]

    def _known(self, counts: dict[CollectionName, int]) -> dict[CollectionName, None]:
        documented = [
            (held.id, name)
            for held in followed(self._peer)
            for name in tuple(held.contents.collections)
        ]
        return dict.fromkeys([*documented, *counts])
